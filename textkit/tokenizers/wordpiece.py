"""BERT's tokenizer: cleaned text is split into words, and words into the longest pieces of the vocabulary."""

import tensorflow as tf

from textkit.tokenizers import characters as chars
from textkit.tokenizers.pieces import gather_pieces

_LONGEST = 100  # characters of a word; longer ones are unknown
_NO_WORD = "\0"  # in no vocabulary, as cleaning removes it


class WordPiece(tf.Module):
    """Tokenizes texts as BERT does.

    `tensorflow_text` has this as one op, but that turns control characters into spaces, limits the length of words in bytes
    instead of characters, and has no offsets into the original text; so only its search for pieces is used.

    Args:
        vocabulary: list of str; pieces that continue a word begin with "##".
        unknown: str, the token for words that cannot be split into pieces.
        lower_case: bool.
        strip_accents: bool; `None` for the value of `lower_case`.
        split_chinese: bool, whether each Chinese character is a word.

    Reference:
        Devlin et al. 2019, tokenization.py (BasicTokenizer, WordpieceTokenizer).
    """

    def __init__(self, vocabulary, unknown, lower_case, strip_accents, split_chinese):
        import tensorflow_text

        super().__init__()
        self.change = chars.Changes(chars.bert_change(lower_case, lower_case if strip_accents is None else strip_accents))
        self.classes = chars.Classes(chars.bert_classes(split_chinese))
        self.search = tensorflow_text.FastWordpieceTokenizer(
            vocabulary,
            unknown_token=unknown,
            token_out_type=tf.int32,
            max_bytes_per_word=4 * _LONGEST,
            no_pretokenization=True,
        )

    def __call__(self, texts):
        """Tokenizes a string tensor (b,) to `Pieces`."""
        characters = self.change(chars.read(texts))
        kinds = self.classes(characters.codes)
        joins = kinds == chars.INSIDE
        starts = ~(joins & chars.shifted(joins, 1)) | chars.firsts(characters.rows)
        inside = kinds != chars.SPACE
        characters, starts = characters.keep(inside), tf.boolean_mask(starts, inside)

        word = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        strings = characters.joined(starts)
        too_long = tf.math.bincount(word, minlength=tf.size(strings)) > _LONGEST
        found, begins, ends = self.search.tokenize_with_offsets(tf.where(too_long, _NO_WORD, strings))
        sizes = tf.strings.length(strings)
        word = tf.cast(found.value_rowids(), tf.int32)
        origin = tf.gather(tf.cumsum(sizes, exclusive=True), word)
        ends = tf.where(tf.gather(too_long, word), tf.gather(sizes, word), tf.cast(ends.values, tf.int32))
        first = origin + tf.cast(begins.values, tf.int32)
        rows = tf.gather(tf.boolean_mask(characters.rows, starts), word)
        return gather_pieces(characters, tf.size(texts, tf.int64), rows, found.values, first, origin + ends, word)

    def join(self, tokens):
        """Joins tokens, a list of str, to text."""
        return " ".join(tokens).replace(" ##", "")
