"""The command `textkit`."""

from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar, run_command, writable
from textkit.commands import labels, pairs, pretraining
from textkit.commands.options import Seed, Strategy, group, saved_model
from textkit.commands.pairs import (
    BeamWidth,
    Folder,
    LengthPenalty,
    MaxLength,
    Method,
    Reading,
    Temperature,
    TooLong,
    TopK,
    TopP,
)

app = typer.Typer(
    help="Encoders and sequence-to-sequence models that show what they attend to.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train_group = group(
    "translate",
    """Train a model: on pairs of texts, or one that has read much already on texts, words or questions with labels.

    Examples:

    textkit train dates --out runs/dates

    textkit train classify reviews.tsv --model FOLDER --out runs/reviews

    Options and more examples of each are in its own help, such as textkit train translate --help.""",
)
evaluate_group = group(
    "translate",
    """Measure a model on data that it has not seen.

    Examples:

    textkit evaluate dates --model runs/dates

    textkit evaluate classify reviews.tsv --model runs/reviews

    Options and more examples of each are in its own help, such as textkit evaluate translate --help.""",
)
app.add_typer(train_group, name="train")
app.add_typer(evaluate_group, name="evaluate")
train_group.command("translate", short_help="Learn answers to texts, from pairs.")(pairs.train)
evaluate_group.command("translate", short_help="Measure answers to texts.")(pairs.evaluate)
labels.add(train_group, evaluate_group)
app.command("pretrain")(pretraining.pretrain)


def _ending(suffix):
    """What checks a path to write: how it ends, and that it can be."""

    def check(path):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"Expected a path that ends in {suffix}. Received: path={str(path)!r}")
        return writable(path)

    return check


Picture = Annotated[
    Path | None,
    typer.Option("--attention", help="PNG of what each token attended to.", dir_okay=False, callback=_ending(".png")),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="The same as a page to explore.", dir_okay=False, callback=_ending(".html")),
]


