"""Attention masks as pure functions: `True` = may attend."""

from keras import ops


def causal_mask(query_length, key_length=None, start_index=0):
    """Causal mask: query i may attend to keys 0 .. i + `start_index`.

    Args:
        query_length: int or scalar int tensor, q.
        key_length: int or scalar int tensor, k; `None` means q.
        start_index: int or scalar int tensor, position of the first query among the keys (cached decoding).

    Returns:
        bool tensor (1, q, k).

    Example:

    >>> from shared_layers import causal_mask
    >>> [[int(seen) for seen in row] for row in causal_mask(3)[0]]
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    key_length = query_length if key_length is None else key_length
    query_positions = ops.arange(query_length, dtype="int32") + ops.cast(start_index, "int32")
    key_positions = ops.arange(key_length, dtype="int32")
    return ops.greater_equal(query_positions[None, :, None], key_positions[None, None, :])


def sliding_window_mask(query_length, key_length, window, start_index=0):
    """Sliding-window mask: a query at position i may attend to keys at positions j with |i - j| < `window`.

    Args:
        query_length: int or scalar int tensor, q.
        key_length: int or scalar int tensor, k.
        window: int, half-width of the window in tokens, the query's own position included.
        start_index: int or scalar int tensor, position of the first query among the keys.

    Returns:
        bool tensor (1, q, k).
    """
    query_positions = ops.arange(query_length, dtype="int32") + ops.cast(start_index, "int32")
    key_positions = ops.arange(key_length, dtype="int32")
    return ops.less(ops.abs(query_positions[None, :, None] - key_positions[None, None, :]), window)


def combine_masks(*masks):
    """Logical AND of the masks that are not `None`, broadcast against each other.

    Args:
        *masks: tensors of bool or of numbers (nonzero = may attend), or `None`.

    Returns:
        bool tensor, or `None` when every mask is `None`.
    """
    combined = None
    for mask in masks:
        if mask is not None:
            mask = ops.cast(mask, "bool")
            combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def check_mask(name, mask, *shapes, broadcasts=False):
    """Checks that a mask has one of the expected shapes.

    Args:
        name: str, name of the argument, for the error message.
        mask: tensor; `None` is accepted.
        *shapes: tuples of expected sizes; a size that is not an int (unknown), here or in the mask's shape, matches any.
        broadcasts: bool, whether an axis of size 1 is accepted too.

    Raises:
        ValueError: a mask of another shape.
    """
    if mask is None:
        return

    def fits(size, expected):
        known = isinstance(size, int) and isinstance(expected, int)
        return not known or size == expected or (broadcasts and size == 1)

    if not any(len(mask.shape) == len(shape) and all(map(fits, mask.shape, shape)) for shape in shapes):
        expected = " or ".join(f"({', '.join(map(str, shape))})" for shape in shapes)
        raise ValueError(
            f"`{name}` should have shape {expected}{', or axes of size 1' if broadcasts else ''}. "
            f"Received: {name}.shape={tuple(mask.shape)}"
        )
