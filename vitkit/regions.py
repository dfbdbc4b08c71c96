"""Masks and boxes of objects in pictures: NumPy arrays in, NumPy arrays out.

A mask is bool (b, H, W), True = object. A box is float (b, 4): ymin, xmin, ymax, xmax as fractions of the
picture's height and width, upper ends exclusive, as in tensorflow_datasets.
"""

import numpy as np


def box_masks(boxes, height, width):
    """Turns boxes into masks: `True` for the pixels whose centre is inside; at least one pixel per box.

    Args:
        boxes: float (b, 4).
        height: int, pixels.
        width: int, pixels.

    Returns:
        bool (b, H, W).

    Example:

    >>> box_masks([[0.0, 0.5, 0.5, 1.0]], 2, 4)[0].astype(int)
    array([[0, 0, 1, 1],
           [0, 0, 0, 0]])
    """
    corners = np.rint(np.asarray(boxes, "float64") * [height, width, height, width]).astype(int)
    lows = np.clip(corners[:, :2], 0, [height - 1, width - 1])
    highs = np.maximum(corners[:, 2:], lows + 1)
    rows, columns = np.arange(height), np.arange(width)
    inside_rows = (lows[:, :1] <= rows) & (rows < highs[:, :1])  # (b, H)
    inside_columns = (lows[:, 1:] <= columns) & (columns < highs[:, 1:])  # (b, W)
    return inside_rows[:, :, None] & inside_columns[:, None, :]


def mask_boxes(masks):
    """Returns the bounding box of each mask.

    Args:
        masks: bool (b, H, W), each with at least one True pixel.

    Returns:
        float64 (b, 4).

    Raises:
        ValueError: an empty mask.

    Example:

    >>> mask_boxes([[[False, False], [False, True]]])
    array([[0.5, 0.5, 1. , 1. ]])
    """
    masks = np.asarray(masks, bool)
    check_not_empty(masks)
    bounds = []
    for axis in (1, 2):
        occupied = masks.any(3 - axis)  # (b, H) or (b, W)
        length = occupied.shape[1]
        bounds.append((occupied.argmax(1) / length, 1 - occupied[:, ::-1].argmax(1) / length))
    (top, bottom), (left, right) = bounds
    return np.stack([top, left, bottom, right], 1)


def check_not_empty(masks):
    """Checks that no mask is empty.

    Args:
        masks: bool (b, H, W).

    Raises:
        ValueError: an empty mask; the message names its index.
    """
    empty = np.flatnonzero(~masks.any((1, 2)))
    if empty.size:
        raise ValueError(f"Expected a True pixel in every mask. Received: none in masks[{empty[0]}]")


def grow_boxes(boxes, margin):
    """Enlarges boxes on each side, clipped to the picture.

    Args:
        boxes: float (b, 4).
        margin: float, as a fraction of the box's own height and width.

    Returns:
        float64 (b, 4).

    Example:

    >>> grow_boxes([[0.25, 0.5, 0.75, 1.0]], 0.5)
    array([[0.  , 0.25, 1.  , 1.  ]])
    """
    boxes = np.asarray(boxes, "float64")
    reach = margin * (boxes[:, 2:] - boxes[:, :2])
    return np.clip(boxes + np.concatenate([-reach, reach], 1), 0, 1)


def dilate(masks, radius):
    """Dilates masks: adds every pixel within a distance of the mask.

    Args:
        masks: bool (b, H, W).
        radius: float >= 0, Euclidean distance between pixel centres, in pixels.

    Returns:
        bool (b, H, W).

    Example:

    >>> dilate([[[False, False, True, False], [False, False, False, False]]], 1)[0].astype(int)
    array([[0, 1, 1, 1],
           [0, 0, 1, 0]])
    """
    masks = np.asarray(masks, bool)
    height, width = masks.shape[1:]
    grown = masks.copy()
    furthest = min(int(radius), height - 1)
    for down in range(-furthest, furthest + 1):
        reach = int((radius**2 - down**2) ** 0.5)
        source = slice(max(0, -down), height - max(0, down))
        target = slice(max(0, down), height - max(0, -down))
        # Number of mask pixels in columns x - reach .. x + reach, from one cumulative sum along the row.
        padded = np.pad(masks[:, source], [(0, 0), (0, 0), (reach + 1, reach)])
        count = padded.cumsum(2, dtype="int32")
        grown[:, target] |= count[:, :, 2 * reach + 1 :] > count[:, :, :width]
    return grown


def paint(pictures, masks, colour):
    """Covers the masked pixels with one colour.

    Args:
        pictures: uint8 (b, H, W, 3).
        masks: bool (b, H, W), True = covered.
        colour: three numbers in 0 .. 255.

    Returns:
        uint8 (b, H, W, 3), a new array.
    """
    return np.where(np.asarray(masks, bool)[..., None], np.rint(colour).astype("uint8"), pictures)


def component_boxes(masks):
    """Returns the bounding boxes of the 8-connected components of each mask.

    Connected-component labelling on runs of `True` pixels, vectorised over all masks: runs that touch in neighbouring
    rows get the smaller of their labels, until no label changes.

    Args:
        masks: bool (b, H, W); a mask may be empty.

    Returns:
        A tuple: int (n,), the mask that each component belongs to; int (n, 4), its ymin, xmin, ymax, xmax in
        pixels, upper ends exclusive.

    Example:

    >>> owners, boxes = component_boxes([[[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0]]])
    >>> boxes
    array([[0, 0, 2, 2],
           [3, 0, 4, 2]])
    """
    masks = np.asarray(masks, bool)
    height, width = masks.shape[1:]
    # Flatten, with an extra column and row that separate rows and masks.
    line = np.pad(masks, [(0, 0), (0, 1), (0, 1)]).ravel()
    stride = width + 1
    turns = np.flatnonzero(np.diff(line, prepend=False))
    start, end = turns[::2], turns[1::2]

    # Runs of the next row that touch a run (8-connected) end at or after its start and start at or before its
    # end: a range first .. last, since runs are sorted.
    first = np.searchsorted(end, start + stride, "left")
    last = np.searchsorted(start, end + stride, "right")
    touching = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(start)), touching)
    lower = np.arange(len(upper)) + np.repeat(first - (touching.cumsum() - touching), touching)

    root = np.arange(len(start))
    while (root[upper] != root[lower]).any():
        smaller = np.minimum(root[upper], root[lower])
        np.minimum.at(root, root[upper], smaller)
        np.minimum.at(root, root[lower], smaller)
        root = root[root]

    roots, component = np.unique(root, return_inverse=True)
    owner, row = np.divmod(start // stride, height + 1)
    column = start % stride
    lows, highs = np.full((len(roots), 2), max(height, width)), np.zeros((len(roots), 2), int)
    np.minimum.at(lows, component, np.stack([row, column], 1))
    np.maximum.at(highs, component, np.stack([row + 1, column + end - start], 1))
    return owner[roots], np.concatenate([lows, highs], 1)
