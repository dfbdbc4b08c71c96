"""Bucketing: batches of examples of similar length, with little padding; TensorFlow only (`tf.data`)."""

import dataclasses

import numpy as np
import tensorflow as tf

from shared_layers.runtime import shard_by_row

_BATCHES_OF_A_BUCKET = 4  # at least, if there are several buckets
_FINEST = 512  # distinct lengths at most; longer ones are rounded up


@dataclasses.dataclass(frozen=True)
class _Bucket:
    members: np.ndarray  # indices of examples
    widths: tuple  # of each side
    rows: int  # of each batch


class Buckets:
    """Assigns examples to buckets, and draws batches from them.

    To avoid padding, texts are put in buckets of a few fixed widths, chosen for the least padding, and a batch is drawn from
    one bucket: there are few shapes (each is compiled once), and every epoch has the same number of batches. The order
    within each bucket and the order of all batches are drawn anew in each epoch.

    Args:
        lengths: tuple of int64 (n,), the lengths of each side of the examples: source and target, or text only.
        batch_size: int, the maximum number of rows of a batch. Exactly one of `batch_size` and `batch_tokens` is given.
        batch_tokens: int, the maximum number of tokens of a batch, padding included, for each side.
        buckets: int, the maximum number of widths of the first side, and of the second for each of these; 1 pads all to the
            longest of all; 0 puts any examples in a batch, padded to the longest of the batch.
        multiple_of: int, the number of rows of every batch is a multiple of it.

    Attributes:
        count: int, the number of batches of an epoch.

    Raises:
        ValueError: an option out of its range.
    """

    def __init__(self, lengths, batch_size, batch_tokens, buckets, multiple_of):
        check_batches(batch_size, batch_tokens, buckets=buckets, multiple_of=multiple_of)
        self.lengths = lengths
        self.batch_size, self.batch_tokens, self.multiple_of = batch_size, batch_tokens, multiple_of
        self.fixed = buckets > 0
        groups = [np.arange(len(lengths[0]))]
        if self.fixed:
            for side in lengths:  # sources, then targets within each bucket of sources
                groups = [part for group in groups for part in self._cut(group, side, buckets)]
        self.buckets = [self._bucket(group) for group in groups]
        self.count = sum(-(-len(bucket.members) // bucket.rows) for bucket in self.buckets)

    def dataset(self, make, signature, training=False, seed=0, first_epoch=None, change=None):
        """Makes the batches.

        Args:
            make: function of (example indices int64 (b,), the number of real rows, widths of the sides) that returns a batch
                of arrays; the rows after the real ones are repeated to fill the batch.
            signature: nested `tf.TensorSpec` of such a batch.
            training: bool, whether to shuffle.
            seed: int. The same seed gives the same batches in each epoch.
            first_epoch: int, in training: yields this epoch and all later ones without end; `None` yields one epoch per
                iteration, with a random epoch number.
            change: function of (batch, seed int32 (2,)), applied to each batch in the graph, with a different seed for each
                batch of each epoch; or `None`.

        Returns:
            `tf.data.Dataset`.
        """

        def epoch(number):
            chance = np.random.default_rng((seed, int(number))) if training else None
            for rows, real, widths in self.batches(chance):
                yield make(rows, real, widths)

        def made(number):
            dataset = tf.data.Dataset.from_generator(epoch, args=(number,), output_signature=signature)
            if change is None:
                return dataset
            seeds = tf.stack([seed, tf.cast(number, tf.int32)])
            numbered = tf.data.Dataset.zip((dataset, tf.data.Dataset.counter()))
            return numbered.map(lambda batch, index: change(batch, tf.random.fold_in(seeds, index)), tf.data.AUTOTUNE)

        if not training:
            dataset = made(0)
        elif first_epoch is None:
            dataset = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1).flat_map(made)
        else:
            dataset = tf.data.Dataset.counter(first_epoch).flat_map(made)
        endless = training and first_epoch is not None
        count = tf.data.INFINITE_CARDINALITY if endless else self.count
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
        return shard_by_row(dataset).prefetch(tf.data.AUTOTUNE)

    def batches(self, chance):
        """Yields the batches of an epoch: (example indices int64 (b,), the number of real rows, widths of the sides).

        Args:
            chance: `np.random.Generator` to shuffle with, or `None` for the order of the buckets.
        """
        made = []
        for bucket in self.buckets:
            members = bucket.members if chance is None else chance.permutation(bucket.members)
            for start in range(0, len(members), bucket.rows):
                taken = members[start : start + bucket.rows]
                made.append((np.resize(taken, bucket.rows), len(taken), bucket.widths))
        for number in range(len(made)) if chance is None else chance.permutation(len(made)):
            rows, real, widths = made[number]
            yield rows, real, widths if self.fixed else self._widths(rows)

    def _cut(self, members, lengths, count):
        """Divides examples by length into at most `count` groups of at least a few batches each."""
        ends = least_padding(lengths[members], count)
        group_of = np.searchsorted(ends, lengths[members])
        groups, waiting = [], members[:0]
        for number in range(len(ends)):
            waiting = np.concatenate([waiting, members[group_of == number]])
            if number == len(ends) - 1 or len(waiting) >= _BATCHES_OF_A_BUCKET * self._most_rows(waiting):
                groups.append(waiting)
                waiting = members[:0]
        return groups

    def _bucket(self, members):
        # The batches of a bucket have equal sizes, so that few rows are repeated.
        count = -(-len(members) // self._most_rows(members))
        rows = -(-len(members) // count)
        return _Bucket(members, self._widths(members), -(-rows // self.multiple_of) * self.multiple_of)

    def _widths(self, members):
        return tuple(max(int(lengths[members].max()), 1) for lengths in self.lengths)

    def _most_rows(self, members):
        rows = self.batch_size or self.batch_tokens // max(self._widths(members))
        return max(rows // self.multiple_of, 1) * self.multiple_of


def least_padding(lengths, count):
    """Finds the widths with the least total padding, if each length is padded to the next width.

    Args:
        lengths: int64 (n,).
        count: int, the maximum number of widths.

    Returns:
        int64 (m,), increasing; the last is at least the longest length.

    Example:
        >>> least_padding(np.array([3, 3, 3, 4, 9, 10]), 2)
        array([ 4, 10])
    """
    step = -(-int(lengths.max()) // _FINEST)
    values, counts = np.unique(-(-lengths // step) * step, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    padded = ((below[None, 1:] - below[:, None]) * values).astype("float64")  # of values i to j as one group
    padded[np.tri(*padded.shape, -1, dtype=bool)] = np.inf
    least, begins = np.where(np.arange(len(below)) == 0, 0, np.inf), []
    for _ in range(min(count, len(values))):
        total = least[:, None] + padded
        begins.append(total.argmin(axis=0))
        least = np.concatenate([[np.inf], total.min(axis=0)])
    ends, last = [], len(values) - 1
    for begin in reversed(begins):
        ends.append(values[last])
        last = begin[last] - 1
    return np.array(ends[::-1])


def check_batches(batch_size, batch_tokens, **numbers):
    """Checks the sizes of batches.

    Args:
        batch_size: int or `None`. Exactly one of `batch_size` and `batch_tokens` is given.
        batch_tokens: int or `None`.
        **numbers: further options, each int or `None`: "buckets" at least 0, "max_target_length" at least 2, others at
            least 1.

    Raises:
        ValueError: for the first invalid option.
    """
    if (batch_size is None) == (batch_tokens is None):
        raise ValueError(
            f"Expected one of batch_size and batch_tokens. Received: batch_size={batch_size}, batch_tokens={batch_tokens}"
        )
    for name, value in {"batch_size": batch_size, "batch_tokens": batch_tokens, **numbers}.items():
        least = {"buckets": 0, "max_target_length": 2}.get(name, 1)
        if value is not None and value < least:
            raise ValueError(f"Expected at least {least}. Received: {name}={value}")
