"""Faithfulness metrics: the class probability while a heatmap's highest pixels are deleted or inserted."""

import numpy as np


def deletion(predict, pictures, heatmaps, targets, colour, steps=32):
    """Deletion: area under the curve of the class probability as pixels are covered, highest first; lower is better.

    Args:
        predict: callable, uint8 pictures (n, H, W, 3) -> probabilities (n, c); n is steps + 1.
        pictures: uint8 (b, H, W, 3).
        heatmaps: float (b, H, W); equal values are ordered row by row.
        targets: int (b,), the class whose probability is measured; in the paper the one predicted for the full picture.
        colour: three numbers in 0 .. 255 to cover pixels with; in the paper the mean of the training data.
        steps: int, the number of equal parts in which pixels are covered; in the paper the picture's height.

    Returns:
        float64 (b,) in 0 .. 1, by the trapezoidal rule over the fraction of pixels covered.

    Raises:
        ValueError: the shapes of pictures and heatmaps differ.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
        section 4.
    """
    covered = np.broadcast_to(np.rint(colour).astype("uint8"), np.shape(pictures))
    return _area_under_exchange(predict, pictures, covered, heatmaps, targets, steps)


def insertion(predict, pictures, heatmaps, targets, steps=32):
    """Insertion: as `deletion`, while a blurred picture gets its pixels back, highest first; higher is better.

    Args:
        predict: callable, uint8 pictures (n, H, W, 3) -> probabilities (n, c); n is steps + 1.
        pictures: uint8 (b, H, W, 3).
        heatmaps: float (b, H, W); equal values are ordered row by row.
        targets: int (b,), the class whose probability is measured.
        steps: int, the number of equal parts in which pixels are restored.

    Returns:
        float64 (b,) in 0 .. 1, by the trapezoidal rule over the fraction of pixels restored.

    Raises:
        ValueError: the shapes of pictures and heatmaps differ.

    Reference:
        Petsiuk et al., BMVC 2018, section 4; for the blur see `blur`.
    """
    return _area_under_exchange(predict, blur(pictures), pictures, heatmaps, targets, steps)


def blur(pictures, sigma=5.0, radius=5):
    """Gaussian blur; the default kernel is that of the RISE authors' insertion metric.

    Args:
        pictures: uint8 (b, H, W, 3), or one channel (b, H, W, 1).
        sigma: float, standard deviation in pixels.
        radius: int, radius in pixels at which the kernel is truncated. The border is padded by reflection.

    Returns:
        uint8, the shape of `pictures`.
    """
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype("float32")
    blurred = np.asarray(pictures, "float32")
    for _ in ("rows", "columns"):
        height = blurred.shape[1]
        padded = np.pad(blurred, [(0, 0), (radius, radius), (0, 0), (0, 0)], mode="symmetric")
        blurred = sum(weight * padded[:, tap : tap + height] for tap, weight in enumerate(kernel))
        blurred = blurred.swapaxes(1, 2)
    return np.rint(blurred).astype("uint8")


def _area_under_exchange(predict, before, after, heatmaps, targets, steps):
    """The area under the targets' probability while `before` becomes `after`, hottest pixels first."""
    heatmaps = np.asarray(heatmaps)
    if np.shape(before)[:3] != heatmaps.shape:
        raise ValueError(
            "Expected heatmaps of the pictures' shape (batch, height, width). "
            f"Received: pictures.shape={np.shape(before)}, heatmaps.shape={heatmaps.shape}"
        )
    areas = []
    for heatmap, old, new, target in zip(heatmaps, before, after, targets, strict=True):
        hottest_first = np.argsort(-heatmap, axis=None, kind="stable")
        rank = np.argsort(hottest_first).reshape(heatmap.shape)  # 0 = the highest pixel
        counts = np.rint(np.linspace(0, rank.size, steps + 1))
        exchanged = rank < counts[:, None, None]  # (steps + 1, H, W)
        probabilities = np.asarray(predict(np.where(exchanged[..., None], new, old)), "float64")[:, target]
        areas.append((probabilities.sum() - (probabilities[0] + probabilities[-1]) / 2) / steps)
    return np.array(areas)
