"""Fine-tuning of a model with a head on labelled texts, in one call; TensorFlow only."""

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
_OLD = ("report.json", "time.json")  # removed by a new run: they would be taken for its own
_KEPT = ("class_names", "pooling", "problem", "tokenizer")  # may not change on resume; the weights alone do not show it


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
    """Fine-tunes a model with a head on labelled texts: AdamW, warm-up and cosine decay.

    The folder gets `best.keras`, `last.keras` (to resume from) and `logs/` for TensorBoard. The best epoch has the highest
    validation accuracy (single-label texts, words), or the lowest validation loss (spans, multi-label texts, regression).
    Both files include the tokenizer.

    Args:
        model: a `TextClassifier`, `TokenClassifier` or `SpanClassifier` with a tokenizer, made under the strategy's scope,
            and with `dtype="mixed_bfloat16"` or "mixed_float16" for mixed precision. It is compiled here, takes the class
            names of the data if it has none, and ends with the weights of the last epoch, or their moving average.
        data: what `textkit.datasets.labelled.load` returns.
        folder: str or path-like, the folder of the run.
        epochs: int, the number of epochs.
        batch_size: int, the maximum number of rows of a batch, over all replicas.
        buckets: int, how many widths texts are padded to, see `textkit.datasets.buckets.Buckets`.
        learning_rate: float, the peak.
        layer_decay: float in (0, 1], layer-wise learning rate decay: each layer's rate is that of the layer above times
            this factor. The head, the pooler and the final norm have the full rate, the embeddings the lowest.
        freeze: int, the number of encoder layers, from the first on, that are frozen with the embeddings, also after
            training; 0 trains all.
        warmup: float in [0, 0.5], the fraction of all steps used for warm-up.
        weight_decay: float, on kernels only, see `shared_layers.runtime.make_optimizer`.
        clip_norm: float, the maximum global norm of the gradients; or `None`.
        class_weights: loss weights of the classes, single-label texts and words only: "balanced" (inverse class frequency),
            a dict {name: weight} with 1 for missing names, or `None`.
        patience: int, the number of epochs without improvement after which training ends; or `None`.
        max_length: int, the maximum number of tokens of a row. `None` for the number of learned positions of the model, or
            512 if its positions are not learned; for spans 384, or the number of positions if that is smaller.
        stride: int, spans only: tokens from the start of one window to the start of the next; `None` for 128. It is at most
            the number of context tokens of a window.
        ema_momentum: float in [0, 1), for a moving average of the weights, which is then validated and saved as the best;
            or `None`.
        jit_compile: bool or "auto", whether XLA compiles the training step, once for each bucket.
        resume: bool, whether to continue from the folder's `last.keras`, if there is one. With the same arguments, an
            interrupted and resumed run ends with the same weights as an uninterrupted one.
        seed: int, for the order of texts and dropout.
        progress: bool, whether to show a progress bar and a line for each epoch on standard error.

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" or "best_loss" (of
        validation), "num_cut" (the number of truncated training texts; for spans, of truncated questions), and "history"
        {metric: values of the epochs of this call}.

    Raises:
        ValueError: an option out of its range, a model without a head or a tokenizer, data of another task, problem or
            number of classes, a checkpoint of another model; in training, a loss that is not finite.
        OSError: the folder cannot be created.

    Reference:
        Devlin et al. 2019, appendix A.3; Clark et al. 2020 (ELECTRA), appendix B (layer-wise learning rate decay).
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
    """Freezes the embeddings and the first layers of an encoder.

    Args:
        model: a model with a head.
        count: int, the number of layers; 0 freezes nothing, the embeddings included.

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
    """Computes the learning rate factors of an encoder's variables for layer-wise decay.

    Args:
        model: a model with a head.
        layer_decay: float, see `fine_tune`.

    Returns:
        dict {path of a variable: float}; variables that are not in it train at the full rate.
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
    """Prepares the folder of a run: removes an earlier run's files, or checks that a resumed run has the same model.

    Args:
        folder: `pathlib.Path`, the folder of the run.
        first_epoch: int, 0 for a new run.
        model: the compiled model.

    Raises:
        ValueError: on resume, the run started with another tokenizer, pooling, problem or other class names.
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
            raise ValueError(
                f"Expected the {name} that this run started with, to resume it. "
                f"Received: a different {name}, folder={str(folder)!r}"
            )


def _embeddings(encoder):
    """The layers of an encoder that come before the first of its `encoder_layers`."""
    own = (encoder.encoder_layers, [encoder.final_norm, encoder.pooler])
    later = {id(layer) for layers in own for layer in layers}
    return [layer for layer in encoder.layers if id(layer) not in later]
