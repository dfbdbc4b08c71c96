"""The whole way on drawn birds: train, evaluate, explain, export."""

import dataclasses
import json
import pathlib

import numpy as np

from shared_layers.runtime import get_strategy, write_aside
from vitkit import drawing
from vitkit.classifier import ViTClassifier
from vitkit.datasets import load
from vitkit.evaluation import evaluate, table
from vitkit.export import export
from vitkit.heatmaps import explain
from vitkit.training import train

_DATASET = "bird_focus/64"
_MODEL = {
    "pooling": "mean",
    "use_class_token": False,  # heatmaps then come from patches that the head was trained on
    "image_shape": (64, 64, 3),
    "patch_size": 8,
    "num_layers": 6,
    "num_heads": 4,
    "hidden_dim": 128,
    "intermediate_dim": 256,
}
_METHODS = ("auto", "legrad", "gradcam")
_FAILURES = 3


def run_demo(folder="runs/demo", epochs=12, strategy="mirrored", smoke=False, seed=0, report=lambda text: None):
    """Trains a small ViT on `bird_focus/64`, measures where it looks, and exports it.

    The folder gets `model.keras`, `preset/`, `saved_model/`, `heatmaps.png`, `metrics.json`, and the checkpoints and
    TensorBoard logs of `vitkit.train`.

    Args:
        folder: str or path-like.
        epochs: int.
        strategy: str, see `shared_layers.runtime.get_strategy`.
        smoke: bool, few pictures and one epoch, to see in seconds that all runs; what it measures means nothing.
        seed: int.
        report: callable of str, told what is going on.

    Returns:
        dict, what `metrics.json` holds: "training" (see `vitkit.train`), "test" and "test_swapped" (see
        `vitkit.evaluate`).
    """
    folder = pathlib.Path(folder)
    splits = ("train", "validation", "test", "test_swapped")
    report(f"data: {_DATASET}, drawn at the first use")
    sources = {split: load(_DATASET, split) for split in splits}
    if smoke:
        epochs, sources = 1, {split: _first(source, 64) for split, source in sources.items()}
    with get_strategy(strategy).scope():
        model = ViTClassifier(len(sources["train"].class_names), class_names=sources["train"].class_names, **_MODEL)
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
        cache=True,
        seed=seed,
    )
    model = ViTClassifier.from_preset(folder / "best.keras")
    metrics = {"training": training}
    for split in ("test", "test_swapped"):
        report(f"evaluating: {split}")
        metrics[split] = evaluate(model, sources[split], seed=seed, deletion_limit=16 if smoke else 64)
    with write_aside(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    report("drawing and exporting")
    drawing.save(folder / "heatmaps.png", draw_heatmaps(model, sources["test"]))
    with write_aside(folder / "model.keras") as temporary:
        model.save(temporary)
    model.save_to_preset(folder / "preset")
    export(model, folder / "saved_model")
    return metrics


def draw_heatmaps(model, source, count=8):
    """Draws pictures with heatmaps of three methods; the last few are ones that the model gets wrong, if there are any.

    Args:
        model: a `vitkit.ViTClassifier`.
        source: what `vitkit.datasets.load` returns, with masks.
        count: int, how many pictures.

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
    """Sets the demo's numbers as text, with what to try next.

    Args:
        metrics: dict that `run_demo` returned.
        folder: str or path-like, where the demo wrote.

    Returns:
        str of several lines.
    """
    swapped = metrics["test_swapped"]["accuracy"]["top1"]
    return "\n".join(
        [
            table(metrics["test"]),
            "",
            f"accuracy on swapped backgrounds: {swapped:.3f} ({metrics['test']['accuracy']['top1']:.3f} on their own)",
            f"trained in {metrics['training']['seconds']:.0f} s; everything is in {folder}",
            "",
            "Next:",
            f"  look at {folder}/heatmaps.png",
            f"  vitkit explain YOUR_PHOTO.jpg --model {folder}/model.keras --out heatmap.png",
            f"  tensorboard --logdir {folder}/logs",
            f"  vitkit train --data YOUR_FOLDER --model {folder}/preset --out runs/mine",
        ]
    )


def _first(source, count):
    return dataclasses.replace(source, dataset=source.dataset.take(count), num_examples=count)
