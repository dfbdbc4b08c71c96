"""`textkit train` and `textkit evaluate` for classify, pair, tag and qa: models with a head, on labelled data."""

import json
from typing import Annotated

import typer

from shared_layers.runtime import progress_bar
from textkit.commands import options

# task: (what is predicted, format of the data, data for the examples)
TASKS = {
    "classify": (
        "a class, several classes or a number for each text",
        "Lines 'text TAB label'; .jsonl objects with text and label; or tfds:NAME.",
        "reviews.tsv",
    ),
    "pair": (
        "a class, several classes or a number for each pair of texts",
        "Lines 'text TAB text TAB label'; .jsonl objects with text, pair and label; or tfds:NAME.",
        "tfds:glue/mrpc",
    ),
    "tag": (
        "a class for each word",
        "CoNLL lines (the first column is the word, the last its tag; an empty line ends a sentence); .jsonl objects with "
        "words and tags; or tfds:NAME.",
        "names.conll",
    ),
    "qa": (
        "the words of a context that answer a question",
        "JSON as in SQuAD 1.1 or 2.0; or tfds:NAME.",
        "squad.json",
    ),
}
_FILE = ("validation", "test", "on_corrupt")
_OWN = {"classify": ("problem", "columns"), "pair": ("problem", "columns"), "tag": ("columns",), "qa": ()}

Data = Annotated[
    str,
    typer.Argument(
        help="A file, a folder with one file per split (train, validation, test), or tfds:NAME; see above.",
        metavar="DATA",
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(help="Columns of the text(s) and, last, the label: names or numbers from 0, such as 0,3."),
]
Validation = Annotated[str | None, typer.Option(help="Validation file, used to pick the best epoch.")]
Test = Annotated[str | None, typer.Option(help="Test file.")]
OnCorrupt = Annotated[str | None, typer.Option(help="Malformed examples in a file: skip or refuse.")]
Limit = Annotated[int | None, typer.Option(help="Use at most this many examples per split.", min=1)]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Longest input, in tokens (default: the model's positions, or 512 if unlimited; qa: at most 384).", min=1
    ),
]
Stride = Annotated[
    int | None, typer.Option(help="qa only: tokens between the starts of successive windows (default: 128).", min=1)
]
BatchSize = Annotated[int, typer.Option(help="Examples per global batch (all replicas together).", min=1)]


def train(
    ctx: typer.Context,
    data: Data,
    model: Annotated[
        str,
        typer.Option(help="Encoder to fine-tune: folder of a run or model, .keras file, hf://owner/repository or preset."),
    ],
    out: options.Run,
    problem: Annotated[
        str | None,
        typer.Option(
            help="classify and pair only: single (one class), multi (several classes, separated by commas) or regression "
            "(default: single)."
        ),
    ] = None,
    columns: Columns = None,
    validation: Validation = None,
    test: Test = None,
    on_corrupt: OnCorrupt = None,
    limit: Limit = None,
    new_head: Annotated[bool, typer.Option("--new-head", help="Replace the model's head with a new one.")] = False,
    pooling: Annotated[
        str | None,
        typer.Option(help="classify and pair only: the head reads the first token (token) or the mean of all (mean)."),
    ] = None,
    epochs: options.Epochs = 3,
    batch_size: BatchSize = 32,
    learning_rate: options.LearningRate = 3e-5,
    layer_decay: Annotated[
        float, typer.Option(help="Learning-rate factor per layer downwards, such as 0.9 (1: same everywhere).")
    ] = 1.0,
    freeze: Annotated[int, typer.Option(help="Freeze the embeddings and this many lowest layers.", min=0)] = 0,
    warmup: Annotated[float, typer.Option(help="Fraction of steps used for warm-up.")] = 0.1,
    weight_decay: options.WeightDecay = 0.01,
    class_weights: Annotated[
        str | None,
        typer.Option(help="balanced, or weights such as good=2,bad=0.5 (single-class problems only)."),
    ] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after this many epochs without improvement.", min=1)] = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    ema_momentum: options.EmaMomentum = None,
    mixed_precision: options.MixedPrecision = None,
    xla: options.Xla = False,
    strategy: options.Strategy = "none",
    resume: options.Resume = False,
    seed: options.Seed = 0,
):
    """Fine-tune a model, measure its best epoch on the test split, and write report.json to the run's folder."""
    import keras

    from shared_layers.runtime import get_strategy, is_chief
    from textkit.fine_tuning import fine_tune

    weights = _class_weights(class_weights)
    replicas = get_strategy(strategy)
    given = {"problem": problem, "columns": columns, "validation": validation, "test": test, "on_corrupt": on_corrupt}
    labelled = _load(ctx.info_name, data, limit, **given)
    keras.utils.set_random_seed(seed)  # for the new head
    with replicas.scope():
        made = _model(model, labelled, new_head, pooling=pooling, dtype=mixed_precision)
    summary = fine_tune(
        made,
        labelled,
        out,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        layer_decay=layer_decay,
        freeze=freeze,
        warmup=warmup,
        weight_decay=weight_decay,
        class_weights=weights,
        patience=patience,
        max_length=max_length,
        stride=stride,
        ema_momentum=ema_momentum,
        jit_compile=xla,
        resume=resume,
        seed=seed,
    )
    del summary["history"]
    if is_chief(replicas):
        report = _measured(_loaded(out), labelled, "test", max_length=max_length, stride=stride)
        options.write_json(out / "report.json", {"training": summary, "test": report})
        del report["errors"]
        typer.echo(json.dumps({"training": summary, "test": report}, indent=2, ensure_ascii=False))


