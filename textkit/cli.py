"""The command `textkit`."""

from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar, run_command, writable
from textkit.commands import labels, pairs, pretraining
from textkit.commands.options import Epochs, NewFolder, Seed, Strategy, best_of_run, group, not_applicable, translators_only
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
    help="Train, explain and export encoders and sequence-to-sequence models for text.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
train_group = group(
    "translate",
    """Train a sequence-to-sequence model on pairs, or fine-tune a pretrained encoder on labelled texts, words or questions.

    Examples:

    textkit train dates --out runs/dates

    textkit train classify reviews.tsv --model FOLDER --out runs/reviews

    textkit train DATA is short for textkit train translate DATA. Each command has its own options and examples, such
    as textkit train classify --help.""",
)
evaluate_group = group(
    "translate",
    """Measure a model on a split of a data set.

    Examples:

    textkit evaluate dates --model runs/dates

    textkit evaluate classify reviews.tsv --model runs/reviews

    textkit evaluate DATA is short for textkit evaluate translate DATA. Each command has its own options and examples, such
    as textkit evaluate classify --help.""",
)
app.add_typer(train_group, name="train", short_help="Train or fine-tune a model.")
app.add_typer(evaluate_group, name="evaluate", short_help="Measure a model on a split of a data set.")
train_group.command("translate", short_help="Train a sequence-to-sequence model on pairs.")(pairs.train)
evaluate_group.command("translate", short_help="Sequence-to-sequence models.")(pairs.evaluate)
labels.add(train_group, evaluate_group)


def _ending(suffix):
    """A callback that checks the suffix of an output path, and that it can be written."""

    def check(path):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"Expected a path that ends in {suffix}. Received: path={str(path)!r}")
        return writable(path)

    return check


Picture = Annotated[
    Path | None,
    typer.Option("--attention", help="PNG to write: what each token attends to.", dir_okay=False, callback=_ending(".png")),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="Interactive HTML page to write.", dir_okay=False, callback=_ending(".html")),
]
Model = Annotated[
    str,
    typer.Option(
        help="Folder of a run or of a saved model or translator; for encoders also a .keras file or hf://owner/repository."
    ),
]


@app.command()
def demo(
    words: Annotated[list[str] | None, typer.Argument(help="English words to pronounce.", show_default=False)] = None,
    out: NewFolder = Path("runs/textkit_demo"),
    epochs: Epochs = 2,
    strategy: Strategy = "none",
    smoke: Annotated[bool, typer.Option("--smoke", help="Quick check that everything runs: few words, one epoch.")] = False,
    seed: Seed = 0,
):
    """Train two small pronunciation models and draw attention.

    One has attention, the other has none; both are measured on held-out words.

    Example: textkit demo whistle psychology
    """
    from textkit.demo import WORDS, run_demo, summary

    typer.echo(summary(run_demo(words or WORDS, out, epochs, strategy, smoke, seed, report=typer.echo), out))


app.command("pretrain", short_help="Pretrain an encoder by masked-language modelling.")(pretraining.pretrain)


@app.command()
def train_tokenizer(
    files: Annotated[list[Path], typer.Argument(help="UTF-8 text files, one text per line.", exists=True, dir_okay=False)],
    out: NewFolder,
    kind: Annotated[
        str, typer.Option(help="wordpiece (as in BERT), bytes (BPE, as in RoBERTa) or sentencepiece (as in ALBERT).")
    ] = "wordpiece",
    size: Annotated[int, typer.Option(help="Largest vocabulary size.", min=1)] = 8000,
    keep_case: Annotated[bool, typer.Option("--keep-case", help="Keep case and accents (kind bytes always does).")] = False,
):
    """Train a tokenizer on text files.

    Example: textkit train-tokenizer english.txt chinese.txt --kind wordpiece --size 8000 --out tokenizer
    """
    from textkit.tokenizer import Tokenizer
    from textkit.tokenizers.learning import read_lines

    with progress_bar("training"):
        tokenizer = Tokenizer.learn(read_lines(files), kind, size, not keep_case)
        tokenizer.save(out)
    typer.echo(f"{tokenizer.size} tokens in {out}")


