"""Pictures in a folder with one folder per class."""

import concurrent.futures
import hashlib
import os
import warnings
from pathlib import Path

import tensorflow as tf

from shared_layers.runtime import unknown_name
from vitkit.preprocessing import read_image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# The folders that may hold each split.
_SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
# If there are none, where in [0, 1) each split ends: 80 %, 10 % and 10 % of the pictures.
_SPLIT_ENDS = {"train": 0.8, "validation": 0.9, "test": 1.0}

_ON_CORRUPT = ("skip", "refuse", "trust")
_NAMED = 3


def picture_folder(folder, split="train", on_corrupt="skip"):
    """Reads labelled pictures from a folder with one folder per class, named after the class.

    Either `folder/train/class/picture.jpg`, with optional folders `validation` (or `val`) and `test` next to `train`; or
    `folder/class/picture.jpg`, split into 80 % train, 10 % validation and 10 % test by a hash of class and file name, so
    that a picture keeps its split when others are added or removed. The classes are those of all splits together.
    Pictures come in a fixed order that mixes the classes.

    Args:
        folder: str or path-like.
        split: "train", "validation" or "test".
        on_corrupt: what to do with unreadable pictures; to find them, each picture is decoded once. "skip" leaves them
            out and warns with their number and the first few names; "refuse" raises; "trust" skips the check, which saves
            time on large folders, but training fails at the first unreadable picture.

    Returns:
        A tuple: a `tf.data.Dataset` of dicts with "image" uint8 (H, W, 3) of any size and "label" int64 (); and the
        list of class names.

    Raises:
        OSError: The folder does not exist.
        ValueError: Fewer than two classes, an unknown split, no picture in it, or (with "refuse") an unreadable one.
    """
    if on_corrupt not in _ON_CORRUPT:
        raise unknown_name("on_corrupt", on_corrupt, _ON_CORRUPT)
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of class folders, found none. Received: folder={root}")
    split_folders = {
        split_name: root / name for split_name, names in _SPLIT_FOLDERS.items() for name in names if (root / name).is_dir()
    }
    if split not in (split_folders or _SPLIT_ENDS):
        raise unknown_name("split", split, split_folders or _SPLIT_ENDS)

    pictures = {name: _pictures(place) for name, place in (split_folders or {split: root}).items()}
    class_names = sorted({path.parts[0] for paths in pictures.values() for path in paths})
    if len(class_names) < 2:
        raise ValueError(
            "Expected pictures in two or more class folders, folder/class/picture.jpg. "
            f"Received: folder={root} with classes {class_names}"
        )
    place = split_folders.get(split, root)
    paths = sorted(pictures[split], key=_position)
    if not split_folders:
        paths = [path for path in paths if _split_of(path) == split]
    if on_corrupt != "trust":
        paths = _whole(place, paths, on_corrupt)
    if not paths:
        raise ValueError(f"Expected at least one valid picture in each split. Received: folder={root}, split={split!r}")

    labels = [class_names.index(path.parts[0]) for path in paths]
    files = tf.constant([os.fspath(place / path) for path in paths])
    dataset = tf.data.Dataset.from_tensor_slices((files, tf.constant(labels, tf.int64)))
    return dataset.map(_read, num_parallel_calls=tf.data.AUTOTUNE), class_names


def _pictures(place):
    """Returns the pictures in each class folder, as paths relative to `place`."""
    return [
        path.relative_to(place)
        for class_folder in place.iterdir()
        if class_folder.is_dir() and not class_folder.name.startswith(".")
        for path in class_folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]


def _position(path):
    """Returns a hash of the path as a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(path.as_posix().encode()).digest()[:8], "big") / 2**64


def _split_of(path):
    return next(split for split, end in _SPLIT_ENDS.items() if _position(path) < end)


def _whole(place, paths, on_corrupt):
    """Returns the paths of the readable pictures; warns about the others, or raises."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        faults = list(pool.map(_fault, [place / path for path in paths]))
    corrupt = [path for path, fault in zip(paths, faults, strict=True) if fault]
    if corrupt:
        named = ", ".join(map(str, corrupt[:_NAMED])) + (", ..." if len(corrupt) > _NAMED else "")
        count = f"{len(corrupt)} of {len(paths)} pictures in {place} cannot be read: {named}"
        if on_corrupt == "refuse":
            raise ValueError(f"Expected valid pictures. Received: {count} ({next(filter(None, faults))})")
        warnings.warn(f"Skipped: {count}", stacklevel=4)
    return [path for path, fault in zip(paths, faults, strict=True) if not fault]


def _fault(path):
    """Returns why a picture cannot be read, or `None`."""
    try:
        read_image(path)
    except (OSError, ValueError) as error:
        return str(error)


def _read(path, label):
    image = tf.numpy_function(lambda name: read_image(os.fsdecode(name)), [path], tf.uint8, stateful=False)
    return {"image": tf.ensure_shape(image, (None, None, 3)), "label": label}
