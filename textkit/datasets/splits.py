"""Examples to learn from, to choose by and to measure with: divided by hash, and the classes they have."""

import dataclasses
import hashlib
import re

SPLITS = ("train", "validation", "test")

_NAMED = 3


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
        """At most so many of each split, from all parts of it: files can be in the order of their labels.

        Args:
            count: int, or `None` for all.

        Returns:
            The same, of fewer.
        """

        def spread(rows):
            fewer = count is not None and count < len(rows)
            return [rows[number * len(rows) // count] for number in range(count)] if fewer else rows

        return dataclasses.replace(self, **{split: spread(getattr(self, split)) for split in SPLITS})


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


def class_names(splits, names_of, name):
    """Collects the names of the classes that the examples of train have.

    Args:
        splits: dict {split: list of examples}, as they were given: before `carved` takes from train, and a rare class with
            it.
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
