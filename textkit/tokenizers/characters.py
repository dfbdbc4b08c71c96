"""Texts as code points in a graph: character classes, replacements, and positions in the original text.

Character classes are those of Python's `unicodedata`, as in the published tokenizers; the graph gets them as tables.
"""

import functools
import sys
import typing
import unicodedata

import numpy as np
import tensorflow as tf

INSIDE, SPACE, ALONE = range(3)  # of BERT: inside a word, between words, a word by itself
OTHER, LETTER, NUMBER, BLANK = range(4)  # of GPT-2

_CHINESE = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
_REMOVED = {"Cc", "Cf", "Co"}
_SAME = -1  # in tables: the character itself


class Characters(typing.NamedTuple):
    """Code points of several texts, concatenated.

    Attributes:
        codes: int32 (m,), the code points.
        places: int32 (m,), the index of the original character in its text.
        rows: int32 (m,), the index of the text.
    """

    codes: tf.Tensor
    places: tf.Tensor
    rows: tf.Tensor

    def keep(self, mask):
        """Selects the characters where `mask`, bool (m,), is True."""
        return Characters(*(tf.boolean_mask(each, mask) for each in self))

    def joined(self, starts):
        """Joins characters to UTF-8 strings (w,) that begin where `starts`, bool (m,), is True; the first must be True."""
        words = tf.RaggedTensor.from_value_rowids(self.codes, tf.cumsum(tf.cast(starts, tf.int32)) - 1)
        return tf.strings.unicode_encode(words, "UTF-8")

    def of_bytes(self):
        """The character index of each byte of their UTF-8 encoding, int32 (bytes,)."""
        return tf.repeat(tf.range(tf.size(self.codes)), widths(self.codes))


def read(texts):
    """Decodes texts to code points; invalid UTF-8 becomes U+FFFD.

    Args:
        texts: string tensor (b,).

    Returns:
        `Characters`.
    """
    codes = tf.strings.unicode_decode(texts, "UTF-8")
    rows = tf.cast(codes.value_rowids(), tf.int32)
    first = tf.gather(tf.cast(codes.row_starts(), tf.int32), rows)
    return Characters(codes.values, tf.range(tf.size(rows)) - first, rows)


def widths(codes):
    """Counts the bytes of code points in UTF-8.

    Args:
        codes: int32 tensor of any shape.

    Returns:
        int32 tensor of the same shape.
    """
    return 1 + tf.add_n([tf.cast(codes >= bound, tf.int32) for bound in (0x80, 0x800, 0x10000)])


def firsts(rows):
    """Finds the first element of each row.

    Args:
        rows: tensor (m,), row indices in order.

    Returns:
        bool tensor (m,).
    """
    return tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)


def shifted(values, by):
    """Shifts a tensor, filled with False or 0.

    Args:
        values: tensor (m,).
        by: int, how far towards the end; negative towards the start.

    Returns:
        Tensor (m,).
    """
    zeros = tf.zeros_like(values[: abs(by)])
    return tf.concat([zeros, values[:-by]] if by > 0 else [values[-by:], zeros], axis=0)


def straight_quotes(characters):
    """Replaces `` and '' by ", as ALBERT does; it has the position of the first of the two.

    Args:
        characters: `Characters`.

    Returns:
        `Characters`.

    Reference:
        Lan et al. 2020, `preprocess_text` of tokenization.py.
    """
    for mark in "`'":
        found = characters.codes == ord(mark)
        begins = found & (firsts(characters.rows) | ~shifted(found, 1))
        index = tf.range(tf.size(found))
        starts = tf.concat([[0], tf.boolean_mask(index, begins)], axis=0)
        of_run = index - tf.gather(starts, tf.cumsum(tf.cast(begins, tf.int32)))
        second = found & (of_run % 2 == 1)
        codes = tf.where(shifted(second, -1), ord('"'), characters.codes)
        characters = characters._replace(codes=codes).keep(~second)
    return characters


class Classes(tf.Module):
    """Looks up the class of code points in a table.

    Args:
        table: uint8 (code points,), see `bert_classes`.
    """

    def __init__(self, table):
        super().__init__()
        self.table = tf.constant(table)

    def __call__(self, codes):
        """Looks up int32 code points; returns uint8 classes."""
        return tf.gather(self.table, codes)


