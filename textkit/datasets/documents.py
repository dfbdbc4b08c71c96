"""Plain text for pretraining: documents from text files, or from `tensorflow_datasets`."""

import os

from textkit.datasets.sources import described, read_lines, split_files, tensorflow_splits
from textkit.datasets.splits import SPLITS, Splits, carved

_EXPECTED = "of text"
_CARVED_SHARE = 0.05
_MOST_CARVED = 3000


class Documents(Splits):
    """Documents.

    Attributes:
        train: list of documents, each a list of at least one str: its lines.
        validation: list of documents.
        test: list of documents.
        name: str, the name or paths of the data.
    """


def file_documents(path, lines=False, tag_mark=None, validation=None, test=None, on_corrupt="skip"):
    """Reads text files; or a folder with train.txt, validation.txt and test.txt.

    Missing validation and test splits are taken from train, 5 % of the documents each (1 to 3000), by a hash of the text,
    see `splits.carved`.

    Args:
        path: str or path-like, or a list of these, whose documents are concatenated.
        lines: bool, whether each line is a document. If False, documents are separated by empty lines.
        tag_mark: str, the separator between a word and its tag, for text such as "新年/t 讲话/n" with "/"; the tags are
            removed. `None` for text without tags.
        validation: str or path-like, the file of this split; or `None`.
        test: str or path-like, the file of this split; or `None`.
        on_corrupt: what to do with lines that are not UTF-8: "skip" drops them and warns of their number and the first of
            them; "refuse" raises.

    Returns:
        A `Documents`.

    Raises:
        OSError: the file does not exist.
        ValueError: a file without text, too few documents to split, or a malformed line with "refuse".
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
    """Reads the text of a dataset of `tensorflow_datasets`: each example is a document.

    It is downloaded and prepared at its first use. Missing validation and test splits are taken from train, as by
    `file_documents`.

    Args:
        name: str, the dataset and its configuration: "imdb_reviews", "wiki40b/en".
        column: str, the feature to read; `None` if the dataset has only one text feature.
        limit: int, the maximum number of examples read from each split; `None` for all. They are held in memory.
        data_dir: str, the data folder of `tensorflow_datasets`; `None` for its default.

    Returns:
        A `Documents` with the name "tfds:" and `name`.

    Raises:
        ValueError: an unknown dataset, no such text feature, or a failed download.
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
    """Documents of lines that are separated by empty lines."""
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
