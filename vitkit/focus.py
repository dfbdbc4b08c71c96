"""Localisation metrics: how well a heatmap matches the object, and image-independent baseline maps.

NumPy arrays in, NumPy arrays out. Heatmaps are float (b, H, W), masks bool (b, H, W), `True` = object, each
with at least one pixel (`vitkit.regions.box_masks` turns boxes into masks). A metric per picture returns (b,).
A metric over a data set is computed in two steps: counts or overlaps (b, ...) of each batch, then one number
from those of all batches.
"""

import numpy as np

from vitkit.regions import check_not_empty, component_boxes, dilate


def pointing_game(heatmaps, masks, tolerance=0):
    """Pointing game: whether the heatmap's maximum hits the object.

    If several pixels are equal maxima, the result is the fraction of them that hit, so a constant map scores the
    object's fraction of the picture, as a random guess does.

    Args:
        heatmaps: float (b, H, W).
        masks: bool (b, H, W).
        tolerance: float, distance from the object in pixels that still counts as a hit; 15 in the paper.

    Returns:
        float64 (b,), 1 = hit.

    Raises:
        ValueError: shapes differ, or a mask is empty.

    Reference:
        Zhang et al., "Top-Down Neural Attention by Excitation Backprop", IJCV 2018. The
        default tolerance is 0 here, since pictures may be small and masks are exact.

    Example:

    >>> pointing_game([[[0.9, 0.1, 0.9]]], [[[True, True, False]]])
    array([0.5])
    """
    heatmaps, masks = _checked(heatmaps, masks)
    maxima = heatmaps == heatmaps.max((1, 2), keepdims=True)
    return (maxima & dilate(masks, tolerance)).sum((1, 2)) / maxima.sum((1, 2))


def energy_share(heatmaps, masks):
    """Energy-based pointing game: the fraction of the heatmap's sum that lies on the object.

    An all-zero map counts as a constant one.

    Args:
        heatmaps: float (b, H, W), no value below 0.
        masks: bool (b, H, W).

    Returns:
        float64 (b,) in 0 .. 1.

    Raises:
        ValueError: shapes differ, or a mask is empty.

    Reference:
        Wang et al., "Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks", CVPR
        workshops 2020, with masks where the paper has boxes.

    Example:

    >>> energy_share([[[0.0, 0.5, 1.0, 0.5]]], [[[False, False, True, True]]])
    array([0.75])
    """
    heatmaps, masks = _checked(heatmaps, masks)
    energy = heatmaps.sum((1, 2), dtype="float64")
    inside = np.where(masks, heatmaps, 0).sum((1, 2), dtype="float64")
    return np.where(energy > 0, inside / np.where(energy > 0, energy, 1), masks.mean((1, 2)))


def energy_enrichment(heatmaps, masks):
    """`energy_share` divided by the object's fraction of the picture: 1 for a constant map.

    Args:
        heatmaps: float (b, H, W), no value below 0.
        masks: bool (b, H, W).

    Returns:
        float64 (b,), from 0 to the picture's area over the object's area.

    Raises:
        ValueError: shapes differ, or a mask is empty.

    Example:

    >>> energy_enrichment([[[0.0, 0.5, 1.0, 0.5]]], [[[False, False, True, True]]])
    array([1.5])
    """
    return energy_share(heatmaps, masks) / np.mean(masks, (1, 2))


def segmentation_counts(heatmaps, masks):
    """Confusion matrix of pixels for the heatmap thresholded at its mean as a segmentation.

    Args:
        heatmaps: float (b, H, W).
        masks: bool (b, H, W).

    Returns:
        int64 (b, 2, 2): [true, predicted], 0 = background, 1 = object. A pixel is predicted as object where the
        heatmap is above its own mean.

    Raises:
        ValueError: shapes differ, or a mask is empty.

    Reference:
        Chefer et al., "Transformer Interpretability Beyond Attention Visualization", CVPR 2021, section 4
        (ImageNet-Segmentation). Sum the counts over a data set, then `pixel_accuracy` and `mean_iou`.
    """
    heatmaps, masks = _checked(heatmaps, masks)
    found = heatmaps > heatmaps.mean((1, 2), keepdims=True, dtype="float64")
    truths = np.stack([~masks, masks], 1)
    findings = np.stack([~found, found], 1)
    return (truths[:, :, None] & findings[:, None]).sum((3, 4))


