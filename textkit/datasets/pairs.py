"""Pairs of texts: files with two columns, and translation and summarization datasets of `tensorflow_datasets`."""

import dataclasses
import os

from textkit.datasets.sources import described, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import Splits, carved
from textkit.vocabulary import Vocabulary

_LINES = "'source TAB target'"
# The fraction and the maximum number of the sources of train for a missing split.
_CARVED_SHARE = 0.05
_MOST_CARVED = 3000


@dataclasses.dataclass(frozen=True)
class Pairs(Splits):
    """Source texts with their target texts.

    Attributes:
        train: list of (source str, list of target str): every target is correct. Sources are unique.
        validation: list of (source str, list of target str).
        test: list of (source str, list of target str).
        name: str, the name or path of the data.
        source_kind: str, the default kind of the source vocabulary: "characters", "words" or "subwords".
        target_kind: str, the default kind of the target vocabulary.
        metric: str, the default metric, see `textkit.evaluate`.
    """

    source_kind: str = "subwords"
    target_kind: str = "subwords"
    metric: str = "bleu"

    def vocabularies(self, source_size=None, target_size=None, shared=False):
        """Learns the vocabularies from the training split.

        Args:
            source_size: int, see `textkit.vocabulary.Vocabulary.learn`.
            target_size: int, see `textkit.vocabulary.Vocabulary.learn`.
            shared: bool, whether both sides share one vocabulary of `source_size`, learned from both.

        Returns:
            (source, target), two `Vocabulary`; the same one twice if `shared`.

        Raises:
            ValueError: `shared` with different kinds of sources and targets, or see `Vocabulary.learn`.
        """
        sources = [source for source, _ in self.train]
        targets = [target for _, right in self.train for target in right]
        if not shared:
            source = Vocabulary.learn(sources, self.source_kind, source_size)
            return source, Vocabulary.learn(targets, self.target_kind, target_size)
        if self.source_kind != self.target_kind:
            raise ValueError(
                f"Expected sources and targets of one kind, to share a vocabulary. Received: {self.name!r} of "
                f"{self.source_kind} and {self.target_kind}"
            )
        vocabulary = Vocabulary.learn(sources + targets, self.source_kind, source_size)
        return vocabulary, vocabulary


def tsv_pairs(path, on_corrupt="skip"):
    """Reads a file of lines "source TAB target", or a folder with train.tsv, validation.tsv and test.tsv.

    Lines with the same source give one pair with several correct targets. Text after a second TAB is ignored, as are empty
    lines, a byte order mark and Windows line ends. Missing validation and test splits are taken from train, 5 % of the
    sources each (1 to 3000), see `splits.carved`.

    Args:
        path: str or path-like. A folder must have train.tsv.
        on_corrupt: what to do with lines without a TAB, a source or a target, and lines that are not UTF-8: "skip" drops
            them and warns of their number and the first of them; "refuse" raises.

    Returns:
        A `Pairs`.

    Raises:
        OSError: the file does not exist.
        ValueError: a file without pairs, too few sources to split, or a malformed line with "refuse".
    """
    files = split_files(path, (".tsv",), f"lines {_LINES}")
    splits = {}
    for split, file in files.items():
        splits[split] = grouped(read_lines(file, _pair, _LINES, on_corrupt))
    return Pairs(**_filled(splits, os.fspath(path)), name=os.fspath(path))


def tensorflow_pairs(name, limit=None, reverse=False, data_dir=None):
    """Reads a translation or summarization dataset of `tensorflow_datasets`, one with text as `supervised_keys`.

    It is downloaded and prepared at its first use. Missing validation and test splits are taken from train, as by
    `tsv_pairs`.

    Args:
        name: str, the dataset and its configuration: "ted_hrlr_translate/pt_to_en", "para_crawl/enes",
            "wmt19_translate/zh-en", "cnn_dailymail", "xsum".
        limit: int, the maximum number of examples read from each split; `None` for all. They are held in memory.
        reverse: bool, whether to swap source and target: the source of "para_crawl/enes" is English.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        A `Pairs` with the name "tfds:" and `name`; the metric is BLEU for translations, ROUGE for all others.

    Raises:
        ValueError: an unknown dataset, one without two supervised texts, or a failed download.
    """
    import tensorflow_datasets as tfds

    def check(features, info):
        keys = info.supervised_keys or ()
        if len(keys) != 2 or not all(isinstance(features.get(key), tfds.features.Text) for key in keys):
            raise ValueError(f"Expected text as both supervised_keys. Received: {name=} of {described(features)}")
        metric = "bleu" if isinstance(info.features, tfds.features.Translation) else "rouge"
        return keys[::-1] if reverse else keys, metric

    (keys, metric), found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        texts = ([example[key].decode().strip() for key in keys] for example in examples)
        splits[split] = grouped((source, target) for source, target in texts if source and target)
    return Pairs(**_filled(splits, name), name=f"tfds:{name}", metric=metric)


def grouped(rows):
    """Collects the targets of each source, in order and without duplicates.

    Args:
        rows: iterable of (source, target).

    Returns:
        list of (source, list of targets).

    Example:
        >>> grouped([("cat", "Katze"), ("dog", "Hund"), ("cat", "Kater")])
        [('cat', ['Katze', 'Kater']), ('dog', ['Hund'])]
    """
    targets = {}
    for source, target in rows:
        targets.setdefault(source, {})[target] = None
    return [(source, list(right)) for source, right in targets.items()]


def _filled(splits, name):
    return carved(splits, name, lambda pair: pair[0], _CARVED_SHARE, _MOST_CARVED)


def _pair(line):
    source, *targets = [column.strip() for column in line.split("\t")]
    if not targets:
        raise ValueError("has no TAB")
    if not source or not targets[0]:
        raise ValueError(f"has no {'target' if source else 'source'}")
    return source, targets[0]
