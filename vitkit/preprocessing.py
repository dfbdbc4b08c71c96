"""Image preprocessing: decoding, resizing, normalising, and mapping heatmaps back to the original picture.

Written in TensorFlow, whatever the Keras backend: the same code runs eagerly, in `tf.data` and in an
exported graph with dynamic picture sizes.
"""

import io
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from shared_layers.runtime import unknown_name

_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}
_RESIZES = ("squash", "crop")

# The transposition that undoes each EXIF orientation (tag 0x0112).
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow warns while reading headers; `warnings.catch_warnings` is not thread-safe.
_lock = threading.Lock()


def read_image(source, max_pixels=178_956_970):
    """Reads a picture of any format that Pillow knows as upright 8-bit RGB.

    The EXIF orientation is applied; grey, CMYK and palette pictures become RGB; transparent pixels are blended with
    white; of an animation only the first frame is read; 16-bit pictures keep their upper 8 bits; 32-bit and float
    pictures, which have no defined white, are rescaled from their own minimum and maximum. Colour profiles are ignored.

    Args:
        source: str or path-like, a file; or bytes, an encoded picture.
        max_pixels: int, larger pictures are rejected before they are decoded. The default, also Pillow's own limit,
            is beyond any camera and takes 0.5 GB of memory.

    Returns:
        uint8 (H, W, 3).

    Raises:
        OSError: The file does not exist or is not readable.
        ValueError: The file is empty, corrupt, truncated, larger than `max_pixels`, or not a picture.

    Example:
        >>> buffer = io.BytesIO()
        >>> Image.new("CMYK", (5, 3), (0, 255, 255, 0)).save(buffer, "TIFF")
        >>> read_image(buffer.getvalue())[0, 0]
        array([255,   0,   0], dtype=uint8)
    """
    if isinstance(source, bytes):
        name, encoded = f"{len(source)} bytes", source
    else:
        name, encoded = os.fspath(source), Path(source).read_bytes()
    try:
        return _decode(encoded, max_pixels)
    except Image.DecompressionBombError as error:
        raise ValueError(f"Expected a picture of at most {max_pixels} pixels. Received: source={name}") from error
    except Exception as error:  # Pillow's decoders raise all kinds of exceptions on corrupt data
        is_other = isinstance(error, UnidentifiedImageError)
        reason = "not a picture" if is_other else " ".join(str(error).split())
        raise ValueError(f"Expected a valid picture. Received: source={name} ({reason})") from error


def prepare(images, image_shape, mean, std, interpolation="bilinear", resize="squash", crop_fraction=0.875):
    """Prepares pictures for a model: resizes them, scales them to [0, 1], and normalises.

    Args:
        images: uint8 (b, H, W, 3), pictures of any size, in a graph also an unknown one; or floats, which are assumed
            to be prepared already and returned unchanged.
        image_shape: (h, w, 3), the model's input shape.
        mean: three floats, the mean of each channel, for pictures in [0, 1].
        std: three floats, the standard deviation of each channel.
        interpolation: "bilinear" or "bicubic", antialiased when downsampling, as in Pillow.
        resize: "squash" resizes to (h, w), ignoring the aspect ratio; "crop" keeps the aspect ratio: it resizes the
            picture to just cover (h, w) / crop_fraction and crops the centre.
        crop_fraction: float in (0, 1], "crop" only; 224 of 256 pixels are 0.875.

    Returns:
        float32 tensor (b, h, w, 3).

    Raises:
        ValueError: another shape or dtype, an unknown `resize` or `interpolation`, `crop_fraction` out of range.

    Example:
        >>> white = np.full((1, 5, 7, 3), 255, "uint8")
        >>> prepare(white, (2, 2, 3), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)).numpy()[0, 0, 0]
        array([1., 1., 1.], dtype=float32)
    """
    if not hasattr(images, "dtype"):
        images = np.asarray(images)
    dtype = tf.as_dtype(images.dtype)
    if len(images.shape) != 4 or images.shape[-1] != 3 or not (dtype.is_floating or dtype == tf.uint8):
        raise ValueError(
            "Expected pictures (b, H, W, 3), uint8, or float if already prepared. "
            f"Received: images of shape {tuple(images.shape)} and dtype {dtype.name}"
        )
    if dtype.is_floating:
        return images
    return normalize(to_image_shape(images, image_shape, interpolation, resize, crop_fraction), mean, std)


def normalize(images, mean, std):
    """Normalises float pictures in [0, 255]: (images / 255 - mean) / std.

    Args:
        images: float32 (..., 3).
        mean: three floats, see `prepare`.
        std: three floats.

    Returns:
        float32 (..., 3).
    """
    mean, std = np.asarray(mean, "float32"), np.asarray(std, "float32")
    return (images - 255 * mean) / (255 * std)