def pixel_accuracy(counts):
    """The fraction of all pixels that are classified correctly as background or object.

    Args:
        counts: int (..., 2, 2) from `segmentation_counts`, summed here over every leading axis.

    Returns:
        float.

    Example:

    >>> pixel_accuracy([[3, 1], [1, 5]])
    0.8
    """
    counts = _summed(counts)
    return float(counts.trace() / counts.sum())


def mean_iou(counts):
    """Mean intersection over union: over the pixels of all pictures, averaged over background and object.

    Args:
        counts: int (..., 2, 2) from `segmentation_counts`, summed here over every leading axis.

    Returns:
        float.

    Example:

    >>> mean_iou([[3, 1], [2, 4]])  # 3 / 6 and 4 / 7
    0.5357142857142857
    """
    counts = _summed(counts)
    hits = counts.diagonal()
    return float((hits / (counts.sum(0) + counts.sum(1) - hits)).mean())


def average_precision(heatmaps, masks, object_only=False):
    """Average precision with the heatmap as the score of each pixel: the sum of precision times increase in recall.

    The published protocol scores both classes together: each pixel counts once as object with the map's value
    r, scaled to 0 .. 1 per picture, and once as background with 1 - r. A random guess then scores about 0.5,
    and an empty map (all background) far more if objects are small. With `object_only` a random guess scores
    the object's fraction of the picture.

    Args:
        heatmaps: float (b, H, W).
        masks: bool (b, H, W).
        object_only: bool, whether to count each pixel only once, as object with the map's value.

    Returns:
        float64 (b,). The published mAP is its mean over the pictures.

    Raises:
        ValueError: shapes differ, or a mask is empty.

    Reference:
        Chefer et al., CVPR 2021, section 4 (ImageNet-Segmentation), and the authors' code.

    Example:

    >>> average_precision([[[0.9, 0.5, 0.1]]], [[[True, False, True]]], object_only=True).round(3)
    array([0.833])
    """
    heatmaps, masks = _checked(heatmaps, masks)
    scores = scale_to_unit(heatmaps).reshape(len(heatmaps), -1)
    truths = masks.reshape(len(masks), -1)
    if not object_only:
        scores = np.concatenate([scores, 1 - scores], 1)
        truths = np.concatenate([truths, ~truths], 1)

    order = np.argsort(-scores, axis=1)
    scores, truths = (np.take_along_axis(array, order, 1) for array in (scores, truths))
    length = scores.shape[1]
    # Equal scores pass a threshold together: each gets the precision at the last rank of its tie.
    ends_tie = np.pad(scores[:, 1:] != scores[:, :-1], [(0, 0), (0, 1)], constant_values=True)
    tie_end = np.where(ends_tie, np.arange(length), length)
    tie_end = np.minimum.accumulate(tie_end[:, ::-1], 1)[:, ::-1]
    precision = truths.cumsum(1) / np.arange(1, length + 1)
    return (truths * np.take_along_axis(precision, tie_end, 1)).sum(1) / truths.sum(1)


def box_overlaps(heatmaps, boxes, num_thresholds=100):
    """The best overlap between the true box and the boxes of the thresholded heatmap, at each threshold.

    At threshold t, the boxes are the bounding boxes of the 8-connected components of the pixels with value >= t.

    Args:
        heatmaps: float (b, H, W), scaled here to 0 .. 1 per picture.
        boxes: float (b, 4), ymin, xmin, ymax, xmax as fractions of the picture, one box per picture.
        num_thresholds: int, t: thresholds 0, 1/t, ..., 1 - 1/t.

    Returns:
        float64 (b, t), intersection over union. Concatenate over a data set, then `max_box_accuracy`.

    Reference:
        Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020, and
        "Evaluation for Weakly Supervised Object Localization: Protocol, Metrics, and Datasets", TPAMI 2022
        (MaxBoxAccV2). The authors' code has 1000 thresholds on maps of 256 levels, counts the contours of
        holes too, and makes boxes a pixel larger to the right and below.

    Example:

    >>> box_overlaps([[[1.0, 0.5, 0.0, 0.0]]], [[0.0, 0.0, 1.0, 0.25]], num_thresholds=4)
    array([[0.25, 0.5 , 0.5 , 1.  ]])
    """
    heatmaps = scale_to_unit(heatmaps)
    thresholds = np.arange(num_thresholds)[:, None, None] / num_thresholds
    truths = np.asarray(boxes, "float64") * np.tile(heatmaps.shape[1:], 2)
    overlaps = np.zeros((len(heatmaps), num_thresholds))
    for heatmap, truth, best in zip(heatmaps, truths, overlaps, strict=True):
        at_threshold, found = component_boxes(heatmap >= thresholds)
        shared = np.minimum(found[:, 2:], truth[2:]) - np.maximum(found[:, :2], truth[:2])
        shared = np.maximum(shared, 0).prod(1)
        union = (found[:, 2:] - found[:, :2]).prod(1) + (truth[2:] - truth[:2]).prod() - shared
        np.maximum.at(best, at_threshold, shared / union)
    return overlaps


