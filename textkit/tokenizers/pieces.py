"""Pieces: the tokens of texts."""

import typing

import tensorflow as tf

from textkit.tokenizers.characters import firsts


class Pieces(typing.NamedTuple):
    """The tokens of b texts, without special tokens.

    Attributes:
        ids: int32 ragged (b, n).
        begins: int32 ragged (b, n), the index of the first character of each token in the original text.
        ends: int32 ragged (b, n), the index after its last character.
        words: int32 ragged (b, n), the index of its word in the text.
    """

    ids: tf.RaggedTensor
    begins: tf.RaggedTensor
    ends: tf.RaggedTensor
    words: tf.RaggedTensor


def gather_pieces(characters, num_texts, rows, ids, first_bytes, past_bytes, words):
    """Makes `Pieces` from flat tokens and their byte offsets.

    The offsets of a token with a part of a character include the whole character; they exclude leading spaces.

    Args:
        characters: `Characters` of all texts.
        num_texts: int64, b.
        rows: int32 (t,), the text index of each token.
        ids: int32 (t,).
        first_bytes: int32 (t,), the start of each token in the UTF-8 encoding of all characters.
        past_bytes: int32 (t,), its end; equal to the start for an empty token.
        words: int32 (t,), the word index of each token, counted over all texts.

    Returns:
        `Pieces`.
    """
    of_byte = characters.of_bytes()
    first = tf.gather(of_byte, tf.minimum(first_bytes, tf.size(of_byte) - 1))
    last = tf.where(past_bytes > first_bytes, tf.gather(of_byte, tf.maximum(past_bytes - 1, 0)), first - 1)
    ends = tf.where(last < first, tf.gather(characters.places, first), tf.gather(characters.places, tf.maximum(last, 0)) + 1)

    seen = characters.codes != ord(" ")
    next_seen = tf.concat([tf.boolean_mask(tf.range(tf.size(seen)), seen), [tf.size(seen)]], axis=0)
    first = tf.gather(next_seen, tf.gather(tf.cumsum(tf.cast(seen, tf.int32), exclusive=True), first))
    begins = tf.where(first > last, ends, tf.gather(characters.places, tf.minimum(first, tf.size(seen) - 1)))

    # Counted from each text's first word.
    new = firsts(rows)
    origin = tf.gather(tf.boolean_mask(words, new), tf.cumsum(tf.cast(new, tf.int32)) - 1)
    ids = tf.RaggedTensor.from_value_rowids(ids, tf.cast(rows, tf.int64), num_texts, validate=False)
    return Pieces(ids, *(ids.with_values(each) for each in (begins, ends, words - origin)))
