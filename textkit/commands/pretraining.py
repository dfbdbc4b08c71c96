"""`textkit pretrain`: an encoder from plain text."""

import json
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar
from textkit.commands import options


def pretrain(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Text files, a folder with train.txt (and validation.txt, test.txt), or tfds:NAME.", metavar="FILES"
        ),
    ],
    out: options.Run,
    model: Annotated[
        str,
        typer.Option(
            help="Encoder preset, with new weights; or the folder, .keras file or hf://owner/repository of a model to "
            "continue from."
        ),
    ] = "rotary_mini",
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a tokenizer, see train-tokenizer (default: the model's own).")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one of the model's constructor arguments: num_layers=3. May be repeated."),
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="One document per line (default: documents are separated by empty lines).")
    ] = False,
    tag_mark: Annotated[
        str | None, typer.Option(help="Character between a word and its tag, such as /; tags are removed.")
    ] = None,
    on_corrupt: Annotated[str | None, typer.Option(help="Malformed lines: skip or refuse.")] = None,
    column: Annotated[str | None, typer.Option(help="tfds only: the text feature to read.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most this many documents per split.", min=1)] = None,
    epochs: options.Epochs = 10,
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes, even if epochs remain.")] = None,
    batch_tokens: options.BatchTokens = 4096,
    max_length: Annotated[int, typer.Option(help="Longest row, in tokens.", min=3)] = 128,
    mask_selection_rate: Annotated[float, typer.Option(help="Fraction of the tokens to predict.")] = 0.15,
    whole_words: Annotated[
        bool, typer.Option("--whole-words", help="Mask whole words: all tokens between two spaces together.")
    ] = False,
    learning_rate: options.LearningRate = 5e-4,
    warmup_steps: Annotated[
        int, typer.Option(help="Steps of learning-rate warm-up, at most a tenth of all steps.", min=0)
    ] = 500,
    weight_decay: options.WeightDecay = 0.01,
    clip_norm: options.ClipNorm = 1.0,
    ema_momentum: options.EmaMomentum = None,
    mixed_precision: options.MixedPrecision = None,
    xla: options.Xla = False,
    strategy: options.Strategy = "none",
    resume: options.Resume = False,
    seed: options.Seed = 0,
):
    """Pretrain an encoder by masked-language modelling on plain text, and measure it on held-out text.

    Examples:

    textkit pretrain book.txt --tokenizer tokenizer --out runs/pretrained

    textkit pretrain people_daily.txt --lines --tag-mark / --whole-words --tokenizer zh --minutes 30 --out runs/zh

    textkit pretrain tfds:wiki40b/en --column text --limit 10000 --tokenizer tokenizer --out runs/wiki
    """
    import keras

    from shared_layers.runtime import get_strategy, is_chief
    from textkit.encoder import TextEncoder
    from textkit.heads import MaskedLanguageModel
    from textkit.pretraining import evaluate_masked
    from textkit.pretraining import pretrain as fit

    sizes = options.sizes(change or [])
    if mixed_precision:
        sizes["dtype"] = mixed_precision
    options.check_sizes_of(TextEncoder, sizes)
    replicas = get_strategy(strategy)
    documents = _documents(files, limit, lines=lines, tag_mark=tag_mark, on_corrupt=on_corrupt, column=column)
    keras.utils.set_random_seed(seed)  # for the initial weights
    with replicas.scope():
        made = _model(model, tokenizer, sizes)
    given = {
        "batch_tokens": batch_tokens,
        "max_length": max_length,
        "mask_selection_rate": mask_selection_rate,
        "whole_words": whole_words,
    }
    summary = fit(
        made,
        documents,
        out,
        epochs=epochs,
        minutes=minutes,
        learning_rate=learning_rate,
        warmup_steps=warmup_steps,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        jit_compile=xla,
        resume=resume,
        seed=seed,
        **given,
    )
    del summary["history"]
    if is_chief(replicas):
        with progress_bar("measuring"):
            best = MaskedLanguageModel.from_preset(str(out / "best.keras"))
            summary = {"training": summary, "test": evaluate_masked(best, documents, **given)}
        options.write_json(out / "report.json", summary)
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))


def _documents(files, limit, **given):
    """Reads the documents; refuses options that do not apply to them."""
    from textkit.datasets.documents import file_documents, tensorflow_documents

    sets = [file for file in files if file.startswith("tfds:")]
    if sets and len(files) > 1:
        raise ValueError(f"Expected one tfds:NAME, or files. Received: files={files}")
    given = {key: value for key, value in given.items() if value}
    for key in given:
        if (key == "column") != bool(sets):
            kinds = ("tfds:NAME", "files") if sets else ("files", "tfds:NAME")
            raise options.not_applicable(key, *kinds, files=files)
    with options.reading_data():
        if sets:
            return tensorflow_documents(sets[0].removeprefix("tfds:"), limit=limit, **given)
        return file_documents(files, **given).limited(limit)


def _model(source, tokenizer, sizes):
    """A preset with new weights, or a saved model; with its own tokenizer, or another."""
    from textkit.heads import MaskedLanguageModel
    from textkit.presets import ENCODERS
    from textkit.tokenizer import Tokenizer

    if tokenizer is not None:
        read = Tokenizer.from_folder(tokenizer)
        sizes = {**sizes, "tokenizer": read, "vocabulary_size": read.size, "pad_id": read.pad_id}
    if source in ENCODERS:
        return MaskedLanguageModel.from_preset(source, load_weights=False, **sizes)
    return MaskedLanguageModel.from_preset(options.best_of_run(source), **sizes)
