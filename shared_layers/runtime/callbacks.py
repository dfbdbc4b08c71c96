"""Callbacks for `fit`: atomic checkpoints, a stop on NaN, and progress."""

import contextlib
import json
import math
import pathlib
import tempfile
import time
import warnings
import zipfile

import keras

from shared_layers.runtime.files import remove_leftovers, write_aside
from shared_layers.runtime.names import unknown_name
from shared_layers.runtime.strategy import is_chief


class SafeCheckpoint(keras.callbacks.Callback):
    """Saves two models in a folder: `best.keras`, the best epoch, and `last.keras`, to resume from.

    Each is written atomically: if the process is killed or the disk is full, the previous file stays. Temporary files of a
    killed run are removed by the next run in the folder. With several workers only the chief's files are kept; `resume`
    needs a folder that all workers can read.

    If the optimizer keeps a moving average of the weights (`use_ema=True`), `best.keras` has the average as its weights,
    as `fit` also leaves in the model at its end. To select the best epoch by the average, also pass
    `keras.callbacks.SwapEMAWeights()`, so that validation measures the average.

    Args:
        folder: str or path-like, the folder of the run.
        monitor: str, the metric that determines the best epoch.
        mode: "min" or "max", whether lower or higher values of it are better.
        patience: int, stop after this many epochs without improvement; or `None` for no early stopping.

    Raises:
        ValueError: an unknown mode; in `fit`, an unknown metric.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(loss="mse")
        >>> checkpoint = SafeCheckpoint(tempfile.mkdtemp(), monitor="loss")
        >>> epoch = checkpoint.resume(model)
        >>> history = model.fit(
        ...     np.ones((7, 3)), np.ones((7, 1)), initial_epoch=epoch, callbacks=[checkpoint], verbose=0
        ... )
        >>> checkpoint.resume(model)
        1
    """

    def __init__(self, folder, monitor="val_loss", mode="min", patience=None):
        super().__init__()
        if mode not in ("min", "max"):
            raise unknown_name("mode", mode, ("min", "max"))
        self.folder = pathlib.Path(folder)
        self.monitor = monitor
        self.mode = mode
        self.patience = patience
        self.best = None
        self.best_epoch = None

    def resume(self, model):
        """Restores the model, its optimizer, random seeds and best value from `last.keras`, if there is one.

        Args:
            model: a compiled and built model with the same architecture and optimizer as the saved one.

        Returns:
            int, the `initial_epoch` for `fit`: 0 if there is nothing to resume.

        Raises:
            ValueError: a checkpoint of another model or optimizer.
        """
        path = self.folder / "last.keras"
        if not path.is_file():
            return 0
        if not model.optimizer.built:
            strategy = getattr(model, "distribute_strategy", None)
            with strategy.scope() if strategy else contextlib.nullcontext():
                model.optimizer.build(model.trainable_variables)
        try:
            with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
                # Keras only warns and continues with a fresh optimizer.
                warnings.filterwarnings("error", message="Skipping variable loading for optimizer")
                model.load_weights(path)
                progress = json.loads(archive.comment)
            for seed, value in zip(_seeds(model), progress["seeds"], strict=True):
                seed.assign(value)
        except (zipfile.BadZipFile, UserWarning, ValueError) as error:
            raise ValueError(f"Expected a checkpoint of this model and optimizer. Received: path={str(path)!r}") from error
        self.best, self.best_epoch = progress["best"], progress["best_epoch"]
        return progress["epoch"]

    def is_out_of_patience(self, epoch):
        """Returns whether training stops before an epoch, as the last `patience` epochs brought no improvement."""
        return None not in (self.patience, self.best_epoch) and epoch - self.best_epoch > self.patience

    def on_train_begin(self, logs=None):
        """Removes temporary files of a killed run."""
        if is_chief(getattr(self.model, "distribute_strategy", None)):
            for name in ("best.keras", "last.keras"):
                remove_leftovers(self.folder / name)

    def on_epoch_end(self, epoch, logs=None):
        """Writes `best.keras` if this epoch is the best, and `last.keras`; stops training if patience is exhausted."""
        if self.monitor not in (logs or {}):
            raise unknown_name("metric", self.monitor, logs or {})
        value = float(logs[self.monitor])
        sign = 1.0 if self.mode == "min" else -1.0
        if math.isfinite(value) and (self.best is None or sign * value < sign * self.best):
            self.best, self.best_epoch = value, epoch
            with _averaged_weights(self.model):
                self._write("best.keras", epoch)
        elif self.best_epoch is None and is_chief(getattr(self.model, "distribute_strategy", None)):
            (self.folder / "best.keras").unlink(missing_ok=True)  # left by an earlier run: it would look like this run's
        self._write("last.keras", epoch)
        if self.is_out_of_patience(epoch + 1):
            self.model.stop_training = True

    def _write(self, name, epoch):
        with contextlib.ExitStack() as stack:
            folder = self.folder
            if not is_chief(getattr(self.model, "distribute_strategy", None)):
                # Reading variables needs all workers, so this worker writes too, to a temporary folder.
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = stack.enter_context(write_aside(folder / name))
            self.model.save(path)
            seeds = [keras.ops.convert_to_numpy(seed).tolist() for seed in _seeds(self.model)]
            progress = {"epoch": epoch + 1, "best": self.best, "best_epoch": self.best_epoch, "seeds": seeds}
            # As the archive's comment, the progress is in the same file and Keras ignores it.
            with zipfile.ZipFile(path, "a") as archive:
                archive.comment = json.dumps(progress).encode()


