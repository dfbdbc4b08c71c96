"""Fine-tuning of a model with a head: one call from labelled texts to a run; TensorFlow only."""

import json
import pathlib
import zipfile

import keras

from shared_layers.runtime import TRAINING_RANGES, WarmupCosine, check_ranges, fit_run, is_chief, make_optimizer
from textkit.datasets.batching import encoded_batches
from textkit.tasks import make_task

_RANGES = {
    **TRAINING_RANGES,
    "layer_decay": ("in (0, 1]", lambda value: 0 < value <= 1),
    "warmup": ("in [0, 0.5]", lambda value: 0 <= value <= 0.5),
    "patience": ("at least 1, or None", lambda value: value is None or value >= 1),
}
_OLD = ("last.keras", "report.json", "time.json")  # of an earlier run, which would pass for this one's
_KEPT = ("class_names", "pooling", "problem", "tokenizer")  # what a run that goes on may not change, and weights do not show


def fine_tune(
    model,
    data,
    folder,
    *,
    epochs=3,
    batch_size=32,
    buckets=8,
    learning_rate=3e-5,
    layer_decay=1.0,
    freeze=0,
    warmup=0.1,
    weight_decay=0.01,
    clip_norm=1.0,
    class_weights=None,
    patience=None,
    max_length=None,
    stride=None,
    ema_momentum=None,
    jit_compile=False,
    resume=False,
    seed=0,
    progress=True,
):
    """Trains a model with a head on labelled texts: AdamW, a warm-up and half a cosine.

    The folder gets `best.keras`, `last.keras` (to resume from) and `logs/` for TensorBoard. The best is the one of the
    highest accuracy in validation, of texts or of words; of spans, of several classes and of numbers, the one of the lowest
    loss. The tokenizer is in both files.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier` with a tokenizer, made under the strategy's scope,
            and with `dtype="mixed_bfloat16"` or "mixed_float16" for mixed precision. It is compiled here, named after the
            data's classes if it has no names, and left with the weights of the last epoch, or their moving average.
        data: what `textkit.datasets.labelled.load` returns.
        folder: str or path-like, of the run.
        epochs: int.
        batch_size: int, the most rows of a batch, of all replicas together.
        buckets: int, how many widths texts are padded to, see `textkit.datasets.buckets.Buckets`.
        learning_rate: float, the highest.
        layer_decay: float in (0, 1], what the rate of each layer is multiplied by, for each layer above it; 1 trains all
            alike. The head, the pooler and the last norm have the whole rate, the embeddings the lowest.
        freeze: int, so many of the encoder's layers, from the first on, and the embeddings, stay as they are, also
            afterwards; 0 trains all.
        warmup: float in [0, 0.5], the share of all steps in which the rate rises.
        weight_decay: float, on kernels alone, see `shared_layers.runtime.make_optimizer`.
        clip_norm: float, the most that the norm of all gradients together may be; or `None`.
        class_weights: how much an example of each class counts in training: "balanced" (as much as that all classes count
            alike), a dict {name: weight}, 1 for those not in it, or `None`. Of single classes of texts or words.
        patience: int, after how many epochs without a better one training ends; or `None`.
        max_length: int, the most tokens of a row; `None` for as many as the model has learned positions for, or 512 where
            these have no end; of spans for 384, or fewer where the model has fewer positions.
        stride: int, of spans, how many tokens after a window the next one begins; `None` for 128.
        ema_momentum: float in [0, 1), of a moving average of the weights, which is then what is validated and kept as the
            best; or `None`.
        jit_compile: bool or "auto", whether XLA compiles the step, once for each bucket.
        resume: bool, whether to go on from the folder's `last.keras`, if there is one. Given the same arguments, a run that
            was interrupted ends with the weights of one that was not.
        seed: int, of the order of texts and of dropout.
        progress: bool, whether to show, on standard error, a bar and a line for each epoch.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" or "best_loss" (of
        validation), "num_cut" (how many examples of train have more tokens than the model is given: texts or, of spans,
        questions), and "history" {metric: values of the epochs trained now}.

    Raises:
        ValueError: an option out of its range, a model without a head or a tokenizer, data of another task, problem or
            number of classes, a checkpoint of another model; in training, a loss that is no longer finite.
        OSError: the folder cannot be made.

    Reference:
        Devlin et al. 2019, appendix A.3; Clark et al. 2020 (ELECTRA), appendix B (rates that decay by layer).
    """
    check_ranges(
        _RANGES,
        epochs=epochs,
        learning_rate=learning_rate,
        layer_decay=layer_decay,
        warmup=warmup,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        patience=patience,
        ema_momentum=ema_momentum,
    )
    task = make_task(model, data, max_length=max_length, class_weights=class_weights, stride=stride)
    task.prepare()
    freeze_layers(model, freeze)
    strategy = model.distribute_strategy
    given = {
        "label_tokens": task.label_tokens,
        "batch_size": batch_size,
        "buckets": buckets,
        "multiple_of": strategy.num_replicas_in_sync,
        "seed": seed,
    }
    keras.utils.set_random_seed(seed)
    encoded = task.encode("train", training=True)
    steps_per_epoch = int(encoded_batches(*encoded, training=True, **given).cardinality())
    total_steps = epochs * steps_per_epoch
    with strategy.scope():
        optimizer = make_optimizer(
            model.trainable_variables,
            WarmupCosine(learning_rate, round(warmup * total_steps), total_steps),
            weight_decay,
            clip_norm,
            ema_momentum,
            rate_multipliers=rate_multipliers(model, layer_decay),
        )
        model.compile(optimizer, task.loss(), weighted_metrics=task.metrics(), jit_compile=jit_compile)
    folder = pathlib.Path(folder)
    summary = fit_run(
        model,
        lambda first_epoch: encoded_batches(*encoded, training=True, first_epoch=first_epoch, **given),
        encoded_batches(*task.encode("validation"), **given),
        folder,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        monitor=task.monitor,
        mode=task.mode,
        patience=patience,
        begin=lambda first_epoch: begin_run(folder, first_epoch, model),
        resume=resume,
        progress=progress,
    )
    return {**summary, "num_cut": task.count_cut("train")}