@app.command()
def translate(
    texts: Annotated[list[str], typer.Argument(help="Texts to translate.")],
    model: Folder,
    attention: Picture = None,
    html: Page = None,
    num_best: Annotated[
        int | None,
        typer.Option(help="Print this many answers per text, each with TAB and log-probability (beam only).", min=1),
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
    """Translate texts with a trained model, one answer per line.

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
    texts: Annotated[list[str], typer.Argument(help="Texts to explain.")],
    model: Model,
    most: Annotated[int, typer.Option(help="Words listed per row.", min=1)] = 3,
    attention: Picture = None,
    html: Page = None,
    reading: translators_only(Reading) = None,
    pair: Annotated[str | None, typer.Option(help="Encoders only: second text, such as the context of a question.")] = None,
    word: Annotated[str | None, typer.Option(help="Encoders only: the word to explain, or its number from 0.")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Encoders only: auto, raw, rollout, gradient_rollout, legrad, integrated_gradients or occlusion; see "
            "textkit.explain (default: auto)."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Encoders only: class, or answer in the context, to explain instead of the predicted one."),
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Encoders only: layer to show, from 0 (default: mean of all).")] = None,
    head: Annotated[int | None, typer.Option(help="Encoders only: head to show, from 0 (default: mean of all).")] = None,
):
    """Show what words attend to and which words matter.

    Translators: what each token of the answer attends to. Encoders: which words the prediction is based on, by --method, and
    what each word attends to.

    Examples:

    textkit explain "21 November 2026" --model runs/dates --html alignment.html

    textkit explain "The animal didn't cross the street because it was too tired" --word it --model FOLDER --html page.html
    """
    asked = {"pair": pair, "word": word, "method": method, "target": target, "layer": layer, "head": head}
    asked = {name: value for name, value in asked.items() if value is not None}
    if (Path(model) / "vocabularies.json").is_file():
        if asked:
            raise not_applicable(next(iter(asked)), "translators", "encoders", model=model)
        _explain_translations(texts, model, most, attention, html, reading or "same_step")
    else:
        if reading:
            raise not_applicable("reading", "encoders", "translators", model=model)
        _explain_texts(texts, model, most, attention, html, **asked)


@app.command()
def export(
    model: Model,
    out: NewFolder,
    method: Annotated[
        str | None,
        typer.Option(
            help="Translators: beam, greedy or sample (default: beam). Encoders: how attributions are computed, "
            "see textkit.explain (default: auto)."
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(help="Translators: longest answer, in tokens. Encoders: longest text, in tokens.", min=1),
    ] = None,
    beam_width: translators_only(BeamWidth) = None,
    length_penalty: translators_only(LengthPenalty) = None,
    temperature: translators_only(Temperature) = None,
    top_k: translators_only(TopK) = None,
    top_p: translators_only(TopP) = None,
    reading: translators_only(Reading) = None,
):
    """Write a SavedModel that takes strings.

    It returns translations and alignments, or labels, embeddings and attributions.

    If the tokenizer is sentencepiece or WordPiece, import tensorflow_text before loading the SavedModel. A translator's
    subwords are sentencepiece.

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
        raise not_applicable(next(iter(own)), "encoders", "translators", model=model)
    else:
        loaded = TextModel.from_preset(best_of_run(model))
    with progress_bar("exporting"):
        write(loaded, out, **options, **own)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="hf://owner/repository, folder or file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False, callback=writable)],
    encoder: Annotated[bool, typer.Option("--encoder", help="Convert the encoder only, without its head.")] = False,
):
    """Convert a checkpoint to a folder for from_preset.

    The checkpoint may be another library's, such as Hugging Face Transformers; its tokenizer is converted too.

    Example: textkit convert hf://google-bert/bert-base-uncased ./bert_base
    """
    from textkit import TextEncoder
    from textkit.text_model import TextModel

    (TextEncoder if encoder else TextModel).from_preset(best_of_run(source)).save_to_preset(out)


@app.command()
def presets():
    """List the presets.

    Each line has the name, the class, the sizes and, if weights are published, where.

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
        typer.echo(f"{name:<29}{model_class.__name__:<18} {made}{weights}")


def main():
    """Runs the command."""
    run_command("textkit", app)


def _check_attention(found, model):
    """Refuses answers without any attention: those of a model that has none, or empty ones."""
    if not any(each.alignment.any() for each in found):
        answers = [each.text for each in found]
        raise ValueError(f"Expected answers of a model with attention. Received: model={str(model)!r}, {answers=}")


def _translated(texts, model, attention, html, num_best=None, **options):
    """Translates, and draws what the best answers attend to."""
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
    """Explains texts with an encoder: prints answers, relevance and attention, and draws the attention."""
    from rich import console

    from textkit import alignment, attention_view
    from textkit.explanation import explain as look
    from textkit.text_model import TextModel

    if attention and len(texts) > 1:
        raise ValueError(f"Expected one text for --attention. Received: {len(texts)} texts")
    loaded = TextModel.from_preset(best_of_run(model))
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
    """A table of what the chosen word attends to; without one, of what each word does."""
    from textkit import attention_view

    if explanation.word is None:
        return attention_view.attention_table(explanation, layer, head, most)
    return attention_view.word_table(explanation, explanation.word, layer, head, most)
