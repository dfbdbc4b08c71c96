import itertools
from typing import ClassVar

import numpy as np
import pytest

from textkit.datasets import batches
from textkit.datasets.batching import encoded_batches
from textkit.datasets.buckets import least_padding
from textkit.vocabulary import Vocabulary

SOURCE = Vocabulary(list("abcdefghij"))
TARGET = Vocabulary(["X", "Y", "Z"], "words")


SYMBOLS, TARGET_SYMBOLS = (np.array(vocabulary.tokens(range(vocabulary.size))) for vocabulary in (SOURCE, TARGET))


def made_pairs(count=307, seed=0):
    """Pairs whose sources are all different, of many lengths; some with two targets."""
    random = np.random.default_rng(seed)
    pairs = {}
    while len(pairs) < count:
        length = min(1 + random.geometric(0.15), 30)
        source = "".join(random.choice(list("abcdefghij"), length))
        targets = [" ".join(random.choice(["X", "Y", "Z"], max(1, length + random.integers(-2, 3)))) for _ in range(2)]
        pairs[source] = targets if random.random() < 0.2 else targets[:1]
    return list(pairs.items())


PAIRS = made_pairs()
EXAMPLES = sorted((source, target) for source, targets in PAIRS for target in targets)


def read(dataset):
    """The batches as arrays."""
    return [
        (inputs["source_ids"], inputs["target_ids"], labels, weights)
        for inputs, labels, weights in dataset.as_numpy_iterator()
    ]


def examples(found):
    """What the batches teach, as strings: rows with weights alone."""
    result = []
    for source_ids, _, labels, weights in found:
        real = weights.any(axis=1)
        for source, target in zip(source_ids[real], labels[real], strict=True):
            assert target[target > 0][-1] == 3  # the end
            result.append(("".join(SYMBOLS[source[source > 0]]), " ".join(TARGET_SYMBOLS[target[target > 3]])))
    return result


def padding(found):
    """All positions over those that are not padding."""
    return sum(ids.size for batch in found for ids in batch[:2]) / sum(
        (ids > 0).sum() for batch in found for ids in batch[:2]
    )


class TestOneBatch:
    def test_by_hand(self):
        dataset = batches([("ab", ["X"]), ("c", ["Y Z", "X"])], SOURCE, TARGET, batch_size=3, buckets=1)
        [(source_ids, target_ids, labels, weights)] = read(dataset)
        np.testing.assert_array_equal(source_ids, [[4, 5], [6, 0], [6, 0]])
        np.testing.assert_array_equal(target_ids, [[2, 4, 0], [2, 5, 6], [2, 4, 0]])
        np.testing.assert_array_equal(labels, [[4, 3, 0], [5, 6, 3], [4, 3, 0]])
        np.testing.assert_array_equal(weights, [[1, 1, 0], [1, 1, 1], [1, 1, 0]])
        assert [part.dtype for part in (source_ids, target_ids, labels, weights)] == ["int32"] * 3 + ["float32"]

    def test_rows_that_fill_a_batch_have_no_weight(self):
        dataset = batches([("a", ["X"]), ("b", ["Y"]), ("c", ["Z"])], SOURCE, TARGET, batch_size=2, buckets=1)
        first, second = read(dataset)
        np.testing.assert_array_equal(first[3], [[1, 1], [1, 1]])
        np.testing.assert_array_equal(second[0], [[6], [6]])
        np.testing.assert_array_equal(second[3], [[1, 1], [0, 0]])

    def test_unknown_symbols_are_taught_as_unknown(self):
        [(source_ids, _, labels, _)] = read(batches([("a!", ["W X"])], SOURCE, TARGET, batch_size=1))
        np.testing.assert_array_equal(source_ids, [[4, 1]])
        np.testing.assert_array_equal(labels, [[1, 4, 3]])


