"""Attention masks as pure functions: `True` = may attend."""

from keras import ops


def causal_mask(query_length, key_length=None, start_index=0):
    """Mask that hides the future: query i sees keys 0 .. i + `start_index`.

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
    """Mask of a band: a query at position i sees the keys at j with |i - j| < `window`.

    Args:
        query_length: int or scalar int tensor, q.
        key_length: int or scalar int tensor, k.
        window: int, half-width of the band in tokens, itself included.
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


def keras_mask(tensor):
    """The padding mask that a Keras layer (`Embedding(mask_zero=True)`, `Masking`) left on a tensor, or `None`."""
    return getattr(tensor, "_keras_mask", None)


def padding_and_attention_mask(padding_mask, attention_mask):
    """One mask (b, q or 1, k) out of the two that an encoder or decoder layer takes.

    Args:
        padding_mask: (b, k), nonzero = a real token; or `None`.
        attention_mask: (b, q, k), nonzero = may attend; or `None`.

    Returns:
        bool tensor (b, 1, k) or (b, q, k), or `None` when both are `None`.

    Raises:
        ValueError: a mask of another rank.
    """
    if padding_mask is not None:
        if len(padding_mask.shape) != 2:
            raise ValueError(
                f"`padding_mask` should have shape (batch, length). Received: padding_mask.shape={tuple(padding_mask.shape)}"
            )
        padding_mask = ops.expand_dims(padding_mask, 1)  # (b, 1, k)
    if attention_mask is not None and len(attention_mask.shape) != 3:
        raise ValueError(
            "`attention_mask` should have shape (batch, query length, key length). "
            f"Received: attention_mask.shape={tuple(attention_mask.shape)}"
        )
    return combine_masks(padding_mask, attention_mask)
