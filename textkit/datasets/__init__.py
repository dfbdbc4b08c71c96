"""Pairs of texts: pronunciations, dates, translations and summaries; and batches of them."""

import os
from pathlib import Path

from shared_layers.runtime import unknown_name
from textkit.datasets.batching import batches
from textkit.datasets.dates import date_pairs
from textkit.datasets.g2p import cmudict_pairs
from textkit.datasets.pairs import Pairs, tensorflow_pairs, tsv_pairs

__all__ = ["Pairs", "batches", "load"]

_MAKERS = {"g2p": cmudict_pairs, "dates": date_pairs}
_TFDS = "tfds:"
_SUFFIXES = (".tsv", ".txt")


def load(name, **options):
    """Loads pairs of texts by name.

    Args:
        name: str or path-like. "g2p" (`textkit.datasets.g2p.cmudict_pairs`); "dates" (`dates.date_pairs`); "tfds:" and a
            translation or summarization dataset of `tensorflow_datasets`, such as "tfds:ted_hrlr_translate/pt_to_en"
            (`pairs.tensorflow_pairs`); the path of a .tsv or .txt file of lines "source TAB target", or of a folder of such
            files (`pairs.tsv_pairs`).
        **options: options of the function in parentheses.

    Returns:
        A `Pairs`.

    Raises:
        OSError: the file does not exist.
        ValueError: an unknown dataset, or see the functions above.
    """
    name = os.fspath(name)
    if name in _MAKERS:
        return _MAKERS[name](**options)
    if name.startswith(_TFDS):
        return tensorflow_pairs(name.removeprefix(_TFDS), **options)
    if name.endswith(_SUFFIXES) or name.startswith((".", "~")) or os.path.isabs(name) or Path(name).exists():
        return tsv_pairs(name, **options)
    raise unknown_name("dataset", name, [*_MAKERS, "tfds:ted_hrlr_translate/pt_to_en", "pairs.tsv"])
