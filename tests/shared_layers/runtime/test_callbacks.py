import errno
import io
import os
import resource
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import rich.console

from shared_layers import runtime
from shared_layers.runtime import callbacks
from tests.shared_layers.runtime.small_model import SmallModel, compile_model, make_data, set_same_weights
from tests.shared_layers.runtime.test_replicas import ROOT


def make_model(**optimizer):
    model = SmallModel(dropout=0.3)
    compile_model(model, **optimizer)
    set_same_weights(model)
    return model


def fit(model, epochs, callbacks=(), initial_epoch=0, rows=19):
    inputs, labels = make_data(rows)
    return model.fit(
        inputs,
        labels,
        batch_size=5,
        shuffle=False,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=(inputs, labels),
        callbacks=list(callbacks),
        verbose=0,
    ).history


def state(model):
    return [keras.ops.convert_to_numpy(variable) for variable in [*model.weights, *model.optimizer.variables]]


def test_resumed_training_is_the_same_training(tmp_path):
    # 4 batches an epoch and 3 to an update: the checkpoint falls between two updates.
    optimizer = {"gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.5}
    whole = make_model(**optimizer)
    history = fit(whole, 4, [keras.callbacks.SwapEMAWeights()])

    swap = keras.callbacks.SwapEMAWeights
    fit(make_model(**optimizer), 2, [swap(), runtime.SafeCheckpoint(tmp_path)])
    resumed = make_model(**optimizer)
    checkpoint = runtime.SafeCheckpoint(tmp_path)
    epoch = checkpoint.resume(resumed)
    assert epoch == 2
    assert checkpoint.best == pytest.approx(min(history["val_loss"][:2]), abs=1e-6)
    rest = fit(resumed, 4, [swap(), checkpoint], initial_epoch=epoch)

    np.testing.assert_allclose(rest["loss"], history["loss"][2:], atol=1e-6)
    np.testing.assert_allclose(rest["val_loss"], history["val_loss"][2:], atol=1e-6)
    for found, expected in zip(state(resumed), state(whole), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_resumed_training_has_the_learning_rate_that_a_callback_set(tmp_path):
    def make():
        model = make_model()
        model.compile(keras.optimizers.SGD(0.3, momentum=0.9), model.loss)
        return model

    halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    whole = make()
    fit(whole, 3, [halving])
    fit(make(), 2, [halving, runtime.SafeCheckpoint(tmp_path)])
    resumed = make()
    fit(resumed, 3, [halving], initial_epoch=runtime.SafeCheckpoint(tmp_path).resume(resumed))
    assert float(resumed.optimizer.learning_rate) == pytest.approx(0.3 / 8)
    for found, expected in zip(state(resumed), state(whole), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_nothing_to_resume(tmp_path):
    assert runtime.SafeCheckpoint(tmp_path).resume(make_model()) == 0


def test_resume_refuses_another_optimizer(tmp_path):
    fit(make_model(), 1, [runtime.SafeCheckpoint(tmp_path)])
    with pytest.raises(ValueError, match=r"of this model and optimizer. Received: path=.*last.keras"):
        runtime.SafeCheckpoint(tmp_path).resume(make_model(use_ema=True))


def test_resume_refuses_another_model(tmp_path):
    fit(make_model(), 1, [runtime.SafeCheckpoint(tmp_path)])
    other = SmallModel(units=13)
    compile_model(other)
    with pytest.raises(ValueError, match=r"of this model and optimizer. Received: path=.*last.keras"):
        runtime.SafeCheckpoint(tmp_path).resume(other)


def test_resume_refuses_a_truncated_file(tmp_path):
    (tmp_path / "last.keras").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"of this model and optimizer. Received: path=.*last.keras"):
        runtime.SafeCheckpoint(tmp_path).resume(make_model())


class Values(keras.callbacks.Callback):
    """Gives the epochs these values of a metric, and remembers the weights and their averages."""

    def __init__(self, values):
        super().__init__()
        self.values = values
        self.weights, self.averages = [], []

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.values[epoch]
        self.weights.append(self.model.get_weights())
        kept = {variable.name: variable.numpy() for variable in self.model.optimizer.variables}
        self.averages.append([value for name, value in kept.items() if name.endswith("_average")])


@pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 2)])
def test_best_and_last(tmp_path, mode, best):
    values = Values([0.5, 0.7, 0.3, float("nan")])
    fit(make_model(), 4, [values, runtime.SafeCheckpoint(tmp_path, monitor="score", mode=mode)])
    for name, epoch in (("best", best), ("last", 3)):
        saved = keras.saving.load_model(tmp_path / f"{name}.keras").get_weights()
        for found, expected in zip(saved, values.weights[epoch], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert sorted(contents(tmp_path)) == ["best.keras", "last.keras"]


def test_an_earlier_run_s_best_stays_until_this_run_has_an_epoch(tmp_path):
    (tmp_path / "best.keras").write_text("an earlier run's")
    checkpoint = runtime.SafeCheckpoint(tmp_path, monitor="score")
    checkpoint.set_model(make_model())
    checkpoint.on_train_begin()
    assert contents(tmp_path) == {"best.keras": b"an earlier run's"}
    fit(make_model(), 1, [Values([float("nan")]), runtime.SafeCheckpoint(tmp_path, monitor="score")])
    assert sorted(contents(tmp_path)) == ["last.keras"]


def test_patience_ends_training_also_where_it_is_resumed(tmp_path):
    def checkpoint():
        return runtime.SafeCheckpoint(tmp_path, monitor="score", mode="max", patience=2)

    values = Values([0.5, 0.7, 0.6, 0.65, 0.9])
    fit(make_model(), 3, [values, checkpoint()])
    resumed, model = checkpoint(), make_model()
    assert resumed.resume(model) == 3
    assert not resumed.is_out_of_patience(3)
    history = fit(model, 5, [values, resumed], initial_epoch=3)
    assert len(history["loss"]) == 1
    again = checkpoint()
    assert again.resume(make_model()) == 4
    assert again.is_out_of_patience(4)
    assert again.best == 0.7


def test_best_has_the_averaged_weights_and_last_the_others(tmp_path):
    values = Values([0.5])
    model = make_model(use_ema=True, ema_momentum=0.9)
    fit(model, 1, [values, runtime.SafeCheckpoint(tmp_path, monitor="score")])
    best = keras.saving.load_model(tmp_path / "best.keras").get_weights()
    last = keras.saving.load_model(tmp_path / "last.keras").get_weights()
    for found, expected, apart in zip(best, values.averages[0], last, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert np.abs(found - apart).max() > 1e-4
    for found, expected in zip(last, values.weights[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def stop_half_way(model, name, stop):
    """Makes a model leave half of the file `name` when it saves itself, and then call `stop`."""
    save = model.save

    def save_half(path):
        save(path)
        if path.name == name:
            os.truncate(path, path.stat().st_size // 2)
            stop()

    model.save = save_half


def fill_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def press_control_c():
    # a shell starts what it puts in the background with the signal ignored
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize("name", ["best.keras", "last.keras"])
@pytest.mark.parametrize(("stop", "error"), [(fill_disk, OSError), (press_control_c, KeyboardInterrupt)])
def test_a_save_that_stops_half_way_keeps_the_previous_checkpoint(tmp_path, name, stop, error):
    model = make_model()
    callbacks = [Values([0.5, 0.3]), runtime.SafeCheckpoint(tmp_path, monitor="score")]
    fit(model, 1, callbacks)
    before = contents(tmp_path)
    stop_half_way(model, name, stop)
    with pytest.raises(error):
        fit(model, 2, callbacks, initial_epoch=1)
    after = contents(tmp_path)
    assert after.keys() == before.keys() == {"best.keras", "last.keras"}
    # The best is written first: where the last one fails it is new, and whole.
    assert [key for key in before if after[key] != before[key]] == ([] if name == "best.keras" else ["best.keras"])
    keras.saving.load_model(tmp_path / "best.keras")
    assert runtime.SafeCheckpoint(tmp_path).resume(make_model()) == 1


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_disk_with_too_little_room_keeps_the_previous_checkpoint(tmp_path, share):
    model = make_model()
    checkpoint = runtime.SafeCheckpoint(tmp_path)
    fit(model, 1, [checkpoint])
    before = contents(tmp_path)
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = int(share * min(map(len, before.values())))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, most))
        with pytest.raises(OSError, match="File too large"):
            fit(model, 2, [checkpoint], initial_epoch=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path) == before


def test_a_kill_while_saving_keeps_the_previous_checkpoint(tmp_path):
    program = f"""
import os, signal
from tests.shared_layers.runtime import test_callbacks as here
model = here.make_model()
checkpoint = here.runtime.SafeCheckpoint({str(tmp_path)!r})
here.fit(model, 1, [checkpoint])
here.stop_half_way(model, "last.keras", lambda: os.kill(os.getpid(), signal.SIGKILL))
here.fit(model, 2, [checkpoint], initial_epoch=1)
"""
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == -signal.SIGKILL, process.stderr[-3000:]
    found, expected = make_model(), make_model()
    checkpoint = runtime.SafeCheckpoint(tmp_path)
    assert checkpoint.resume(found) == 1
    fit(expected, 1)
    for one, other in zip(state(found), state(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    keras.saving.load_model(tmp_path / "best.keras")
    assert len(list(tmp_path.iterdir())) == 3
    fit(found, 2, [checkpoint], initial_epoch=1)
    assert sorted(contents(tmp_path)) == ["best.keras", "last.keras"]


def test_checkpoint_refuses_unknown_names(tmp_path):
    with pytest.raises(ValueError, match=r"Unknown mode; expected one of 'max', 'min'. Received: mode='best'"):
        runtime.SafeCheckpoint(tmp_path, mode="best")
    with pytest.raises(ValueError, match=r"did you mean 'val_accuracy'.* Received: metric='val_acuracy'"):
        fit(make_model(), 1, [runtime.SafeCheckpoint(tmp_path, monitor="val_acuracy")])


class Poison(keras.callbacks.Callback):
    """Spoils the weights after the first step of the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.epoch == 1 and batch == 0:
            self.model.set_weights([weight + np.nan for weight in self.model.get_weights()])

    def on_epoch_begin(self, epoch, logs=None):
        self.model.epoch = epoch


def test_stops_on_nan_and_keeps_the_last_good_checkpoint(tmp_path):
    model = make_model()
    with pytest.raises(ValueError, match=r"Expected a finite loss.* Received: loss=nan at epoch 2, step 2"):
        fit(model, 3, [Poison(), runtime.StopOnNaN(), runtime.SafeCheckpoint(tmp_path)])
    good = make_model()
    assert runtime.SafeCheckpoint(tmp_path).resume(good) == 1
    for whole in (good, keras.saving.load_model(tmp_path / "best.keras")):
        assert all(np.isfinite(weight).all() for weight in whole.get_weights())
    assert sorted(contents(tmp_path)) == ["best.keras", "last.keras"]


def progress_of(terminal, **fit_options):
    output = io.StringIO()
    console = rich.console.Console(file=output, force_terminal=terminal, width=120)
    with runtime.Progress(console) as progress:
        fit(make_model(), 2, [progress], **fit_options)
    return output.getvalue()


def test_progress_writes_a_line_for_each_epoch():
    lines = progress_of(terminal=False).splitlines()
    assert len(lines) == 2
    for epoch, line in enumerate(lines, start=1):
        assert line.startswith(f"epoch {epoch}/2  accuracy 0.")
        for name in ("loss ", "val_loss ", " s)"):
            assert name in line


def test_progress_shows_a_bar_in_a_terminal():
    shown = progress_of(terminal=True)
    assert "8/8" in shown
    assert "epoch 1/2  accuracy" in shown


def test_progress_leaves_the_terminal_in_order_when_fit_raises():
    output = io.StringIO()
    console = rich.console.Console(file=output, force_terminal=True)
    with pytest.raises(ValueError, match=r"finite loss"), runtime.Progress(console) as progress:
        fit(make_model(), 2, [progress, Poison(), runtime.StopOnNaN()])
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert output.getvalue().rindex(show) > output.getvalue().rindex(hide)


def test_others_than_the_chief_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "is_chief", lambda strategy: False)
    assert progress_of(terminal=True) == ""
    fit(make_model(), 1, [runtime.SafeCheckpoint(tmp_path)])
    assert list(tmp_path.iterdir()) == []
