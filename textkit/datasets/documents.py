"""Plain text to pretrain on: documents of text files, or of sets of `tensorflow_datasets`."""

import os

from textkit.datasets.sources import described, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import SPLITS, Splits, carved

_EXPECTED = "of text"
_CARVED_SHARE = 0.05
_MOST_CARVED = 3000


class Documents(Splits):
    """Documents.

    Attributes:
        train: list of documents, each a list of str: its lines, at least one.
        validation: the same.
        test: the same.
        name: str, what was asked for.
    """


def file_documents(path, lines=False, tag_mark=None, validation=None, test=None, on_corrupt="skip"):
    """Reads text files; or a folder of three: train.txt, validation.txt and test.txt.

    What is missing of validation and test is taken out of train: for each 5 % of the documents, 1 to 3000, by a hash of the
    text, see `splits.carved`.

    Args:
        path: str or path-like, or a list of such, whose documents come one after the other.
        lines: bool, whether each line is a document, and not all lines up to an empty one.
        tag_mark: str, what divides a word from its tag, both of which are between spaces: "/" for "新年/t 讲话/n"; the tags
            are left out. `None` where there are none.
        validation: str or path-like, a file beside `path`; or `None`.
        test: the same.
        on_corrupt: what becomes of lines that are not in UTF-8: "skip" leaves them out and warns of their number and the
            first of them; "refuse" raises.

    Returns:
        A `Documents`.

    Raises:
        OSError: there is no such file.
        ValueError: no text in a file, too few documents to carve from, or a corrupt line that is to be refused.
    """

    def parse(line):
        text = line.strip()
        return text if tag_mark is None else " ".join(_untagged(word, tag_mark) for word in text.split())

    paths = [path] if isinstance(path, str | os.PathLike) else path
    found = [split_files(each, (".txt",), f"lines {_EXPECTED}", validation, test) for each in paths]
    splits = {}
    for split in SPLITS:
        for file in dict.fromkeys(files[split] for files in found if split in files):
            read = read_lines(file, parse, _EXPECTED, on_corrupt, empty_lines=True)
            splits.setdefault(split, []).extend([[line] for line in read if line] if lines else _blocks(read))
    name = ", ".join(map(os.fspath, paths))
    return Documents(**_filled(splits, name), name=name)


def tensorflow_documents(name, column=None, limit=None, data_dir=None):
    """Reads a set of `tensorflow_datasets` that has text: each example is a document.

    It is downloaded and prepared at its first use. What is missing of validation and test is taken out of train, as by
    `file_documents`.

    Args:
        name: str, with the configuration: "imdb_reviews", "wiki40b/en".
        column: str, the feature; `None` where there is one of text.
        limit: int, so many examples at most are read of each split; `None` for all, which are held in memory.
        data_dir: str, where `tensorflow_datasets` keeps its data, if not where it always does.

    Returns:
        A `Documents` with the name "tfds:" and `name`.

    Raises:
        ValueError: there is no such set or none of text, or it cannot be had.
    """
    import tensorflow_datasets as tfds

    def check(features, info):
        texts = [key for key, feature in features.items() if isinstance(feature, tfds.features.Text)]
        keys = texts if column is None else [column]
        if len(keys) != 1 or keys[0] not in texts:
            raise ValueError(f"Expected column= of text. Received: {column=}, {name=} of {described(features)}")
        return keys[0]

    key, found = tensorflow_splits(name, check, limit, data_dir)
    splits = {}
    for split, examples in found.items():
        lines = ([line.strip() for line in example[key].decode().split("\n")] for example in examples)
        splits[split] = [kept for kept in ([line for line in some if line] for some in lines) if kept]
    return Documents(**_filled(splits, name), name=f"tfds:{name}")


def _blocks(lines):
    """Documents of lines that empty ones divide."""
    documents = [[]]
    for line in lines:
        if line:
            documents[-1].append(line)
        elif documents[-1]:
            documents.append([])
    return [document for document in documents if document]


def _untagged(word, mark):
    return word.rpartition(mark)[0] or word


def _filled(splits, name):
    return carved(splits, name, "\n".join, _CARVED_SHARE, _MOST_CARVED)
