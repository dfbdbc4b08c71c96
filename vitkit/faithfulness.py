"""Does the model use what a heatmap marks? Its answer while those pixels are taken away or given back."""

import numpy as np


def deletion(predict, pictures, heatmaps, targets, colour, steps=32):
    """Deletion: area under the class's probability while the hottest pixels are covered first; low is good.

    Args:
        predict: callable, uint8 pictures (n, H, W, 3) -> probabilities (n, c); n is steps + 1.
        pictures: uint8 (b, H, W, 3).
        heatmaps: float (b, H, W); equal values are taken row by row.
        targets: int (b,), the class to watch; the paper's is the one predicted for the whole picture.
        colour: three numbers in 0 .. 255 to cover pixels with; the paper's is the mean of the training data.
        steps: int, into how many equal parts the pixels are divided; the paper's is the picture's height.

    Returns:
        float64 (b,) in 0 .. 1, by the trapezoid rule over the fraction of pixels covered.

    Raises:
        ValueError: the shapes of pictures and heatmaps differ.

    Reference:
        Petsiuk et al., "RISE: Randomized Input Sampling for Explanation of Black-box Models", BMVC 2018,
        section 4.
    """
    covered = np.broadcast_to(np.rint(colour).astype("uint8"), np.shape(pictures))
    return _area_under_exchange(predict, pictures, covered, heatmaps, targets, steps)


def insertion(predict, pictures, heatmaps, targets, steps=32):
    """Insertion: the same area while a blurred picture gets its hottest pixels back first; high is good.

    Args:
        predict: callable, uint8 pictures (n, H, W, 3) -> probabilities (n, c); n is steps + 1.
        pictures: uint8 (b, H, W, 3).
        heatmaps: float (b, H, W); equal values are taken row by row.
        targets: int (b,), the class to watch.
        steps: int, into how many equal parts the pixels are divided.

    Returns:
        float64 (b,) in 0 .. 1.

    Raises:
        ValueError: the shapes of pictures and heatmaps differ.

    Reference:
        Petsiuk et al., BMVC 2018, section 4; blurred as `blur` says.
    """
    return _area_under_exchange(predict, blur(pictures), pictures, heatmaps, targets, steps)


def blur(pictures, sigma=5.0, radius=5):
    """Gaussian blur; the defaults are the kernel of the insertion metric's authors.

    Args:
        pictures: uint8 (b, H, W, 3), or one channel (b, H, W, 1).
        sigma: float, pixels.
        radius: int, pixels: the kernel is cut off there. Pictures go on beyond their border as in a mirror.

    Returns:
        uint8, shape of `pictures`.
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
        rank = np.argsort(hottest_first).reshape(heatmap.shape)  # 0 = the hottest pixel
        counts = np.rint(np.linspace(0, rank.size, steps + 1))
        exchanged = rank < counts[:, None, None]  # (steps + 1, H, W)
        probabilities = np.asarray(predict(np.where(exchanged[..., None], new, old)), "float64")[:, target]
        areas.append((probabilities.sum() - (probabilities[0] + probabilities[-1]) / 2) / steps)
    return np.array(areas)
