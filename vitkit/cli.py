"""The command `vitkit`."""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared_layers.runtime import mixed_policy, progress_bar, run_command, writable

app = typer.Typer(
    help="Vision Transformers that show what they look at.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _drawable(path):
    if path.suffix.lower() not in (".png", ".npy"):
        raise ValueError(f"Expected a path that ends in .png or .npy. Received: out={str(path)!r}")
    return writable(path)


Model = Annotated[str, typer.Option(help="A preset's name, hf://owner/repository, a folder or a .keras file.")]
Data = Annotated[str, typer.Option("--data", "--dataset", help="A tensorflow_datasets name or a folder of class folders.")]
OnCorrupt = Annotated[
    str, typer.Option(help="Pictures in a folder that cannot be read: skip, refuse or trust (not looked for).")
]
Method = Annotated[str, typer.Option(help="How heatmaps are found; see vitkit.explain.")]
MixedPrecision = Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)]
Strategy = Annotated[str, typer.Option(help="none, mirrored, multi_worker or tpu.")]
Seed = Annotated[int, typer.Option(help="Of all that is random.", min=0, max=2**32 - 1)]
NewFolder = Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)]


@app.command()
def demo(
    out: NewFolder = Path("runs/demo"),
    epochs: Annotated[int, typer.Option(min=1)] = 6,
    strategy: Strategy = "mirrored",
    smoke: Annotated[bool, typer.Option("--smoke", help="Few pictures, one epoch: does it run?")] = False,
    seed: Seed = 0,
):
    """Train on drawn birds, measure where the model looks, draw heatmaps and export.

    Example: vitkit demo --out runs/demo
    """
    from vitkit.demo import run_demo, summary

    typer.echo(summary(run_demo(out, epochs, strategy, smoke, seed, report=typer.echo), out))


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run.", file_okay=False, callback=writable)],
    model: Model = "deit_tiny_patch16_224",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start from new weights, not the model's own.")] = False,
    image_size: Annotated[int | None, typer.Option(help="Pixels, instead of the model's own.", min=1)] = None,
    train_split: Annotated[str, typer.Option(help="Of tensorflow_datasets also a slice, such as train[:90%].")] = "train",
    validation_split: Annotated[str, typer.Option(help="The same.")] = "validation",
    on_corrupt: OnCorrupt = "skip",
    epochs: Annotated[int, typer.Option(min=1)] = 10,
    batch_size: Annotated[int, typer.Option(help="Of all replicas together.", min=1)] = 64,
    learning_rate: float = 1e-3,
    warmup_epochs: Annotated[float, typer.Option(help="How long the rate rises, at most half of the epochs.")] = 1.0,
    weight_decay: float = 0.05,
    label_smoothing: float = 0.1,
    clip_norm: float = 1.0,
    ema_momentum: Annotated[float | None, typer.Option(help="Average the weights, such as 0.999.")] = None,
    accumulate: Annotated[int, typer.Option(help="Batches for each step of the optimizer.", min=1)] = 1,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    rand_augment: Annotated[float, typer.Option(help="Strength in (0, 1], 0 for none.", min=0.0, max=1.0)] = 0.0,
    cache: Annotated[bool, typer.Option("--cache", help="Keep the decoded pictures in memory.")] = False,
    mixed_precision: MixedPrecision = None,
    xla: Annotated[bool, typer.Option("--xla", help="Compile the step.")] = False,
    strategy: Strategy = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    seed: Seed = 0,
):
    """Train or fine-tune a classifier.

    Examples:

    vitkit train --data bird_focus/64 --fresh --image-size 64 --out runs/birds

    vitkit train --data ./photos --model hf://facebook/dinov2-small --learning-rate 1e-4 --out runs/photos --resume
    """
    import keras

    from shared_layers.runtime import get_strategy
    from vitkit.classifier import ViTClassifier
    from vitkit.training import train as fit

    replicas = get_strategy(strategy)
    sources = [_load(data, split, on_corrupt=on_corrupt) for split in (train_split, validation_split)]
    names = list(sources[0].class_names)
    overrides = {"num_classes": len(names), "class_names": names}
    if image_size:
        overrides["image_shape"] = (image_size, image_size, 3)
    if mixed_precision:
        overrides["dtype"] = mixed_precision
    keras.utils.set_random_seed(seed)  # of the new weights
    with replicas.scope():
        classifier = ViTClassifier.from_preset(model, load_weights=not fresh, **overrides)
    summary = fit(
        classifier,
        *sources,
        out,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup_epochs=warmup_epochs,
        weight_decay=weight_decay,
        label_smoothing=label_smoothing,
        clip_norm=clip_norm,
        ema_momentum=ema_momentum,
        gradient_accumulation_steps=accumulate,
        jit_compile=xla,
        resume=resume,
        seed=seed,
        mixup=mixup,
        cutmix=cutmix,
        rand_augment=rand_augment,
        cache=cache,
    )
    del summary["history"]
    typer.echo(json.dumps(summary, indent=2))


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: str = "test",
    image_size: Annotated[
        int | None, typer.Option(help="Pixels to resize to; the model's own where pictures differ in size.", min=1)
    ] = None,
    on_corrupt: OnCorrupt = "skip",
    method: Method = "auto",
    target: Annotated[str, typer.Option(help="Class that heatmaps explain: predicted or label.")] = "predicted",
    limit: Annotated[int | None, typer.Option(help="At most so many pictures.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.", dir_okay=False, callback=writable)] = None,
    mixed_precision: MixedPrecision = None,
    seed: Seed = 0,
):
    """Measure accuracy and where the model looks, beside maps that do not know the picture.

    Example: vitkit evaluate --model runs/demo/model.keras --data bird_focus/64 --split test_swapped
    """
    from shared_layers.runtime import write_aside
    from vitkit.classifier import ViTClassifier
    from vitkit.datasets.pipeline import resized
    from vitkit.evaluation import evaluate as measure
    from vitkit.evaluation import table

    overrides = {"dtype": mixed_precision} if mixed_precision else {}
    classifier = ViTClassifier.from_preset(model, **overrides)
    source = _load(data, split, image_size, on_corrupt=on_corrupt)
    if None in source.dataset.element_spec["image"].shape:
        size = classifier.preprocessing["image_shape"][:2]
        source = dataclasses.replace(source, dataset=resized(source.dataset, size))
    with progress_bar("evaluating") as progress:
        metrics = measure(classifier, source, method=method, target=target, limit=limit, seed=seed, progress=progress)
    if out:
        with write_aside(out) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2) + "\n")
    typer.echo(table(metrics))


