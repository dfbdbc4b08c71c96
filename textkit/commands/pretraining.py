"""`textkit pretrain`: an encoder from plain text."""

import json
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import mixed_policy, progress_bar
from textkit.commands import options


def pretrain(
    files: Annotated[
        list[str], typer.Argument(help="Text files, a folder of train.txt and the like, or tfds:NAME.", metavar="FILES")
    ],
    out: options.Run,
    model: Annotated[
        str, typer.Option(help="Sizes by name, with new weights; or the folder or file of a model, to go on from.")
    ] = "rotary_mini",
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a tokenizer, see train-tokenizer; the model's own by default.")
    ] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="Another size of it, such as num_layers=3.")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line is a document, and not all up to an empty one.")] = False,
    tag_mark: Annotated[str | None, typer.Option(help="What divides words from tags that are left out, such as /.")] = None,
    on_corrupt: Annotated[str | None, typer.Option(help="Lines of files that are no text: skip or refuse.")] = None,
    column: Annotated[str | None, typer.Option(help="The text of a set of several: a feature's name.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many documents of each split.", min=1)] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    minutes: Annotated[float | None, typer.Option(help="To end by then, where the epochs would take longer.")] = None,
    batch_tokens: Annotated[int, typer.Option(help="Tokens of a batch, of all replicas together.", min=1)] = 4096,
    max_length: Annotated[int, typer.Option(help="Most tokens of a row.", min=3)] = 128,
    mask_share: Annotated[float, typer.Option(help="Share of the tokens that are to be told.")] = 0.15,
    whole_words: Annotated[bool, typer.Option("--whole-words", help="Mask all tokens between two spaces together.")] = False,
    learning_rate: float = 5e-4,
    warmup_steps: Annotated[int, typer.Option(help="How long the rate rises; at most a tenth of all steps.", min=0)] = 500,
    weight_decay: Annotated[float, typer.Option(help="Of kernels alone.")] = 0.01,
    clip_norm: float = 1.0,
    ema_momentum: Annotated[float | None, typer.Option(help="Average the weights, such as 0.999.")] = None,
    mixed_precision: Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)] = None,
    xla: Annotated[bool, typer.Option("--xla", help="Compile the step.")] = False,
    strategy: options.Strategy = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    seed: options.Seed = 0,
):
    """Train an encoder to tell masked words of plain text, and measure it on text that was held out.

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
    keras.utils.set_random_seed(seed)  # of the new weights
    with replicas.scope():
        made = _model(model, tokenizer, sizes)
    given = {"batch_tokens": batch_tokens, "max_length": max_length, "mask_share": mask_share, "whole_words": whole_words}
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
    """Reads the documents; refuses options that such data do not have."""
    from textkit.datasets.documents import file_documents, tensorflow_documents

    sets = [file for file in files if file.startswith("tfds:")]
    if sets and len(files) > 1:
        raise ValueError(f"Expected one set of tensorflow_datasets, or files. Received: {files}")
    given = {key: value for key, value in given.items() if value}
    for key in given:
        if (key == "column") != bool(sets):
            raise ValueError(f"Expected other data for --{key.replace('_', '-')}. Received: {files}")
    with options.reading_data():
        if sets:
            return tensorflow_documents(sets[0].removeprefix("tfds:"), limit=limit, **given)
        return file_documents(files, **given).limited(limit)


def _model(source, tokenizer, sizes):
    """A preset's sizes with new weights, or the model of a folder or a file; with its own tokenizer, or another."""
    from textkit.heads import MaskedLanguageModel
    from textkit.presets import ENCODERS
    from textkit.tokenizer import Tokenizer

    if tokenizer is not None:
        read = Tokenizer.from_folder(tokenizer)
        sizes = {**sizes, "tokenizer": read, "vocabulary_size": read.size, "pad_id": read.pad_id}
    if source in ENCODERS:
        return MaskedLanguageModel.from_preset(source, load_weights=False, **sizes)
    return MaskedLanguageModel.from_preset(options.saved_model(source), **sizes)
