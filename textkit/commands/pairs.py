"""`textkit train` and `textkit evaluate` of pairs of texts, for sequence-to-sequence models."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import mixed_policy, progress_bar, unknown_name
from textkit.commands.options import JsonFile, Run, Seed, Split, Strategy, check_sizes_of, reading_data, sizes, write_json

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
Temperature = Annotated[float, typer.Option(help="Of sample: below 1 the probable is drawn more often, above it less.")]
TopK = Annotated[int | None, typer.Option(help="Of sample: only among so many most probable tokens.", min=1)]
TopP = Annotated[float | None, typer.Option(help="Of sample: only among the most probable that together reach this.")]
MaxLength = Annotated[int | None, typer.Option(help="Most tokens of an answer; as learned by default.", min=1)]
Reading = Annotated[str, typer.Option(help="Whose attention is a token's: same_step chose it, shifted reads it.")]
TooLong = Annotated[str, typer.Option(help="Texts beyond the model's positions: truncate or refuse.")]


def train(
    data: Data,
    out: Run,
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
        check_sizes_of(model_class, config)
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


def evaluate(
    data: Data,
    model: Folder,
    split: Split = "test",
    limit: Limit = None,
    on_corrupt: OnCorrupt = "skip",
    reverse: Reverse = False,
    method: Method = "beam",
    beam_width: BeamWidth = 4,
    length_penalty: LengthPenalty = 0.6,
    temperature: Temperature = 1.0,
    top_k: TopK = None,
    top_p: TopP = None,
    max_length: MaxLength = None,
    reading: Reading = "same_step",
    too_long: TooLong = "truncate",
    metric: Annotated[
        str | None, typer.Option(help="per, exact_match, bleu or rouge, each with its kin, instead of the data's own.")
    ] = None,
    tokenize: Annotated[str, typer.Option(help="How BLEU splits words: 13a, zh, intl, char or none.")] = "13a",
    out: JsonFile = None,
    seed: Seed = 0,
):
    """Translate a split and measure the answers: PER and WER, exact match and AER, BLEU and chrF, or ROUGE.

    Examples:

    textkit evaluate dates --model runs/dates

    textkit evaluate summaries.tsv --metric rouge --model runs/summaries
    """
    from textkit.evaluation import evaluate as measure
    from textkit.translator import Translator

    translator = Translator.load(model)
    pairs = _load(data, limit, on_corrupt, reverse)
    options = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    options |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
    options |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    with progress_bar("translating") as progress:
        metrics = measure(translator, pairs, split, metric=metric, tokenize=tokenize, progress=progress, **options)
    if out:
        write_json(out, metrics)
    typer.echo(json.dumps(metrics, indent=2))


SMALL = "g2p_"  # presets that serve for all small tasks


def presets():
    """The models that sequences are learned with, by name: {name: class}."""
    from textkit import RecurrentSeq2Seq, TransformerSeq2Seq

    return {name: model_class for model_class in (RecurrentSeq2Seq, TransformerSeq2Seq) for name in model_class.presets}


def _sizes(name, changes):
    """The class and constructor arguments of a preset, with some changed: ["attention=dot"]."""
    known = presets()
    full = name if name in known else SMALL + name
    if full not in known:
        raise unknown_name("model", name, [each.removeprefix(SMALL) for each in known])
    model_class = known[full]
    config = {**model_class.presets[full]["config"], **sizes(changes)}
    check_sizes_of(model_class, config)
    return model_class, config


def _load(data, limit, on_corrupt, reverse):
    """Loads pairs, whatever they are."""
    from textkit.datasets import load

    if data.startswith("tfds:"):
        options = {"limit": limit, "reverse": reverse}
    elif reverse:
        raise ValueError(f"Expected data of tensorflow_datasets to reverse. Received: data={data!r}")
    else:
        options = {} if data in ("g2p", "dates") else {"on_corrupt": on_corrupt}
    with reading_data():
        pairs = load(data, **options)
    return pairs.limited(limit)
