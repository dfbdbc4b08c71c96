"""The demo: train, evaluate, explain and export a small ViT on drawn birds."""

import json
import pathlib
import time

import keras
import numpy as np

from shared_layers.runtime import get_strategy, write_aside
from vitkit import drawing
from vitkit.classifier import ViTClassifier
from vitkit.datasets import load
from vitkit.evaluation import evaluate, table
from vitkit.heatmaps import explain
from vitkit.saved_model import export
from vitkit.training import train

_DATASET, _SMOKE_DATASET = "bird_focus/64", "bird_focus/64_small"
MODEL = {
    "pooling": "mean",
    "use_class_token": False,
    "image_shape": (96, 96, 3),  # upsampled from 64 pixels: smaller patches relative to the birds, finer heatmaps
    "patch_size": 8,
    "num_layers": 4,
    "num_heads": 4,
    "hidden_dim": 96,
    "intermediate_dim": 192,
}
_METHODS = ("auto", "rollout", "tscam")
_FAILURES = 3


def run_demo(folder="runs/demo", epochs=6, strategy="mirrored", smoke=False, seed=0, report=lambda text: None):
    """Trains, evaluates, explains and exports a small ViT on `bird_focus/64`.

    The folder gets `model.keras`, `preset/`, `saved_model/`, `heatmaps.png`, `metrics.json`, and the checkpoints and
    TensorBoard logs of `vitkit.train`.

    Args:
        folder: str or path-like, created if missing.
        epochs: int, the number of epochs.
        strategy: str, see `shared_layers.runtime.get_strategy`.
        smoke: bool, whether to use few pictures and one epoch: a quick check that everything runs; the metrics mean nothing.
        seed: int, for initial weights, order of pictures, dropout and random baseline maps.
        report: function of a str, called with a progress message at each step.

    Returns:
        dict, what `metrics.json` holds: "training" (see `vitkit.train`), "test" and "test_swapped" (see
        `vitkit.evaluate`), and "seconds", the total time, including drawing the data set on its first use.
    """
    began = time.monotonic()
    folder = pathlib.Path(folder)
    splits = ("train", "validation", "test", "test_swapped")
    dataset = _SMOKE_DATASET if smoke else _DATASET
    report(f"data: {dataset}, drawn on first use")
    sources = {split: load(dataset, split) for split in splits}
    epochs = 1 if smoke else epochs
    keras.utils.set_random_seed(seed)  # for the new weights
    with get_strategy(strategy).scope():
        model = ViTClassifier(len(sources["train"].class_names), class_names=sources["train"].class_names, **MODEL)
    report(f"training: {model.count_params():,} parameters, {epochs} epochs, strategy {strategy}")
    training = train(
        model,
        sources["train"],
        sources["validation"],
        folder,
        epochs=epochs,
        batch_size=32 if smoke else 64,
        warmup_epochs=0.5 if smoke else 1.0,
        learning_rate=1e-3,
        jit_compile="auto",  # XLA, unless there are several replicas
        cache=True,
        seed=seed,
    )
    model = ViTClassifier.from_preset(folder / "best.keras")
    metrics = {"training": training}
    for split in ("test", "test_swapped"):
        report(f"evaluating: {split}")
        metrics[split] = evaluate(model, sources[split], seed=seed, deletion_limit=64 if split == "test" else 0)
    report("drawing and exporting")
    drawing.save(folder / "heatmaps.png", draw_heatmaps(model, sources["test"]))
    with write_aside(folder / "model.keras") as temporary:
        model.save(temporary)
    model.save_to_preset(folder / "preset")
    export(model, folder / "saved_model")
    metrics["seconds"] = time.monotonic() - began
    with write_aside(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def draw_heatmaps(model, source, count=8):
    """Draws pictures with heatmaps of three methods; the last few pictures are misclassified ones, if there are any.

    Args:
        model: a `vitkit.ViTClassifier`.
        source: `vitkit.datasets.Source` with masks.
        count: int, the number of pictures.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    examples = list(source.dataset.as_numpy_iterator())
    images, labels = (np.stack([example[key] for example in examples]) for key in ("image", "label"))
    predicted = explain(model, images).logits.argmax(-1)
    wrong = np.flatnonzero(predicted != labels)[:_FAILURES]
    right = np.flatnonzero(predicted == labels)[: count - len(wrong)]
    shown = np.concatenate([right, wrong])
    names = source.class_names
    return drawing.grid(
        images[shown],
        {seen.method: seen.heatmap for seen in (explain(model, images[shown], method) for method in _METHODS)},
        masks=[examples[index]["mask"] for index in shown],
        labels=[names[index] for index in labels[shown]],
        predictions=[names[index] for index in predicted[shown]],
    )


def summary(metrics, folder):
    """Formats the demo's metrics as text, with what to try next.

    Args:
        metrics: dict that `run_demo` returned.
        folder: str or path-like, the folder that the demo wrote to.

    Returns:
        str of several lines.
    """
    swapped = metrics["test_swapped"]["accuracy"]["top1"]
    return "\n".join(
        [
            table(metrics["test"]),
            "",
            f"accuracy on swapped backgrounds: {swapped:.3f} ({metrics['test']['accuracy']['top1']:.3f} on their own)",
            f"{metrics['seconds']:.0f} s, {metrics['training']['seconds']:.0f} of them training; everything is in {folder}",
            "",
            "Next:",
            f"  look at {folder}/heatmaps.png",
            f"  vitkit explain YOUR_PHOTO.jpg --model {folder}/model.keras --out heatmap.png",
            f"  tensorboard --logdir {folder}/logs",
            f"  vitkit train --data YOUR_FOLDER --model {folder}/preset --out runs/mine",
        ]
    )
