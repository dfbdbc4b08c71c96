"""Training of a classifier, with checkpoints, logs and a summary; TensorFlow only."""

import keras

from shared_layers.runtime import (
    TRAINING_RANGES,
    WarmupCosine,
    check_ranges,
    fit_run,
    make_optimizer,
)
from vitkit.datasets import pipeline

_RANGES = {
    **TRAINING_RANGES,
    "warmup_epochs": ("at least 0", lambda value: value >= 0),
    "label_smoothing": ("in [0, 1)", lambda value: 0 <= value < 1),
    "gradient_accumulation_steps": ("at least 1, or None", lambda value: value is None or value >= 1),
}


def train(
    model,
    train_source,
    validation_source,
    folder,
    *,
    epochs=10,
    batch_size=64,
    learning_rate=1e-3,
    warmup_epochs=1.0,
    weight_decay=0.05,
    label_smoothing=0.1,
    clip_norm=1.0,
    ema_momentum=None,
    gradient_accumulation_steps=None,
    jit_compile=False,
    resume=False,
    seed=0,
    progress=True,
    **augmentation,
):
    """Trains a classifier with AdamW, linear warm-up and cosine decay.

    The folder gets `best.keras` (by validation accuracy), `last.keras` (to resume from) and `logs/` for TensorBoard.
    The seed determines the order and the augmentation of the pictures, see `vitkit.datasets.pipeline`.

    Args:
        model: a `vitkit.ViTClassifier`, made under the strategy's scope, and with `dtype="mixed_bfloat16"` or
            "mixed_float16" for mixed precision. It is compiled here, and ends with the weights of the last epoch,
            or their moving average.
        train_source: `vitkit.datasets.Source`, as `vitkit.datasets.load` returns.
        validation_source: `vitkit.datasets.Source` with the same classes.
        folder: str or path-like, the folder of the run.
        epochs: int, the number of epochs.
        batch_size: int, examples per global batch (all replicas together).
        learning_rate: float, the peak.
        warmup_epochs: float, epochs of linear warm-up; at most half of all epochs.
        weight_decay: float, on kernels only, see `shared_layers.runtime.make_optimizer`.
        label_smoothing: float in [0, 1).
        clip_norm: float, the maximum global norm of the gradients; or `None`.
        ema_momentum: float in [0, 1), for a moving average of the weights, which is then validated and saved as the best;
            or `None`.
        gradient_accumulation_steps: int, the number of batches per update of the weights; or `None`.
        jit_compile: bool or "auto", whether XLA compiles the training step.
        resume: bool, whether to continue from the folder's `last.keras`, if there is one. With the same arguments, an
            interrupted and resumed run ends with the same weights as an uninterrupted one.
        seed: int, for the order of pictures, augmentation, dropout and drop path.
        progress: bool, whether to show a progress bar and a line for each epoch on standard error.
        **augmentation: training options of `vitkit.datasets.pipeline`: `mixup`, `rand_augment`, `cache`, ...

    Returns:
        dict, ready for JSON: "epochs" (the number of trained epochs, including those before a resume), "steps_per_epoch",
        "parameters", "seconds", "best_accuracy" (of validation), and "history" {metric: values of the epochs of this call}.

    Raises:
        ValueError: an option out of its range, fewer pictures than one batch, sources with other classes than the model's, a
            checkpoint of another model; in training, a loss that is not finite.
        OSError: the folder cannot be created.
    """
    check_ranges(
        _RANGES,
        epochs=epochs,
        learning_rate=learning_rate,
        warmup_epochs=warmup_epochs,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    for source in (train_source, validation_source):
        if len(source.class_names) != model.num_classes:
            raise ValueError(
                f"Expected data with the model's {model.num_classes} classes. "
                f"Received: {source.name!r} with {len(source.class_names)} classes"
            )
        if model.class_names and list(source.class_names) != model.class_names:
            first = next(pair for pair in zip(model.class_names, source.class_names, strict=True) if pair[0] != pair[1])
            raise ValueError(
                f"Expected data with the model's classes in the same order, such as {first[0]!r}. "
                f"Received: {source.name!r} with {first[1]!r} in its place"
            )
    if not 1 <= batch_size <= train_source.num_examples:
        raise ValueError(
            f"Expected a batch of 1 to {train_source.num_examples} pictures, the size of {train_source.name!r}. "
            f"Received: batch_size={batch_size}"
        )
    keras.utils.set_random_seed(seed)
    steps_per_epoch = train_source.num_examples // batch_size
    total_steps = epochs * steps_per_epoch
    warmup_steps = min(round(warmup_epochs * steps_per_epoch), total_steps // 2)
    with model.distribute_strategy.scope():
        optimizer = make_optimizer(
            model.trainable_variables,
            WarmupCosine(learning_rate, warmup_steps, total_steps),
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            ema_momentum=ema_momentum,
            gradient_accumulation_steps=gradient_accumulation_steps,
        )
        model.compile(
            optimizer,
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=jit_compile,
        )
    one_hot = _one_hot(model.num_classes)
    given = {"batch_size": batch_size, **model.preprocessing}
    drawn = {"num_classes": model.num_classes, "seed": seed, **augmentation}

    def batches(first_epoch):
        return pipeline(train_source.dataset, training=True, first_epoch=first_epoch, **given, **drawn).map(one_hot)

    checks = pipeline(validation_source.dataset, training=False, **given).map(one_hot)
    return fit_run(
        model,
        batches,
        checks,
        folder,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        resume=resume,
        progress=progress,
    )


def _one_hot(num_classes):
    """One-hot encodes integer labels; the labels of a pipeline with mixing are probabilities already."""

    def function(images, labels):
        return images, keras.ops.one_hot(labels, num_classes) if labels.dtype.is_integer else labels

    return function
