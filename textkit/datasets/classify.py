"""Texts and pairs of texts with classes or numbers: TSV and JSONL files, and datasets of `tensorflow_datasets`."""

import dataclasses
import math
import os

import numpy as np

from shared_layers.runtime import unknown_name
from textkit.datasets.sources import described, json_object, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import Splits, carved, class_names

PROBLEMS = ("single", "multi", "regression")

_SECRET = -1  # the label of unlabelled examples in `tensorflow_datasets`
_JSON_COLUMNS = {False: ("text", "label"), True: ("text", "pair", "label")}


@dataclasses.dataclass(frozen=True)
class ClassifiedTexts(Splits):
    """Texts with their labels.

    Attributes:
        train: list of (texts, label). `texts` is a tuple of one or two str; `label` is a class index, for "multi" a tuple of
            class indices, which may be empty, and for "regression" a float.
        validation: list of (texts, label).
        test: list of (texts, label).
        name: str, the name or path of the data.
        class_names: tuple of str; empty for "regression".
        problem: "single", "multi" or "regression".
    """

    class_names: tuple = ()
    problem: str = "single"

    def labels(self, split):
        """The labels of a split as an array.

        Args:
            split: "train", "validation" or "test".

        Returns:
            int32 (n,) for "single"; bool (n, c), c classes, for "multi"; float32 (n,) for "regression".
        """
        labels = [label for _, label in getattr(self, split)]
        if self.problem != "multi":
            return np.array(labels, "int32" if self.problem == "single" else "float32")
        rows = np.zeros((len(labels), len(self.class_names)), bool)
        for row, numbers in zip(rows, labels, strict=True):
            row[list(numbers)] = True
        return rows


def file_texts(path, pair=False, problem="single", columns=None, validation=None, test=None, on_corrupt="skip"):
    """Reads a file of lines "text TAB label" or "text TAB text TAB label", or of JSON objects; or a folder of such files.

    A folder has train.tsv or train.jsonl, and may have validation and test files. Missing splits are taken from train, 10 %
    each, by a hash of the texts, see `splits.carved`.

    Args:
        path: str or path-like: a .jsonl file has an object {"text": str, "label": ...} on each line, with "pair" for a
            second text; any other file has columns separated by TAB, without quoting.
        pair: bool, whether examples have two texts.
        problem: "single", one class for each example, any str; "multi", any number of classes: in JSON a list, in columns
            separated by commas; "regression", a number.
        columns: the columns of the texts and, last, of the label: keys of the objects, or column names from the first line
            of the file, or column numbers from 0. `None` for files with only these columns in this order, or the keys above.
        validation: str or path-like, the file of this split; or `None`.
        test: str or path-like, the file of this split; or `None`.
        on_corrupt: what to do with malformed lines and lines that are not UTF-8: "skip" drops them and warns of their number
            and the first of them; "refuse" raises.

    Returns:
        A `ClassifiedTexts`; its classes are all those of the train file, sorted.

    Raises:
        OSError: the file does not exist.
        ValueError: an empty file, too few examples to split, a malformed line with "refuse", classes in validation or test
            that train does not have, an unknown column, or an option out of its range.
    """
    wanted = _checked(pair, problem, columns)
    expected = f"with {'two texts' if pair else 'a text'} and a {'number' if problem == 'regression' else 'label'}"
    splits = {}
    for split, file in split_files(path, (".tsv", ".jsonl"), f"lines {expected}", validation, test).items():
        if file.suffix == ".jsonl":
            parse, titles = _json_parser(columns or _JSON_COLUMNS[bool(pair)], problem), False
        else:
            places = _places(file, columns)
            parse, titles = _column_parser(places, wanted, problem), places is not columns
        splits[split] = read_lines(file, parse, expected, on_corrupt, titles)
    name = os.fspath(path)
    names = ()
    if problem != "regression":
        names = class_names(splits, lambda example: [example[1]] if problem == "single" else example[1], name)
        number = {each: index for index, each in enumerate(names)}
        splits = {split: [(texts, _numbered(label, number)) for texts, label in rows] for split, rows in splits.items()}
    return ClassifiedTexts(**carved(splits, name, _key), name=name, class_names=names, problem=problem)


