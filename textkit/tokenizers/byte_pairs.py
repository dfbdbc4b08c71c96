"""GPT-2's tokenizer: byte-level byte-pair encoding.

It uses only TensorFlow ops, so that a SavedModel needs nothing else. `keras_nlp`'s tokenizer has no offsets, and splits
texts of some scripts differently from GPT-2 (it marks spaces with a Devanagari digit).
"""

import tensorflow as tf

from textkit.tokenizers import characters as chars
from textkit.tokenizers.pieces import gather_pieces

_NEVER = 2**31 - 1  # the rank of a pair that is not merged


def byte_letters():
    """The printable characters that represent the 256 bytes in the files of GPT-2.

    Returns:
        list of 256 str, in the order of the bytes.
    """
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(256) if byte not in visible)
    letters = {byte: chr(byte) for byte in visible} | {byte: chr(256 + index) for index, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


class BytePairs(tf.Module):
    """Tokenizes texts as GPT-2 does.

    Args:
        vocabulary: list of str, in which `byte_letters` represent bytes.
        merges: list of str, two tokens separated by a space, in the order in which they were learned.

    Raises:
        ValueError: a malformed merge, or a vocabulary without a byte or a merged token.

    Reference:
        Radford et al. 2019, encoder.py.
    """

    def __init__(self, vocabulary, merges):
        super().__init__()
        ids = {token: index for index, token in enumerate(vocabulary)}
        self.size = len(vocabulary)
        letters = byte_letters()
        pairs = [tuple(merge.split(" ")) for merge in merges]
        for merge, pair in zip(merges, pairs, strict=True):
            if len(pair) != 2:
                raise ValueError(f"Expected merges of two tokens separated by a space. Received: {merge!r}")
        needed = [*letters, *(part for pair in pairs for part in (*pair, "".join(pair)))]
        missing = [token for token in needed if token not in ids]
        if missing:
            raise ValueError(
                f"Expected a vocabulary with all 256 bytes and all merged tokens. Received: {len(missing)} missing, "
                f"such as {missing[0]!r}"
            )
        self.bytes = tf.constant([ids[letter] for letter in letters])
        self.lengths = tf.constant([len(token) for token in vocabulary])  # in bytes: one character each
        self.classes = chars.Classes(chars.gpt2_classes())
        keys = [ids[first] * self.size + ids[second] for first, second in pairs]
        self.merged = tf.constant([ids["".join(pair)] for pair in pairs], tf.int32)
        self.next_ranks = tf.constant(_next_ranks(pairs), tf.int32)
        self.ranks = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(keys, range(len(keys)), tf.int64, tf.int32), _NEVER
        )

    def __call__(self, texts):
        """Tokenizes a string tensor (b,) to `Pieces`."""
        characters = chars.read(texts)
        kinds = self.classes(characters.codes)
        starts = _starts(characters, kinds)
        words, which = tf.unique(characters.joined(starts))
        found = tf.gather(self._divide(words), which)
        ids, word = found.values, tf.cast(found.value_rowids(), tf.int32)
        rows = tf.gather(tf.boolean_mask(characters.rows, starts), word)
        past = tf.cumsum(tf.gather(self.lengths, ids))
        first = past - tf.gather(self.lengths, ids)
        return gather_pieces(characters, tf.size(texts, tf.int64), rows, ids, first, past, word)

    def _divide(self, words):
        """Ids, ragged (w, n), of strings (w,)."""
        sizes = tf.strings.length(words)
        raw = tf.io.decode_raw(tf.strings.reduce_join(words), tf.uint8)
        ids, word = tf.gather(self.bytes, tf.cast(raw, tf.int32)), tf.repeat(tf.range(tf.size(words)), sizes)
        ranks = self._rank(ids, word)

        def merge(ids, word, ranks):
            # Merges the pair of lowest rank of each word; in the same step also pairs of lower rank than both neighbours
            # and than any pair that the current merges could create.
            there = ranks != _NEVER
            ahead = tf.where(there, tf.gather(self.next_ranks, tf.where(there, ranks, 0)), _NEVER)
            best, bound = (
                tf.gather(tf.math.unsorted_segment_min(each, word, tf.size(words)), word) for each in (ranks, ahead)
            )
            edge = tf.fill(tf.shape(ranks[:1]), _NEVER)
            beside = tf.minimum(tf.concat([edge, ranks[:-1]], axis=0), tf.concat([ranks[1:], edge], axis=0))
            hits = _apart(there & ((ranks == best) | ((ranks < bound) & (ranks <= beside))))
            ids = tf.where(hits, tf.gather(self.merged, tf.where(hits, ranks, 0)), ids)
            kept = ~chars.shifted(hits, 1)
            ids, word = tf.boolean_mask(ids, kept), tf.boolean_mask(word, kept)
            return ids, word, self._rank(ids, word)

        shape = tf.TensorShape([None])
        ids, word, _ = tf.while_loop(
            lambda ids, word, ranks: tf.reduce_any(ranks != _NEVER),
            merge,
            (ids, word, ranks),
            shape_invariants=(shape, shape, shape),
        )
        return tf.RaggedTensor.from_value_rowids(ids, tf.cast(word, tf.int64), tf.size(words, tf.int64), validate=False)

    def _rank(self, ids, word):
        """The rank of each pair of a token and the next one."""
        keys = tf.cast(ids, tf.int64) * self.size + tf.cast(chars.shifted(ids, -1), tf.int64)
        return tf.where(chars.shifted(~chars.firsts(word), -1), self.ranks[keys], _NEVER)

    def join(self, tokens):
        """Joins tokens, a list of str, to text."""
        byte = {letter: value for value, letter in enumerate(byte_letters())}
        return bytes(byte[letter] for letter in "".join(tokens)).decode(errors="replace")


