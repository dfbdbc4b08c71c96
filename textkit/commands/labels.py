"""`textkit train` and `textkit evaluate` of labels: of texts, of pairs of texts, of words, of answers in texts."""

import json
from typing import Annotated

import typer

from shared_layers.runtime import mixed_policy, progress_bar
from textkit.commands import options

# Of each task: what it is, what its data are, and data for the examples.
TASKS = {
    "classify": ("a class, classes or a number for each text", "lines 'text TAB label'", "reviews.tsv"),
    "pair": ("the same for two texts", "lines 'text TAB text TAB label'", "tfds:glue/mrpc"),
    "tag": ("a class for each word", "CoNLL's columns", "names.conll"),
    "qa": ("answers that stand in a text", "SQuAD's JSON", "squad.json"),
}
_FILE = ("validation", "test", "on_corrupt")
_OWN = {"classify": ("problem", "columns"), "pair": ("problem", "columns"), "tag": ("columns",), "qa": ()}

Data = Annotated[
    str,
    typer.Argument(
        help="A .jsonl, of questions .json, or another file of lines, or a folder of such by split; or tfds:NAME.",
        metavar="DATA",
    ),
]
Columns = Annotated[str | None, typer.Option(help="Where texts and, last, labels are: names or numbers from 0, as 0,3.")]
Validation = Annotated[str | None, typer.Option(help="Another file, to choose by.")]
Test = Annotated[str | None, typer.Option(help="Another file, to measure with.")]
OnCorrupt = Annotated[str | None, typer.Option(help="What is no example in a file: skip or refuse.")]
Limit = Annotated[int | None, typer.Option(help="At most so many examples of each split.", min=1)]
MaxLength = Annotated[
    int | None, typer.Option(help="Most tokens read at once; as many as the model has positions, or 512.", min=1)
]
Stride = Annotated[int | None, typer.Option(help="Of qa: tokens from one window of a long text to the next.", min=1)]
BatchSize = Annotated[int, typer.Option(help="Texts of a batch, of all replicas together.", min=1)]


def train(
    ctx: typer.Context,
    data: Data,
    model: Annotated[str, typer.Option(help="Folder of an encoder or of a run, .keras file, hf://owner/name, or preset.")],
    out: options.Run,
    problem: Annotated[
        str | None, typer.Option(help="Of texts: single, multi (several classes, by commas) or regression.")
    ] = None,
    columns: Columns = None,
    validation: Validation = None,
    test: Test = None,
    on_corrupt: OnCorrupt = None,
    limit: Limit = None,
    new_head: Annotated[bool, typer.Option("--new-head", help="Drop the model's own head.")] = False,
    pooling: Annotated[str | None, typer.Option(help="Read texts from the first token, or the mean of all.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 3,
    batch_size: BatchSize = 32,
    learning_rate: float = 3e-5,
    layer_decay: Annotated[float, typer.Option(help="Each layer's rate, of that of the next, such as 0.9.")] = 1.0,
    freeze: Annotated[int, typer.Option(help="So many layers, and the embeddings, stay as they are.", min=0)] = 0,
    warmup: Annotated[float, typer.Option(help="Share of the steps in which the rate rises.")] = 0.1,
    weight_decay: Annotated[float, typer.Option(help="Of kernels alone.")] = 0.01,
    class_weights: Annotated[
        str | None, typer.Option(help="balanced, or how much classes count: good=2,bad=0.5. Of single classes.")
    ] = None,
    patience: Annotated[int | None, typer.Option(help="End after so many epochs without a better one.", min=1)] = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    ema_momentum: Annotated[float | None, typer.Option(help="Average the weights, such as 0.999.")] = None,
    mixed_precision: Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)] = None,
    xla: Annotated[bool, typer.Option("--xla", help="Compile the step.")] = False,
    strategy: options.Strategy = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    seed: options.Seed = 0,
):
    """Train a model, measure the best on the test split, and write the run's report.json."""
    import keras

    from shared_layers.runtime import get_strategy, is_chief
    from textkit.fine_tuning import fine_tune

    weights = _class_weights(class_weights)
    replicas = get_strategy(strategy)
    given = {"problem": problem, "columns": columns, "validation": validation, "test": test, "on_corrupt": on_corrupt}
    labelled = _load(ctx.info_name, data, limit, **given)
    keras.utils.set_random_seed(seed)  # of the new head
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
    model: Annotated[str, typer.Option(help="Folder of a run, or .keras file.")],
    split: options.Split = "test",
    columns: Columns = None,
    validation: Validation = None,
    test: Test = None,
    on_corrupt: OnCorrupt = None,
    limit: Limit = None,
    max_length: MaxLength = None,
    stride: Stride = None,
    batch_size: BatchSize = 32,
    errors: Annotated[int, typer.Option(help="How many of the worst errors are listed.", min=0)] = 10,
    out: options.JsonFile = None,
):
    """Measure a model on a split, beside an answer that knows the training data alone."""
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
    for task, (what, expected, example) in TASKS.items():
        learned = (
            f"Fine-tune a model to tell {what}, from {expected} and the like.\n\nThe best in validation is measured on test."
        )
        learned += f"\n\nExample: textkit train {task} {example} --model FOLDER --out runs/{task}"
        train_group.command(task, help=learned, short_help=f"Learn {what}.")(train)
        measured = f"Measure a model that tells {what}, on {expected} and the like."
        measured += f"\n\nExample: textkit evaluate {task} {example} --model runs/{task} --out report.json"
        evaluate_group.command(task, help=measured, short_help=f"Measure {what}.")(evaluate)


