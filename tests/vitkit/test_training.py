"""`train`: it learns, goes on where it stopped, decays what it should, and stops where it must."""

import itertools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared_layers.runtime import StopOnNaN, make_optimizer
from vitkit.classifier import ViTClassifier
from vitkit.datasets import Source
from vitkit.training import train

CLASSES = 3


def colours(count=33, classes=CLASSES):
    """Pictures whose label is the brightest channel."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 80, (count, 15, 20, 3), "uint8")
    images[np.arange(count), :, :, labels % 3] += 160
    dataset = tf.data.Dataset.from_tensor_slices({"image": images, "label": labels.astype("int64")})
    return Source(dataset, tuple("rgbk"[:classes]), count, "colours")


def classifier(**options):
    sizes = {"image_shape": (15, 20, 3), "patch_size": 5, "num_layers": 1, "num_heads": 2}
    keras.utils.set_random_seed(1)
    return ViTClassifier(CLASSES, "mean", **sizes, hidden_dim=14, intermediate_dim=17, **options)


def run(folder, model=None, **options):
    model = model or classifier()
    given = {"epochs": 2, "batch_size": 11, "warmup_epochs": 0.5, "augment": ("flip",), "progress": False, **options}
    return model, train(model, colours(), colours(), folder, **given)


def test_learns_and_writes_what_it_says(tmp_path):
    _, summary = run(tmp_path, epochs=8, learning_rate=1e-2)
    assert summary["best_accuracy"] > 0.9
    assert summary["steps_per_epoch"] == 3
    assert len(summary["history"]["val_accuracy"]) == 8
    json.dumps(summary)
    assert {path.name for path in tmp_path.iterdir()} == {"best.keras", "last.keras", "logs"}
    assert list(tmp_path.glob("logs/train/events*"))
    best = ViTClassifier.from_preset(tmp_path / "best.keras")
    assert best.get_config() == {**classifier().get_config(), "name": best.name}


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch):
    options = {"epochs": 4, "learning_rate": 1e-2, "augment": ("crop", "flip"), "rand_augment": 0.5, "mixup": 0.3}
    options |= {"cache": True, "ema_momentum": 0.5, "gradient_accumulation_steps": 2}  # which do not divide three batches
    straight, told = run(tmp_path / "straight", classifier(dropout=0.3), **options)
    batches = itertools.count(1)

    def interrupt(self, batch, logs=None):
        if next(batches) == 8:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", classifier(dropout=0.3), **options)
    resumed, summary = run(tmp_path / "resumed", classifier(dropout=0.3), resume=True, **options)

    assert [len(values) for values in summary["history"].values()] == [2] * len(summary["history"])
    for name, values in summary["history"].items():
        np.testing.assert_allclose(values, told["history"][name][2:], rtol=1e-5, err_msg=name)
    for one, other in ((straight, resumed), (straight.optimizer, resumed.optimizer)):
        for ours, theirs in zip(one.variables, other.variables, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=ours.path)
    assert summary["best_accuracy"] == told["best_accuracy"]


def test_a_new_run_does_not_leave_an_earlier_one_to_resume(tmp_path, monkeypatch):
    run(tmp_path, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", lambda self, batch, logs=None: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, epochs=1)
    assert not (tmp_path / "last.keras").exists()


def test_resuming_a_run_that_is_done_trains_nothing(tmp_path):
    first, told = run(tmp_path, epochs=1)
    again, summary = run(tmp_path, epochs=1, resume=True)
    assert not summary["history"]
    assert summary["best_accuracy"] == told["best_accuracy"]
    np.testing.assert_array_equal(first.head.kernel, again.head.kernel)


@pytest.mark.parametrize(
    "options",
    [
        {"ema_momentum": 0.5, "clip_norm": None},
        {"gradient_accumulation_steps": 3, "mixup": 0.2},
        {"jit_compile": True, "label_smoothing": 0.0},
    ],
)
def test_options_train(tmp_path, options):
    model = classifier()
    before = keras.ops.convert_to_numpy(model.head.kernel)
    _, summary = run(tmp_path, model, epochs=1, learning_rate=1e-2, **options)
    assert np.isfinite(summary["history"]["loss"]).all()
    assert np.abs(keras.ops.convert_to_numpy(model.head.kernel) - before).max() > 1e-4


def test_mixed_precision_trains(tmp_path):
    model, summary = run(tmp_path, classifier(dtype="mixed_bfloat16"), epochs=1)
    assert np.isfinite(summary["history"]["loss"]).all()
    assert model.head.kernel.dtype == "float32"


def test_only_kernels_decay():
    model = classifier(use_distillation_token=True, num_register_tokens=2, layer_scale_init=0.1)
    optimizer = make_optimizer(model.trainable_variables, 0.1, weight_decay=0.5)
    before = [weight.numpy().copy() for weight in model.trainable_weights]
    optimizer.apply([tf.zeros_like(weight) for weight in before], model.trainable_weights)
    decayed = {
        weight.path: not np.array_equal(weight, old) for weight, old in zip(model.trainable_weights, before, strict=True)
    }
    assert decayed == {path: path.endswith("kernel") for path in decayed}


def test_a_lost_loss_stops_with_the_step(tmp_path):
    model = classifier()
    model.head.kernel.assign(model.head.kernel * np.nan)
    with pytest.raises(ValueError, match=r"at epoch 1, step 1"):
        run(tmp_path, model)
    assert not list(tmp_path.glob("*.keras"))


def test_refuses_data_of_other_classes(tmp_path):
    with pytest.raises(ValueError, match=r"the model's 3 classes. Received: 'colours' with 4 classes"):
        train(classifier(), colours(classes=4), colours(), tmp_path)


def test_refuses_a_batch_larger_than_the_data(tmp_path):
    with pytest.raises(ValueError, match=r"a batch of 1 to 33 pictures, .* of 'colours'\. Received: batch_size=34"):
        run(tmp_path / "run", batch_size=34)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup_epochs", -1),
        ("weight_decay", -0.1),
        ("label_smoothing", 1.0),
        ("clip_norm", 0.0),
        ("ema_momentum", 1.0),
        ("gradient_accumulation_steps", 0),
    ],
)
def test_refuses_numbers_out_of_range(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"^Expected a number .*\. Received: {name}={value}$"):
        run(tmp_path / "run", **{name: value})
    assert not any(tmp_path.iterdir())


def test_refuses_classes_in_another_order(tmp_path):
    with pytest.raises(ValueError, match=r"same order, such as 'g'\. Received: 'colours' with 'r' in its place"):
        run(tmp_path / "run", classifier(class_names=["g", "r", "b"]))


def test_the_warm_up_leaves_half_of_a_short_run(tmp_path):
    _, summary = run(tmp_path, epochs=1, warmup_epochs=5.0)
    assert np.isfinite(summary["history"]["loss"]).all()