@app.command()
def demo(
    words: Annotated[list[str] | None, typer.Argument(help="English words to pronounce.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)] = Path(
        "runs/textkit_demo"
    ),
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    strategy: Strategy = "none",
    smoke: Annotated[bool, typer.Option("--smoke", help="Few words, one epoch: does it run?")] = False,
    seed: Seed = 0,
):
    """Learn to pronounce with attention and without, measure both, draw what was attended to.

    Example: textkit demo whistle psychology
    """
    from textkit.demo import WORDS, run_demo, summary

    typer.echo(summary(run_demo(words or WORDS, out, epochs, strategy, smoke, seed, report=typer.echo), out))


@app.command()
def train_tokenizer(
    files: Annotated[list[Path], typer.Argument(help="UTF-8 texts, each line one.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)],
    kind: Annotated[str, typer.Option(help="wordpiece (as BERT), bytes (as RoBERTa) or sentencepiece (as ALBERT).")] = (
        "wordpiece"
    ),
    size: Annotated[int, typer.Option(help="Most tokens.", min=1)] = 8000,
    keep_case: Annotated[bool, typer.Option("--keep-case", help="Case and accents stay; in bytes they always do.")] = False,
):
    """Learn a tokenizer from texts.

    Example: textkit train-tokenizer english.txt chinese.txt --kind wordpiece --size 8000 --out tokenizer
    """
    from textkit.tokenizer import Tokenizer
    from textkit.tokenizers.learning import read_lines

    with progress_bar("learning"):
        tokenizer = Tokenizer.learn(read_lines(files), kind, size, not keep_case)
        tokenizer.save(out)
    typer.echo(f"{tokenizer.size} tokens in {out}")


@app.command()
def translate(
    texts: Annotated[list[str], typer.Argument(help="What to translate.")],
    model: Folder,
    attention: Picture = None,
    html: Page = None,
    num_best: Annotated[
        int | None, typer.Option(help="Answers of a beam to each text, with a TAB and the log-probability.", min=1)
    ] = None,
    method: Method = "beam",
    beam_width: BeamWidth = 4,
    length_penalty: LengthPenalty = 0.6,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_length: MaxLength = None,
    reading: Reading = "same_step",
    too_long: TooLong = "truncate",
    seed: Seed = 0,
):
    """Translate texts: an answer a line, and drawings of what was attended to.

    Examples:

    textkit translate "21 November 2026" --model runs/dates --attention alignment.png --html alignment.html

    textkit translate read lead --model runs/g2p --num-best 3

    textkit translate read --model runs/g2p --method sample --temperature 0.7 --seed 1
    """
    options = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    options |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
    options |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    answers = _translated(texts, model, attention, html, num_best, **options)
    if num_best is None:
        typer.echo("\n".join(each.text for each in answers))
    else:  # an empty line between the answers to one text and those to the next
        lines = ["".join(f"{each.text}\t{each.score:.4f}\n" for each in best) for best in answers]
        typer.echo("\n".join(lines), nl=False)


@app.command()
def explain(
    texts: Annotated[list[str], typer.Argument(help="What to translate, or to read.")],
    model: Annotated[
        str,
        typer.Option(help="Folder of a run or of a translator; of an encoder also a .keras file or hf://owner/repository."),
    ],
    most: Annotated[int, typer.Option(help="Words listed of each.", min=1)] = 3,
    attention: Picture = None,
    html: Page = None,
    reading: Annotated[str | None, typer.Option(help="Of a translator: as translate has it.")] = None,
    pair: Annotated[str | None, typer.Option(help="The second text, such as a context.")] = None,
    word: Annotated[str | None, typer.Option(help="The word asked about, or its number from 0 on.")] = None,
    method: Annotated[str | None, typer.Option(help="How relevance is found; see textkit.explain.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Class, or words of the context, to explain instead of the answer.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Whose attention is shown, from 0 on, instead of the mean of all.")
    ] = None,
    head: Annotated[int | None, typer.Option(help="The same.")] = None,
):
    """Show what a text's words attend to, and which of them an answer rests on.

    Of a translator, what each token attended to of the answers that translate gives by default. The options from --pair on
    are those of encoders.

    Examples:

    textkit explain "21 November 2026" --model runs/dates --html alignment.html

    textkit explain "The animal didn't cross the street because it was too tired" --word it --model FOLDER --html page.html
    """
    asked = {"pair": pair, "word": word, "method": method, "target": target, "layer": layer, "head": head}
    asked = {name: value for name, value in asked.items() if value is not None}
    if (Path(model) / "vocabularies.json").is_file():
        if asked:
            raise ValueError(f"Expected an encoder for --{next(iter(asked))}. Received: model={model!r}, a translator")
        _explain_translations(texts, model, most, attention, html, reading or "same_step")
    else:
        if reading:
            raise ValueError(f"Expected a translator for --reading. Received: model={model!r}")
        _explain_texts(texts, model, most, attention, html, **asked)


@app.command()
def export(
    model: Annotated[
        str,
        typer.Option(help="Folder of a run or of a translator; of an encoder also a .keras file or hf://owner/repository."),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)],
    method: Annotated[
        str | None, typer.Option(help="beam, greedy or sample; of an encoder, how relevance is found, see textkit.explain.")
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Most tokens of an answer; of an encoder, of a text.", min=1)
    ] = None,
    beam_width: Annotated[
        int | None, typer.Option(help="Of a translator, as the next ones: as translate has it.", min=1)
    ] = None,
    length_penalty: float | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    reading: str | None = None,
):
    """Write a SavedModel that takes texts: it translates and aligns them, or labels them and says what that rests on.

    Of subwords and word pieces, whoever loads it has to import tensorflow_text before.

    Examples:

    textkit export --model runs/dates --out saved_model

    textkit export --model runs/reviews --method legrad --out saved_model
    """
    from textkit.saved_model import export as write
    from textkit.text_model import TextModel
    from textkit.translator import Translator

    options = {"method": method, "max_length": max_length}
    own = {"beam_width": beam_width, "length_penalty": length_penalty, "reading": reading}
    own |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    options, own = ({name: value for name, value in each.items() if value is not None} for each in (options, own))
    if (Path(model) / "vocabularies.json").is_file():
        loaded = Translator.load(model)
    elif own:
        raise ValueError(f"Expected a translator for --{next(iter(own)).replace('_', '-')}. Received: model={model!r}")
    else:
        loaded = TextModel.from_preset(saved_model(model))
    with progress_bar("exporting"):
        write(loaded, out, **options, **own)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="hf://owner/repository, a folder or a file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False, callback=writable)],
    encoder: Annotated[bool, typer.Option("--encoder", help="Leave the head out.")] = False,
):
    """Turn another library's checkpoint, with its tokenizer, into a folder for from_preset.

    Example: textkit convert hf://google-bert/bert-base-uncased ./bert_base
    """
    from textkit import TextEncoder
    from textkit.text_model import TextModel

    (TextEncoder if encoder else TextModel).from_preset(saved_model(source)).save_to_preset(out)


@app.command()
def presets():
    """List the models by name, with their sizes and, where they are published, whose weights they take.

    Example: textkit presets
    """
    from textkit import CausalLM, TextEncoder

    known = {
        **pairs.presets(),
        **dict.fromkeys(TextEncoder.presets, TextEncoder),
        **dict.fromkeys(CausalLM.presets, CausalLM),
    }
    for name, model_class in known.items():
        preset = model_class.presets[name]
        made = ", ".join(f"{key} {value}" for key, value in preset["config"].items())
        weights = f", hf://{preset['hf']}" if "hf" in preset else ""
        typer.echo(f"{name.removeprefix(pairs.SMALL):<26} {model_class.__name__:<18} {made}{weights}")


def main():
    """Runs the command."""
    run_command("textkit", app)


def _check_attention(found, model):
    if not any(each.alignment.any() for each in found):
        answers = [each.text for each in found]
        raise ValueError(f"Expected answers of a model with attention. Received: model={str(model)!r}, {answers}")


def _translated(texts, model, attention, html, num_best=None, **options):
    """Translates, and draws what the best answers attended to."""
    from textkit import alignment
    from textkit.translator import Translator

    answers = Translator.load(model).translate(texts, return_attention=True, num_best=num_best, **options)
    found = answers if num_best is None else [best[0] for best in answers]
    if attention or html:
        _check_attention(found, model)
    if attention:
        panels = [(each.alignment, each.source_tokens, each.tokens, each.text) for each in found]
        alignment.save(attention, alignment.grid(panels))
    if html:
        alignment.save(html, alignment.page(found))
    return answers


def _explain_translations(texts, model, most, attention, html, reading):
    from rich import console

    from textkit import alignment

    found = _translated(texts, model, attention, html, reading=reading)
    _check_attention(found, model)
    terminal = console.Console()
    for each in found:
        typer.echo(f"{each.source} → {each.text}")
        terminal.print(alignment.table(each, most))


def _explain_texts(texts, model, most, attention, html, layer=None, head=None, **asked):
    """Explains with an encoder: prints answers, which words are relevant and what they attend to, and draws the latter."""
    from rich import console

    from textkit import alignment, attention_view
    from textkit.explanation import explain as look
    from textkit.text_model import TextModel

    if attention and len(texts) > 1:
        raise ValueError(f"Expected one text for a picture. Received: {len(texts)} texts")
    loaded = TextModel.from_preset(saved_model(model))
    chosen = {"layer": layer, "head": head}
    options = chosen if asked.get("method") == "raw" else {}
    found = []
    with progress_bar("explaining") as progress:
        for text in texts:
            found.append(look(loaded, text, **asked, **options))
            progress(len(found), len(texts))
    shown = [each.method == "raw" or each.word is not None for each in found]
    if (layer, head) != (None, None) and not (attention or all(shown)):
        raise ValueError("Expected --word, --attention or --method raw for --layer and --head. Received: none of them")
    tables = [_attention(each, layer, head, most) for each in found]
    if attention:
        alignment.save(attention, attention_view.figure(found[0], found[0].word, **chosen))
    if html:
        alignment.save(html, attention_view.page(found))
    terminal = console.Console()
    for each, table, shows in zip(found, tables, shown, strict=True):
        typer.echo(each.text if each.answer is None else f"{each.text} → {each.answer}")
        if each.method != "raw":
            terminal.print(attention_view.relevance_table(each))
        if shows:
            terminal.print(table)


def _attention(explanation, layer, head, most):
    """What the word asked about attends to, or else each word."""
    from textkit import attention_view

    if explanation.word is None:
        return attention_view.attention_table(explanation, layer, head, most)
    return attention_view.word_table(explanation, explanation.word, layer, head, most)
