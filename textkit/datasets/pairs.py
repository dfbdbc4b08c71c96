"""Pairs of texts: files of two columns, and what `tensorflow_datasets` has to translate and to summarise."""

import dataclasses
import hashlib
import os
import re
import warnings
from pathlib import Path

from shared_layers.runtime import dataset_builder, unknown_name
from textkit.vocabulary import Vocabulary

SPLITS = ("train", "validation", "test")

_ON_CORRUPT = ("skip", "refuse")
_NAMED = 3
# Of the sources in train, what becomes validation or test where there is none.
_CARVED_SHARE = 0.05
_MOST_CARVED = 3000


@dataclasses.dataclass(frozen=True)
class Pairs:
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

    train: list
    validation: list
    test: list
    name: str
    source_kind: str = "subwords"
    target_kind: str = "subwords"
    metric: str = "bleu"

    def limited(self, count):
        """The first so many of each split.

        Args:
            count: int, or `None` for all.

        Returns:
            A `Pairs`.
        """
        return dataclasses.replace(self, **{split: getattr(self, split)[:count] for split in SPLITS})

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
    missing of validation and test is taken out of train, see `carved`.

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
    if on_corrupt not in _ON_CORRUPT:
        raise unknown_name("on_corrupt", on_corrupt, _ON_CORRUPT)
    path = Path(path).expanduser()
    files = {split: path / f"{split}.tsv" for split in SPLITS} if path.is_dir() else {"train": path}
    if not files["train"].is_file():
        raise FileNotFoundError(
            f"Expected a file of lines 'source TAB target'. Received: path={os.fspath(files['train'])!r}"
        )
    splits = {}
    for split, file in files.items():
        if file.is_file():
            splits[split] = _read(file, on_corrupt)
    return Pairs(**carved(splits, os.fspath(path)), name=os.fspath(path))


def tensorflow_pairs(name, limit=None, reverse=False, data_dir=None):
    """Reads a set of `tensorflow_datasets` that says which text follows from which: translations and summaries.

    It is downloaded and prepared at its first use. Its splits train, validation and test are read; what is missing of the
    last two is taken out of train, see `carved`.

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

    if limit is not None and limit < 1:
        raise ValueError(f"Expected a limit of at least 1, or None. Received: {limit=}")
    builder = dataset_builder(name, data_dir)
    features = dict(builder.info.features.items())
    keys = builder.info.supervised_keys or ()
    if len(keys) != 2 or not all(isinstance(features.get(key), tfds.features.Text) for key in keys):
        described = ", ".join(f"{key} {type(feature).__name__}" for key, feature in features.items())
        raise ValueError(f"Expected a text that follows from a text. Received: {name=} of {described}")
    if reverse:
        keys = keys[::-1]
    try:
        builder.download_and_prepare()
    except (AssertionError, tfds.download.DownloadError) as error:  # an assertion fails where a hand has to fetch the data
        raise ValueError(f"{' '.join(str(error).split())} Received: {name=}") from error
    splits = {}
    for split in SPLITS:
        if split in builder.info.splits:
            rows = builder.as_dataset(split=split, shuffle_files=False).take(-1 if limit is None else limit)
            texts = ([example[key].decode().strip() for key in keys] for example in tfds.as_numpy(rows))
            splits[split] = grouped((source, target) for source, target in texts if source and target)
    metric = "bleu" if isinstance(builder.info.features, tfds.features.Translation) else "rouge"
    return Pairs(**carved(splits, name), name=f"tfds:{name}", metric=metric)


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


def carved(splits, name):
    """Takes what is missing of validation and test out of train: for each 5 % of the sources, 1 to 3000.

    Which these are, a hash of the source decides: they are as if drawn at random, yet the same in every run and, nearly,
    in a file that has grown.

    Args:
        splits: dict {split: list of (source, targets)}, with "train".
        name: str, for the error.

    Returns:
        dict with all of "train", "validation" and "test".

    Raises:
        ValueError: nothing would be left of train.
    """
    splits = dict(splits)
    missing = [split for split in ("test", "validation") if split not in splits]
    train = splits["train"]
    if len(train) <= len(missing):
        raise ValueError(f"Expected more than {len(missing)} sources in train. Received: {len(train)} in {name!r}")
    size = max(1, min(_MOST_CARVED, int(_CARVED_SHARE * len(train))))
    order = sorted(range(len(train)), key=lambda index: position(train[index][0]))
    for number, split in enumerate(missing):
        splits[split] = [train[index] for index in sorted(order[number * size : (number + 1) * size])]
    splits["train"] = [train[index] for index in sorted(order[len(missing) * size :])]
    return splits


def position(text):
    """A number in [0, 1) that the text alone decides, as if drawn at random.

    Args:
        text: str.

    Returns:
        float.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _read(file, on_corrupt):
    """The pairs of a file."""
    rows, faults = [], []
    for number, line in enumerate(re.split(rb"\r?\n", file.read_bytes().removeprefix(b"\xef\xbb\xbf")), 1):
        try:
            columns = [column.strip() for column in line.decode().split("\t")]
        except UnicodeDecodeError:
            faults.append(f"line {number} is not UTF-8")
            continue
        if len(columns) > 1 and columns[0] and columns[1]:
            rows.append(columns[:2])
        elif len(columns) > 1:
            faults.append(f"line {number} has no {'target' if columns[0] else 'source'}")
        elif columns[0]:
            faults.append(f"line {number} has no TAB")
    if faults:
        named = ", ".join(faults[:_NAMED]) + (", ..." if len(faults) > _NAMED else "")
        count = f"{len(faults)} of {len(faults) + len(rows)} lines in {file} are no pairs: {named}"
        if on_corrupt == "refuse":
            raise ValueError(f"Expected lines 'source TAB target' in UTF-8. Received: {count}")
        warnings.warn(f"Skipped: {count}", stacklevel=4)
    if not rows:
        raise ValueError(f"Expected lines 'source TAB target'. Received: none in {file}")
    return grouped(rows)
