"""Callbacks for `fit`: checkpoints that are whole, an end when the loss is lost, and progress."""

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
    """Keeps two whole models in a folder: `best.keras`, to use, and `last.keras`, to go on training from.

    Each is written aside and then renamed, so a kill or a full disk leaves the previous one; what a kill left half-written
    the next training in the folder removes. Among several workers only the chief's are kept; `resume` needs a folder that
    all of them see.

    Where the optimizer keeps a moving average of the weights (`use_ema=True`), `best.keras` has the average
    for its weights, which `fit` also leaves in the model at its end. To choose the best by it, put
    `keras.callbacks.SwapEMAWeights()` among the callbacks, so that validation measures the average.

    Args:
        folder: str or path-like.
        monitor: str, the metric of an epoch that says which is best.
        mode: "min" or "max", which values of it are better.
        patience: int, after how many epochs without a better one training ends; or `None`, at its appointed end.

    Raises:
        ValueError: for another mode; in `fit`, if there is no such metric.

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
        """Restores a model, its optimizer and the best value so far from `last.keras`, if there is one.

        Args:
            model: a compiled and built model like the one that was being trained.

        Returns:
            int, the `initial_epoch` to give to `fit`: 0 if there is nothing to resume.

        Raises:
            ValueError: if the checkpoint is of another model or optimizer.
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
                # Keras goes on with a fresh optimizer, and only warns.
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
        """Says whether training ends before an epoch, as none of the last ones was better than those before."""
        return None not in (self.patience, self.best_epoch) and epoch - self.best_epoch > self.patience

    def on_train_begin(self, logs=None):
        """Removes what a killed run has left."""
        if is_chief(getattr(self.model, "distribute_strategy", None)):
            for name in ("best.keras", "last.keras"):
                remove_leftovers(self.folder / name)

    def on_epoch_end(self, epoch, logs=None):
        """Writes `best.keras` if this epoch is the best, and `last.keras`; ends training where there is no patience left."""
        if self.monitor not in (logs or {}):
            raise unknown_name("metric", self.monitor, logs or {})
        value = float(logs[self.monitor])
        sign = 1.0 if self.mode == "min" else -1.0
        if math.isfinite(value) and (self.best is None or sign * value < sign * self.best):
            self.best, self.best_epoch = value, epoch
            with _averaged_weights(self.model):
                self._write("best.keras", epoch)
        elif self.best_epoch is None and is_chief(getattr(self.model, "distribute_strategy", None)):
            (self.folder / "best.keras").unlink(missing_ok=True)  # an earlier run's, which would pass for this one's
        self._write("last.keras", epoch)
        if self.is_out_of_patience(epoch + 1):
            self.model.stop_training = True

    def _write(self, name, epoch):
        with contextlib.ExitStack() as stack:
            folder = self.folder
            if not is_chief(getattr(self.model, "distribute_strategy", None)):
                # Variables are read by all workers together, so this one writes too, and throws it away.
                folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            path = stack.enter_context(write_aside(folder / name))
            self.model.save(path)
            seeds = [keras.ops.convert_to_numpy(seed).tolist() for seed in _seeds(self.model)]
            progress = {"epoch": epoch + 1, "best": self.best, "best_epoch": self.best_epoch, "seeds": seeds}
            # As the archive's comment, the progress is in the same file and out of Keras's way.
            with zipfile.ZipFile(path, "a") as archive:
                archive.comment = json.dumps(progress).encode()


def _seeds(model):
    """The states of the model's random layers, which Keras does not save."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


@contextlib.contextmanager
def _averaged_weights(model):
    """Puts the optimizer's moving average of the weights, if it keeps one, in the weights' place."""
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
    """Ends training as soon as the loss is no longer finite.

    The checkpoints of `SafeCheckpoint` stay as the last good epoch left them.

    Raises:
        ValueError: in `fit`, with the epoch and the step.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                "Expected a finite loss; a lower learning rate or mixed_bfloat16 may help. "
                f"Received: loss={loss} at epoch {self._epoch + 1}, step {batch + 1}"
            )


class Progress(keras.callbacks.Callback):
    """Shows how training goes: a bar with the time left, and a line of metrics for each epoch.

    Where the output is no terminal there are only the lines; workers other than the chief write nothing. Pass
    `verbose=0` to `fit`. Used as a context manager, it leaves the terminal in order when `fit` raises.

    Args:
        console: `rich.console.Console`, or None for standard output.
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
        """Makes the bar."""
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
            # Begun at this epoch, so that the time left after a resume is judged by this run alone.
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
        """Takes the bar away."""
        self._stop()

    def _stop(self):
        if self._bar is not None:
            self._bar.stop()


def _readable(logs):
    return "  ".join(f"{name} {float(value):.4g}" for name, value in logs.items())
