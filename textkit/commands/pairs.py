"""`textkit train translate` and `textkit evaluate translate`: sequence-to-sequence models on pairs of texts."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar, unknown_name
from textkit.commands import options

Data = Annotated[
    str,
    typer.Argument(
        help="g2p, dates, tfds:NAME, a .tsv file of lines 'source TAB target', or a folder with one per split.",
        metavar="DATA",
    ),
]
Folder = Annotated[Path, typer.Option("--model", help="Folder of a run or of a saved translator.")]
Limit = Annotated[int | None, typer.Option(help="Use at most this many pairs per split.", min=1)]
OnCorrupt = Annotated[str, typer.Option(help="Malformed lines in a file: skip or refuse.")]
Reverse = Annotated[bool, typer.Option("--reverse", help="tfds only: swap source and target.")]
Method = Annotated[str, typer.Option(help="Decoding method: beam, greedy or sample.")]
BeamWidth = Annotated[int, typer.Option(help="beam only: number of hypotheses kept.", min=1)]
LengthPenalty = Annotated[
    float, typer.Option(help="beam only: 0 ranks by log-probability alone, which favours short answers.")
]
Temperature = Annotated[float, typer.Option(help="sample only: values below 1 favour probable tokens.")]
TopK = Annotated[int | None, typer.Option(help="sample only: draw among this many most probable tokens.", min=1)]
TopP = Annotated[
    float | None,
    typer.Option(help="sample only: draw among the most probable tokens that together reach this probability."),
]
MaxLength = Annotated[int | None, typer.Option(help="Longest answer, in tokens (default: as set in training).", min=1)]
Reading = Annotated[
    str,
    typer.Option(
        help="Which step's attention is shown for a token: same_step (the step that produced it) or shifted (the next step, "
        "which reads it; often better for Transformers)."
    ),
]
TooLong = Annotated[str, typer.Option(help="Texts longer than the model's positions: truncate or refuse.")]


def train(
    data: Data,
    out: options.Run,
    model: Annotated[
        str, typer.Option(help="Sequence-to-sequence preset, trained from new weights; see textkit presets.")
    ] = "g2p_gru_additive",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override one of its constructor arguments: attention=dot. May be repeated."),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option(help="Tokens of both sides: characters, words or subwords (default: set by the data).")
    ] = None,
    vocabulary_size: Annotated[
        int | None, typer.Option(help="Largest vocabulary size per side (default: no limit; subwords: 8000).", min=5)
    ] = None,
    limit: Limit = None,
    on_corrupt: OnCorrupt = "skip",
    reverse: Reverse = False,
    epochs: options.Epochs = 10,
    batch_tokens: options.BatchTokens = 2048,
    batch_size: Annotated[int | None, typer.Option(help="Pairs per global batch, instead of --batch-tokens.", min=1)] = None,
    buckets: Annotated[
        int, typer.Option(help="Number of widths to pad to (1: longest text; 0: longest of each batch).", min=0)
    ] = 8,
    learning_rate: options.LearningRate = 1e-3,
    schedule: Annotated[str, typer.Option(help="Decay after warm-up: cosine or inverse_sqrt.")] = "cosine",
    warmup_steps: Annotated[int, typer.Option(help="Steps of learning-rate warm-up.", min=1)] = 400,
    weight_decay: options.WeightDecay = 0.0,
    label_smoothing: Annotated[float, typer.Option(help="Label-smoothing factor.")] = 0.1,
    clip_norm: options.ClipNorm = 1.0,
    ema_momentum: options.EmaMomentum = None,
    scheduled_sampling: Annotated[
        float,
        typer.Option(
            help="Recurrent models only: probability of feeding back predicted tokens, reached in the last epoch.",
            min=0.0,
            max=1.0,
        ),
    ] = 0.0,
    max_source_length: Annotated[int | None, typer.Option(help="Longest source, in tokens.", min=1)] = None,
    max_target_length: Annotated[
        int | None, typer.Option(help="Longest target, in tokens, end token included.", min=2)
    ] = None,
    too_long: Annotated[str, typer.Option(help="Longer pairs: drop, truncate or refuse.")] = "drop",
    mixed_precision: options.MixedPrecision = None,
    xla: options.Xla = False,
    strategy: options.Strategy = "none",
    resume: options.Resume = False,
    seed: options.Seed = 0,
):
    """Train a sequence-to-sequence model on pairs of texts.

    Examples:

    textkit train dates --out runs/dates

    textkit train g2p --model g2p_transformer --epochs 20 --out runs/g2p

    textkit train pairs.tsv --set attention=dot --vocabulary-size 4000 --out runs/mine
    """
    import keras

    from shared_layers.runtime import get_strategy
    from textkit.training import train as fit

    model_class, config = _sizes(model, change or [])
    if mixed_precision:
        config["dtype"] = mixed_precision
    if scheduled_sampling:
        config["scheduled_sampling"] = True
        options.check_sizes_of(model_class, config)
    replicas = get_strategy(strategy)
    pairs = _load(data, limit, on_corrupt, reverse)
    if symbols:
        pairs = dataclasses.replace(pairs, source_kind=symbols, target_kind=symbols)
    vocabularies = pairs.vocabularies(vocabulary_size, vocabulary_size, config.get("share_embeddings", False))
    source, target = vocabularies
    keras.utils.set_random_seed(seed)  # for the initial weights
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
    split: options.Split = "test",
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
        str | None,
        typer.Option(
            help="per (and WER), exact_match (of dates also AER), bleu (and chrF) or rouge (default: set by the data)."
        ),
    ] = None,
    tokenize: Annotated[str, typer.Option(help="Tokenizer of BLEU: 13a, zh, intl, char or none.")] = "13a",
    out: options.JsonFile = None,
    seed: options.Seed = 0,
):
    """Measure a sequence-to-sequence model on a split: PER, exact match, BLEU or ROUGE.

    Examples:

    textkit evaluate dates --model runs/dates

    textkit evaluate summaries.tsv --metric rouge --model runs/summaries
    """
    from textkit.evaluation import evaluate as measure
    from textkit.translator import Translator

    translator = Translator.load(model)
    pairs = _load(data, limit, on_corrupt, reverse)
    chosen = {"method": method, "beam_width": beam_width, "max_length": max_length, "seed": seed}
    chosen |= {"length_penalty": length_penalty, "reading": reading, "too_long": too_long}
    chosen |= {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    with progress_bar("translating") as progress:
        metrics = measure(translator, pairs, split, metric=metric, tokenize=tokenize, progress=progress, **chosen)
    if out:
        options.write_json(out, metrics)
    typer.echo(json.dumps(metrics, indent=2))


def presets():
    """Presets of sequence-to-sequence models: {name: class}."""
    from textkit import RecurrentSeq2Seq, TransformerSeq2Seq

    return {name: model_class for model_class in (RecurrentSeq2Seq, TransformerSeq2Seq) for name in model_class.presets}


def _sizes(name, changes):
    """The class and constructor arguments of a preset, with `--set` options: ["attention=dot"]."""
    known = presets()
    if name not in known:
        raise unknown_name("model", name, known)
    model_class = known[name]
    config = {**model_class.presets[name]["config"], **options.sizes(changes)}
    options.check_sizes_of(model_class, config)
    return model_class, config


def _load(data, limit, on_corrupt, reverse):
    """Loads pairs from any source."""
    from textkit.datasets import load

    if data.startswith("tfds:"):
        given = {"limit": limit, "reverse": reverse}
    elif reverse:
        raise options.not_applicable("reverse", "this data", "tfds:NAME", data=data)
    else:
        given = {} if data in ("g2p", "dates") else {"on_corrupt": on_corrupt}
    with options.reading_data():
        pairs = load(data, **given)
    return pairs.limited(limit)
