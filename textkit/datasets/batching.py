"""Batches of texts of like length, for teacher forcing or with labels; TensorFlow only (`tf.data`)."""

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
    """Makes batches for `fit` (shuffled) or for `evaluate` (in order of length).

    Texts of like length share a batch, see `textkit.datasets.buckets.Buckets`. Where a bucket's last batch lacks a row, one
    is repeated with weights 0: whatever is weighted is exact.

    Args:
        pairs: list of (source, list of targets), as a split of `Pairs`; each target makes an example.
        source_vocabulary: `Vocabulary`.
        target_vocabulary: `Vocabulary`.
        batch_size: int, the most rows of a batch; or
        batch_tokens: int, the most tokens of a batch, padding included, of its sources as of its targets: the narrower a
            bucket, the more rows (1 where a single text is longer). Just one of the two.
        buckets: int, the most widths of sources, and of targets for each of these; 1 pads all to the longest there is; 0
            puts any texts in a batch, padded to its own longest.
        training: bool, whether to shuffle.
        seed: int. The same seed gives the same batches, epoch by epoch.
        first_epoch: int, in training: this epoch and all that follow, one after the other without end, to give to `fit`
            with `steps_per_epoch`, which is the `cardinality` without this; `None` gives one epoch an iteration, of a
            number that is drawn.
        max_source_length: int, in tokens; `None` for any.
        max_target_length: int, in tokens with start, so with end as well; `None` for any.
        too_long: what becomes of pairs that are longer: "drop" or "truncate" (then the end follows what is left), which warn
            of their number, or "refuse".
        multiple_of: int, divides the rows of every batch; as many as there are replicas, so that each gets as much.

    Returns:
        `tf.data.Dataset` of ({"source_ids": int32 (b, s), "target_ids": int32 (b, t) that begin with start}, labels int32
        (b, t) that end with end, weights float32 (b, t), 1 for what is to be learned); 0 pads ids.

    Raises:
        ValueError: an option out of its range, no pairs, too long ones that are to be refused, or none left.

    Reference:
        Vaswani et al. 2017, section 5.1 (batches of like length by a number of tokens). The widths are chosen by dynamic
        programming.
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
    """Makes batches of texts that are encoded, with labels, for `fit` (shuffled) or for `evaluate` (in order of length).

    Texts of like length share a batch, see `textkit.datasets.buckets.Buckets`. Where a bucket's last batch lacks a row, one
    is repeated with weights 0: whatever is weighted is exact.

    Args:
        inputs: dict of arrays (n, t, ...), as `textkit.Tokenizer.encode` gives: "token_ids", ..., and "padding_mask" bool
            (n, t), True where there is a token: at the beginning of each row.
        labels: array (n, ...), or a dict or tuple of such.
        weights: float (n,), or (n, t) of labels of tokens; `None` for 1 everywhere, except in padding.
        label_tokens: bool, whether labels are of tokens, (n, t, ...).
        batch_size: int, the most rows of a batch; or
        batch_tokens: int, the most tokens of a batch, padding included. Just one of the two.
        buckets: int, see `Buckets`, as the others.
        training: bool, whether to shuffle.
        seed: int.
        first_epoch: int or `None`, see `batches`.
        multiple_of: int, divides the rows of every batch; as many as there are replicas.

    Returns:
        `tf.data.Dataset` of (inputs, labels, weights float32), cut to the width of the batch.

    Raises:
        ValueError: an option out of its range, no texts, arrays of unlike lengths, or padding before tokens.
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
        """Each array, and whether it is of tokens, through a function."""
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
    """Encoded texts, one after the other: `ids` int32 of all, `starts` and `lengths` int64 of each."""

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
        """Some of the texts, of at most so many ids each."""
        lengths = self.lengths[rows]
        return _Texts(self.ids, self.starts[rows], lengths if most is None else np.minimum(lengths, most))

    def padded(self, rows, width):
        """Ids of some texts, int32 (b, width)."""
        columns = np.arange(width)
        there = columns < self.lengths[rows, None]
        return np.where(there, self.ids[np.where(there, self.starts[rows, None] + columns, 0)], PAD).astype("int32")

    def framed(self, rows, width):
        """Ids after a start, and ids before an end, int32 (b, width) both."""
        ids = self.padded(rows, width)
        before = np.concatenate([np.full((len(rows), 1), START, "int32"), ids[:, :-1]], axis=1)
        ids[np.arange(len(rows)), self.lengths[rows]] = END
        return before, ids


def _limited(sources, targets, most_of_source, most_of_target, too_long):
    """The texts without those that are too long, or cut to what is allowed."""
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
