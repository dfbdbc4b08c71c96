"""Train, validation and test splits: made by hash, and the classes they have."""

import dataclasses
import hashlib
import re

SPLITS = ("train", "validation", "test")

_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Splits:
    """A dataset with train, validation and test splits.

    Attributes:
        train: list of examples.
        validation: list of examples.
        test: list of examples.
        name: str, the name or path of the data.
    """

    train: list
    validation: list
    test: list
    name: str

    def limited(self, count):
        """Limits the number of examples of each split; they are evenly spaced, as files can be sorted by label.

        Args:
            count: int, the maximum number of examples of a split; `None` for all.

        Returns:
            A dataset of the same class.
        """

        def spread(rows):
            fewer = count is not None and count < len(rows)
            return [rows[number * len(rows) // count] for number in range(count)] if fewer else rows

        return dataclasses.replace(self, **{split: spread(getattr(self, split)) for split in SPLITS})


def position(text):
    """Hashes a text to a pseudorandom number in [0, 1).

    Args:
        text: str.

    Returns:
        float.
    """
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def carved(splits, name, key, share=0.1, most=None):
    """Takes missing validation and test splits from train.

    The examples are chosen by a hash of their keys: pseudorandom, but the same in every run, and nearly the same after more
    examples are added. Examples with the same key stay in one split.

    Args:
        splits: dict {split: list of examples}, with "train".
        name: str, the name of the data, for the error.
        key: function from an example to str, the text that is hashed.
        share: float, the fraction of the keys of train for each missing split; at least one key.
        most: int, the maximum number of keys for each missing split; or `None`.

    Returns:
        dict {split: list of examples} with "train", "validation" and "test".

    Raises:
        ValueError: too few different keys in train.
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
    """Collects the class names of the train split.

    Args:
        splits: dict {split: list of examples}, before `carved`, which can take all examples of a rare class from train.
        names_of: function from an example to an iterable of str, its class names.
        name: str, the name of the data, for the error.

    Returns:
        tuple of str, sorted; by value if all are integers.

    Raises:
        ValueError: a class of validation or test does not occur in train.

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
