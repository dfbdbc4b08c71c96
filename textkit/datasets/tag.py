"""Sentences with a tag for each word: CoNLL and JSONL files, and datasets of `tensorflow_datasets`."""

import dataclasses
import os
import re

from textkit.datasets.sources import described, json_object, lines_of, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import Splits, carved, class_names

_EXPECTED = "with words and as many tags"
_SUFFIXES = (".conll", ".txt", ".tsv", ".jsonl")
_JSON_COLUMNS = ("words", "tags")
# The default among several sequences of tags: CoNLL-2003 also has parts of speech and phrases.
_NAMED_TAGS = ("ner", "ner_tags", "tags")


@dataclasses.dataclass(frozen=True)
class TaggedTexts(Splits):
    """Sentences of words with a tag for each word.

    Attributes:
        train: list of (words, tags): a list of str, and a list of int of the same length, the class indices.
        validation: list of (words, tags).
        test: list of (words, tags).
        name: str, the name or path of the data.
        class_names: tuple of str: "B-LOC", "I-LOC", "O".
    """

    class_names: tuple = ()


def file_tags(path, columns=None, validation=None, test=None, comment=None, on_corrupt="skip"):
    """Reads a CoNLL file, or a file of JSON objects; or a folder of such files.

    In a CoNLL file each line has a word and its annotations, in columns separated by spaces or TABs, and an empty line ends
    a sentence. -DOCSTART- lines are skipped. A malformed line always raises, as dropping it would break a sentence.

    A folder has train.conll, .txt, .tsv or .jsonl, and may have validation and test files. Missing splits are taken from
    train, 10 % each, by a hash of the words, see `splits.carved`.

    Args:
        path: str or path-like. A .jsonl file has an object {"words": [str], "tags": [str]} on each line.
        columns: (words, tags), column numbers from 0, or from the last with -1; or keys of the objects. `None` for the first
            and the last column, or the keys above.
        validation: str or path-like, the file of this split; or `None`.
        test: str or path-like, the file of this split; or `None`.
        comment: str, the start of comment lines: "# " in CoNLL-U. `None` for no comments, as "#" can be a word.
        on_corrupt: what to do with malformed lines of JSON: "skip" drops them and warns, "refuse" raises.

    Returns:
        A `TaggedTexts`; its classes are all those of the train file, sorted.

    Raises:
        OSError: the file does not exist.
        ValueError: an empty file, too few sentences to split, lines with different numbers of columns, a malformed line, or
            tags in validation or test that train does not have.
    """
    splits = {}
    for split, file in split_files(path, _SUFFIXES, f"sentences {_EXPECTED}", validation, test).items():
        if file.suffix == ".jsonl":
            splits[split] = read_lines(file, _json_parser(columns or _JSON_COLUMNS), _EXPECTED, on_corrupt)
        else:
            splits[split] = _conll(file, *(columns or (0, -1)), comment)
    name = os.fspath(path)
    names = class_names(splits, lambda example: example[1], name)
    number = {each: index for index, each in enumerate(names)}
    for split, rows in splits.items():
        splits[split] = [(words, [number[tag] for tag in tags]) for words, tags in rows]
    return TaggedTexts(**carved(splits, name, _key), name=name, class_names=names)


def tensorflow_tags(name, columns=None, limit=None, data_dir=None):
    """Reads a dataset of `tensorflow_datasets` with sentences of words, and tags.

    It is downloaded and prepared at its first use. Missing validation and test splits are taken from train, as by
    `file_tags`.

    Args:
        name: str, the dataset and its configuration: "conll2003", "wikiann/en".
        columns: (words, tags), names of features; `None` if the dataset has only these, or several tags of which "ner",
            "ner_tags" or "tags" is meant.
        limit: int, the maximum number of examples read from each split; `None` for all. They are held in memory.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        A `TaggedTexts` with the name "tfds:" and `name`, and the classes in the order of the dataset.

    Raises:
        ValueError: an unknown dataset, one without words and tags, or a failed download.
    """
    import tensorflow_datasets as tfds

    def of(features, kind):
        sequences = {key: each for key, each in features.items() if isinstance(each, tfds.features.Sequence)}
        return [key for key, each in sequences.items() if isinstance(each.feature, kind)]

    def check(features, info):
        words, tags = of(features, tfds.features.Text), of(features, tfds.features.ClassLabel)
        if columns is None and len(tags) > 1:
            tags = [key for key in _NAMED_TAGS if key in tags][:1]
        keys = [*words, *tags] if columns is None else list(columns)
        if len(keys) != 2 or keys[0] not in words or keys[1] not in tags:
            raise ValueError(
                f"Expected columns= of words and of tags. Received: {columns=}, {name=} of {described(features)}"
            )
        return keys, tuple(features[keys[1]].feature.names)

    (keys, names), found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        rows = (([word.decode() for word in example[keys[0]]], example[keys[1]].tolist()) for example in examples)
        splits[split] = [(words, tags) for words, tags in rows if words]
    return TaggedTexts(**carved(splits, name, _key), name=f"tfds:{name}", class_names=names)


def _conll(file, word_column, tag_column, comment):
    """The sentences of a CoNLL file: list of (words, tag names)."""
    sentences, words, tags, width = [], [], [], None
    for number, line in enumerate([*lines_of(file), b""], 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"Expected lines in UTF-8. Received: line {number} of {file} is not") from error
        # Not `str.split`: a word may contain other Unicode spaces.
        cells = re.split(r"[ \t]+", text.strip(" \t"))
        if cells == [""] or cells[0] == "-DOCSTART-":
            if words:
                sentences.append((words, tags))
            words, tags = [], []
        elif comment is None or not text.startswith(comment):
            width = len(cells) if width is None else width
            if len(cells) != width:
                raise ValueError(
                    f"Expected {width} columns, as in lines before. Received: {len(cells)} in line {number} of {file}"
                )
            if width < 2 or not all(-width <= column < width for column in (word_column, tag_column)):
                wanted = f"columns {word_column} and {tag_column}"
                raise ValueError(f"Expected {wanted}. Received: {width} columns in line {number} of {file}")
            words.append(cells[word_column])
            tags.append(cells[tag_column])
    if not sentences:
        raise ValueError(f"Expected sentences {_EXPECTED}. Received: none in {file}")
    return sentences


def _json_parser(columns):
    def parse(line):
        words, tags = map(json_object(line).get, columns)
        for key, values in zip(columns, (words, tags), strict=True):
            if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
                raise ValueError(f"has no {key!r}, a list of str")
        if len(words) != len(tags):
            raise ValueError(f"has {len(words)} words and {len(tags)} tags")
        return words, tags

    return parse


def _key(example):
    return " ".join(example[0])