def tensorflow_texts(name, pair=False, problem="single", columns=None, limit=None, data_dir=None):
    """Reads a dataset of `tensorflow_datasets` with one or two texts, and a class or a number.

    It is downloaded and prepared at its first use. Unlabelled examples (label -1, as in the test splits of GLUE) are left
    out, and for "regression" splits in which all labels are -1. A split without examples counts as missing, and missing
    splits are taken from train, as by `file_texts`.

    Args:
        name: str, the dataset and its configuration: "imdb_reviews", "glue/sst2", "glue/mnli", "glue/stsb",
            "ag_news_subset".
        pair: bool, whether examples have two texts.
        problem: "single" or "regression".
        columns: the features of the texts and, last, of the label; `None` if the dataset has no other text, class or number.
        limit: int, the maximum number of examples read from each split; `None` for all. They are held in memory.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        A `ClassifiedTexts` with the name "tfds:" and `name`, and the classes in the order of the dataset.

    Raises:
        ValueError: an unknown dataset, one without such texts and labels, a failed download, or an option out of its range.
    """
    import tensorflow_datasets as tfds

    wanted = _checked(pair, problem, columns)
    if problem == "multi":
        raise unknown_name("problem", problem, ("single", "regression"))

    def is_label(feature):
        if problem == "single":
            return isinstance(feature, tfds.features.ClassLabel)
        return feature is not None and feature.shape == () and feature.np_dtype in (np.float32, np.float64)

    def check(features, info):
        keys = columns
        if columns is None:
            texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
            keys = [*texts, *(key for key, feature in features.items() if is_label(feature))]
        there = [features.get(key) for key in keys]
        if len(keys) != wanted or not is_label(there[-1]) or not all(isinstance(x, tfds.features.Text) for x in there[:-1]):
            raise ValueError(
                f"Expected columns= of {'two texts' if pair else 'a text'} and a label of {problem!r}. "
                f"Received: {columns=}, {name=} of {described(features)}"
            )
        return keys, tuple(there[-1].names) if problem == "single" else ()

    (keys, names), found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        rows = [(tuple(example[key].decode() for key in keys[:-1]), example[keys[-1]].item()) for example in examples]
        if problem == "single" or all(label == _SECRET for _, label in rows):
            rows = [(texts, label) for texts, label in rows if label != _SECRET]
        if rows or split == "train":
            splits[split] = rows
    return ClassifiedTexts(**carved(splits, name, _key), name=f"tfds:{name}", class_names=names, problem=problem)


def _json_parser(columns, problem):
    def parse(line):
        read = json_object(line)
        missing = [key for key in columns if key not in read]
        if missing:
            raise ValueError(f"has no {missing[0]!r}")
        return _example([read[key] for key in columns], problem)

    return parse


def _places(file, columns):
    """The numbers of the columns, looked up in the first line of the file if they are names."""
    if columns is None or not isinstance(columns[0], str):
        return columns
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        titles = [title.strip() for title in opened.readline().split("\t")]
    for column in columns:
        if column not in titles:
            raise unknown_name("column", column, titles)
    return [titles.index(column) for column in columns]


def _column_parser(places, wanted, problem):
    def parse(line):
        cells = line.split("\t")
        if places is None and len(cells) != wanted:
            raise ValueError(f"has {len(cells)} columns, not {wanted}")
        if places is not None and len(cells) <= max(places):
            raise ValueError(f"has {len(cells)} columns, not {max(places) + 1}")
        return _example(cells if places is None else [cells[place] for place in places], problem)

    return parse


def _example(values, problem):
    """The texts and the label of a line; classes are names."""
    texts = tuple(value.strip() if isinstance(value, str) else "" for value in values[:-1])
    if not all(texts):
        raise ValueError("has an empty text" if all(isinstance(value, str) for value in values[:-1]) else "has no text")
    return texts, _READ_LABEL[problem](values[-1])


def _one_name(value):
    name = str(value).strip()
    if not name or value is None or isinstance(value, list | dict):
        raise ValueError("has no label")
    return name


def _names(value):
    if isinstance(value, str):
        value = [name for name in value.split(",") if name.strip()]
    if not isinstance(value, list):
        raise ValueError("has no list of labels")
    return [_one_name(name) for name in value]


def _number(value):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"has a label that is not a number, {value!r:.40}")
    return number


_READ_LABEL = {"single": _one_name, "multi": _names, "regression": _number}


def _numbered(label, number):
    """A label with class indices in place of names."""
    return number[label] if isinstance(label, str) else tuple(sorted({number[name] for name in label}))


def _key(example):
    return "\t".join(example[0])


def _checked(pair, problem, columns):
    """The number of columns to read; raises for an unknown problem or another number of `columns`."""
    if problem not in PROBLEMS:
        raise unknown_name("problem", problem, PROBLEMS)
    wanted = 3 if pair else 2
    if columns is not None and len(columns) != wanted:
        raise ValueError(f"Expected {wanted} columns, the last of them the label's. Received: {columns=}, {pair=}")
    return wanted
