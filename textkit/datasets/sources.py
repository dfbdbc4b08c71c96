"""Where readers of texts find them: lines of files, and sets of `tensorflow_datasets`."""

import json
import os
import re
import warnings
from pathlib import Path

from shared_layers.runtime import dataset_builder, unknown_name
from textkit.datasets.splits import SPLITS

ON_CORRUPT = ("skip", "refuse")
_NAMED = 3
# What the splits are called in sets of `tensorflow_datasets`.
_PUBLISHED = {
    "train": ("train",),
    "validation": ("validation", "dev", "validation_matched"),
    "test": ("test", "test_matched"),
}


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
        ValueError: there are faults, which are to be refused, or nothing else.
    """
    if not faults:
        return
    named = ", ".join(faults[:_NAMED]) + (", ..." if len(faults) > _NAMED else "")
    count = f"{len(faults)} of {len(faults) + right} {kind} in {file} are not {expected}: {named}"
    if on_corrupt == "refuse" or not right:
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


def _file_of(folder, split, suffixes):
    files = [folder / f"{split}{suffix}" for suffix in suffixes]
    return next((file for file in files if file.is_file()), files[0])