@app.command()
def explain(
    photos: Annotated[list[Path], typer.Argument(help="Pictures of any kind and size.")],
    model: Model,
    out: Annotated[
        Path,
        typer.Option(help="PNG (picture and heatmap) or NPY (float32 heatmaps).", dir_okay=False, callback=_drawable),
    ],
    method: Method = "auto",
    target: Annotated[int | None, typer.Option(help="Class to explain instead of the predicted one.")] = None,
    backbone: Annotated[bool, typer.Option("--backbone", help="The model has no head.")] = False,
):
    """Draw which part of each photo speaks for its class.

    Examples:

    vitkit explain my.jpg --model runs/demo/model.keras --out heatmap.png

    vitkit explain a.jpg b.jpg --model hf://facebook/dinov2-small --backbone --out heatmaps.png
    """
    import numpy as np

    from vitkit import ViTBackbone, ViTClassifier, drawing
    from vitkit.heatmaps import explain as look
    from vitkit.preprocessing import read_image

    pictures = [read_image(photo) for photo in photos]
    is_array = out.suffix.lower() == ".npy"
    if is_array and len({picture.shape for picture in pictures}) > 1:
        raise ValueError(f"Expected photos of one size for one array. Received: {[p.shape[:2] for p in pictures]}")
    loaded = (ViTBackbone if backbone else ViTClassifier).from_preset(model)
    seen = []
    with progress_bar("explaining") as progress:
        for picture in pictures:
            seen.append(look(loaded, picture[None], method, target))
            progress(len(seen), len(pictures))
    heatmaps = [each.heatmap[0] for each in seen]
    predictions = None
    if not backbone:
        names = loaded.class_names or range(loaded.num_classes)
        predictions = [str(names[each.logits[0].argmax()]) for each in seen]
    content = np.stack(heatmaps) if is_array else drawing.grid(pictures, {seen[0].method: heatmaps}, predictions=predictions)
    drawing.save(out, content)
    if predictions:
        for photo, prediction in zip(photos, predictions, strict=True):
            typer.echo(f"{photo}: {prediction}")


@app.command()
def export(model: Model, out: NewFolder, method: Method = "auto"):
    """Write a SavedModel that answers with probabilities and heatmaps.

    Example: vitkit export --model runs/demo/model.keras --out saved_model
    """
    from vitkit.classifier import ViTClassifier
    from vitkit.saved_model import export as write

    classifier = ViTClassifier.from_preset(model)
    with progress_bar("exporting"):
        write(classifier, out, method)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="hf://owner/repository, a folder or a file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False, callback=writable)],
    backbone: Annotated[bool, typer.Option("--backbone", help="Leave the head out.")] = False,
):
    """Turn another library's checkpoint into a folder for from_preset.

    Example: vitkit convert hf://google/vit-base-patch16-224 ./vit_base
    """
    from vitkit import ViTBackbone, ViTClassifier

    (ViTBackbone if backbone else ViTClassifier).from_preset(source).save_to_preset(out)


@app.command()
def presets():
    """List the presets by name, with where their weights lie: those of a classifier, and those of a backbone alone.

    Example: vitkit presets
    """
    from vitkit import ViTBackbone, ViTClassifier

    for name, preset in ViTBackbone.presets.items():
        classifier = ViTClassifier.presets.get(name, {}).get("hf", "-")
        typer.echo(f"{name:<36} {classifier:<56} {preset.get('hf', '-')}")


def main():
    """Runs the command."""
    run_command("vitkit", app)


def _load(data, split, image_size=None, on_corrupt="skip"):
    """Loads a data set; what tensorflow_datasets prints as it prepares one is no result, so it goes to standard error."""
    from vitkit.datasets import load

    bar = progress_bar("reading") if Path(data).is_dir() else contextlib.nullcontext()  # else it has its own
    with contextlib.redirect_stdout(sys.stderr), bar:
        return load(data, split, image_size, on_corrupt=on_corrupt)