class TestAllBatches:
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("buckets", [0, 1, 3, 8])
    @pytest.mark.parametrize("size", [{"batch_size": 7}, {"batch_tokens": 67}])
    def test_every_example_comes_once(self, size, buckets, training):
        dataset = batches(PAIRS, SOURCE, TARGET, buckets=buckets, training=training, **size)
        found = read(dataset)
        assert sorted(examples(found)) == EXAMPLES
        assert len(found) == dataset.cardinality()
        for source_ids, target_ids, labels, weights in found:
            assert target_ids.shape == labels.shape == weights.shape
            assert len(source_ids) == len(labels) <= size.get("batch_size", 67)
            assert max(source_ids.size, labels.size) <= size.get("batch_tokens", 1000)
            real = weights.any(axis=1)
            np.testing.assert_array_equal(weights[real] > 0, labels[real] > 0)

    def test_buckets_give_few_shapes_and_little_padding(self):
        given = {"batch_size": 7, "training": True}
        found = {buckets: read(batches(PAIRS, SOURCE, TARGET, buckets=buckets, **given)) for buckets in (0, 1, 4, 8)}
        shapes = {buckets: {(batch[0].shape, batch[2].shape) for batch in some} for buckets, some in found.items()}
        assert len(shapes[1]) == 1
        assert len(shapes[4]) <= 16
        assert len(shapes[8]) < len(shapes[0])
        assert padding(found[8]) < 1.2 < padding(found[0]) < padding(found[1])
        assert padding(found[8]) < padding(found[4]) < padding(found[0])
        assert len(found[8]) < 1.25 * len(found[1])

    def test_a_budget_of_tokens_gives_more_rows_to_short_texts(self):
        found = read(batches(PAIRS, SOURCE, TARGET, batch_tokens=97))
        rows = {max(batch[0].shape[1], batch[2].shape[1]): len(batch[0]) for batch in found}
        assert rows[min(rows)] > 3 * rows[max(rows)]

    def test_text_longer_than_the_budget_is_alone(self):
        found = read(batches([("a" * 13, ["X"]), ("b" * 13, ["X"])], SOURCE, TARGET, batch_tokens=11))
        assert [batch[0].shape for batch in found] == [(1, 13), (1, 13)]

    @pytest.mark.parametrize("size", [{"batch_size": 7}, {"batch_tokens": 67}])
    def test_rows_are_a_multiple(self, size):
        found = read(batches(PAIRS, SOURCE, TARGET, multiple_of=3, **size))
        assert {len(batch[0]) % 3 for batch in found} == {0}
        assert sorted(examples(found)) == EXAMPLES

    def test_evaluation_is_in_order(self):
        dataset = batches(PAIRS, SOURCE, TARGET, batch_size=7)
        for one, other in zip(read(dataset), read(dataset), strict=True):
            for part, other_part in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, other_part)
        widths = [batch[0].shape[1] for batch in read(dataset)]
        assert widths == sorted(widths)

    def test_without_buckets_evaluation_keeps_the_order_of_the_pairs(self):
        found = examples(read(batches(PAIRS, SOURCE, TARGET, batch_size=7, buckets=0)))
        assert found == [(source, target) for source, targets in PAIRS for target in targets]


class TestEpochs:
    def epochs(self, number, **options):
        dataset = batches(PAIRS, SOURCE, TARGET, batch_size=7, training=True, **options)
        steps = int(batches(PAIRS, SOURCE, TARGET, batch_size=7, training=True).cardinality())
        if options.get("first_epoch") is not None:
            assert dataset.cardinality() == -1  # infinite
            taken = read(dataset.take(number * steps))
        else:
            taken = list(itertools.chain.from_iterable(read(dataset) for _ in range(number)))
        return [examples(taken[start : start + steps]) for start in range(0, number * steps, steps)]

    def test_each_has_all_in_another_order(self):
        one, two, three = self.epochs(3, first_epoch=0)
        assert sorted(one) == sorted(two) == sorted(three) == EXAMPLES
        assert one != two != three != one

    def test_seed_and_number_decide(self):
        one, two, three = self.epochs(3, first_epoch=0, seed=5)
        assert self.epochs(2, first_epoch=1, seed=5) == [two, three]
        assert self.epochs(1, first_epoch=0, seed=6) != [one]

    def test_each_iteration_is_another_epoch(self):
        one, two = self.epochs(2)
        assert sorted(one) == sorted(two) == EXAMPLES
        assert one != two
        assert self.epochs(2) == [one, two]

    def test_batches_themselves_are_shuffled(self):
        found = read(batches(PAIRS, SOURCE, TARGET, batch_size=7, training=True))
        widths = [batch[0].shape[1] for batch in found]
        assert widths != sorted(widths)


