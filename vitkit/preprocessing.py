"""From a picture to what a model reads, and back: decoding, resizing, normalising.

Written with TensorFlow, whatever the Keras backend: the same code runs eagerly, in `tf.data` and in an
exported graph that does not know the size of its pictures.
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

# What undoes each EXIF orientation (tag 0x0112).
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

# Pillow warns as it reads headers; `warnings.catch_warnings` swaps a list that all threads share.
_lock = threading.Lock()


def read_image(source, max_pixels=178_956_970):
    """Reads a picture of any kind as upright 8-bit RGB.

    The EXIF orientation is applied; grey, CMYK and palette pictures become RGB; transparency is laid over
    white; of an animation the first frame is taken; 16-bit pictures keep their upper 8 bits, and 32-bit and
    float ones, which do not say what white is, are stretched from their least to their greatest value. Colour
    profiles are ignored.

    Args:
        source: str or path of a file, or the encoded picture itself as bytes.
        max_pixels: int, larger pictures are refused before they are decoded. The default, also the most that
            Pillow lets through, is above any camera's and takes 0.5 GB.

    Returns:
        uint8 (H, W, 3).

    Raises:
        OSError: The file does not exist or may not be read.
        ValueError: The file is empty, corrupt, cut short, larger than `max_pixels`, or no picture.

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
    except Exception as error:  # on corrupt data, Pillow's readers raise almost anything
        is_other = isinstance(error, UnidentifiedImageError)
        reason = "no picture" if is_other else " ".join(str(error).split())
        raise ValueError(f"Expected a whole picture. Received: source={name} ({reason})") from error


def prepare(images, image_shape, mean, std, interpolation="bilinear", resize="squash", crop_fraction=0.875):
    """Prepares pictures for a model: resizes them, scales them to [0, 1], and normalises.

    Args:
        images: uint8 (b, H, W, 3), pictures of any size, in a graph also unknown; or floats, which are taken
            to be prepared already and returned as they are.
        image_shape: (h, w, 3), what the model reads.
        mean: three floats, the mean of each channel, of pictures in [0, 1].
        std: three floats, the deviation of each channel.
        interpolation: "bilinear" or "bicubic", with antialiasing where pictures shrink, as Pillow resizes.
        resize: "squash" resizes straight to (h, w), whatever the picture's proportions; "crop" resizes it to
            just cover (h, w) / crop_fraction and takes the middle.
        crop_fraction: float in (0, 1], for "crop"; 224 pixels out of 256 are 0.875.

    Returns:
        float32 tensor (b, h, w, 3).

    Raises:
        ValueError: `images` is of another shape or dtype, or an option does not exist.

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
            "Expected pictures (b, H, W, 3), uint8, or float if they are prepared already. "
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
    """Resizes pictures to the shape that a model reads: the first half of `prepare`, with its arguments.

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
    """Lays maps of prepared pictures over the pictures as they were: undoes `to_image_shape` bilinearly.

    Args:
        maps: float (b, h, w), a value for each pixel that the model saw.
        picture_size: (H, W), ints or an int tensor (2,).
        resize: what `prepare` was given.
        crop_fraction: what `prepare` was given.

    Returns:
        float32 tensor (b, H, W), zero where the picture was cropped away.

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
    """Scales pictures, then moves them; out pixel = in pixel * scale + translation, along each side.

    Args:
        images: (b, H, W, c).
        size: (rows, columns) of the result, ints or an int tensor.
        scale: float (2,), out pixels for each in pixel; below 1, the picture is smoothed as it shrinks.
        translation: float (2,), in out pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        float32 tensor (b, rows, columns, c), zero where there was no picture.
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
    """The size of a resized picture, and where in it begins what the model sees: int64 (2,) each.

    Rounded as torchvision and Hugging Face round, so that their models see the same pixels.
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
    if image.format == "TIFF":  # the one reader that warns, of sizes again, as it decodes
        _quietly(image.load)
    else:
        image.load()
    orientation = _quietly(image.getexif).get(_ORIENTATION)
    image = _to_rgb(image)
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return np.array(image)


def _quietly(function, *args):
    """Calls a function of Pillow without its warnings, of great sizes and of odd metadata; one at a time."""
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
