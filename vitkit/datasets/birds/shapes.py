"""Curves, strokes and tones that the drawings of birds and places share; points are (n, 2) arrays of x, y."""

import numpy as np

Colour = tuple[int, int, int]


def smooth(points, steps: int = 5, closed: bool = True) -> np.ndarray:
    """Returns the Catmull-Rom curve through points.

    Args:
        points: (n, k) numbers.
        steps: points of the curve on each span between two given points.
        closed: whether a span leads from the last point back to the first.

    Returns:
        (n * steps, k), or ((n - 1) * steps + 1, k) when open.

    Example:
        >>> smooth([(0, 0), (1, 0), (2, 0)], steps=2, closed=False)[:, 0].tolist()
        [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    points = np.asarray(points, float)
    if closed:
        before, start, end, after = (np.roll(points, shift, axis=0) for shift in (1, 0, -1, -2))
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    bend, twist = 2 * before - 5 * start + 4 * end - after, 3 * (start - end) + after - before
    curve = start + t / 2 * (end - before + t * (bend + t * twist))
    curve = curve.transpose(1, 0, 2).reshape(-1, points.shape[1])  # (steps, spans, k) -> (spans * steps, k)
    return curve if closed else np.concatenate([curve, points[-1:]])


def stroke(start, end, start_width: float, end_width: float | None = None) -> np.ndarray:
    """Returns the four corners of a straight line, `start_width` wide or tapering from it to `end_width`.

    Example:
        >>> stroke((0, 0), (4, 0), 2).tolist()
        [[0.0, 1.0], [4.0, 1.0], [4.0, -1.0], [0.0, -1.0]]
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = end - start
    side = np.array((-along[1], along[0])) / (2 * np.hypot(*along))
    first, second = side * start_width, side * (start_width if end_width is None else end_width)
    return np.array((start + first, end + second, end - second, start - first))


def shade(colour, factor: float) -> Colour:
    """Returns a colour made darker (`factor` below 1) or lighter.

    Example:
        >>> shade((100, 200, 0), 1.5)
        (150, 255, 0)
    """
    return tuple(int(min(255, channel * factor)) for channel in colour)


_LEAF = np.array(((-1, 0), (-0.6, 0.28), (0, 0.4), (0.6, 0.24), (1, 0), (0.6, -0.24), (0, -0.4), (-0.6, -0.28)))


def leaf_outlines(centres, lengths, rng: np.random.Generator) -> np.ndarray:
    """Returns leaves turned at random.

    Args:
        centres: (n, 2) numbers.
        lengths: (n,) half of each leaf's length.
        rng: source of randomness.

    Returns:
        (n, 8, 2); the leaf's ends are points 0 and 4.
    """
    angles = rng.uniform(0, 2 * np.pi, len(lengths))
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * rng.uniform(0.5, 1.2, (len(lengths), 1))
    return centres[:, None] + _LEAF[:, :1] * along[:, None] + _LEAF[:, 1:] * across[:, None]
