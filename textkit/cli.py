"""The command `textkit`."""

import contextlib
import dataclasses
import inspect
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import mixed_policy, progress_bar, run_command, unknown_name, writable

app = typer.Typer(
    help="Sequence-to-sequence models that show what they attend to.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _ending(suffix):
    """What checks a path to write: how it ends, and that it can be."""

    def check(path):
        if path is not None and path.suffix.lower() != suffix:
            raise ValueError(f"Expected a path that ends in {suffix}. Received: path={str(path)!r}")
        return writable(path)

    return check


Data = Annotated[
    str,
    typer.Argument(help="g2p, dates, tfds:NAME, a .tsv of lines 'source TAB target', or a folder of such.", metavar="DATA"),
]
Folder = Annotated[Path, typer.Option("--model", help="Folder of a run or of a translator.")]
Limit = Annotated[int | None, typer.Option(help="At most so many pairs of each split.", min=1)]
OnCorrupt = Annotated[str, typer.Option(help="Lines of a file that are no pairs: skip or refuse.")]
Reverse = Annotated[bool, typer.Option("--reverse", help="From the target to the source, of tfds.")]
Method = Annotated[str, typer.Option(help="beam, greedy or sample.")]
BeamWidth = Annotated[int, typer.Option(help="Answers that the beam follows.", min=1)]
LengthPenalty = Annotated[float, typer.Option(help="Of a beam: 0 ranks by probability alone, which favours short answers.")]
MaxLength = Annotated[int | None, typer.Option(help="Most tokens of an answer; as learned by default.", min=1)]
Reading = Annotated[str, typer.Option(help="Whose attention is a token's: same_step chose it, shifted reads it.")]
Picture = Annotated[
    Path | None,
    typer.Option("--attention", help="PNG of what each token attended to.", dir_okay=False, callback=_ending(".png")),
]
Page = Annotated[
    Path | None,
    typer.Option("--html", help="The same as a page to explore.", dir_okay=False, callback=_ending(".html")),
]
TooLong = Annotated[str, typer.Option(help="Texts beyond the model's positions: truncate or refuse.")]
Strategy = Annotated[str, typer.Option(help="none, mirrored, multi_worker or tpu.")]
Seed = Annotated[int, typer.Option(help="Of all that is random.", min=0, max=2**32 - 1)]


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
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run.", file_okay=False, callback=writable)],
    model: Annotated[str, typer.Option(help="Sizes by name; see textkit presets.")] = "gru_additive",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Another size of it, such as attention=dot or hidden_dim=128.")
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="characters, words or subwords, of both sides, instead of the data's own.")
    ] = None,
    vocabulary_size: Annotated[int | None, typer.Option(help="Most symbols of each side, 8000 of subwords.", min=5)] = None,
    limit: Limit = None,
    on_corrupt: OnCorrupt = "skip",
    reverse: Reverse = False,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch, of all replicas together.", min=1)] = 2048,
    batch_size: Annotated[int | None, typer.Option(help="Pairs of a batch, instead.", min=1)] = None,
    buckets: Annotated[int, typer.Option(help="Widths that texts are padded to; 1 pads to the longest.", min=0)] = 8,
    learning_rate: float = 1e-3,
    schedule: Annotated[str, typer.Option(help="cosine or inverse_sqrt, after the warm-up.")] = "cosine",
    warmup_steps: Annotated[int, typer.Option(help="How long the rate rises.", min=1)] = 400,
    weight_decay: Annotated[float, typer.Option(help="Of kernels alone.")] = 0.0,
    label_smoothing: float = 0.1,
    clip_norm: float = 1.0,
    ema_momentum: Annotated[float | None, typer.Option(help="Average the weights, such as 0.999.")] = None,
    scheduled_sampling: Annotated[
        float, typer.Option(help="How often a recurrent model reads its own tokens in the last epoch.", min=0.0, max=1.0)
    ] = 0.0,
    max_source_length: Annotated[int | None, typer.Option(help="In tokens.", min=1)] = None,
    max_target_length: Annotated[int | None, typer.Option(help="In tokens, with the end.", min=2)] = None,
    too_long: Annotated[str, typer.Option(help="Longer pairs: drop, truncate or refuse.")] = "drop",
    mixed_precision: Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)] = None,
    xla: Annotated[bool, typer.Option("--xla", help="Compile the step.")] = False,
    strategy: Strategy = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    seed: Seed = 0,
):
    """Train a model on pairs of texts.

    Examples:

    textkit train dates --out runs/dates

    textkit train g2p --model transformer --epochs 20 --out runs/g2p

    textkit train pairs.tsv --model gru_additive --set attention=dot --vocabulary-size 4000 --out runs/mine
    """
    import keras

    from shared_layers.runtime import get_strategy
    from textkit.training import train as fit

    model_class, config = _sizes(model, change or [])
    if mixed_precision:
        config["dtype"] = mixed_precision
    if scheduled_sampling:
        config["scheduled_sampling"] = True
        _check_sizes(model_class, config)
    replicas = get_strategy(strategy)
    pairs = _load(data, limit, on_corrupt, reverse)
    if symbols:
        pairs = dataclasses.replace(pairs, source_kind=symbols, target_kind=symbols)
    vocabularies = pairs.vocabularies(vocabulary_size, vocabulary_size, config.get("share_embeddings", False))
    source, target = vocabularies
    keras.utils.set_random_seed(seed)  # of the new weights
    with replicas.scope():
        made = model_class(**{**config, "source_vocabulary_size": source.size, "target_vocabulary_size": target.size})
    summary = fit(
        made,
        pairs,
        vocabularies,
        out,
        epochs=epochs,
        batch_tokens=batch_tokens,
        batch_size=batch_size,
        buckets=buckets,
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        scheduled_sampling=scheduled_sampling,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        too_long=too_long,
        jit_compile=xla,
        resume=resume,
        seed=seed,
    )
    del summary["history"]
    typer.echo(json.dumps(summary, indent=2))


