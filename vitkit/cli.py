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


Model = Annotated[str, typer.Option(help="Preset, hf://owner/repository, model folder or .keras file.")]
Data = Annotated[
    str, typer.Option("--data", "--dataset", help="tensorflow_datasets name, or folder with one folder per class.")
]
OnCorrupt = Annotated[str, typer.Option(help="Unreadable pictures in a folder: skip, refuse or trust (no check).")]
Method = Annotated[
    str,
    typer.Option(
        help="Heatmap method: auto, raw, rollout, tscam, gradcam, gradient_rollout, legrad, integrated_gradients or "
        "occlusion; see vitkit.explain."
    ),
]
MixedPrecision = Annotated[str | None, typer.Option(help="bfloat16 or float16.", callback=mixed_policy)]
Strategy = Annotated[str, typer.Option(help="Distribution strategy: none, mirrored, multi_worker or tpu.")]
Seed = Annotated[int, typer.Option(help="Random seed.", min=0, max=2**32 - 1)]
NewFolder = Annotated[Path, typer.Option(help="Folder to write.", file_okay=False, callback=writable)]
Epochs = Annotated[int, typer.Option(help="Number of training epochs.", min=1)]


@app.command()
def demo(
    out: NewFolder = Path("runs/demo"),
    epochs: Epochs = 6,
    strategy: Strategy = "mirrored",
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Quick check that everything runs: few pictures, one epoch.")
    ] = False,
    seed: Seed = 0,
):
    """Train, evaluate, explain and export a small ViT on drawn birds.

    Example: vitkit demo --out runs/demo
    """
    from vitkit.demo import run_demo, summary

    typer.echo(summary(run_demo(out, epochs, strategy, smoke, seed, report=typer.echo), out))


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run.", file_okay=False, callback=writable)],
    model: Model = "deit_tiny_patch16_224",
    fresh: Annotated[bool, typer.Option("--fresh", help="Train from new weights.")] = False,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width of the input in pixels (default: the model's).", min=1)
    ] = None,
    train_split: Annotated[
        str, typer.Option(help="Training split; for tensorflow_datasets also a slice, such as train[:90%].")
    ] = "train",
    validation_split: Annotated[
        str, typer.Option(help="Validation split, used to pick the best epoch; slices as in --train-split.")
    ] = "validation",
    on_corrupt: OnCorrupt = "skip",
    epochs: Epochs = 10,
    batch_size: Annotated[int, typer.Option(help="Examples per global batch (all replicas together).", min=1)] = 64,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    warmup_epochs: Annotated[
        float, typer.Option(help="Epochs of linear learning-rate warm-up, at most half of all epochs.")
    ] = 1.0,
    weight_decay: Annotated[float, typer.Option(help="AdamW weight decay, on kernels only.")] = 0.05,
    label_smoothing: Annotated[float, typer.Option(help="Label-smoothing factor.")] = 0.1,
    clip_norm: Annotated[float, typer.Option(help="Clip gradients to this global norm.")] = 1.0,
    ema_momentum: Annotated[
        float | None,
        typer.Option(help="Validate and save a moving average of the weights with this momentum, such as 0.999."),
    ] = None,
    accumulate: Annotated[int, typer.Option(help="Accumulate gradients over this many batches per update.", min=1)] = 1,
    mixup: Annotated[float, typer.Option(help="MixUp alpha, 0.1 to 1 (0: no MixUp).")] = 0.0,
    cutmix: Annotated[float, typer.Option(help="CutMix alpha, 0.1 to 1 (0: no CutMix).")] = 0.0,
    rand_augment: Annotated[
        float, typer.Option(help="RandAugment strength, up to 1 (0: no RandAugment).", min=0.0, max=1.0)
    ] = 0.0,
    cache: Annotated[bool, typer.Option("--cache", help="Keep the decoded pictures in memory.")] = False,
    mixed_precision: MixedPrecision = None,
    xla: Annotated[bool, typer.Option("--xla", help="Compile the training step with XLA.")] = False,
    strategy: Strategy = "none",
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the run's last checkpoint.")] = False,
    seed: Seed = 0,
):
    """Train or fine-tune an image classifier.

    The run's folder gets best.keras (the epoch with the best validation accuracy), last.keras and TensorBoard logs.

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
    keras.utils.set_random_seed(seed)  # for the new weights
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
    split: Annotated[str, typer.Option(help="Split to measure on: train, validation or test.")] = "test",
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Resize pictures to this height and width in pixels (default: as they are; the model's input size if they "
            "differ in size).",
            min=1,
        ),
    ] = None,
    on_corrupt: OnCorrupt = "skip",
    method: Method = "auto",
    target: Annotated[
        str, typer.Option(help="Class that heatmaps explain: predicted or label (the true class).")
    ] = "predicted",
    limit: Annotated[int | None, typer.Option(help="Use at most this many pictures, spread over the split.", min=1)] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.", dir_okay=False, callback=writable)] = None,
    mixed_precision: MixedPrecision = None,
    seed: Seed = 0,
):
    """Measure accuracy and where the model looks.

    Data with masks or boxes also gets heatmap metrics, next to those of image-independent baseline maps.

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
    photos: Annotated[list[Path], typer.Argument(help="Picture files (JPEG, PNG, WebP, TIFF, ...) of any size.")],
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: .png (pictures and heatmaps) or .npy (float32 heatmaps).",
            dir_okay=False,
            callback=_drawable,
        ),
    ],
    method: Method = "auto",
    target: Annotated[
        int | None, typer.Option(help="Number of the class to explain (default: the predicted class).")
    ] = None,
    backbone: Annotated[
        bool, typer.Option("--backbone", help="Load the model without its head; method raw or rollout.")
    ] = False,
):
    """Draw a heatmap over each photo and print its predicted class.

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
        raise ValueError(f"Expected photos of the same size for .npy. Received: sizes={[p.shape[:2] for p in pictures]}")
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
    """Write a SavedModel that returns probabilities and heatmaps.

    Example: vitkit export --model runs/demo/model.keras --out saved_model
    """
    from vitkit.classifier import ViTClassifier
    from vitkit.saved_model import export as write

    classifier = ViTClassifier.from_preset(model)
    with progress_bar("exporting"):
        write(classifier, out, method)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="hf://owner/repository, folder or file.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False, callback=writable)],
    backbone: Annotated[bool, typer.Option("--backbone", help="Write the model without its head.")] = False,
):
    """Convert a checkpoint to a folder for from_preset.

    The checkpoint may be a Hugging Face ViT, DeiT, DINO or DINOv2.

    Example: vitkit convert hf://google/vit-base-patch16-224 ./vit_base
    """
    from vitkit import ViTBackbone, ViTClassifier

    (ViTBackbone if backbone else ViTClassifier).from_preset(source).save_to_preset(out)


@app.command()
def presets():
    """List the presets.

    Each line has the name and the repositories of the classifier's and of the bare backbone's weights (-: none published).

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
    """Loads a data set; the messages of tensorflow_datasets go to standard error, as they are not results."""
    from vitkit.datasets import load

    bar = progress_bar("reading") if Path(data).is_dir() else contextlib.nullcontext()  # tensorflow_datasets shows its own
    with contextlib.redirect_stdout(sys.stderr), bar:
        return load(data, split, image_size, on_corrupt=on_corrupt)
