"""Pairs of texts: files of two columns, and what `tensorflow_datasets` has to translate and to summarise."""

import dataclasses
import os

from textkit.datasets.sources import described, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import Splits, carved
from textkit.vocabulary import Vocabulary

_LINES = "'source TAB target'"
# Of the sources in train, what becomes validation or test where there is none.
_CARVED_SHARE = 0.05
_MOST_CARVED = 3000


@dataclasses.dataclass(frozen=True)
class Pairs(Splits):
    """Texts with what they are to become.

    Attributes:
        train: list of (source str, list of target str): every target of a source is right. No source comes twice.
        validation: the same.
        test: the same.
        name: str, what was asked for.
        source_kind: str, what the sources are best made of: "characters", "words" or "subwords".
        target_kind: str, the same for the targets.
        metric: str, what answers are measured by, see `textkit.evaluate`.
    """

    source_kind: str = "subwords"
    target_kind: str = "subwords"
    metric: str = "bleu"

    def vocabularies(self, source_size=None, target_size=None, shared=False):
        """Learns the vocabularies from the training split.

        Args:
            source_size: int, see `textkit.vocabulary.Vocabulary.learn`.
            target_size: int.
            shared: bool, whether both sides get one vocabulary, of `source_size`, learned from both.

        Returns:
            (source, target), two `Vocabulary`; the same one twice if `shared`.

        Raises:
            ValueError: `shared` with sides of two kinds, or see `Vocabulary.learn`.
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
    """Reads a file of lines "source TAB target", or a folder of three: train.tsv, validation.tsv and test.tsv.

    A line whose source came before adds a target that is right as well. What comes after a second TAB is not read,
    empty lines are passed over, and a byte order mark and the line ends of Windows are no part of the text. What is
    missing of validation and test is taken out of train: for each 5 % of the sources, 1 to 3000, see `splits.carved`.

    Args:
        path: str or path-like. A folder must have train.tsv.
        on_corrupt: what becomes of lines without a TAB, without a source or a target, or not in UTF-8: "skip" leaves them
            out and warns of their number and the first of them; "refuse" raises.

    Returns:
        A `Pairs`.

    Raises:
        OSError: there is no such file.
        ValueError: no pair in a file, too few to carve from, or a corrupt line that is to be refused.
    """
    files = split_files(path, (".tsv",), f"lines {_LINES}")
    splits = {}
    for split, file in files.items():
        splits[split] = grouped(read_lines(file, _pair, _LINES, on_corrupt))
    return Pairs(**_filled(splits, os.fspath(path)), name=os.fspath(path))


def tensorflow_pairs(name, limit=None, reverse=False, data_dir=None):
    """Reads a set of `tensorflow_datasets` that says which text follows from which: translations and summaries.

    It is downloaded and prepared at its first use. Its splits train, validation and test are read; what is missing of the
    last two is taken out of train, as by `tsv_pairs`.

    Args:
        name: str, with the configuration: "ted_hrlr_translate/pt_to_en", "para_crawl/enes", "wmt19_translate/zh-en",
            "cnn_dailymail", "xsum".
        limit: int, so many examples at most are read of each split; `None` for all, which are held in memory.
        reverse: bool, whether to go from what the set calls the target to its source: "para_crawl/enes" begins with English.
        data_dir: str, where `tensorflow_datasets` keeps its data, if not where it always does.

    Returns:
        A `Pairs` with the name "tfds:" and `name`; what is no set of translations is measured by ROUGE, as summaries are.

    Raises:
        ValueError: there is no such set or none of texts, or it cannot be had.
    """
    import tensorflow_datasets as tfds

    def check(features, info):
        keys = info.supervised_keys or ()
        if len(keys) != 2 or not all(isinstance(features.get(key), tfds.features.Text) for key in keys):
            raise ValueError(f"Expected a text that follows from a text. Received: {name=} of {described(features)}")
        metric = "bleu" if isinstance(info.features, tfds.features.Translation) else "rouge"
        return keys[::-1] if reverse else keys, metric

    (keys, metric), found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        texts = ([example[key].decode().strip() for key in keys] for example in examples)
        splits[split] = grouped((source, target) for source, target in texts if source and target)
    return Pairs(**_filled(splits, name), name=f"tfds:{name}", metric=metric)


def grouped(rows):
    """Collects the targets of each source, in order and each once.

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