class TestTooLong:
    PAIRS = (("abc", ["X"]), ("a", ["X Y"]), ("a", ["X Y Z"]))

    def test_dropped(self):
        with pytest.warns(UserWarning, match=r"Dropped: 1 of 3 pairs are longer than 2 and None tokens") as warned:
            dataset = batches(self.PAIRS, SOURCE, TARGET, batch_size=2, max_source_length=2)
        assert warned[0].filename == __file__
        assert examples(read(dataset)) == [("a", "X Y"), ("a", "X Y Z")]

    def test_truncated_ones_have_their_end(self):
        with pytest.warns(UserWarning, match=r"Truncated: 2 of 3 pairs are longer than 2 and 2 tokens"):
            dataset = batches(
                self.PAIRS,
                SOURCE,
                TARGET,
                batch_size=3,
                buckets=0,
                max_source_length=2,
                max_target_length=3,
                too_long="truncate",
            )
        [(source_ids, target_ids, labels, _)] = read(dataset)
        np.testing.assert_array_equal(source_ids, [[4, 5], [4, 0], [4, 0]])
        np.testing.assert_array_equal(target_ids, [[2, 4, 0], [2, 4, 5], [2, 4, 5]])
        np.testing.assert_array_equal(labels, [[4, 3, 0], [4, 5, 3], [4, 5, 3]])

    def test_refused(self):
        with pytest.raises(ValueError, match=r"shorter texts. Received: 1 of 3 pairs are longer than None and 2 tokens"):
            batches(self.PAIRS, SOURCE, TARGET, batch_size=2, max_target_length=3, too_long="refuse")

    def test_just_short_enough_is_no_matter(self):
        dataset = batches(
            self.PAIRS, SOURCE, TARGET, batch_size=3, max_source_length=3, max_target_length=4, too_long="refuse"
        )
        assert len(examples(read(dataset))) == 3

    def test_none_left_is_refused(self):
        with pytest.warns(UserWarning, match="Dropped: 2 of 2"), pytest.raises(ValueError, match=r"none left of 2"):
            batches(self.PAIRS[1:], SOURCE, TARGET, batch_size=2, max_target_length=2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, r"one of batch_size and batch_tokens. Received: batch_size=None, batch_tokens=None"),
        (
            {"batch_size": 2, "batch_tokens": 7},
            r"one of batch_size and batch_tokens. Received: batch_size=2, batch_tokens=7",
        ),
        ({"batch_size": 0}, r"Expected at least 1. Received: batch_size=0"),
        ({"batch_tokens": -1}, r"Expected at least 1. Received: batch_tokens=-1"),
        ({"batch_size": 2, "buckets": -1}, r"Expected at least 0. Received: buckets=-1"),
        ({"batch_size": 2, "multiple_of": 0}, r"Expected at least 1. Received: multiple_of=0"),
        ({"batch_size": 2, "max_source_length": 0}, r"Expected at least 1. Received: max_source_length=0"),
        ({"batch_size": 2, "max_target_length": 1}, r"Expected at least 2. Received: max_target_length=1"),
        ({"batch_size": 2, "too_long": "cut"}, r"Unknown too_long; expected one of 'drop', 'refuse', 'truncate'"),
    ],
)
def test_bad_options_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        batches(PAIRS, SOURCE, TARGET, **options)


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match=r"pairs to make batches of. Received: none left of 0"):
        batches([], SOURCE, TARGET, batch_size=2)


class TestLeastPadding:
    @pytest.mark.parametrize("count", [1, 2, 3, 4, 20])
    def test_no_other_widths_pad_less(self, count):
        lengths = np.random.default_rng(count).geometric(0.2, 53)
        values = np.unique(lengths)

        def padded(widths):
            return np.asarray(widths)[np.searchsorted(widths, lengths)].sum()

        found = least_padding(lengths, count)
        assert len(found) == min(count, len(values))
        most = min(count, len(values)) - 1
        tried = [padded([*some, values[-1]]) for some in itertools.combinations(values[:-1], most)]
        assert padded(found) == min(tried)

    def test_long_texts_are_told_apart_roughly(self):
        lengths = np.arange(1, 5003)
        found = least_padding(lengths, 4)
        assert len(found) == 4
        assert 5002 <= found[-1] < 5020
        np.testing.assert_allclose(found, found[-1] * np.arange(1, 5) / 4, rtol=0.02)


