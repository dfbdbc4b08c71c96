"""Sources of texts: lines of files, and datasets of `tensorflow_datasets`."""

import json
import os
import re
import warnings
from pathlib import Path

from shared_layers.runtime import dataset_builder, unknown_name
from textkit.datasets.splits import SPLITS

ON_CORRUPT = ("skip", "refuse")
_NAMED = 3
# The names of the splits in `tensorflow_datasets`.
_PUBLISHED = {
    "train": ("train",),
    "validation": ("validation", "dev", "validation_matched"),
    "test": ("test", "test_matched"),
}


def split_files(path, suffixes, expected, validation=None, test=None):
    """Finds the files of the splits.

    Args:
        path: str or path-like, the file of the train split; or a folder with "train.tsv", and optionally "validation.tsv"
            and "test.tsv".
        suffixes: tuple of str, the suffixes that are tried for the files of a folder, such as (".tsv", ".jsonl").
        expected: str, the kind of file, for the error.
        validation: str or path-like, the file of this split; or `None` for the file of the folder, if there is one.
        test: str or path-like, the file of this split; or `None` for the file of the folder, if there is one.

    Returns:
        dict {split: `pathlib.Path`} of the files found.

    Raises:
        FileNotFoundError: a file does not exist.
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
    """Reads and parses the lines of a file.

    A byte order mark and Windows line ends are removed.

    Args:
        file: `pathlib.Path`.
        parse: function of a line, a str; for a malformed line it raises a ValueError that describes the fault: "has no TAB".
        expected: str, the expected kind of line, for errors.
        on_corrupt: what to do with lines that are not UTF-8 or that `parse` rejects: "skip" drops them and warns of their
            number and the first of them; "refuse" raises.
        titles: bool, whether to skip the first line, which has column names.
        empty_lines: bool, whether empty lines are parsed too; by default they are skipped.

    Returns:
        list of the results of `parse`.

    Raises:
        ValueError: an empty file, a malformed line with "refuse", or only malformed lines.
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
    """The lines of a file, without a byte order mark and without line ends.

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
        ValueError: it is not a JSON object, or has lone surrogates, which UTF-8 cannot encode.
    """
    try:
        read = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise ValueError("is not a JSON object")
    if "\\u" in line:  # lone surrogates can only be written as escapes
        try:
            json.dumps(read, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("has a lone surrogate, half a character") from error
    return read


def tell_faults(faults, right, kind, file, expected, on_corrupt):
    """Warns of malformed items that were dropped, or raises.

    The warning points to the caller of `load`: the calls are `load`, a reader, `read_lines`, and this function.

    Args:
        faults: list of str, such as "line 2 has no TAB".
        right: int, the number of items without fault.
        kind: str, the kind of items: "lines".
        file: str or path-like, the file they are in.
        expected: str, what they should be, for the error.
        on_corrupt: "skip" or "refuse".

    Raises:
        ValueError: there are faults and `on_corrupt` is "refuse", or there are only faults.
    """
    if not faults:
        return
    named = ", ".join(faults[:_NAMED]) + (", ..." if len(faults) > _NAMED else "")
    count = f"{len(faults)} of {len(faults) + right} {kind} in {file} are not {expected}: {named}"
    if on_corrupt == "refuse" or not right:
        raise ValueError(f"Expected {kind} {expected}. Received: {count}")
    warnings.warn(f"Skipped: {count}", stacklevel=5)


def tensorflow_splits(name, check, limit=None, data_dir=None):
    """Opens the train, validation and test splits of a dataset of `tensorflow_datasets`.

    It is downloaded and prepared at its first use.

    Args:
        name: str, the dataset and its configuration.
        check: function of (dict {feature: `tfds.features.FeatureConnector`}, `tfds.core.DatasetInfo`), called before
            anything is downloaded; it raises a ValueError for an unsuitable dataset.
        limit: int, the maximum number of examples read from each split; `None` for all.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        tuple: the result of `check`, and a dict {split: iterable of examples, with NumPy values} of the existing splits.

    Raises:
        ValueError: an unknown dataset, `limit` below 1, or a failed download.
    """
    import tensorflow_datasets as tfds

    if limit is not None and limit < 1:
        raise ValueError(f"Expected a limit of at least 1, or None. Received: {limit=}")
    builder = dataset_builder(name, data_dir)
    checked = check(dict(builder.info.features.items()), builder.info)
    try:
        builder.download_and_prepare()
    except (AssertionError, tfds.download.DownloadError) as error:  # an AssertionError: the data must be downloaded manually
        raise ValueError(f"{' '.join(str(error).split())} Received: {name=}") from error
    splits = {}
    for split, published in _PUBLISHED.items():
        there = [each for each in published if each in builder.info.splits]
        if there:
            rows = builder.as_dataset(split=there[0], shuffle_files=False).take(-1 if limit is None else limit)
            splits[split] = tfds.as_numpy(rows)
    return checked, splits


def described(features):
    """The features of a dataset, for errors: "text Text, label ClassLabel"."""
    return ", ".join(f"{key} {type(feature).__name__}" for key, feature in features.items())


def _file_of(folder, split, suffixes):
    files = [folder / f"{split}{suffix}" for suffix in suffixes]
    return next((file for file in files if file.is_file()), files[0])
