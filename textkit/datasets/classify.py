"""Texts, and pairs of texts, with classes or numbers: TSV and JSONL files, and sets of `tensorflow_datasets`."""

import dataclasses
import math
import os

import numpy as np

from shared_layers.runtime import unknown_name
from textkit.datasets.sources import described, json_object, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import Splits, carved, class_names

PROBLEMS = ("single", "multi", "regression")

_SECRET = -1  # in sets of `tensorflow_datasets`
_JSON_COLUMNS = {False: ("text", "label"), True: ("text", "pair", "label")}


@dataclasses.dataclass(frozen=True)
class ClassifiedTexts(Splits):
    """Texts with what is to be said of them.

    Attributes:
        train: list of (texts, label). `texts` is a tuple of one str, or two; `label` the number of a class; of "multi" a
            tuple of such, which may be empty; of "regression" a float.
        validation: the same.
        test: the same.
        name: str, what was asked for.
        class_names: tuple of str; of "regression" empty.
        problem: "single", "multi" or "regression".
    """

    class_names: tuple = ()
    problem: str = "single"

    def labels(self, split):
        """The labels of a split as an array.

        Args:
            split: "train", "validation" or "test".

        Returns:
            int32 (n,) of "single"; bool (n, c), c classes, of "multi"; float32 (n,) of "regression".
        """
        labels = [label for _, label in getattr(self, split)]
        if self.problem != "multi":
            return np.array(labels, "int32" if self.problem == "single" else "float32")
        rows = np.zeros((len(labels), len(self.class_names)), bool)
        for row, numbers in zip(rows, labels, strict=True):
            row[list(numbers)] = True
        return rows


def file_texts(path, pair=False, problem="single", columns=None, validation=None, test=None, on_corrupt="skip"):
    """Reads a file of lines "text TAB label" or "text TAB text TAB label", or of JSON objects; or a folder of such.

    A folder has train.tsv or train.jsonl, and perhaps those of validation and test. What is missing of these is taken out of
    train, a tenth each, by a hash of the texts, see `splits.carved`.

    Args:
        path: str or path-like: a file that ends with .jsonl has on each line an object {"text": str, "label": ...}, or with
            "pair" as well; any other has columns divided by TAB, in which nothing is quoted.
        pair: bool, whether there are two texts.
        problem: "single", a class for each, any str; "multi", any number of classes: in JSON a list, in columns divided by
            commas; "regression", a number.
        columns: where the texts and, last, the label stand: keys of the objects; or names of columns, which the first line
            of the file has; or their numbers from 0. `None` for lines of nothing else, and for the keys above.
        validation: str or path-like, a file beside `path`; or `None`.
        test: the same.
        on_corrupt: what becomes of lines that are not so, or not in UTF-8: "skip" leaves them out and warns of their number
            and the first of them; "refuse" raises.

    Returns:
        A `ClassifiedTexts`; its classes are those of train, in order, before anything is taken out of it.

    Raises:
        OSError: there is no such file.
        ValueError: nothing in a file, too little to carve from, a corrupt line that is to be refused, classes in validation
            or test that train does not have, a column that is not there, or an option out of its range.
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
    """Reads a set of `tensorflow_datasets` that has one text or two, and a class or a number.

    It is downloaded and prepared at its first use. Texts whose class is kept secret (in the test splits of GLUE, where it
    is -1) are no examples, nor is a split whose numbers are all -1. A split of nothing else is as good as missing, and taken
    out of train, as by `file_texts`.

    Args:
        name: str, with the configuration: "imdb_reviews", "glue/sst2", "glue/mnli", "glue/stsb", "ag_news_subset".
        pair: bool, whether there are two texts.
        problem: "single" or "regression".
        columns: the features of the texts and, last, the label; `None` where the set has no other text, class or number.
        limit: int, so many examples at most are read of each split; `None` for all, which are held in memory.
        data_dir: str, where `tensorflow_datasets` keeps its data, if not where it always does.

    Returns:
        A `ClassifiedTexts` with the name "tfds:" and `name`, and the classes in the order of the set.

    Raises:
        ValueError: there is no such set or none of such texts and labels, it cannot be had, or an option out of its range.
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
    """Where the columns stand in a file's lines, which its first line may tell."""
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
    """Texts and label of a line, the latter by name."""
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
        raise ValueError(f"has a label that is no number, {value!r:.40}")
    return number


_READ_LABEL = {"single": _one_name, "multi": _names, "regression": _number}


def _numbered(label, number):
    """A label by numbers in place of names."""
    return number[label] if isinstance(label, str) else tuple(sorted({number[name] for name in label}))


def _key(example):
    return "\t".join(example[0])


def _checked(pair, problem, columns):
    """How many columns there are to read."""
    if problem not in PROBLEMS:
        raise unknown_name("problem", problem, PROBLEMS)
    wanted = 3 if pair else 2
    if columns is not None and len(columns) != wanted:
        raise ValueError(f"Expected {wanted} columns, the last of them the label's. Received: {columns=}, {pair=}")
    return wanted
