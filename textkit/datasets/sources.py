"""What all readers of texts share: lines of files, sets of `tensorflow_datasets`, splits by hash, names of classes."""

import dataclasses
import hashlib
import json
import os
import re
import warnings
from pathlib import Path

from shared_layers.runtime import dataset_builder, unknown_name

SPLITS = ("train", "validation", "test")

ON_CORRUPT = ("skip", "refuse")
_NAMED = 3
# What the splits are called in sets of `tensorflow_datasets`.
_PUBLISHED = {
    "train": ("train",),
    "validation": ("validation", "dev", "validation_matched"),
    "test": ("test", "test_matched"),
}


@dataclasses.dataclass(frozen=True)
class Splits:
    """Examples to learn from, to choose by and to measure with.

    Attributes:
        train: list.
        validation: list.
        test: list.
        name: str, what was asked for.
    """

    train: list
    validation: list
    test: list
    name: str

    def limited(self, count):
        """The first so many of each split.

        Args:
            count: int, or `None` for all.

        Returns:
            The same, of fewer.
        """
        return dataclasses.replace(self, **{split: getattr(self, split)[:count] for split in SPLITS})


def position(text):
    """A number in [0, 1) that the text alone decides, as if drawn at random.

    Args:
        text: str.

    Returns:
        float.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def carved(splits, name, key, share=0.1, most=None):
    """Takes what is missing of validation and test out of train.

    Which these are, a hash decides: they are as if drawn at random, yet the same in every run and, nearly, in a file that
    has grown. What has the same key stays together, and counts as one.

    Args:
        splits: dict {split: list of examples}, with "train".
        name: str, for the error.
        key: function of an example, str: the text whose hash decides.
        share: float, how much of train becomes each; at least one key does.
        most: int, the most keys of each, or `None`.

    Returns:
        dict with all of "train", "validation" and "test".

    Raises:
        ValueError: nothing would be left of train.
    """
    splits = dict(splits)
    missing = [split for split in ("test", "validation") if split not in splits]
    train = splits["train"]
    texts = {key(example) for example in train}
    if len(texts) <= len(missing):
        raise ValueError(f"Expected more than {len(missing)} texts in train. Received: {len(texts)} in {name!r}")
    if not missing:
        return splits
    size = max(1, int(share * len(texts)))
    size = size if most is None else min(most, size)
    home = {text: missing[rank // size] for rank, text in enumerate(sorted(texts, key=position)[: size * len(missing)])}
    for split in [*missing, "train"]:
        splits[split] = [example for example in train if home.get(key(example), "train") == split]
    return splits


def split_files(path, suffixes, expected, validation=None, test=None):
    """Finds the files of a set's splits.

    Args:
        path: str or path-like, a file to learn from; or a folder with a file for each split, of which that of train must be
            there: "train.tsv", "validation.tsv", "test.tsv".
        suffixes: tuple of str, what the names of a folder's files may end with.
        expected: str, what a file should be, for the error.
        validation: str or path-like, the file of this split; or `None` for the folder's, if there is one.
        test: the same.

    Returns:
        dict {split: `pathlib.Path`} of those that there are.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path).expanduser()
    files = {"train": path}
    if path.is_dir():
        files = {split: _file_of(path, split, suffixes) for split in SPLITS}
        files = {split: file for split, file in files.items() if split == "train" or file.is_file()}
    given = {"validation": validation, "test": test}
    files.update({split: Path(file).expanduser() for split, file in given.items() if file is not None})
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(f"Expected a file of {expected}. Received: path={os.fspath(file)!r}")
    return files


def read_lines(file, parse, expected, on_corrupt="skip", titles=False, empty_lines=False):
    """Reads what the lines of a file say.

    A byte order mark and the line ends of Windows are no part of the text.

    Args:
        file: `pathlib.Path`.
        parse: function of a line, a str, that gives what it says; it raises a ValueError whose text says what is wrong with
            it: "has no TAB".
        expected: str, what a line should be, for errors.
        on_corrupt: what becomes of lines that are not in UTF-8, or that `parse` refuses: "skip" leaves them out and warns of
            their number and the first of them; "refuse" raises.
        titles: bool, whether the first line is none of them.
        empty_lines: bool, whether these are given to `parse` too, and not passed over.

    Returns:
        list of what `parse` gave.

    Raises:
        ValueError: nothing in the file, or a corrupt line that is to be refused.
    """
    if on_corrupt not in ON_CORRUPT:
        raise unknown_name("on_corrupt", on_corrupt, ON_CORRUPT)
    rows, faults = [], []
    for number, line in enumerate(lines_of(file), 1):
        if not (line.strip() or empty_lines) or (titles and number == 1):
            continue
        try:
            rows.append(parse(line.decode()))
        except UnicodeDecodeError:
            faults.append(f"line {number} is not UTF-8")
        except ValueError as error:
            faults.append(f"line {number} {error}")
    tell_faults(faults, len(rows), "lines", file, expected, on_corrupt)
    if not any(rows):
        raise ValueError(f"Expected lines {expected}. Received: none in {file}")
    return rows