def to_image_shape(images, image_shape, interpolation="bilinear", resize="squash", crop_fraction=0.875):
    """Resizes pictures to the input shape of a model: the first step of `prepare`.

    Args:
        images: uint8 or float32 (b, H, W, c) in [0, 255].
        image_shape: (h, w, ...).
        interpolation: see `prepare`.
        resize: see `prepare`.
        crop_fraction: see `prepare`.

    Returns:
        float32 tensor (b, h, w, c) in [0, 255].
    """
    height, width = image_shape[:2]
    size = tf.shape(images, tf.int64)[1:3]
    resized, start = _window(size, (height, width), resize, crop_fraction)
    if tuple(images.shape[1:3]) == (height, width) and resize == "squash":
        return tf.cast(images, tf.float32)
    pictures = resample(images, (height, width), resized / size, -tf.cast(start, tf.float64), interpolation)
    return tf.clip_by_value(pictures, 0.0, 255.0)  # bicubic overshoots


def to_picture(maps, picture_size, resize="squash", crop_fraction=0.875):
    """Resizes heatmaps of prepared pictures to the original pictures: inverts `to_image_shape`, bilinearly.

    Args:
        maps: float (b, h, w), one value per pixel of the model's input.
        picture_size: (H, W) of the original pictures in pixels, ints or an int tensor (2,).
        resize: str, as given to `prepare`.
        crop_fraction: float, as given to `prepare`.

    Returns:
        float32 tensor (b, H, W), zero outside the crop.

    Example:
        >>> to_picture(np.ones((1, 2, 2)), (2, 6), resize="crop", crop_fraction=1.0).numpy()
        array([[[0., 0., 1., 1., 0., 0.],
                [0., 0., 1., 1., 0., 0.]]], dtype=float32)
    """
    maps = tf.cast(maps, tf.float32)[..., None]
    size = tf.cast(tf.stack(picture_size), tf.int64)
    resized, start = _window(size, tf.shape(maps, tf.int64)[1:3], resize, crop_fraction)
    scale = size / resized
    return resample(maps, size, scale, tf.cast(start, tf.float64) * scale)[..., 0]


def resample(images, size, scale, translation, interpolation="bilinear"):
    """Scales and translates pictures: output pixel = input pixel * scale + translation, along each axis.

    Args:
        images: uint8 or float (b, H, W, c).
        size: (rows, columns) of the result in pixels, ints or an int tensor.
        scale: float (2,), output pixels per input pixel; below 1 the result is antialiased.
        translation: float (2,), in output pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        float32 tensor (b, rows, columns, c), zero outside the input picture.
    """
    if interpolation not in _KERNELS:
        raise unknown_name("interpolation", interpolation, _KERNELS)
    return tf.raw_ops.ScaleAndTranslate(
        images=images,
        size=tf.cast(size, tf.int32),
        scale=tf.cast(scale, tf.float32),
        translation=tf.cast(translation, tf.float32),
        kernel_type=_KERNELS[interpolation],
        antialias=True,
    )


def _window(size, image_size, resize, crop_fraction):
    """Returns the size of the resized picture and the upper left corner of the crop in it: int64 (2,) each.

    Rounds like torchvision and Hugging Face, so that their models get the same pixels.
    """
    if resize not in _RESIZES:
        raise unknown_name("resize", resize, _RESIZES)
    if not 0 < crop_fraction <= 1:
        raise ValueError(f"Expected a fraction in (0, 1]. Received: crop_fraction={crop_fraction}")
    image_size = tf.cast(tf.stack(image_size), tf.int64)
    if resize == "squash":
        return image_size, tf.zeros_like(image_size)
    least = tf.cast(tf.round(tf.cast(image_size, tf.float64) / crop_fraction), tf.int64)
    resized = tf.maximum(least, size * least[::-1] // size[::-1])
    return resized, (resized - image_size) // 2


def _decode(encoded, max_pixels):
    image = _quietly(Image.open, io.BytesIO(encoded))
    if image.width * image.height > max_pixels:
        raise Image.DecompressionBombError
    if image.format == "TIFF":  # its decoder warns too, again about sizes
        _quietly(image.load)
    else:
        image.load()
    orientation = _quietly(image.getexif).get(_ORIENTATION)
    image = _to_rgb(image)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.array(image)


def _quietly(function, *args):
    """Calls a function of Pillow without its warnings about large sizes and odd metadata; one thread at a time."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


def _to_rgb(image):
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
    elif image.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(image, "float32"))
        values -= values.min()
        image = Image.fromarray((values * (255 / (values.max() or 1))).astype("uint8"))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("RGB")