def freeze_layers(model, count):
    """Keeps the embeddings and an encoder's first layers from being trained.

    Args:
        model: a model with a head.
        count: int, so many layers; 0 freezes nothing.

    Raises:
        ValueError: the encoder has fewer layers.
    """
    encoder = model.encoder
    if not 0 <= count <= len(encoder.encoder_layers):
        raise ValueError(f"Expected at most {len(encoder.encoder_layers)} layers to freeze. Received: freeze={count}")
    if count:
        for layer in (*_embeddings(encoder), *encoder.encoder_layers[:count]):
            layer.trainable = False


def rate_multipliers(model, layer_decay):
    """The share of the learning rate that each variable of an encoder trains at.

    Args:
        model: a model with a head.
        layer_decay: float, see `fine_tune`.

    Returns:
        dict {path of a variable: float}, of those that are not trained at the whole rate.
    """
    encoder = model.encoder
    below = [_embeddings(encoder), *([layer] for layer in encoder.encoder_layers)]
    return {
        variable.path: layer_decay ** (len(below) - depth)
        for depth, layers in enumerate(below)
        for layer in layers
        for variable in layer.trainable_variables
        if layer_decay < 1
    }


def begin_run(folder, first_epoch, model):
    """Makes the folder one of this model's run; where a run goes on, sees that it is.

    Args:
        folder: `pathlib.Path`.
        first_epoch: int, 0 for a new run.
        model: the model, compiled under its strategy.

    Raises:
        ValueError: the run began with a model of another tokenizer, pooling, problem or other names of classes.
    """
    if not first_epoch:
        if is_chief(model.distribute_strategy):
            for name in _OLD:
                (folder / name).unlink(missing_ok=True)
        return
    with zipfile.ZipFile(folder / "last.keras") as archive:
        known = json.loads(archive.read("config.json"))["config"]
    config = json.loads(json.dumps(model.get_config(), default=str))
    for name in _KEPT:
        if known.get(name) != config.get(name):
            raise ValueError(f"Expected the {name} that the run began with. Received: others, to resume {str(folder)!r}")


def _embeddings(encoder):
    """The layers of an encoder that come before the first of its `encoder_layers`."""
    own = (encoder.encoder_layers, [encoder.final_norm, encoder.pooler])
    later = {id(layer) for layers in own for layer in layers}
    return [layer for layer in encoder.layers if id(layer) not in later]
