"""Batches of texts of similar length, for teacher forcing or with labels; TensorFlow only (`tf.data`)."""

import dataclasses
import warnings

import keras
import numpy as np
import tensorflow as tf

from shared_layers.runtime import unknown_name
from textkit.datasets.buckets import Buckets, check_batches
from textkit.vocabulary import END, PAD, START

_TOO_LONG = ("drop", "truncate", "refuse")
_TEXTS_AT_ONCE = 16_384


def batches(
    pairs,
    source_vocabulary,
    target_vocabulary,
    *,
    batch_size=None,
    batch_tokens=None,
    buckets=8,
    training=False,
    seed=0,
    first_epoch=None,
    max_source_length=None,
    max_target_length=None,
    too_long="drop",
    multiple_of=1,
):
    """Makes batches of pairs for `fit` (shuffled) or `evaluate` (in order of length).

    Texts of similar length share a batch, see `textkit.datasets.buckets.Buckets`. An incomplete batch is filled with
    repeated rows of weight 0, so that weighted losses and metrics are exact.

    Args:
        pairs: list of (source, list of targets), such as a split of `Pairs`; each target is an example.
        source_vocabulary: `Vocabulary`.
        target_vocabulary: `Vocabulary`.
        batch_size: int, the maximum number of rows of a batch. Exactly one of `batch_size` and `batch_tokens` is given.
        batch_tokens: int, the maximum number of tokens of a batch, padding included, for the sources and for the targets:
            narrower buckets have more rows. A longer text is a batch by itself.
        buckets: int, the maximum number of widths of sources, and of targets for each of these; 1 pads all to the longest
            of all; 0 puts any texts in a batch, padded to the longest of the batch.
        training: bool, whether to shuffle.
        seed: int. The same seed gives the same batches in each epoch.
        first_epoch: int, in training: yields this epoch and all later ones without end, for `fit` with `steps_per_epoch`
            (the `cardinality` of the dataset with `first_epoch=None`). `None` yields one epoch per iteration, with a random
            epoch number.
        max_source_length: int, in tokens; `None` for no limit.
        max_target_length: int, in tokens, the start token (or the end token) included; `None` for no limit.
        too_long: what to do with longer pairs: "drop" or "truncate" (before the end token), which warn of their number, or
            "refuse", which raises.
        multiple_of: int, the number of rows of every batch is a multiple of it: the number of replicas.

    Returns:
        `tf.data.Dataset` of ({"source_ids": int32 (b, s), "target_ids": int32 (b, t) that begin with the start token},
        labels int32 (b, t) that end with the end token, weights float32 (b, t), 1 for labels, 0 for padding); ids are padded
        with 0.

    Raises:
        ValueError: an option out of its range, no pairs, pairs that are too long with "refuse", or none left.

    Reference:
        Vaswani et al. 2017, section 5.1 (batches of similar length by a number of tokens). The widths are chosen by
        dynamic programming.
    """
    if too_long not in _TOO_LONG:
        raise unknown_name("too_long", too_long, _TOO_LONG)
    check_batches(batch_size, batch_tokens, max_source_length=max_source_length, max_target_length=max_target_length)
    texts = [(source, target) for source, targets in pairs for target in targets]
    sources = _Texts.encode([source for source, _ in texts], source_vocabulary)
    targets = _Texts.encode([target for _, target in texts], target_vocabulary)
    most_of_target = None if max_target_length is None else max_target_length - 1
    sources, targets = _limited(sources, targets, max_source_length, most_of_target, too_long)
    if not len(sources.lengths):
        raise ValueError(f"Expected pairs to make batches of. Received: none left of {len(texts)}")

    def make(rows, real, widths):
        source_width, target_width = widths
        weights = (np.arange(target_width) <= targets.lengths[rows, None]) & (np.arange(len(rows)) < real)[:, None]
        target_ids, labels = targets.framed(rows, target_width)
        inputs = {"source_ids": sources.padded(rows, source_width), "target_ids": target_ids}
        return inputs, labels, weights.astype("float32")

    planned = Buckets((sources.lengths, targets.lengths + 1), batch_size, batch_tokens, buckets, multiple_of)
    ids, weights = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.float32)
    signature = ({"source_ids": ids, "target_ids": ids}, ids, weights)
    return planned.dataset(make, signature, training, seed, first_epoch)


