"""Training of a classifier: one call from pictures to checkpoints, logs and a summary; TensorFlow only."""

import pathlib
import time

import keras

from shared_layers.runtime import Progress, SafeCheckpoint, StopOnNaN, WarmupCosine
from vitkit.datasets import pipeline

# What the names of the weights have in them that do not decay; gamma is a norm's or LayerScale's.
_NO_DECAY = ("gamma", "beta", "bias", "token", "position")


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
    """Trains a classifier with AdamW, a warm-up and half a cosine.

    The folder gets `best.keras` (by validation accuracy), `last.keras` (to resume from) and `logs/` for TensorBoard.
    Pictures come in the order that `vitkit.datasets.pipeline` draws from the seed.

    Args:
        model: a `vitkit.ViTClassifier`, made under the strategy's scope, and with `dtype="mixed_bfloat16"` or
            "mixed_float16" for mixed precision. It is compiled here, and left with the weights of the last epoch.
        train_source: what `vitkit.datasets.load` returns.
        validation_source: the same.
        folder: str or path-like, of the run.
        epochs: int.
        batch_size: int, of all replicas together.
        learning_rate: float, the highest.
        warmup_epochs: float, how long the rate rises.
        weight_decay: float, not applied to norms, biases, tokens, positions and LayerScale.
        label_smoothing: float in [0, 1).
        clip_norm: float, the most that the norm of all gradients together may be; or `None`.
        ema_momentum: float in [0, 1), of a moving average of the weights, which is then what is validated and kept as
            the best; or `None`.
        gradient_accumulation_steps: int, so many batches make one step of the optimizer; or `None`.
        jit_compile: bool or "auto", whether XLA compiles the step.
        resume: bool, whether to go on from the folder's `last.keras`, if there is one.
        seed: int, of the order of pictures, augmentation, dropout and drop path.
        progress: bool, whether to show a bar and a line for each epoch.
        **augmentation: options of `vitkit.datasets.pipeline` in training: `mixup`, `rand_augment`, `cache`, ...

    Returns:
        dict, ready for JSON: "epochs", "steps_per_epoch", "parameters", "seconds", "best_accuracy" (of
        validation), and "history" {metric: values of the epochs trained now}.

    Raises:
        ValueError: the loss is no longer finite, too few pictures for a batch, sources of other classes than the model's,
            a checkpoint of another model.
    """
    for source in (train_source, validation_source):
        if len(source.class_names) != model.num_classes:
            raise ValueError(
                f"Expected data of the model's {model.num_classes} classes. "
                f"Received: {source.name!r} of {len(source.class_names)} classes"
            )
    keras.utils.set_random_seed(seed)
    folder = pathlib.Path(folder)
    given = {"batch_size": batch_size, **model.preprocessing}
    batches = pipeline(
        train_source.dataset, training=True, num_classes=model.num_classes, seed=seed, **given, **augmentation
    ).map(_one_hot(model.num_classes))
    checks = pipeline(validation_source.dataset, training=False, **given).map(_one_hot(model.num_classes))
    steps_per_epoch = int(batches.cardinality())

    with model.distribute_strategy.scope():
        optimizer = make_optimizer(
            model.trainable_variables,
            WarmupCosine(learning_rate, round(warmup_epochs * steps_per_epoch), epochs * steps_per_epoch),
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
    checkpoint = SafeCheckpoint(folder, monitor="val_accuracy", mode="max")
    first_epoch = checkpoint.resume(model) if resume else 0
    callbacks = [StopOnNaN(), checkpoint, keras.callbacks.TensorBoard(folder / "logs")]
    if ema_momentum is not None:
        callbacks.insert(0, keras.callbacks.SwapEMAWeights())
    began = time.monotonic()
    with Progress() as bar:
        history = model.fit(
            batches,
            validation_data=checks,
            epochs=epochs,
            initial_epoch=first_epoch,
            shuffle=False,  # `pipeline` has shuffled
            callbacks=[*callbacks, *([bar] if progress else [])],
            verbose=0,
        ).history
    return {
        "epochs": epochs,
        "steps_per_epoch": steps_per_epoch,
        "parameters": model.count_params(),
        "seconds": time.monotonic() - began,
        "best_accuracy": checkpoint.best,
        "history": {name: [float(value) for value in values] for name, values in history.items()},
    }


def make_optimizer(
    variables, learning_rate, weight_decay, clip_norm=None, ema_momentum=None, gradient_accumulation_steps=None
):
    """Makes AdamW whose weight decay leaves norms, biases, tokens, positions and LayerScale alone.

    Args:
        variables: list of `keras.Variable`, what is to be trained.
        learning_rate: float or `keras.optimizers.schedules.LearningRateSchedule`.
        weight_decay: float.
        clip_norm: float or `None`, see `train`.
        ema_momentum: float or `None`, see `train`.
        gradient_accumulation_steps: int or `None`, see `train`.

    Returns:
        `keras.optimizers.AdamW`.

    Reference:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization"; what is left out follows Touvron et al. 2021
        (DeiT) and BEiT.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate,
        weight_decay=weight_decay,
        global_clipnorm=clip_norm,
        use_ema=ema_momentum is not None,
        ema_momentum=ema_momentum or 0.99,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    # By variable, since a pattern would be sought in the whole path, and "token" found in patch_tokens/projection/kernel.
    still = [variable for variable in variables if any(part in variable.name for part in _NO_DECAY)]
    optimizer.exclude_from_weight_decay(var_list=still)
    return optimizer


def _one_hot(num_classes):
    """Labels as probabilities, which a mixing pipeline gives already."""

    def function(images, labels):
        return images, keras.ops.one_hot(labels, num_classes) if labels.dtype.is_integer else labels

    return function
