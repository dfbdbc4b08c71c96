"""Texts as arrays of ids; TensorFlow only, as tokenizers are."""

import numpy as np
import tensorflow as tf

INPUTS = ("token_ids", "segment_ids", "padding_mask")  # of a model
DEFAULT_LENGTH = 512  # tokens of a row, for models without learned positions
_TEXTS_AT_ONCE = 1024
_CHARACTERS_AT_ONCE = 2**20  # of texts padded to the longest, as the tokenizer does


def encode(tokenizer, texts, pairs=None, **options):
    """Encodes any number of texts, in chunks that bound the memory of the tokenizer.

    Args:
        tokenizer: `textkit.Tokenizer`.
        texts: list of n str.
        pairs: list of n str, the second text of each; or `None`.
        **options: of `Tokenizer.encode`.

    Returns:
        dict of NumPy arrays (n, t), all padded to the longest; see `Tokenizer.encode`.

    Raises:
        ValueError: no texts, or see `Tokenizer.encode`.
    """
    return stack_rows(tokenizer, list(encoded_rows(tokenizer, texts, pairs, **options)))


def encoded_rows(tokenizer, texts, pairs=None, **options):
    """Encodes any number of texts, one row at a time and without padding.

    Args:
        tokenizer: `textkit.Tokenizer`.
        texts: list of str.
        pairs: list of str, the second text of each; or `None`.
        **options: of `Tokenizer.encode`.

    Yields:
        dict of NumPy arrays (t, ...) for each text, t its number of tokens; see `Tokenizer.encode`.

    Raises:
        ValueError: see `Tokenizer.encode`.
    """
    for chunk in _chunks([texts] if pairs is None else [texts, pairs]):
        encoded = tokenizer.encode(texts[chunk], None if pairs is None else pairs[chunk], **options)
        arrays = {name: values.numpy() for name, values in encoded.items()}
        for row, length in enumerate(arrays["padding_mask"].sum(axis=1)):
            yield {name: values[row, :length] for name, values in arrays.items()}


def stack_rows(tokenizer, rows):
    """Stacks rows of `encoded_rows`, padded to the longest.

    Args:
        tokenizer: `textkit.Tokenizer`, which gives the padding id.
        rows: list of n dicts of arrays (t, ...), all with the same keys.

    Returns:
        dict of NumPy arrays (n, t, ...), t that of the longest row.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("Expected at least one text. Received: none")
    fill = {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": False, "offsets": -1}
    return {name: _stack([row[name] for row in rows], fill[name]) for name in rows[0]}


def in_pair(offsets):
    """Finds the tokens of the second text of a pair.

    Args:
        offsets: int tensor or array (..., n, 2), see `Tokenizer.encode`.

    Returns:
        bool tensor (..., n).
    """
    special = offsets[..., 0] < 0
    # it begins after the second special token
    return ~special & (tf.cumsum(tf.cast(special, tf.int32), axis=-1) > 1)


def count_longer(tokenizer, max_length, texts, pairs=None):
    """Counts the texts that `encode` truncates to `max_length` tokens.

    Args:
        tokenizer: `textkit.Tokenizer`.
        max_length: int, the maximum number of tokens, special tokens included.
        texts: list of str.
        pairs: list of str, the second text of each; or `None`.

    Returns:
        int.
    """
    # encoded to one token more, which is enough to see it and takes less memory than the whole texts
    rows = encoded_rows(tokenizer, texts, pairs, max_length=max_length + 1)
    return sum(len(row["token_ids"]) > max_length for row in rows)


def most_tokens(model, max_length=None):
    """The maximum number of tokens of a row for a model.

    Args:
        model: a `TextEncoder`, or a model with a head on one, with a tokenizer.
        max_length: int, the requested length; or `None` for the number of learned positions.

    Returns:
        int, or `None` if there is no limit: `max_length` is `None` and the positions are not learned.

    Raises:
        ValueError: no tokenizer, one with more ids than the model, or a length beyond the model's positions.
    """
    tokenizer, config = model.tokenizer, getattr(model, "encoder", model).config
    if tokenizer is None:
        raise ValueError("Expected a model that was made with a tokenizer. Received: tokenizer=None")
    if tokenizer.size > config["vocabulary_size"]:
        raise ValueError(
            f"Expected a tokenizer of at most the model's {config['vocabulary_size']} ids. "
            f"Received: a tokenizer of {tokenizer.size} ids"
        )
    positions = config["max_sequence_length"] if config["positions"] == "learned" else None
    if None not in (positions, max_length) and max_length > positions:
        raise ValueError(f"Expected at most the model's {positions} positions. Received: max_length={max_length}")
    return positions if max_length is None else max_length


def _chunks(columns):
    """Yields slices of texts that are encoded together: a long text with few others."""
    # the tokenizer checks the types and the number of pairs
    start = longest = 0
    for stop, texts in enumerate(zip(*columns, strict=False)):
        length = sum(len(str(text)) for text in texts)
        longest = max(longest, length)
        count = stop + 1 - start
        if count > 1 and (count > _TEXTS_AT_ONCE or count * longest > _CHARACTERS_AT_ONCE):
            yield slice(start, stop)
            start, longest = stop, length
    yield slice(start, None)


def _stack(rows, fill):
    """Stacks arrays (t, ...) of different lengths to one (n, max t, ...), padded with `fill`."""
    stacked = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in zip(stacked, rows, strict=True):
        place[: len(row)] = row
    return stacked
