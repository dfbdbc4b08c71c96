"""Training runs: checkpoints, resuming, logs, progress and a summary."""

import pathlib
import time

import keras
import rich.console

from shared_layers.runtime.callbacks import Progress, SafeCheckpoint, StopOnNaN
from shared_layers.runtime.strategy import is_chief


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
    """Trains a compiled model with checkpoints and logs in a folder.

    The folder gets `best.keras` (by the monitored metric), `last.keras` (to resume from) and `logs/` for TensorBoard. If
    the optimizer keeps a moving average of the weights, the average is validated and saved as the best.

    Args:
        model: a compiled `shared_layers.runtime.Model`.
        batches: function (index of the first epoch) -> shuffled `tf.data.Dataset` that lasts for all epochs.
        validation: `tf.data.Dataset` of batches.
        folder: str or path-like, the folder of the run.
        epochs: int, the number of epochs.
        steps_per_epoch: int, batches per epoch.
        monitor: str, the metric that determines the best epoch.
        mode: "min" or "max", whether lower or higher values of it are better.
        patience: int, stop after this many epochs without improvement; or `None` to train all `epochs`.
        callbacks: sequence of further `keras.callbacks.Callback`.
        begin: function (index of the first epoch), called before training; or `None`.
        resume: bool, whether to continue from the folder's `last.keras`, if there is one.
        progress: bool, whether to show a progress bar and a line for each epoch on standard error.

    Returns:
        dict, ready for JSON: "epochs" (the number of trained epochs, including those before a resume; a callback may have
        ended the last one early), "steps_per_epoch", "parameters", "seconds", "best_accuracy" (or "best_" and the
        monitored metric, without "val_"), and "history" {metric: values of the epochs of this call}.

    Raises:
        ValueError: a checkpoint of another model; in training, a loss that is not finite.
        OSError: the folder cannot be created.
    """
    folder = pathlib.Path(folder)
    checkpoint = SafeCheckpoint(folder, monitor=monitor, mode=mode, patience=patience)
    first_epoch = checkpoint.resume(model) if resume else 0
    folder.mkdir(parents=True, exist_ok=True)
    if not first_epoch and is_chief(model.distribute_strategy):
        (folder / "last.keras").unlink(missing_ok=True)  # left by an earlier run: a later resume would continue that run
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
            shuffle=False,  # already shuffled
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