def encoded_batches(
    inputs,
    labels,
    weights=None,
    *,
    label_tokens=False,
    batch_size=None,
    batch_tokens=None,
    buckets=8,
    training=False,
    seed=0,
    first_epoch=None,
    multiple_of=1,
):
    """Makes batches of encoded texts with labels for `fit` (shuffled) or `evaluate` (in order of length).

    Texts of similar length share a batch, see `textkit.datasets.buckets.Buckets`. An incomplete batch is filled with
    repeated rows of weight 0, so that weighted losses and metrics are exact.

    Args:
        inputs: dict of arrays (n, t, ...), as returned by `textkit.encoding.encode`: "token_ids", ..., and "padding_mask"
            bool (n, t), True for tokens, which come first in each row.
        labels: array (n, ...), or a dict or tuple of such arrays.
        weights: float (n,), or (n, t) for labels of tokens; `None` for 1 everywhere except in padding.
        label_tokens: bool, whether each token has a label, (n, t, ...).
        batch_size: int, the maximum number of rows of a batch. Exactly one of `batch_size` and `batch_tokens` is given.
        batch_tokens: int, the maximum number of tokens of a batch, padding included.
        buckets: int, see `textkit.datasets.buckets.Buckets`.
        training: bool, whether to shuffle.
        seed: int. The same seed gives the same batches in each epoch.
        first_epoch: int or `None`, see `batches`.
        multiple_of: int, the number of rows of every batch is a multiple of it: the number of replicas.

    Returns:
        `tf.data.Dataset` of (inputs, labels, weights float32), truncated to the width of the batch.

    Raises:
        ValueError: an option out of its range, no texts, arrays of different lengths, or padding before tokens.
    """
    mask = np.asarray(inputs["padding_mask"])
    arrays = keras.tree.map_structure(np.asarray, (dict(inputs), labels))
    wrong = next((array.shape for array in keras.tree.flatten(arrays) if array.shape[:1] != mask.shape[:1]), None)
    if not len(mask) or wrong:
        raise ValueError(f"Expected arrays of as many texts, at least 1. Received: shapes {mask.shape} and {wrong}")
    lengths = mask.sum(axis=1)
    if (mask != (np.arange(mask.shape[1]) < lengths[:, None])).any():
        row = (mask[:, 1:] > mask[:, :-1]).any(axis=1).argmax()
        raise ValueError(f"Expected padding after the tokens. Received: tokens after padding in row {row}")
    if weights is None:
        weights = mask if label_tokens else np.ones(len(mask))
    weights = np.asarray(weights, "float32")

    def over(change):
        """Applies a function of (array, whether it has a token axis) to inputs, labels and weights."""
        return (
            keras.tree.map_structure(lambda array: change(array, True), arrays[0]),
            keras.tree.map_structure(lambda array: change(array, label_tokens), arrays[1]),
            change(weights, label_tokens),
        )

    def make(rows, real, widths):
        batch = over(lambda array, of_tokens: array[rows, : widths[0]] if of_tokens else array[rows])
        batch[-1][real:] = 0
        return batch

    planned = Buckets((lengths,), batch_size, batch_tokens, buckets, multiple_of)
    signature = over(lambda array, of_tokens: tf.TensorSpec(_shape(array, of_tokens), array.dtype))
    return planned.dataset(make, signature, training, seed, first_epoch)


@dataclasses.dataclass(frozen=True)
class _Texts:
    """Encoded texts, concatenated: `ids` int32 of all texts, `starts` and `lengths` int64 of each text."""

    ids: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def encode(cls, texts, vocabulary):
        encoded = [
            vocabulary.encode(texts[start : start + _TEXTS_AT_ONCE]) for start in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        lengths = np.concatenate([np.zeros(0, "int64"), *(ragged.row_lengths().numpy() for ragged in encoded)])
        ids = np.concatenate([np.zeros(0, "int32"), *(ragged.flat_values.numpy() for ragged in encoded)])
        return cls(ids, np.cumsum(lengths) - lengths, lengths)

    def select(self, rows, most):
        """The texts of some rows, truncated to `most` ids each."""
        lengths = self.lengths[rows]
        return _Texts(self.ids, self.starts[rows], lengths if most is None else np.minimum(lengths, most))

    def padded(self, rows, width):
        """Ids of some texts, int32 (b, width)."""
        columns = np.arange(width)
        there = columns < self.lengths[rows, None]
        return np.where(there, self.ids[np.where(there, self.starts[rows, None] + columns, 0)], PAD).astype("int32")

    def framed(self, rows, width):
        """The ids after a start token, and the ids before an end token, both int32 (b, width)."""
        ids = self.padded(rows, width)
        before = np.concatenate([np.full((len(rows), 1), START, "int32"), ids[:, :-1]], axis=1)
        ids[np.arange(len(rows)), self.lengths[rows]] = END
        return before, ids


def _limited(sources, targets, most_of_source, most_of_target, too_long):
    """The texts without pairs that are too long, or truncated to the limits."""
    over = np.zeros(len(sources.lengths), bool)
    for texts, most in ((sources, most_of_source), (targets, most_of_target)):
        if most is not None:
            over |= texts.lengths > most
    if not over.any():
        return sources, targets
    count = f"{over.sum()} of {len(over)} pairs are longer than {most_of_source} and {most_of_target} tokens"
    if too_long == "refuse":
        raise ValueError(f"Expected shorter texts. Received: {count}")
    warnings.warn(f"{'Dropped' if too_long == 'drop' else 'Truncated'}: {count}", stacklevel=3)
    kept = np.flatnonzero(~over) if too_long == "drop" else np.arange(len(over))
    return sources.select(kept, most_of_source), targets.select(kept, most_of_target)


def _shape(array, of_tokens):
    return (None, None, *array.shape[2:]) if of_tokens else (None, *array.shape[1:])
