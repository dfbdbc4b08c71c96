"""Texts as code points in the graph: their classes and changes, and where in the text each came from.

Here a class of characters is `unicodedata`'s, as in the published tokenizers; what the graph gets are tables of it.
"""

import functools
import sys
import typing
import unicodedata

import numpy as np
import tensorflow as tf

INSIDE, SPACE, ALONE = range(3)  # of BERT: what a word is made of, what divides words, and what is a word by itself
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
_SAME = -1  # stands for the character itself


class Characters(typing.NamedTuple):
    """Code points of several texts in a row.

    Attributes:
        codes: int32 (m,).
        places: int32 (m,), which character of its own text each is, or was made of.
        rows: int32 (m,), the index of its text.
    """

    codes: tf.Tensor
    places: tf.Tensor
    rows: tf.Tensor

    def keep(self, mask):
        """Those of them for which `mask`, bool (m,), is True."""
        return Characters(*(tf.boolean_mask(each, mask) for each in self))

    def joined(self, starts):
        """Strings (w,) in UTF-8 of what begins where `starts`, bool (m,), is True; the first character begins one."""
        words = tf.RaggedTensor.from_value_rowids(self.codes, tf.cumsum(tf.cast(starts, tf.int32)) - 1)
        return tf.strings.unicode_encode(words, "UTF-8")

    def of_bytes(self):
        """Which character each byte of their UTF-8 belongs to, int32 (bytes,)."""
        return tf.repeat(tf.range(tf.size(self.codes)), widths(self.codes))


def read(texts):
    """Takes texts to pieces; bytes that are no UTF-8 are read as U+FFFD.

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
    """How many bytes each code point takes in UTF-8, int32."""
    return 1 + tf.add_n([tf.cast(codes >= bound, tf.int32) for bound in (0x80, 0x800, 0x10000)])


def firsts(rows):
    """Where a row begins, bool (m,): each element beside which the one before, if any, is of another row."""
    return tf.concat([tf.ones_like(rows[:1], tf.bool), rows[1:] != rows[:-1]], axis=0)


def shifted(values, by):
    """A flat tensor moved by `by` places, later ones first where it is negative; False or 0 where nothing is."""
    zeros = tf.zeros_like(values[: abs(by)])
    return tf.concat([zeros, values[:-by]] if by > 0 else [values[-by:], zeros], axis=0)


def straight_quotes(characters):
    """Makes one `"` of each `` and of each '', as ALBERT does; it has the place of the first of the two.

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
    """A class for each code point, from a table.

    Args:
        table: uint8 (code points,), such as `bert_classes` makes.
    """

    def __init__(self, table):
        super().__init__()
        self.table = tf.constant(table)

    def __call__(self, codes):
        """Returns the classes, uint8, of code points, int32."""
        return tf.gather(self.table, codes)


class Changes(tf.Module):
    """A replacement for each code point, from a table.

    Args:
        change: callable, what a character (str) becomes: a str of any length.
    """

    def __init__(self, change):
        super().__init__()
        rows, starts, codes = _changes(change)
        self.rows = tf.constant(rows)
        self.starts, self.codes = tf.constant(starts), tf.constant(codes)

    def __call__(self, characters):
        """Returns the `Characters` that those given become."""
        replacements = tf.RaggedTensor.from_row_splits(self.codes, self.starts, validate=False)
        found = tf.gather(replacements, tf.cast(tf.gather(self.rows, characters.codes), tf.int32))
        source = tf.cast(found.value_rowids(), tf.int32)
        codes, places, rows = (tf.gather(each, source) for each in characters)
        return Characters(tf.where(found.values == _SAME, codes, found.values), places, rows)


@functools.cache
def bert_classes(split_chinese):
    """BERT's: `ALONE` is punctuation, all of ASCII that is neither letter nor digit included, and as asked what is Chinese.

    Args:
        split_chinese: bool.

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
    r"""GPT-2's: \p{L}, \p{N}, \s, and all else; uint8 (code points,)."""
    of_category = {"L": LETTER, "N": NUMBER, "Z": BLANK}
    table = _classes(lambda character: of_category.get(unicodedata.category(character)[0], OTHER))
    table[[ord(character) for character in "\t\n\v\f\r\x85"]] = BLANK
    return table


@functools.cache
def bert_change(lower_case, strip_accents):
    """What BERT makes of a character: control characters go, spaces are one, and as asked case and accents go.

    Args:
        lower_case: bool.
        strip_accents: bool.

    Returns:
        A callable of a character; the same one for the same arguments.

    Reference:
        Devlin et al. 2019, `BasicTokenizer` of tokenization.py. As in the `tokenizers` library, characters of private use
        go with the control characters, and a letter's case does not depend on its neighbours (a final sigma).
    """
    return functools.partial(_bert_change, lower_case, strip_accents)


@functools.cache
def plain_change(lower_case, strip_accents):
    """What ALBERT makes of a character before its sentencepiece model sees it: as asked, case and accents go.

    Args:
        lower_case: bool.
        strip_accents: bool, which also replaces what Unicode holds compatible (NFKD).

    Returns:
        A callable of a character.
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
    """All characters that Unicode says something about, and no surrogates."""
    found = map(chr, range(sys.maxunicode + 1))
    return [character for character in found if unicodedata.category(character) not in ("Cn", "Cs")]


def _classes(class_of):
    """A table of the class of each character, 0 where there is none."""
    table = np.zeros(sys.maxunicode + 1, "uint8")
    for character in _assigned():
        table[ord(character)] = class_of(character)
    return table


@functools.cache
def _changes(change):
    """The row of each code point, and rows of code points; the first row stands for the character itself."""
    rows = np.zeros(sys.maxunicode + 1, "int16")
    known = {}
    for character in _assigned():
        changed = change(character)
        if changed != character:
            rows[ord(character)] = known.setdefault(changed, len(known) + 1)
    codes = [_SAME, *(ord(each) for text in known for each in text)]
    starts = np.cumsum([0, 1, *map(len, known)])
    return rows, starts.astype("int64"), np.array(codes, "int32")