def _seeds(model):
    """Returns the states of the model's seed generators, which Keras does not save."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


@contextlib.contextmanager
def _averaged_weights(model):
    """Context manager: replaces the weights by the optimizer's moving average, if it keeps one."""
    optimizer = model.optimizer
    if not getattr(optimizer, "inner_optimizer", optimizer).use_ema:
        yield
        return
    values = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, values, strict=True):
            variable.assign(value)


class StopOnNaN(keras.callbacks.Callback):
    """Stops training with an error as soon as the loss is not finite.

    The checkpoints of `SafeCheckpoint` remain those of the last good epoch.

    Raises:
        ValueError: in `fit`, a loss that is not finite; the message names the epoch and the step.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Checks the loss."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                "Expected a finite loss; a lower learning rate or mixed_bfloat16 may help. "
                f"Received: loss={loss} at epoch {self._epoch + 1}, step {batch + 1}"
            )


class Progress(keras.callbacks.Callback):
    """Shows a progress bar with the remaining time, and a line of metrics for each epoch.

    If the output is not a terminal, only the lines are written; workers other than the chief write nothing. Pass
    `verbose=0` to `fit`. Use it as a context manager to restore the terminal if `fit` raises.

    Args:
        console: `rich.console.Console`; `None` for standard output.
    """

    def __init__(self, console=None):
        super().__init__()
        import rich.console

        self.console = console or rich.console.Console()
        self._bar = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._stop()

    def on_train_begin(self, logs=None):
        """Starts the bar."""
        from rich import progress

        self._silent = not is_chief(getattr(self.model, "distribute_strategy", None))
        self._bar = progress.Progress(
            progress.TextColumn("epoch {task.fields[epoch]}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[metrics]}"),
            console=self.console,
            transient=True,
            disable=self._silent or not self.console.is_terminal,
        )
        self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        """Moves the bar to the epoch's first step."""
        self._began = time.monotonic()
        self._epoch = f"{epoch + 1}/{self.params['epochs']}"
        steps = self.params["steps"] or 0
        self._first_step = epoch * steps
        if not self._bar.tasks:
            # Started at this epoch, so that after a resume the remaining time is estimated from this run only.
            self._bar.add_task(
                "",
                total=steps * self.params["epochs"] or None,
                completed=self._first_step,
                epoch=self._epoch,
                metrics="",
            )

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        if not self._bar.disable:
            self._bar.update(
                self._bar.task_ids[0],
                completed=self._first_step + batch + 1,
                epoch=self._epoch,
                metrics=_readable(logs),
            )

    def on_epoch_end(self, epoch, logs=None):
        """Writes the epoch's line."""
        if not self._silent:
            seconds = time.monotonic() - self._began
            line = f"epoch {self._epoch}  {_readable(logs)}  ({seconds:.1f} s)"
            self.console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, logs=None):
        """Removes the bar."""
        self._stop()

    def _stop(self):
        if self._bar is not None:
            self._bar.stop()


def _readable(logs):
    return "  ".join(f"{name} {float(value):.4g}" for name, value in logs.items())
