"""The command `textkit`."""

from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar, run_command, writable
from textkit.commands import explaining, labels, pairs, pretraining
from textkit.commands.explaining import Model
from textkit.commands.options import Epochs, NewFolder, Seed, Strategy, best_of_run, group, not_applicable, translators_only
from textkit.commands.pairs import BeamWidth, LengthPenalty, Reading, Temperature, TopK, TopP

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


app.command("translate")(explaining.translate)
app.command("explain")(explaining.explain)


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