@app.command()
def train_tokenizer(
    files: Annotated[list[Path], typer.Argument(help="UTF-8 texts, each line one.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)],
    kind: Annotated[str, typer.Option(help="wordpiece (as BERT), bytes (as RoBERTa) or sentencepiece (as ALBERT).")] = (
        "wordpiece"
    ),
    size: Annotated[int, typer.Option(help="Most tokens.", min=1)] = 8000,
    keep_case: Annotated[
        bool, typer.Option("--keep-case", help="Case and accents stay; in bytes they always do.")
    ] = False,
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
def evaluate(
    data: Data,
    model: Folder,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    limit: Limit = None,
    on_corrupt: OnCorrupt = "skip",
    reverse: Reverse = False,
    method: Method = "beam",
    beam_width: BeamWidth = 4,
    length_penalty: LengthPenalty = 0.6,
    max_length: MaxLength = None,
    reading: Reading = "same_step",
    too_long: TooLong = "truncate",
    metric: Annotated[
        str | None, typer.Option(help="per, exact_match, bleu or rouge, each with its kin, instead of the data's own.")
    ] = None,
    tokenize: Annotated[str, typer.Option(help="How BLEU splits words: 13a, zh, intl, char or none.")] = "13a",
    out: Annotated[Path | None, typer.Option(help="JSON file to write.", dir_okay=False, callback=writable)] = None,
    seed: Seed = 0,
):
    """Translate a split and measure the answers: PER and WER, exact match and AER, BLEU and chrF, or ROUGE.

    Examples:

    textkit evaluate dates --model runs/dates

    textkit evaluate summaries.tsv --metric rouge --model runs/summaries
    """
    from shared_layers.runtime import write_aside
    from textkit.evaluation import evaluate as measure
    from textkit.translator import Translator

    translator = Translator.load(model)
    pairs = _load(data, limit, on_corrupt, reverse)
    options = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    options |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
    with progress_bar("translating") as progress:
        metrics = measure(translator, pairs, split, metric=metric, tokenize=tokenize, progress=progress, **options)
    written = json.dumps(metrics, indent=2)
    if out:
        with write_aside(out) as temporary:
            temporary.write_text(written + "\n")
    typer.echo(written)


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
    max_length: MaxLength = None,
    reading: Reading = "same_step",
    too_long: TooLong = "truncate",
    seed: Seed = 0,
):
    """Translate texts: an answer a line, and drawings of what was attended to.

    Examples:

    textkit translate "21 November 2026" --model runs/dates --attention alignment.png --html alignment.html

    textkit translate read lead --model runs/g2p --num-best 3
    """
    options = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    options |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
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
    target: Annotated[str | None, typer.Option(help="Class to explain instead of the predicted one.")] = None,
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
    model: Folder,
    out: Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)],
    method: Method = "beam",
    beam_width: BeamWidth = 4,
    length_penalty: LengthPenalty = 0.6,
    max_length: MaxLength = None,
    reading: Reading = "same_step",
):
    """Write a SavedModel that answers texts, with tokens and alignments.

    Of subwords, whoever loads it has to import tensorflow_text before.

    Example: textkit export --model runs/dates --out saved_model
    """
    from textkit.saved_model import export as write
    from textkit.translator import Translator

    translator = Translator.load(model)
    options = {"length_penalty": length_penalty, "max_length": max_length, "reading": reading}
    with progress_bar("exporting"):
        write(translator, out, method, beam_width, **options)


