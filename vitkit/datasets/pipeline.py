"""The input pipeline: resize, augment, mix, normalise, batch."""

import functools

import keras
import tensorflow as tf

from shared_layers.runtime import shard_by_row, unknown_name
from vitkit.preprocessing import normalize, resample, to_image_shape

_AUGMENTATIONS = ("crop", "flip")
_LOG_ASPECT = 0.2876820724517809  # log(4 / 3)
_FAR = 2**61  # offset of the second counter: the two never overlap


def pipeline(
    dataset,
    batch_size,
    image_shape,
    training,
    mean,
    std,
    interpolation="bilinear",
    *,
    resize="squash",
    crop_fraction=0.875,
    augment=_AUGMENTATIONS,
    min_crop_area=0.25,
    rand_augment=False,
    mixup=0.0,
    cutmix=0.0,
    num_classes=None,
    cache=False,
    seed=0,
    drop_remainder=None,
    shuffle_buffer=4096,
    first_epoch=None,
):
    """Makes batches for `fit` (shuffled, augmented) or for `evaluate` and `predict` (in order, not augmented).

    The same seed gives the same batches, epoch by epoch, in every run and on any number of cores. In training each
    iteration over the data set is another epoch (and also depends on `tf.random.set_seed`). As `fit` may iterate more
    than once per epoch, a run that can be resumed passes `first_epoch`.

    One core crops and flips several thousand 64-pixel pictures a second; RandAugment takes about two milliseconds each.

    Args:
        dataset: `tf.data.Dataset` of dicts with "image" uint8 (H, W, 3), of one size or several, and "label"
            int64 (), as in `vitkit.datasets.Source.dataset`.
        batch_size: int, examples per global batch (all replicas together).
        image_shape: (h, w, 3), the model's input shape.
        training: bool, whether to shuffle, augment and mix.
        mean: three floats, see `vitkit.preprocessing.prepare`.
        std: three floats, see `prepare`.
        interpolation: "bilinear" or "bicubic", see `prepare`.
        resize: "squash" or "crop", how pictures without a random crop are resized, see `prepare`.
        crop_fraction: float, see `prepare`.
        augment: collection of "crop" (random resized crop with an area of `min_crop_area` to 1 and an aspect ratio
            changed by up to 4 : 3) and "flip" (horizontal).
        min_crop_area: float in (0, 1], as a fraction of the picture.
        rand_augment: bool, or float in (0, 1], RandAugment's strength; `True` is 0.5. Two operations per picture.
        mixup: float, MixUp's alpha in [0.1, 1], or 0 for none.
        cutmix: float, CutMix's alpha in [0.1, 1], or 0 for none. If both are given, each batch gets one of them at random.
        num_classes: int, needed for MixUp and CutMix.
        cache: bool, or str, the name of a file: whether to cache the decoded pictures, before augmentation.
        seed: int, random seed.
        drop_remainder: bool, whether to drop a last batch that is not full; `None` means in training only.
        shuffle_buffer: int, the number of pictures in the shuffle buffer, h * w * 3 bytes each.
        first_epoch: int, training only: makes an endless data set that starts at this epoch, for `fit` with
            `steps_per_epoch`; `None` makes a data set of one epoch.

    Returns:
        A `tf.data.Dataset` of (images, labels): float32 (b, h, w, 3), prepared; and int64 (b,) or, with MixUp or
        CutMix, float32 (b, num_classes), class probabilities.

    Raises:
        ValueError: An option is out of its range, or there are fewer pictures than one batch.

    Reference:
        Szegedy et al. 2015 (section 6, crops; one that exceeds the picture is clipped, not drawn again),
        Cubuk et al. 2020 (RandAugment), Zhang et al. 2018 (MixUp), Yun et al. 2019 (CutMix).
    """
    for name in set(augment) - set(_AUGMENTATIONS):
        raise unknown_name("augmentation", name, _AUGMENTATIONS)
    for name, value in {"mixup": mixup, "cutmix": cutmix}.items():
        if value and not 0.1 <= value <= 1:  # below, the Beta distribution underflows to NaN
            raise ValueError(f"Expected 0 or a number in [0.1, 1]. Received: {name}={value}")
    if not 0 < min_crop_area <= 1:
        raise ValueError(f"Expected a fraction in (0, 1]. Received: min_crop_area={min_crop_area}")
    mixes = training and (mixup or cutmix)
    if mixes and not num_classes:
        raise ValueError(f"MixUp and CutMix need num_classes. Received: {num_classes=}")
    if drop_remainder is None:
        drop_remainder = training
    if drop_remainder and 0 <= dataset.cardinality() < batch_size:
        raise ValueError(
            "Expected pictures for at least one full batch. "
            f"Received: batch_size={batch_size} for {dataset.cardinality()} pictures"
        )

    def fit(image):
        return to_image_shape(image[None], image_shape, interpolation, resize, crop_fraction)[0]

    def augmented(example, draw):
        image, numbers = example["image"], tf.random.stateless_uniform((5,), draw)
        if "crop" in augment:
            image = _random_crop(image, image_shape, numbers[:4], min_crop_area, interpolation)
        else:
            image = fit(image)
        if "flip" in augment:
            image = tf.cond(numbers[4] < 0.5, lambda: tf.reverse(image, (1,)), lambda: image)
        if rand_augment:
            image = change.drawn(draw, image)
        return _as_bytes(image), example["label"]

    def epoch(number):
        # The order must depend on `start` only, not on the global seed of `tf.random.set_seed`.
        tf.compat.v1.set_random_seed(1)  # of the graph that this function is traced to
        start = tf.random.stateless_uniform((), tf.stack([seed, number]), maxval=_FAR, dtype=tf.int64)
        examples = tf.data.Dataset.zip(dataset, _draws(start)).map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
        # After the random crop, not before it: the pictures in the buffer are smaller.
        examples = examples.shuffle(shuffle_buffer, seed=start, reshuffle_each_iteration=False)
        batches = examples.batch(batch_size, drop_remainder=drop_remainder)
        if mixes:
            batches = tf.data.Dataset.zip(batches, _draws(start + _FAR)).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
        return batches

    dataset = dataset.map(lambda example: {key: example[key] for key in ("image", "label")})
    if cache:
        dataset = dataset.cache(cache if isinstance(cache, str) else "")
    if training:
        if rand_augment:
            change = RandAugment(factor=0.5 if rand_augment is True else rand_augment, dtype="float32")
        if mixes:
            mix = _mixer(mixup, cutmix, num_classes)
        if first_epoch is None:
            epochs = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
            count = dataset.batch(batch_size, drop_remainder=drop_remainder).cardinality()
        else:
            epochs = tf.data.Dataset.counter(first_epoch)
            count = tf.data.INFINITE_CARDINALITY
        made = epochs.flat_map(epoch)
        if count != tf.data.UNKNOWN_CARDINALITY:
            made = made.apply(tf.data.experimental.assert_cardinality(count))
    else:
        made = dataset.map(lambda example: (fit(example["image"]), example["label"]), num_parallel_calls=tf.data.AUTOTUNE)
        made = made.batch(batch_size, drop_remainder=drop_remainder)
    made = made.map(
        lambda images, labels: (normalize(tf.cast(images, tf.float32), mean, std), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return shard_by_row(made).prefetch(tf.data.AUTOTUNE)


def resized(dataset, image_size):
    """Resizes the pictures and masks of a data set to one size; relative boxes stay the same.

    Args:
        dataset: `tf.data.Dataset` of dicts, see `vitkit.datasets.Source`.
        image_size: (height, width) in pixels.

    Returns:
        A `tf.data.Dataset` of such dicts.
    """

    def resize(example):
        example = {**example, "image": _as_bytes(to_image_shape(example["image"][None], image_size)[0])}
        if "mask" in example:
            mask = tf.cast(example["mask"], tf.uint8)[..., None]
            example["mask"] = tf.image.resize(mask, image_size, "nearest")[..., 0] > 0
        return example

    return dataset.map(resize, num_parallel_calls=tf.data.AUTOTUNE)


def _as_bytes(image):
    return tf.saturate_cast(tf.round(image), tf.uint8)


def _draws(start):
    """Returns an endless data set of seeds, int64 (2,): a number that counts up from `start`, and 0."""
    return tf.data.Dataset.counter(start).map(lambda number: tf.stack([number, 0]))


def _random_crop(image, image_shape, numbers, min_area, interpolation):
    """Random resized crop, determined by four numbers in [0, 1)."""
    height_and_width = tf.cast(tf.shape(image)[:2], tf.float32)
    side = tf.sqrt(min_area + (1 - min_area) * numbers[0])
    stretch = tf.exp((numbers[1] - 0.5) * _LOG_ASPECT)
    part = tf.minimum(side * tf.stack([1 / stretch, stretch]), 1.0) * height_and_width
    start = (height_and_width - part) * numbers[2:]
    scale = image_shape[:2] / part
    return tf.clip_by_value(resample(image[None], image_shape[:2], scale, -start * scale, interpolation)[0], 0.0, 255.0)


class _Seeds(keras.random.SeedGenerator):
    """Derives seeds from one given seed; Keras's class keeps its state in a variable.

    A batch then does not depend on earlier batches, and batches can be made in parallel.
    """

    def start(self, draw):
        """Restarts from a seed, int64 (2,)."""
        self.draw, self.dealt = draw, 0

    def next(self, ordered=True):
        """Returns a new seed at each call."""
        self.dealt += 1
        return self.draw + (0, self.dealt)


class _Drawn:
    """Mixin that makes a random Keras layer a pure function of a seed and its input."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = _Seeds(seed=0)

    def drawn(self, draw, inputs):
        """Calls the layer with a seed, int64 (2,)."""
        self.seeds.start(draw)
        return self(inputs)

    def _get_seed_generator(self, backend=None):
        return self.seeds


class MixUp(_Drawn, keras.layers.MixUp):
    """Keras's MixUp with an explicit seed."""


class CutMix(_Drawn, keras.layers.CutMix):
    """Keras's CutMix with an explicit seed."""


class RandAugment(_Drawn, keras.layers.RandAugment):
    """Keras's RandAugment with an explicit seed; runs only the drawn operations, which is four times as fast."""

    def transform_images(self, images, transformation, training=True):
        """Applies the drawn operations in turn."""
        for number in range(self.num_ops):
            branches = [
                functools.partial(self._operate, name, images, values)
                for name, values in transformation["transforms"].items()
            ]
            images = tf.switch_case(transformation["layer_idxes"][number], branches)
        return images

    def _operate(self, name, images, values):
        return tf.ensure_shape(getattr(self, name).transform_images(images, values), images.shape)


def _mixer(mixup, cutmix, num_classes):
    """Returns a function (batch, seed) -> images and labels mixed by MixUp or CutMix."""
    layers = []
    if mixup:
        layers.append(MixUp(alpha=mixup, dtype="float32"))
    if cutmix:
        # An interval of one value: with a single factor Keras would draw alpha itself, down to 0.
        layers.append(CutMix(factor=(cutmix, cutmix), dtype="float32"))

    def mix(batch, draw):
        images, labels = batch
        given = {"images": tf.cast(images, tf.float32), "labels": tf.one_hot(labels, num_classes)}
        chosen = tf.random.stateless_uniform((), draw, maxval=len(layers), dtype=tf.int32)
        mixed = tf.switch_case(chosen, [functools.partial(layer.drawn, draw, given) for layer in layers])
        return mixed["images"], mixed["labels"]

    return mix