def evaluate(
    ctx: typer.Context,
    data: Data,
    model: Annotated[str, typer.Option(help="Folder of a run or model, .keras file or hf://owner/repository.")],
    split: options.Split = "test",
    columns: Columns = None,
    validation: Validation = None,
    test: Test = None,
    on_corrupt: OnCorrupt = None,
    limit: Limit = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    batch_size: BatchSize = 32,
    errors: Annotated[int, typer.Option(help="How many of the worst errors to list.", min=0)] = 10,
    out: options.JsonFile = None,
):
    """Measure a model on a split, next to a baseline that always predicts the same."""
    loaded = _loaded(model)
    given = {"columns": columns, "validation": validation, "test": test, "on_corrupt": on_corrupt}
    if "problem" in _OWN[ctx.info_name]:
        given["problem"] = getattr(loaded, "problem", None)
    labelled = _load(ctx.info_name, data, limit, **given)
    chosen = {"max_length": max_length, "stride": stride, "batch_size": batch_size, "num_errors": errors}
    report = _measured(loaded, labelled, split, **chosen)
    if out:
        options.write_json(out, report)
    typer.echo(json.dumps(report, indent=2, ensure_ascii=False))


def add(train_group, evaluate_group):
    """Adds the tasks to the commands `train` and `evaluate`."""
    for task, (predicted, expected, example) in TASKS.items():
        data = f"DATA: {expected}"
        trained = f"Fine-tune a model to predict {predicted}.\n\n{data}"
        trained += "\n\nThe model of the epoch that is best in validation is measured on the test split."
        trained += f"\n\nExample: textkit train {task} {example} --model FOLDER --out runs/{task}"
        train_group.command(task, help=trained, short_help=f"Predict {predicted}.")(train)
        measured = f"Measure a model that predicts {predicted}, next to a baseline that always predicts the same.\n\n{data}"
        measured += f"\n\nExample: textkit evaluate {task} {example} --model runs/{task} --out report.json"
        evaluate_group.command(task, help=measured, short_help=f"Models that predict {predicted}.")(evaluate)


def _load(task, name, limit, **given):
    """Loads labelled data; refuses options that do not apply to them."""
    from textkit.datasets.labelled import load

    is_set = name.startswith("tfds:")
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key in _FILE and is_set:
            raise options.not_applicable(key, "tfds:NAME", "files", data=name)
        if key not in _FILE + _OWN[task]:
            tasks = [each for each, own in _OWN.items() if key in own]
            raise options.not_applicable(key, task, ", ".join(tasks), task=task, data=name)
    if "columns" in given:
        columns = [column.strip() for column in given["columns"].split(",")]
        numbers = all(column.lstrip("-").isdecimal() for column in columns)
        given["columns"] = [int(column) for column in columns] if numbers else columns
    if is_set and limit:
        given["limit"] = limit
    with options.reading_data():
        return load(task, name, **given).limited(limit)


def _class_weights(text):
    """ "balanced", or {class: weight} of "good=2,bad=0.5"."""
    if text in (None, "balanced"):
        return text
    weights = {}
    for part in text.split(","):
        name, _, value = part.rpartition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"Expected balanced or NAME=NUMBER,... Received: class_weights={text!r}") from None
    return weights


def _model(source, data, new_head, **changes):
    """The model to fine-tune: the source with these changes, or a new head on the source's encoder."""
    from textkit import SpanClassifier, TextClassifier, TokenClassifier
    from textkit.datasets.labelled import ClassifiedTexts, TaggedTexts

    loaded = _loaded(source)
    overrides = {name: value for name, value in changes.items() if value}
    classes = {"num_classes": len(getattr(data, "class_names", ())) or 1, "class_names": None}
    model_class = SpanClassifier
    if isinstance(data, TaggedTexts):
        model_class = TokenClassifier
    elif isinstance(data, ClassifiedTexts):
        model_class, classes["problem"] = TextClassifier, data.problem
    if "pooling" in overrides and model_class is not TextClassifier:
        raise options.not_applicable("pooling", f"a {model_class.__name__}", "a TextClassifier", data=data.name)
    if isinstance(loaded, model_class) and not new_head:
        known = getattr(loaded, "num_classes", None)
        if known not in (None, classes["num_classes"]):
            raise ValueError(
                f"Expected data with the model's {known} classes, or --new-head. Received: data={data.name!r} with "
                f"{classes['num_classes']} classes"
            )
        return loaded.override(**overrides) if overrides else loaded
    others = {TextClassifier, TokenClassifier, SpanClassifier} - {model_class}
    if isinstance(loaded, tuple(others)) and not new_head:
        raise ValueError(
            f"Expected a {model_class.__name__}, or --new-head. Received: model={source!r}, a {type(loaded).__name__}"
        )
    if model_class is not SpanClassifier:
        overrides |= classes
    if isinstance(loaded, model_class):
        return model_class.adopt(loaded, True, overrides)
    return model_class.from_preset(options.best_of_run(source), **overrides)


def _loaded(source):
    from textkit.text_model import EncoderModel, TextModel

    loaded = TextModel.from_preset(options.best_of_run(source))
    if not isinstance(loaded, EncoderModel):
        raise ValueError(f"Expected an encoder, or a model on one. Received: model={source!r}, a {type(loaded).__name__}")
    return loaded


def _measured(model, data, split, **chosen):
    from textkit.label_evaluation import evaluate_labels

    with progress_bar("evaluating") as progress:
        return evaluate_labels(model, data, split, progress=progress, **chosen)
