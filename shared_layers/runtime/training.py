"""What every training run has in common: checkpoints to use and to resume from, logs, progress, a summary."""

import pathlib
import time

import keras
import rich.console

from shared_layers.runtime.callbacks import Progress, SafeCheckpoint, StopOnNaN


def fit_run(
    model,
    batches,
    validation,
    folder,
    *,
    epochs,
    steps_per_epoch,
    monitor="val_accuracy",
    mode="max",
    patience=None,
    callbacks=(),
    begin=None,
    resume=False,
    progress=True,
):
    """Fits a compiled model and keeps the run in a folder.

    The folder gets `best.keras` (by validation), `last.keras` (to resume from) and `logs/` for TensorBoard. Where the
    optimizer keeps a moving average of the weights, that is what is validated and kept as the best.

    Args:
        model: a compiled `shared_layers.runtime.Model`.
        batches: function of the first epoch's number -> `tf.data.Dataset`, shuffled, that does not end before `fit` does.
        validation: `tf.data.Dataset`.
        folder: str or path-like.
        epochs: int.
        steps_per_epoch: int.
        monitor: str, the metric of an epoch that says which is best.
        mode: "min" or "max", which values of it are better.
        patience: int, after how many epochs without a better one training ends; or `None`, after all `epochs`.
        callbacks: sequence of `keras.callbacks.Callback`, more of them.
        begin: function of the first epoch's number, called before training; or `None`.
        resume: bool, whether to go on from the folder's `last.keras`, if there is one.
        progress: bool, whether to show, on standard error, a bar and a line for each epoch.

    Returns:
        dict, ready for JSON: "epochs" (how many were trained, those before a resume included; a callback may have cut the
        last one short), "steps_per_epoch", "parameters", "seconds", "best_accuracy" (or what else was monitored, of
        validation), and "history" {metric: values of the epochs trained now}.

    Raises:
        ValueError: a checkpoint of another model; in training, a loss that is no longer finite.
        OSError: the folder cannot be made.
    """
    folder = pathlib.Path(folder)
    checkpoint = SafeCheckpoint(folder, monitor=monitor, mode=mode, patience=patience)
    first_epoch = checkpoint.resume(model) if resume else 0
    folder.mkdir(parents=True, exist_ok=True)
    if begin is not None:
        begin(first_epoch)
    averages = getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema
    before = [keras.callbacks.SwapEMAWeights()] if averages else []
    own = [StopOnNaN(), checkpoint, keras.callbacks.TensorBoard(folder / "logs")]
    began = time.monotonic()
    with Progress(rich.console.Console(stderr=True)) as bar:
        history = model.fit(
            batches(first_epoch),
            steps_per_epoch=steps_per_epoch,
            validation_data=validation,
            epochs=first_epoch if checkpoint.is_out_of_patience(first_epoch) else epochs,
            initial_epoch=first_epoch,
            shuffle=False,  # they come shuffled
            callbacks=[*before, *own, *callbacks, *([bar] if progress else [])],
            verbose=0,
        ).history
    return {
        "epochs": first_epoch + len(history.get("loss", ())),
        "steps_per_epoch": steps_per_epoch,
        "parameters": model.count_params(),
        "seconds": time.monotonic() - began,
        f"best_{monitor.removeprefix('val_')}": checkpoint.best,
        "history": {name: [float(value) for value in values] for name, values in history.items()},
    }
