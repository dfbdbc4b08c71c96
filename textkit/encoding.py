"""Texts as arrays of ids; TensorFlow only, as tokenizers are."""

import numpy as np
import tensorflow as tf

INPUTS = ("token_ids", "segment_ids", "padding_mask")  # of a model
DEFAULT_LENGTH = 512  # tokens of a row, where a model's positions have no end
_TEXTS_AT_ONCE = 1024
_CHARACTERS_AT_ONCE = 2**20  # each text counted as the longest: a tokenizer pads them to it


def encode(tokenizer, texts, pairs=None, **options):
    """Encodes texts however many they are.

    Args:
        tokenizer: `textkit.Tokenizer`.
        texts: list of str.
        pairs: list of str, the second text of each; or `None`.
        **options: of `Tokenizer.encode`.

    Returns:
        dict of arrays (n, t), all padded to the longest; see `Tokenizer.encode`.
    """
    return stack_rows(tokenizer, list(encoded_rows(tokenizer, texts, pairs, **options)))


def encoded_rows(tokenizer, texts, pairs=None, **options):
    """Yields what `encode` makes of each text, without padding: dict of arrays (t, ...)."""
    for chunk in _chunks([texts] if pairs is None else [texts, pairs]):
        encoded = tokenizer.encode(texts[chunk], None if pairs is None else pairs[chunk], **options)
        arrays = {name: values.numpy() for name, values in encoded.items()}
        for row, length in enumerate(arrays["padding_mask"].sum(axis=1)):
            yield {name: values[row, :length] for name, values in arrays.items()}


def stack_rows(tokenizer, rows):
    """Puts rows of `encoded_rows` below one another: dict of arrays (n, t, ...)."""
    fill = {"token_ids": tokenizer.pad_id, "segment_ids": 0, "padding_mask": False, "offsets": -1}
    return {name: _stack([row[name] for row in rows], fill[name]) for name in rows[0]}


def in_pair(offsets):
    """Says which tokens are of the second text of a pair: bool (..., n) of offsets (..., n, 2)."""
    special = offsets[..., 0] < 0
    # it begins after the second special token
    return ~special & (tf.cumsum(tf.cast(special, tf.int32), axis=-1) > 1)


def count_longer(tokenizer, max_length, texts, pairs=None):
    """Counts the texts that `encode` cuts to `max_length` tokens."""
    # one token more says as much as all of them, in less memory
    rows = encoded_rows(tokenizer, texts, pairs, max_length=max_length + 1)
    return sum(len(row["token_ids"]) > max_length for row in rows)


def most_tokens(model, max_length=None):
    """The most tokens of a row that a model reads.

    Args:
        model: a `TextEncoder`, or a model with a head on one, with a tokenizer.
        max_length: int, what was asked for; or `None` for as many as the model has learned positions for.

    Returns:
        int, or `None` for any number: nothing was asked for, and the positions have no end.

    Raises:
        ValueError: no tokenizer or one of more ids than the model's, or a length beyond its positions.
    """
    tokenizer, config = model.tokenizer, getattr(model, "encoder", model).config
    if tokenizer is None:
        raise ValueError("Expected a model that was made with a tokenizer. Received: tokenizer=None")
    if tokenizer.size > config["vocabulary_size"]:
        raise ValueError(
            f"Expected a tokenizer of at most the model's {config['vocabulary_size']} ids. "
            f"Received: {tokenizer.size} of the tokenizer"
        )
    positions = config["max_sequence_length"] if config["positions"] == "learned" else None
    if None not in (positions, max_length) and max_length > positions:
        raise ValueError(f"Expected at most the model's {positions} positions. Received: max_length={max_length}")
    return positions if max_length is None else max_length


def _chunks(columns):
    """Yields slices of texts that are encoded together: a long one with few others."""
    # what is no str, and columns of unlike lengths, the tokenizer refuses
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
    """Arrays (t, ...) of unlike lengths as one, (n, most t, ...), padded with `fill`."""
    stacked = np.full((len(rows), max(map(len, rows)), *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in zip(stacked, rows, strict=True):
        place[: len(row)] = row
    return stacked