@app.command()
def presets():
    """List the models by name, with their sizes.

    Example: textkit presets
    """
    for name, model_class in _presets().items():
        made = ", ".join(f"{key} {value}" for key, value in model_class.presets[name]["config"].items())
        typer.echo(f"{name.removeprefix(_SMALL):<16} {model_class.__name__:<18} {made}")


def main():
    """Runs the command."""
    run_command("textkit", app)


_SMALL = "g2p_"  # presets that serve for all small tasks


def _presets():
    from textkit import RecurrentSeq2Seq, TransformerSeq2Seq

    return {name: model_class for model_class in (RecurrentSeq2Seq, TransformerSeq2Seq) for name in model_class.presets}


def _sizes(name, changes):
    """The class and constructor arguments of a preset, with some changed: ["attention=dot"]."""
    known = _presets()
    full = name if name in known else _SMALL + name
    if full not in known:
        raise unknown_name("model", name, [each.removeprefix(_SMALL) for each in known])
    model_class = known[full]
    config = dict(model_class.presets[full]["config"])
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ValueError(f"Expected NAME=VALUE. Received: set={change!r}")
        try:
            config[key] = json.loads(value)
        except json.JSONDecodeError:  # a word
            config[key] = None if value == "none" else value
    _check_sizes(model_class, config)
    return model_class, config


def _check_sizes(model_class, config):
    options = set(inspect.signature(model_class).parameters) - {"kwargs"}
    for key in config.keys() - options - {"dtype"}:
        raise unknown_name("size", key, options)


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
    best = Path(model) / "best.keras"  # of a run
    loaded = TextModel.from_preset(best if best.is_file() else model)
    chosen = {"layer": layer, "head": head}
    options = chosen if asked.get("method") == "raw" else {}
    found = []
    with progress_bar("explaining") as progress:
        for text in texts:
            found.append(look(loaded, text, **asked, **options))
            progress(len(found), len(texts))
    words = [range(len(each.words)) if each.word is None else [each.word] for each in found]
    tables = [attention_view.attention_table(each, of, layer, head, most) for each, of in zip(found, words, strict=True)]
    if attention:
        alignment.save(attention, attention_view.figure(found[0], words[0] if "word" in asked else None, **chosen))
    if html:
        alignment.save(html, attention_view.page(found))
    terminal = console.Console()
    for each, table in zip(found, tables, strict=True):
        typer.echo(each.text if each.answer is None else f"{each.text} → {each.answer}")
        if each.method != "raw":
            terminal.print(attention_view.relevance_table(each))
        if each.method == "raw" or each.word is not None:
            terminal.print(table)


def _load(data, limit, on_corrupt, reverse):
    """Loads pairs; what tensorflow_datasets prints as it prepares them is no result, so it goes to standard error."""
    from textkit.datasets import load

    if data.startswith("tfds:"):
        options = {"limit": limit, "reverse": reverse}
    elif reverse:
        raise ValueError(f"Expected data of tensorflow_datasets to reverse. Received: data={data!r}")
    else:
        options = {} if data in ("g2p", "dates") else {"on_corrupt": on_corrupt}
    with contextlib.redirect_stdout(sys.stderr), progress_bar("reading"):
        pairs = load(data, **options)
    return pairs.limited(limit)