class TestEncodedBatches:
    LENGTHS = np.random.default_rng(3).geometric(0.1, 101).clip(1, 37)
    MASK = np.arange(41) < LENGTHS[:, None]
    IDS = np.where(MASK, np.arange(1, 102)[:, None], 0)  # the number of the text, from 1
    INPUTS: ClassVar = {"token_ids": IDS, "padding_mask": MASK, "offsets": IDS[..., None] * [1, 2]}

    def made(self, labels, **options):
        options = {"batch_size": 7, "buckets": 4} | options
        return list(encoded_batches(self.INPUTS, labels, **options).as_numpy_iterator())

    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize("size", [{"batch_size": 7}, {"batch_size": None, "batch_tokens": 150}])
    def test_each_text_comes_once_with_its_label(self, size, training):
        found = self.made(10 * np.arange(1, 102), training=training, **size)
        seen = []
        for inputs, labels, weights in found:
            ids, mask = inputs["token_ids"], inputs["padding_mask"]
            assert ids.shape == mask.shape
            assert ids.size <= size.get("batch_tokens", 10_000)
            np.testing.assert_array_equal(inputs["offsets"], ids[..., None] * [1, 2])
            np.testing.assert_array_equal(ids, ids[:, :1] * mask)
            np.testing.assert_array_equal(labels, 10 * ids[:, 0])
            np.testing.assert_array_equal(mask.sum(axis=1), self.LENGTHS[ids[:, 0] - 1])
            assert weights.dtype == "float32"
            seen += ids[weights == 1, 0].tolist()
            assert set(weights) <= {0, 1}
        assert sorted(seen) == list(range(1, 102))

    def test_widths_are_few_and_hold_little_padding(self):
        few, one = (
            [inputs["token_ids"].shape[1] for inputs, _, _ in self.made(self.LENGTHS, buckets=buckets)] for buckets in (4, 1)
        )
        assert 1 < len(set(few)) <= 4
        assert set(one) == {self.LENGTHS.max()}
        assert 2 * sum(few) < sum(one)

    def test_labels_of_tokens_are_cut_as_the_tokens_are(self):
        labels = {"tags": self.IDS + 5, "rows": self.IDS[..., None] * [1, 2, 3]}
        for inputs, given, weights in self.made(labels, label_tokens=True):
            np.testing.assert_array_equal(given["tags"], inputs["token_ids"] + 5)
            assert given["rows"].shape == (*inputs["token_ids"].shape, 3)
            real = weights.any(axis=1)
            np.testing.assert_array_equal(weights[real], inputs["padding_mask"][real])

    def test_labels_may_be_as_wide_as_the_texts(self):
        labels = (np.eye(101)[:, :41], self.LENGTHS)
        for inputs, (rows, lengths), _ in self.made(labels):
            number = inputs["token_ids"][:, 0] - 1
            np.testing.assert_array_equal(rows, np.eye(101)[number, :41])
            np.testing.assert_array_equal(lengths, self.LENGTHS[number])

    def test_weights_are_taken_along(self):
        total = sum(weights.sum() for *_, weights in self.made(self.LENGTHS, weights=self.LENGTHS / 4))
        assert total == self.LENGTHS.sum() / 4

    def test_the_model_is_told_how_many_columns_labels_have(self):
        signature = encoded_batches(self.INPUTS, np.zeros((101, 5)), batch_size=7).element_spec
        assert signature[1].shape.as_list() == [None, 5]
        assert signature[0]["offsets"].shape.as_list() == [None, None, 2]

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ValueError, match=r"arrays of as many texts, .* Received: shapes \(101, 41\) and \(100,\)"):
            self.made(np.zeros(100))
        with pytest.raises(ValueError, match=r"at least 1. Received: shapes \(0, 3\) and None"):
            encoded_batches({"padding_mask": np.zeros((0, 3), bool)}, np.zeros(0), batch_size=2)
        mask = [[True, True], [False, True]]
        with pytest.raises(ValueError, match=r"padding after the tokens. Received: tokens after padding in row 1"):
            encoded_batches({"padding_mask": mask}, [0, 0], batch_size=2)
        with pytest.raises(ValueError, match=r"one of batch_size and batch_tokens"):
            self.made(self.LENGTHS, batch_tokens=9)