def _load(task, name, limit, **given):
    """Loads labelled texts; refuses options that such data do not have."""
    from textkit.datasets.labelled import load

    is_set = name.startswith("tfds:")
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        if key not in _OWN[task] + (() if is_set else _FILE):
            raise ValueError(f"Expected other data for --{key.replace('_', '-')}. Received: {task} of {name!r}")
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
            raise ValueError(f"Expected 'balanced' or NAME=NUMBER,... Received: class_weights={text!r}") from None
    return weights


def _model(source, data, new_head, **changes):
    """A model for the data: that of the source with these changes, or a new head on its encoder."""
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
        raise ValueError(f"Expected texts to classify for --pooling. Received: {data.name!r} for a {model_class.__name__}")
    if isinstance(loaded, model_class) and not new_head:
        known = getattr(loaded, "num_classes", None)
        if known not in (None, classes["num_classes"]):
            raise ValueError(
                f"Expected data of the model's {known} classes, or --new-head. Received: {data.name!r} of "
                f"{classes['num_classes']} classes"
            )
        return loaded.override(**overrides) if overrides else loaded
    others = {TextClassifier, TokenClassifier, SpanClassifier} - {model_class}
    if isinstance(loaded, tuple(others)) and not new_head:
        raise ValueError(
            f"Expected a {model_class.__name__}, or --new-head. Received: {source!r}, a {type(loaded).__name__}"
        )
    if model_class is not SpanClassifier:
        overrides |= classes
    if isinstance(loaded, model_class):
        return model_class.adopt(loaded, True, overrides)
    return model_class.from_preset(options.saved_model(source), **overrides)


def _loaded(source):
    from textkit.text_model import EncoderModel, TextModel

    loaded = TextModel.from_preset(options.saved_model(source))
    if not isinstance(loaded, EncoderModel):
        raise ValueError(f"Expected an encoder or a head on one. Received: model={source!r}, a {type(loaded).__name__}")
    return loaded


def _measured(model, data, split, **chosen):
    from textkit.label_evaluation import evaluate_labels

    with progress_bar("evaluating") as progress:
        return evaluate_labels(model, data, split, progress=progress, **chosen)