class Changes(tf.Module):
    """Replaces code points by a table.

    Args:
        change: function from a character to its replacement, a str of any length.
    """

    def __init__(self, change):
        super().__init__()
        rows, starts, codes = _changes(change)
        self.rows = tf.constant(rows)
        self.starts, self.codes = tf.constant(starts), tf.constant(codes)

    def __call__(self, characters):
        """Replaces `Characters`; returns `Characters`."""
        replacements = tf.RaggedTensor.from_row_splits(self.codes, self.starts, validate=False)
        found = tf.gather(replacements, tf.cast(tf.gather(self.rows, characters.codes), tf.int32))
        source = tf.cast(found.value_rowids(), tf.int32)
        codes, places, rows = (tf.gather(each, source) for each in characters)
        return Characters(tf.where(found.values == _SAME, codes, found.values), places, rows)


@functools.cache
def bert_classes(split_chinese):
    """BERT's character classes: `ALONE` is punctuation, including all ASCII symbols, and optionally Chinese characters.

    Args:
        split_chinese: bool, whether Chinese characters are `ALONE`.

    Returns:
        uint8 (code points,).

    Reference:
        Devlin et al. 2019, `_is_punctuation` and `_is_chinese_char` of tokenization.py.
    """

    def class_of(character):
        if character.isspace():
            return SPACE
        ascii_symbol = character.isascii() and character.isprintable() and not character.isalnum()
        return ALONE if ascii_symbol or unicodedata.category(character)[0] == "P" else INSIDE

    table = _classes(class_of)
    for first, last in _CHINESE if split_chinese else ():
        table[first : last + 1] = ALONE
    return table


@functools.cache
def gpt2_classes():
    r"""GPT-2's character classes: \p{L}, \p{N}, \s and others.

    Returns:
        uint8 (code points,).
    """
    of_category = {"L": LETTER, "N": NUMBER, "Z": BLANK}
    table = _classes(lambda character: of_category.get(unicodedata.category(character)[0], OTHER))
    table[[ord(character) for character in "\t\n\v\f\r\x85"]] = BLANK
    return table


@functools.cache
def bert_change(lower_case, strip_accents):
    """BERT's text cleaning: removes control characters, normalizes whitespace, optionally removes case and accents.

    Args:
        lower_case: bool.
        strip_accents: bool.

    Returns:
        A function from a character to its replacement; the same object for the same arguments.

    Reference:
        Devlin et al. 2019, `BasicTokenizer` of tokenization.py. As in the `tokenizers` library, private use
        characters are removed like control characters, and lower case does not depend on neighbours (final sigma).
    """
    return functools.partial(_bert_change, lower_case, strip_accents)


@functools.cache
def plain_change(lower_case, strip_accents):
    """ALBERT's text cleaning before sentencepiece: optionally removes case and accents.

    Args:
        lower_case: bool.
        strip_accents: bool, which also applies compatibility decomposition (NFKD).

    Returns:
        A function from a character to its replacement; the same object for the same arguments.
    """
    return functools.partial(_folded, "NFKD", lower_case, strip_accents)


def _bert_change(lower_case, strip_accents, character):
    if character in "\t\n\r" or unicodedata.category(character)[0] == "Z":
        return " "
    if character == "\ufffd" or unicodedata.category(character) in _REMOVED:
        return ""
    return _folded("NFD", lower_case, strip_accents, character)


def _folded(form, lower_case, strip_accents, text):
    if strip_accents:
        text = "".join(each for each in unicodedata.normalize(form, text) if unicodedata.category(each) != "Mn")
    return "".join(each.lower() for each in text) if lower_case else text


@functools.cache
def _assigned():
    """All assigned Unicode characters, without surrogates."""
    found = map(chr, range(sys.maxunicode + 1))
    return [character for character in found if unicodedata.category(character) not in ("Cn", "Cs")]


def _classes(class_of):
    """A table of the class of each code point, 0 for unassigned ones."""
    table = np.zeros(sys.maxunicode + 1, "uint8")
    for character in _assigned():
        table[ord(character)] = class_of(character)
    return table


@functools.cache
def _changes(change):
    """The row of each code point in a ragged table of replacements; row 0 is the character itself."""
    rows = np.zeros(sys.maxunicode + 1, "int16")
    known = {}
    for character in _assigned():
        changed = change(character)
        if changed != character:
            rows[ord(character)] = known.setdefault(changed, len(known) + 1)
    codes = [_SAME, *(ord(each) for text in known for each in text)]
    starts = np.cumsum([0, 1, *map(len, known)])
    return rows, starts.astype("int64"), np.array(codes, "int32")