def max_box_accuracy(overlaps, levels=(0.3, 0.5, 0.7)):
    """MaxBoxAccV2: the fraction of pictures whose overlap reaches a level, at the data set's best threshold.

    Args:
        overlaps: float (b, t) from `box_overlaps`, for all pictures.
        levels: the minimum overlaps (IoU) of a hit; each has its own best threshold, and the mean over levels is
            returned. (0.5,) gives MaxBoxAcc with the best component instead of the largest.

    Returns:
        float.

    Reference:
        Choe et al., TPAMI 2022 (see `box_overlaps`).

    Example:

    >>> max_box_accuracy([[0.6, 0.2], [0.4, 0.9]], levels=(0.3, 0.5))  # 1.0 at 0.3, and 0.5 at 0.5
    0.75
    """
    return float(np.mean([(np.asarray(overlaps) >= level).mean(0).max() for level in levels]))


def centre_gaussian(height, width, sigma=0.25):
    """Image-independent baseline map: a Gaussian in the centre, where objects tend to be.

    Args:
        height: int, pixels.
        width: int, pixels.
        sigma: float, standard deviation as a fraction of the height and of the width.

    Returns:
        float32 (H, W) in [0, 1].
    """
    down, across = (np.exp(-0.5 * (((np.arange(length) + 0.5) / length - 0.5) / sigma) ** 2) for length in (height, width))
    return scale_to_unit(np.outer(down, across)[None])[0]


def random_maps(count, height, width, grid=None, seed=0):
    """Image-independent baseline maps: uniform noise, one value per cell of a grid.

    Args:
        count: int, b.
        height: int, pixels.
        width: int, pixels.
        grid: (rows, columns) of the cells, such as the model's patches; `None` for one cell per pixel.
        seed: int, or a `numpy.random.Generator` to draw from.

    Returns:
        float32 (b, H, W) in [0, 1).
    """
    rows, columns = grid or (height, width)
    cells = np.random.default_rng(seed).random((count, rows, columns), "float32")
    down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
    return cells[:, down[:, None], across]


def scale_to_unit(heatmaps):
    """Scales each map so that its minimum is 0 and its maximum 1; a constant map becomes 0.

    Args:
        heatmaps: float (b, H, W).

    Returns:
        float32 (b, H, W).

    Example:

    >>> scale_to_unit([[[2.0, 3.0, 4.0]]])
    array([[[0. , 0.5, 1. ]]], dtype=float32)
    """
    heatmaps = np.asarray(heatmaps, "float32")
    least, largest = heatmaps.min((1, 2), keepdims=True), heatmaps.max((1, 2), keepdims=True)
    return (heatmaps - least) / np.where(largest > least, largest - least, 1)


def _checked(heatmaps, masks):
    heatmaps, masks = np.asarray(heatmaps), np.asarray(masks, bool)
    if heatmaps.ndim != 3 or heatmaps.shape != masks.shape:
        raise ValueError(
            "Expected heatmaps and masks of the same shape (batch, height, width). "
            f"Received: heatmaps.shape={heatmaps.shape}, masks.shape={masks.shape}"
        )
    check_not_empty(masks)
    return heatmaps, masks


def _summed(counts):
    return np.asarray(counts).reshape(-1, 2, 2).sum(0)
