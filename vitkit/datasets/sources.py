"""Loading of data sets: `tensorflow_datasets` by name, and folders of pictures."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from shared_layers.runtime import dataset_builder, unknown_name
from vitkit.datasets.folder import picture_folder
from vitkit.datasets.pipeline import resized

# Which mask values are the object, if not all values above 0.
_OBJECT_IN_MASK = {
    "caltech_birds2011": lambda mask: mask > 127,  # grey level: the share of annotators who marked the pixel
    "oxford_iiit_pet": lambda mask: mask == 1,  # 1 pet, 2 background, 3 neither
}


@dataclasses.dataclass(frozen=True)
class Source:
    """Labelled pictures, with masks, boxes and backgrounds if the data has them.

    Attributes:
        dataset: `tf.data.Dataset` of unbatched dicts: "image" uint8 (H, W, 3) and "label" int64 (); if available,
            "mask" bool (H, W), `True` = object; "box" float32 (4,), ymin, xmin, ymax and xmax of the object in
            [0, 1]; "background" int64 (), the class of the background.
        class_names: tuple of str, the name of each label.
        num_examples: int.
        name: str, the name or folder that was loaded.
    """

    dataset: tf.data.Dataset
    class_names: tuple
    num_examples: int
    name: str


def load(name_or_folder, split="train", image_size=None, data_dir=None, on_corrupt="skip"):
    """Loads a data set for image classification.

    A data set of `tensorflow_datasets` is downloaded and prepared on its first use. These features of it are read:
    `image` (grey becomes RGB), `label`, `mask` or `segmentation_mask`, `box` or `bbox`, `background`.

    Args:
        name_or_folder: str, a name as for `tfds.load`, optionally with configuration and version:
            "bird_focus/64", "oxford_flowers102", "caltech_birds2011:0.2.0"; or the path of a folder with one folder
            per class, see `vitkit.datasets.folder.picture_folder`. An existing folder takes precedence.
        split: str, "train", "validation" or "test"; for `tensorflow_datasets` also its other splits, and slices such as
            "train[:90%]".
        image_size: int, or (height, width), in pixels, to resize pictures and masks to; `None` for no resizing.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.
        on_corrupt: "skip", "refuse" or "trust", folders only: what to do with unreadable pictures, see `picture_folder`.

    Returns:
        A `Source`.

    Raises:
        OSError: The folder does not exist.
        ValueError: An unknown data set or split, a data set without labelled pictures, or see `picture_folder`.
    """
    name = os.fspath(name_or_folder)
    if (name and Path(name).expanduser().is_dir()) or name.startswith((".", "~")) or os.path.isabs(name):
        dataset, class_names = picture_folder(name, split, on_corrupt)
    else:
        dataset, class_names = _tensorflow_dataset(name, split, data_dir)
    num_examples = int(dataset.cardinality())
    if image_size is not None:
        dataset = resized(dataset, (image_size, image_size) if isinstance(image_size, int) else image_size)
    return Source(dataset, tuple(class_names), num_examples, name)


def _tensorflow_dataset(name, split, data_dir):
    import tensorflow_datasets as tfds

    builder = dataset_builder(name, data_dir)
    features = dict(builder.info.features.items())
    image, label = features.get("image"), features.get("label")
    if not (isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel)):
        described = ", ".join(f"{key} {type(feature).__name__}" for key, feature in features.items())
        raise ValueError(f"Expected features image Image and label ClassLabel. Received: {name=} with {described}")
    if image.shape[-1] not in (1, 3) or image.np_dtype != np.uint8:
        raise ValueError(
            f"Expected uint8 pictures with 1 or 3 channels. Received: {name=} with {np.dtype(image.np_dtype)} {image.shape}"
        )
    try:
        builder.download_and_prepare()
    except (AssertionError, tfds.download.DownloadError) as error:  # an AssertionError: data to be downloaded by hand
        raise ValueError(f"{' '.join(str(error).split())} Received: {name=}") from error
    try:
        dataset = builder.as_dataset(split=split)
    except ValueError as error:
        raise unknown_name("split", split, builder.info.splits) from error
    is_object = _OBJECT_IN_MASK.get(builder.name, lambda mask: mask > 0)

    def standard(example):
        pixels = example["image"]
        result = {
            "image": tf.image.grayscale_to_rgb(pixels) if pixels.shape[-1] == 1 else pixels,
            "label": tf.cast(example["label"], tf.int64),
        }
        for key in {"mask", "segmentation_mask"} & set(example):
            result["mask"] = is_object(example[key][..., 0])
        for key in {"box", "bbox"} & set(example):
            result["box"] = example[key]
        if "background" in example:
            result["background"] = tf.cast(example["background"], tf.int64)
        return result

    return dataset.map(standard, num_parallel_calls=tf.data.AUTOTUNE), label.names
