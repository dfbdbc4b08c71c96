"""Data sets by name: those of `tensorflow_datasets`, and folders of pictures."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from shared_layers.runtime import dataset_builder, unknown_name
from vitkit.datasets.folder import picture_folder
from vitkit.datasets.pipeline import resized

# What a mask marks as the object, where that is not everything above 0.
_OBJECT_IN_MASK = {
    "caltech_birds2011": lambda mask: mask > 127,  # grey: how many of the annotators marked the pixel
    "oxford_iiit_pet": lambda mask: mask == 1,  # 1 pet, 2 background, 3 neither
}


@dataclasses.dataclass(frozen=True)
class Source:
    """Pictures with labels, and perhaps with what else is known of them.

    Attributes:
        dataset: `tf.data.Dataset` of unbatched dicts: "image" uint8 (H, W, 3), "label" int64 (); where there
            is such, "mask" bool (H, W), the object; "box" float32 (4,), its ymin, xmin, ymax and xmax in
            [0, 1]; "background" int64 (), the class of the place.
        class_names: tuple of str, the name of each label.
        num_examples: int.
        name: str, what was asked for.
    """

    dataset: tf.data.Dataset
    class_names: tuple
    num_examples: int
    name: str


def load(name_or_folder, split="train", image_size=None, data_dir=None, on_corrupt="skip"):
    """Loads a data set for image classification.

    Of a set of `tensorflow_datasets`, which is downloaded and prepared at its first use, these features are
    read: `image` (grey becomes RGB), `label`, `mask` or `segmentation_mask`, `box` or `bbox`, `background`.

    Args:
        name_or_folder: str, a name that `tfds.load` knows, with configuration and version if need be:
            "bird_focus/64", "oxford_flowers102", "caltech_birds2011:0.2.0"; or the path of a folder of class
            folders, see `vitkit.datasets.folder.picture_folder`. A folder that is there goes first.
        split: str, "train", "validation" or "test"; of `tensorflow_datasets` also others, and slices:
            "train[:90%]".
        image_size: int, or (height, width), to which pictures and masks are resized; `None` leaves them.
        data_dir: str, where `tensorflow_datasets` keeps its data, if not where it always does.
        on_corrupt: "skip", "refuse" or "trust", what becomes of pictures in a folder that cannot be read.

    Returns:
        A `Source`.

    Raises:
        OSError: There is no such folder.
        ValueError: There is no such data set or split, it has no labelled pictures, or see `picture_folder`.
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
        raise ValueError(f"Expected features image Image and label ClassLabel. Received: {name=} of {described}")
    if image.shape[-1] not in (1, 3) or image.np_dtype != np.uint8:
        raise ValueError(
            f"Expected uint8 pictures with 1 or 3 channels. Received: {name=} of {np.dtype(image.np_dtype)} {image.shape}"
        )
    try:
        builder.download_and_prepare()
    except (AssertionError, tfds.download.DownloadError) as error:  # an assertion fails where a hand has to fetch the data
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
