"""What a text was divided into."""

import typing

import tensorflow as tf

from textkit.tokenizers.characters import firsts


class Pieces(typing.NamedTuple):
    """The tokens of b texts, without special ones.

    Attributes:
        ids: int32 ragged (b, n).
        begins: int32 ragged (b, n), the first character of each, in the text as it was given.
        ends: int32 ragged (b, n), the place after its last.
        words: int32 ragged (b, n), which word of its text each belongs to.
    """

    ids: tf.RaggedTensor
    begins: tf.RaggedTensor
    ends: tf.RaggedTensor
    words: tf.RaggedTensor


def gather_pieces(characters, num_texts, rows, ids, first_bytes, past_bytes, words):
    """Makes `Pieces` of flat tokens, given where their bytes are among those of all characters.

    A token that has a part of a character has it whole; the spaces that one begins with are no part of it.

    Args:
        characters: `Characters` of all texts, as they were divided.
        num_texts: int64, b.
        rows: int32 (t,), each token's text.
        ids: int32 (t,).
        first_bytes: int32 (t,), where each token begins in the UTF-8 of all characters.
        past_bytes: int32 (t,), where it ends; the same place, of a token that is made of nothing.
        words: int32 (t,), each token's word, counted through all texts.

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