def _next_ranks(pairs):
    """For each merge, the first later merge that uses its result; all 0 if merges are not in the order of use."""
    first = {}
    for rank, pair in reversed(list(enumerate(pairs))):
        first |= dict.fromkeys(pair, rank)
    found = [first.get("".join(pair), _NEVER) for pair in pairs]
    ordered = all(next_rank > rank for rank, next_rank in enumerate(found))
    return found if ordered else [0] * len(found)


def _apart(hits):
    """Keeps every other element of runs of True, so that overlapping pairs, as in "aaa", are merged once."""
    begins = hits & ~chars.shifted(hits, 1)
    place = tf.range(tf.size(hits))
    run = tf.maximum(tf.cumsum(tf.cast(begins, tf.int32)) - 1, 0)
    begin = tf.gather(tf.concat([tf.boolean_mask(place, begins), [0]], axis=0), run)
    return hits & ((place - begin) % 2 == 0)


def _starts(characters, kinds):
    r"""Where a word begins, bool (m,), by GPT-2's regular expression.

    It is 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ : a space before a word belongs to
    the word, other whitespace is a word, and so are English contractions such as 'll.
    """
    codes, first = characters.codes, chars.firsts(characters.rows)

    def back(values, by=1):
        """The value `by` characters before, in the same text; else False or 0."""
        same = chars.shifted(characters.rows + 1, by) == characters.rows + 1
        return tf.where(same, chars.shifted(values, by), tf.zeros_like(values))

    def ahead(values, by):
        same = chars.shifted(characters.rows + 1, -by) == characters.rows + 1
        return tf.where(same, chars.shifted(values, -by), tf.zeros_like(values))

    blank = kinds == chars.BLANK
    new_kind = first | (kinds != back(kinds))
    after_space = ~blank & (back(codes) == ord(" "))
    last_blank = blank & ahead(~blank, 1)
    starts = tf.where(blank, new_kind | last_blank, new_kind & ~after_space)

    one, two = ahead(codes, 1), ahead(codes, 2)
    apostrophe = starts & (codes == ord("'"))
    short = apostrophe & tf.reduce_any([one == ord(letter) for letter in "stmd"], axis=0)
    long = apostrophe & tf.reduce_any([(one == ord(pair[0])) & (two == ord(pair[1])) for pair in ("re", "ve", "ll")], axis=0)
    within = back(short | long)
    past = back(short, 2) | back(long, 3)
    return (starts & ~within) | past
