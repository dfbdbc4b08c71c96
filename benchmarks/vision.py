"""Speed of the vision side beside KerasHub's models of the same size, on this machine's CPU.

    python -m benchmarks.vision [--rounds 7] [--rows inference training heatmap export]

Every figure is a median over rounds in which all rivals take turns in random order; the rate of a matrix product is
measured in the same rounds. KerasHub's models run with XLA and without it, and are judged by the faster.
"""

import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_nlp
import numpy as np
import tensorflow as tf

import vitkit
from benchmarks.timing import command, interleave, matrix_product, median_ratio, stopwatch
from shared_layers.runtime import make_optimizer
from vitkit.evidence import tscam

_BASE = {"num_layers": 12, "num_heads": 12, "hidden_dim": 768}
_SMALL = {"num_layers": 12, "num_heads": 6, "hidden_dim": 384}


def ours(sizes):
    """Our classifier of 1000 classes."""
    return vitkit.ViTClassifier(1000, **sizes, intermediate_dim=4 * sizes["hidden_dim"])


def theirs(sizes):
    """KerasHub's."""
    backbone = keras_nlp.models.ViTBackbone((224, 224, 3), (16, 16), **sizes, mlp_dim=4 * sizes["hidden_dim"])
    return keras_nlp.models.ViTImageClassifier(backbone, num_classes=1000)


def inference(rounds):
    """ViT-B/16, eight pictures at a time, by `predict_on_batch`."""
    images = np.random.default_rng(0).normal(size=(8, 224, 224, 3)).astype("float32")
    multiply, operations = matrix_product()
    models = {"vitkit": (ours, False), "KerasHub": (theirs, False), "KerasHub, XLA": (theirs, True)}
    rivals = {}
    for name, (make, xla) in models.items():
        model = make(_BASE)
        model.compile(jit_compile=xla)
        rivals[name] = lambda model=model: model.predict_on_batch(images)
    seconds = interleave({**rivals, "matrix product": multiply}, rounds)
    print(f"\nViT-B/16 inference, batch 8, medians of {rounds}")
    for name in rivals:
        median = statistics.median(seconds[name])
        print(f"  {name:<16}{median:>8.3f} s  {len(images) / median:>6.1f} pictures/s")
    print(f"  matrix product  {operations / statistics.median(seconds['matrix product']) / 1e9:>8.0f} GFLOP/s")
    best = min(("KerasHub", "KerasHub, XLA"), key=lambda name: statistics.median(seconds[name]))
    print(f"  throughput over {best}: {median_ratio(seconds[best], seconds['vitkit']):.2f}x (at least 1.15)")


def training(rounds):
    """ViT-S/16, sixteen pictures at a time, by `train_on_batch`, AdamW: ours as `vitkit.train` makes it, and Keras's."""
    random = np.random.default_rng(0)
    images = random.normal(size=(16, 224, 224, 3)).astype("float32")
    labels = random.integers(0, 1000, 16)
    multiply, operations = matrix_product()
    models = {
        "vitkit": (ours, False),
        "vitkit, XLA": (ours, True),
        "KerasHub": (theirs, False),
        "KerasHub, XLA": (theirs, True),
    }
    rivals, first = {}, {}
    for name, (make, xla) in models.items():
        model = make(_SMALL)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if make is ours:
            optimizer = make_optimizer(model.trainable_variables, 1e-4, weight_decay=0.004)
        else:
            optimizer = keras.optimizers.AdamW(1e-4, weight_decay=0.004)
        model.compile(optimizer, loss, jit_compile=xla)
        rivals[name] = lambda model=model: model.train_on_batch(images, labels)
        first[name] = stopwatch(rivals[name])
    seconds = interleave({**rivals, "matrix product": multiply}, rounds)
    print(f"\nViT-S/16 training step, batch 16, medians of {rounds}; the first step traces and compiles")
    for name in rivals:
        print(f"  {name:<16}{statistics.median(seconds[name]):>8.3f} s  first step {first[name]:>5.1f} s")
    print(f"  matrix product  {operations / statistics.median(seconds['matrix product']) / 1e9:>8.0f} GFLOP/s")
    mine, best = (
        min((name for name in rivals if name.startswith(kit)), key=lambda name: statistics.median(seconds[name]))
        for kit in ("vitkit", "KerasHub")
    )
    print(f"  step of {mine} over {best}: {median_ratio(seconds[mine], seconds[best]):.2f} (at most 1)")
    print(f"  first step of {mine} over {best}: {first[mine] / first[best]:.2f} (at most 0.5)")


def heatmap(rounds):
    """ViT-B/16, eight pictures at a time: a prediction with and without the heatmap."""
    model = ours(_BASE)
    images = tf.random.normal((8, 224, 224, 3))
    target = tf.fill((8,), -1)
    plain = tf.function(lambda: model(images, training=False), autograph=False)
    with_map = tf.function(lambda: tscam(model, images, target), autograph=False)
    rivals = {"prediction": lambda: plain().numpy(), "with tscam": lambda: with_map()["evidence"].numpy()}
    seconds = interleave(rivals, rounds)
    print(f"\nViT-B/16, batch 8: what a heatmap costs, medians of {rounds}")
    for name in rivals:
        print(f"  {name:<16}{statistics.median(seconds[name]):>8.3f} s")
    print(f"  cost: {median_ratio(seconds['with tscam'], seconds['prediction']):.3f}x a prediction (at most 1.05)")


def export(rounds):
    """ViT-B/16 to a SavedModel of three signatures."""
    model = ours(_BASE)
    with tempfile.TemporaryDirectory() as folder:
        seconds = [stopwatch(lambda: vitkit.export(model, f"{folder}/saved_model")) for _ in range(min(rounds, 3))]
    print(f"\nViT-B/16 export: {statistics.median(seconds):.1f} s, median of {len(seconds)} (under 15)")


if __name__ == "__main__":
    command(__doc__, (inference, training, heatmap, export))