def lines_of(file):
    """The lines of a file, without a byte order mark and without their ends.

    Args:
        file: `pathlib.Path`.

    Returns:
        list of bytes.
    """
    return re.split(rb"\r?\n", file.read_bytes().removeprefix(b"\xef\xbb\xbf"))


def json_object(line):
    """Reads a JSON object.

    Args:
        line: str.

    Returns:
        dict.

    Raises:
        ValueError: it is none, or has halves of characters, which no UTF-8 has.
    """
    try:
        read = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ValueError("is no JSON object")
    if "\\u" in line:  # the one way to write them
        try:
            json.dumps(read, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("has half a character, a lone surrogate") from error
    return read


def tell_faults(faults, right, kind, file, expected, on_corrupt):
    """Warns of what was left out, or refuses it.

    The warning names the line that called `load`: this is called by `read_lines`, by a reader, by `load`.

    Args:
        faults: list of str, "line 2 has no TAB".
        right: int, how many there are besides.
        kind: str, what is counted: "lines".
        file: str or path-like, where they are.
        expected: str, what they should be.
        on_corrupt: "skip" or "refuse".

    Raises:
        ValueError: there are faults, which are to be refused.
    """
    if not faults:
        return
    named = ", ".join(faults[:_NAMED]) + (", ..." if len(faults) > _NAMED else "")
    count = f"{len(faults)} of {len(faults) + right} {kind} in {file} are not {expected}: {named}"
    if on_corrupt == "refuse":
        raise ValueError(f"Expected {kind} {expected}. Received: {count}")
    warnings.warn(f"Skipped: {count}", stacklevel=5)


def tensorflow_splits(name, check, limit=None, data_dir=None):
    """Opens the splits train, validation and test of a set of `tensorflow_datasets`.

    It is downloaded and prepared at its first use.

    Args:
        name: str, with the configuration.
        check: function of (dict {feature: `tfds.features.FeatureConnector`}, `tfds.core.DatasetInfo`), called before
            anything is downloaded; it raises a ValueError if this is not such a set as is wanted.
        limit: int, so many examples at most are read of each split; `None` for all.
        data_dir: str, where `tensorflow_datasets` keeps its data, if not where it always does.

    Returns:
        what `check` gave, and a dict {split: iterable of examples, of NumPy}, of the splits that there are.

    Raises:
        ValueError: there is no such set, or it cannot be had.
    """
    import tensorflow_datasets as tfds

    if limit is not None and limit < 1:
        raise ValueError(f"Expected a limit of at least 1, or None. Received: {limit=}")
    builder = dataset_builder(name, data_dir)
    checked = check(dict(builder.info.features.items()), builder.info)
    try:
        builder.download_and_prepare()
    except (AssertionError, tfds.download.DownloadError) as error:  # an assertion fails where a hand has to fetch the data
        raise ValueError(f"{' '.join(str(error).split())} Received: {name=}") from error
    splits = {}
    for split, published in _PUBLISHED.items():
        there = [each for each in published if each in builder.info.splits]
        if there:
            rows = builder.as_dataset(split=there[0], shuffle_files=False).take(-1 if limit is None else limit)
            splits[split] = tfds.as_numpy(rows)
    return checked, splits


def described(features):
    """The features of a set, for errors: "text Text, label ClassLabel"."""
    return ", ".join(f"{key} {type(feature).__name__}" for key, feature in features.items())


def class_names(splits, names_of, name):
    """Collects the names of the classes that the examples of train have.

    Args:
        splits: dict {split: list of examples}.
        names_of: function of an example, iterable of str: the names of its classes.
        name: str, for the error.

    Returns:
        tuple of str, in order; numbers in theirs.

    Raises:
        ValueError: an example of validation or test is of a class that train has none of.

    Example:
        >>> class_names({"train": ["10", "9", "9"]}, lambda example: [example], "few")
        ('9', '10')
    """
    found = {split: {each for example in examples for each in names_of(example)} for split, examples in splits.items()}
    for split, names in found.items():
        unseen = sorted(names - found["train"])
        if unseen:
            named = ", ".join(map(repr, unseen[:_NAMED])) + (", ..." if len(unseen) > _NAMED else "")
            raise ValueError(f"Expected labels in {split} that occur in train. Received: {named} in {name!r}")
    numbers = all(re.fullmatch(r"-?[0-9]+", each) for each in found["train"])
    return tuple(sorted(found["train"], key=int if numbers else None))


def _file_of(folder, split, suffixes):
    files = [folder / f"{split}{suffix}" for suffix in suffixes]
    return next((file for file in files if file.is_file()), files[0])
