"""Batches for teacher forcing, of texts of like length; TensorFlow only (`tf.data`), the work itself in NumPy."""

import dataclasses
import warnings

import numpy as np
import tensorflow as tf

from shared_layers.runtime import shard_by_row, unknown_name
from textkit.vocabulary import END, PAD, START

_TOO_LONG = ("drop", "truncate", "refuse")
_TEXTS_AT_ONCE = 16_384
_BATCHES_OF_A_BUCKET = 4  # at least, where there are others
_FINEST = 512  # lengths told apart


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

    Padding is work for nothing. So texts are put in buckets of few fixed widths, chosen for the least padding, and a batch
    is drawn from one bucket: few shapes occur (each compiled once), and every epoch has the same number of batches. The
    order within each bucket, and that of all batches, is drawn anew each epoch.

    Where a bucket's last batch lacks a row, one is repeated with weights 0: whatever is weighted is exact.

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
    _check(
        too_long,
        batch_size=batch_size,
        batch_tokens=batch_tokens,
        buckets=buckets,
        max_source_length=max_source_length,
        max_target_length=max_target_length,
        multiple_of=multiple_of,
    )
    texts = [(source, target) for source, targets in pairs for target in targets]
    sources = _Texts.encode([source for source, _ in texts], source_vocabulary)
    targets = _Texts.encode([target for _, target in texts], target_vocabulary)
    most_of_target = None if max_target_length is None else max_target_length - 1
    sources, targets = _limited(sources, targets, max_source_length, most_of_target, too_long)
    if not len(sources.lengths):
        raise ValueError(f"Expected pairs to make batches of. Received: none left of {len(texts)}")
    planned = _Buckets((sources.lengths, targets.lengths + 1), batch_size, batch_tokens, buckets, multiple_of)

    def epoch(number):
        chance = np.random.default_rng((seed, int(number))) if training else None
        for rows, real, source_width, target_width in planned.batches(chance):
            weights = (np.arange(target_width) <= targets.lengths[rows, None]) & (np.arange(len(rows)) < real)[:, None]
            target_ids, labels = targets.framed(rows, target_width)
            inputs = {"source_ids": sources.padded(rows, source_width), "target_ids": target_ids}
            yield inputs, labels, weights.astype("float32")

    ids, weights = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.float32)
    signature = ({"source_ids": ids, "target_ids": ids}, ids, weights)

    def made(number):
        return tf.data.Dataset.from_generator(epoch, args=(number,), output_signature=signature)

    if not training:
        dataset = made(0)
    elif first_epoch is None:
        dataset = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1).flat_map(made)
    else:
        dataset = tf.data.Dataset.counter(first_epoch).flat_map(made)
    endless = training and first_epoch is not None
    count = tf.data.INFINITE_CARDINALITY if endless else planned.count
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    return shard_by_row(dataset).prefetch(tf.data.AUTOTUNE)


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


@dataclasses.dataclass(frozen=True)
class _Bucket:
    members: np.ndarray  # the examples
    widths: tuple  # of sources and targets
    rows: int  # of each batch


class _Buckets:
    """Which examples share their batches; the same in every epoch.

    Args:
        lengths: (source int64 (n,), target int64 (n,) with the start).
        batch_size: see `batches`, as the others.
        batch_tokens: int.
        buckets: int.
        multiple_of: int.
    """

    def __init__(self, lengths, batch_size, batch_tokens, buckets, multiple_of):
        self.lengths = lengths
        self.batch_size, self.batch_tokens, self.multiple_of = batch_size, batch_tokens, multiple_of
        self.fixed = buckets > 0
        groups = [np.arange(len(lengths[0]))]
        if self.fixed:
            for side in lengths:  # sources, and targets among those of like sources
                groups = [part for group in groups for part in self._cut(group, side, buckets)]
        self.buckets = [self._bucket(group) for group in groups]
        self.count = sum(-(-len(bucket.members) // bucket.rows) for bucket in self.buckets)

    def batches(self, chance):
        """Yields (examples int64 (b,), how many of these count, source width, target width).

        Args:
            chance: `np.random.Generator` for the order, or `None` for that of the buckets.
        """
        made = []
        for bucket in self.buckets:
            members = bucket.members if chance is None else chance.permutation(bucket.members)
            for start in range(0, len(members), bucket.rows):
                taken = members[start : start + bucket.rows]
                made.append((np.resize(taken, bucket.rows), len(taken), bucket.widths))
        for number in range(len(made)) if chance is None else chance.permutation(len(made)):
            rows, real, widths = made[number]
            yield rows, real, *(widths if self.fixed else self._widths(rows))

    def _cut(self, members, lengths, count):
        """Divides examples by length into at most so many groups of a few batches each."""
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
        # All batches of a bucket are of one size, so hardly a row is left to fill.
        count = -(-len(members) // self._most_rows(members))
        rows = -(-len(members) // count)
        return _Bucket(members, self._widths(members), -(-rows // self.multiple_of) * self.multiple_of)

    def _widths(self, members):
        return tuple(max(int(lengths[members].max()), 1) for lengths in self.lengths)

    def _most_rows(self, members):
        rows = self.batch_size or self.batch_tokens // max(self._widths(members))
        return max(rows // self.multiple_of, 1) * self.multiple_of


def least_padding(lengths, count):
    """Finds the widths that, each length being padded to the next of them, give the least padding in all.

    Args:
        lengths: int64 (n,).
        count: int, the most widths.

    Returns:
        int64 (m,), increasing; the last is at least the longest.

    Example:
        >>> least_padding(np.array([3, 3, 3, 4, 9, 10]), 2)
        array([ 4, 10])
    """
    step = -(-int(lengths.max()) // _FINEST)
    values, counts = np.unique(-(-lengths // step) * step, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    padded = ((below[None, 1:] - below[:, None]) * values).astype("float64")  # of the values i to j, if these are a group
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


def _check(too_long, **numbers):
    if too_long not in _TOO_LONG:
        raise unknown_name("too_long", too_long, _TOO_LONG)
    if (numbers["batch_size"] is None) == (numbers["batch_tokens"] is None):
        raise ValueError(
            "Expected one of batch_size and batch_tokens. "
            f"Received: batch_size={numbers['batch_size']}, batch_tokens={numbers['batch_tokens']}"
        )
    for name, value in numbers.items():
        least = {"buckets": 0, "max_target_length": 2}.get(name, 1)
        if value is not None and value < least:
            raise ValueError(f"Expected at least {least}. Received: {name}={value}")
