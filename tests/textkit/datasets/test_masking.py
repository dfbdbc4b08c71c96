import collections
import itertools

import keras_nlp
import numpy as np
import pytest
import tensorflow as tf

from textkit.datasets.masking import NO_WORD, mask_tokens, maskable_share, masked_batches, pack, words_between_spaces

PAD, START, END, MASK = range(4)
SPECIAL = (PAD, START, END, MASK)
SIZE = 101
SEED = tf.constant([3, 5])
RANDOM_IDS = tf.range(4, SIZE)


def packed(documents, max_length=7, **options):
    """Rows as strings of ids and of words, from documents of sentences of tokens, each a word by itself."""
    numbered = [[(ids, range(len(ids))) for ids in document] for document in documents]
    found = pack(numbered, max_length, start_id=START, end_id=END, **options)
    np.testing.assert_array_equal(found["padding_mask"], found["token_ids"] != PAD)
    assert [array.dtype for array in found.values()] == ["int32", "int32", "bool"]
    return found["token_ids"].tolist()


class TestPack:
    def test_sentences_share_a_row_while_there_is_room(self):
        rows = packed([[[4, 5], [6, 7, 8], [9], [10, 11, 12]]])
        assert rows == [[1, 4, 5, 6, 7, 8, 2], [1, 9, 10, 11, 12, 2, 0]]

    def test_an_end_stands_between_documents(self):
        assert packed([[[4, 5]], [[6], [7]]]) == [[1, 4, 5, 2, 6, 7, 2]]
        # It takes a place: five tokens of two documents are one too many.
        assert packed([[[4, 5]], [[6], [7], [8]]]) == [[1, 4, 5, 2, 6, 7, 2], [1, 8, 2, 0, 0, 0, 0]]
        assert packed([[[4, 5, 6, 7, 8]], [[9]]]) == [[1, 4, 5, 6, 7, 8, 2], [1, 9, 2, 0, 0, 0, 0]]
        assert packed([[[4, 5, 6, 7]], [[9]]]) == [[1, 4, 5, 6, 7, 2], [1, 9, 2, 0, 0, 0]]

    def test_documents_apart(self):
        assert packed([[[4], [5]], [[6]]], cross_documents=False) == [[1, 4, 5, 2], [1, 6, 2, 0]]

    def test_cut_sentences_fill_rows(self):
        rows = packed([[[4, 5], [6, 7, 8, 9]], [[10, 11]]], cut_sentences=True)
        assert rows == [[1, 4, 5, 6, 7, 8, 2], [1, 9, 2, 10, 11, 2, 0]]

    def test_what_is_longer_than_a_row_is_cut(self):
        assert packed([[[4], list(range(5, 12))]], 5) == [
            [1, 4, 2, 0, 0],
            [1, 5, 6, 7, 2],
            [1, 8, 9, 10, 2],
            [1, 11, 2, 0, 0],
        ]

    def test_words_are_numbered_in_each_row(self):
        sentences = [([4, 5, 6], [7, 7, 8]), ([7, 8], [7, NO_WORD]), ([9, 10], [3, 3])]
        found = pack([sentences[:2], sentences[2:]], 8, start_id=START, end_id=END)
        assert found["token_ids"].tolist() == [[1, 4, 5, 6, 7, 8, 2, 0][:7], [1, 9, 10, 2, 0, 0, 0]]
        assert found["word_ids"].tolist() == [[-1, 0, 0, 1, 2, -1, -1], [-1, 0, 0, -1, -1, -1, -1]]

    @pytest.mark.parametrize("options", [{}, {"cut_sentences": True}, {"cross_documents": False}])
    def test_nothing_is_lost_or_moved(self, options):
        random = np.random.default_rng(0)
        ids = itertools.count(4)
        documents = [
            [[next(ids) for _ in range(random.integers(0, 30))] for _ in range(random.integers(0, 5))] for _ in range(53)
        ]
        rows = packed(documents, 17, **options)
        flat = [token for row in rows for token in row if token > 3]
        assert flat == list(range(4, next(ids)))
        assert all(row[0] == START and [token for token in row if token][-1] == END for row in rows)
        # Where two documents meet in a row, there is an end between them, and nowhere else.
        home = {token: number for number, document in enumerate(documents) for ids in document for token in ids}
        for row in rows:
            inner = [token for token in row if token][1:-1]
            assert END not in (inner[0], inner[-1])
            for one, other in itertools.pairwise(inner):
                assert END in (one, other) or home[one] == home[other]
                assert other != END or home[one] != home[inner[inner.index(one) + 2]]
        filled = np.mean(np.array(rows) != PAD)
        assert (filled > 0.99) == (options.get("cut_sentences", False))

    def test_what_cannot_be_packed_is_refused(self):
        with pytest.raises(ValueError, match=r"a number of at least 3 tokens. Received: max_length=2"):
            packed([[[4]]], 2)
        with pytest.raises(ValueError, match=r"documents with at least one token. Received: none"):
            packed([[], [[]]])
        with pytest.raises(ValueError, match=r"a word index for each token. Received: 1 for 2 tokens"):
            pack([[([4, 5], [0])]], 7, start_id=START, end_id=END)


class TestWordsBetweenSpaces:
    def test_segmented_text(self):
        offsets = [[-1, -1], [0, 1], [1, 2], [4, 5], [6, 9], [-1, -1]]
        assert words_between_spaces("中共  央 abc", offsets).tolist() == [-1, 0, 0, 1, 2, -1]

    def test_nothing(self):
        assert words_between_spaces("", [[-1, -1], [-1, -1]]).tolist() == [-1, -1]


def made_rows(count=211, width=41, seed=0):
    """Rows of words of 1 to 3 tokens, of several lengths."""
    random = np.random.default_rng(seed)
    token_ids = np.full((count, width), PAD, "int32")
    word_ids = np.full((count, width), NO_WORD, "int32")
    for row in range(count):
        length = random.integers(5, width + 1)
        token_ids[row, :length] = [START, *random.integers(4, SIZE, length - 2), END]
        words = np.repeat(np.arange(width), random.integers(1, 4, width))
        word_ids[row, 1 : length - 1] = words[: length - 2]
    return token_ids, word_ids


class TestMaskTokens:
    @pytest.mark.parametrize("whole_words", [False, True])
    def test_what_it_says_of_the_tokens_is_so(self, whole_words):
        token_ids, word_ids = made_rows()
        masked, positions, labels, there = (
            part.numpy() for part in mask_tokens(token_ids, word_ids, SEED, MASK, RANDOM_IDS, whole_words=whole_words)
        )
        assert positions.shape == labels.shape == there.shape == (211, round(0.15 * 41))
        for row in range(len(token_ids)):
            chosen = positions[row, there[row]]
            assert (np.diff(chosen) > 0).all()
            np.testing.assert_array_equal(labels[row, there[row]], token_ids[row, chosen])
            assert not labels[row, ~there[row]].any()
            assert not positions[row, ~there[row]].any()
            assert (word_ids[row, chosen] >= 0).all()
            rest = np.setdiff1d(np.arange(41), chosen)
            np.testing.assert_array_equal(masked[row, rest], token_ids[row, rest])
            wanted = max(1, round(0.15 * (word_ids[row] >= 0).sum()))
            if whole_words:
                assert len(chosen) <= wanted
                np.testing.assert_array_equal(np.isin(word_ids[row], word_ids[row, chosen]), np.isin(np.arange(41), chosen))
            else:
                assert len(chosen) == wanted

    def test_every_token_is_chosen_as_often(self):
        ids = np.tile(np.arange(4, 4 + 20, dtype="int32"), (4000, 1))
        words = np.tile(np.arange(20, dtype="int32"), (4000, 1))
        _, positions, _, there = mask_tokens(ids, words, SEED, MASK, RANDOM_IDS)
        assert there.numpy().all()
        counts = np.bincount(positions.numpy().ravel(), minlength=20)
        np.testing.assert_allclose(counts, 4000 * 3 / 20, atol=4 * np.sqrt(4000 * 0.15 * 0.85))

    def test_whole_words_fill_nearly_the_share(self):
        words = np.repeat(np.arange(64, dtype="int32"), 2)[None].repeat(300, 0)
        *_, there = mask_tokens(words + 4, words, SEED, MASK, tf.range(4, 68), whole_words=True)
        # 19 of 128 are wanted: 9 words of 2 tokens, always.
        assert (there.numpy().sum(axis=1) == 18).all()

    def test_words_longer_than_the_share_are_never_chosen(self):
        words = np.array([[0, 0, 0, 1, 2, 2]] * 200, "int32")
        ids = np.arange(4, 10, dtype="int32")[None].repeat(200, 0)
        _, positions, _, there = mask_tokens(ids, words, SEED, MASK, RANDOM_IDS, whole_words=True)
        assert there.numpy().all()  # one token
        assert set(positions.numpy().ravel()) == {3}
        assert maskable_share({"word_ids": words}) == 1.0
        words = np.array([[0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 2, 2], [NO_WORD, 0, 0, 0, 0, 0]], "int32")
        *_, there = mask_tokens(ids[:3], words, SEED, MASK, RANDOM_IDS, whole_words=True)
        assert there.numpy().tolist() == [[True], [False], [False]]
        assert maskable_share({"word_ids": words}) == 1 / 3

    def test_the_fate_of_tokens_and_their_number_are_as_keras_nlp_has_them(self):
        token_ids = np.random.default_rng(1).integers(4, SIZE, (997, 101)).astype("int32")
        words = np.tile(np.arange(101, dtype="int32"), (997, 1))
        generator = keras_nlp.layers.MaskedLMMaskGenerator(SIZE, 0.15, MASK, unselectable_token_ids=list(SPECIAL))
        theirs = generator(tf.constant(token_ids))
        masked, positions, labels, there = mask_tokens(token_ids, words, SEED, MASK, tf.range(SIZE))
        shares = []
        for changed, places, wanted in (
            (theirs["token_ids"], *(tf.ragged.constant(theirs[key]) for key in ("mask_positions", "mask_ids"))),
            (masked, *(tf.ragged.boolean_mask(part, there) for part in (positions, labels))),
        ):
            found = np.asarray(changed)[places.value_rowids(), places.flat_values]
            wanted = wanted.flat_values.numpy()
            fates = [found == MASK, (found != MASK) & (found != wanted), found == wanted]
            shares.append([len(found) / token_ids.size, *(fate.mean() for fate in fates)])
        np.testing.assert_allclose(shares[1], [15 / 101, 0.8 + 0.1 / SIZE, 0.1 - 0.2 / SIZE, 0.1 + 0.1 / SIZE], atol=0.012)
        np.testing.assert_allclose(shares[0], shares[1], atol=0.017)

    def test_random_ids_are_all_but_special(self):
        token_ids = np.full((500, 41), 50, "int32")
        words = np.tile(np.arange(41, dtype="int32"), (500, 1))
        masked = mask_tokens(token_ids, words, SEED, MASK, RANDOM_IDS, mask_selection_rate=0.5)[0].numpy()
        others = collections.Counter(masked[(masked != MASK) & (masked != 50)])
        assert set(others) <= set(range(4, SIZE))
        assert len(others) > 90

    def test_seed_decides(self):
        token_ids, word_ids = made_rows()

        def found(seed):
            return [part.numpy().tolist() for part in mask_tokens(token_ids, word_ids, tf.constant(seed), MASK, RANDOM_IDS)]

        assert found([1, 2]) == found([1, 2]) != found([1, 3])
        in_graph = tf.function(mask_tokens, jit_compile=False)(token_ids, word_ids, tf.constant([1, 2]), MASK, RANDOM_IDS)
        assert [part.numpy().tolist() for part in in_graph] == found([1, 2])

    def test_rows_without_words_have_nothing_to_tell(self):
        *_, there = mask_tokens(np.full((2, 9), 5, "int32"), np.full((2, 9), NO_WORD, "int32"), SEED, MASK, RANDOM_IDS)
        assert not there.numpy().any()


class TestMaskedBatches:
    def batches(self, **options):
        token_ids, word_ids = made_rows(53)
        rows = {"token_ids": token_ids, "word_ids": word_ids, "padding_mask": token_ids != PAD}
        given = {"mask_id": MASK, "vocabulary_size": SIZE, "special_ids": SPECIAL, "batch_size": 7, "buckets": 3}
        return masked_batches(rows, **given | options)

    def read(self, dataset):
        return [[*inputs.values(), labels, weights] for inputs, labels, weights in dataset.as_numpy_iterator()]

    def restored(self, dataset):
        """The rows as they were before, those that count."""
        rows = []
        for inputs, labels, weights in dataset.as_numpy_iterator():
            ids = inputs["token_ids"].copy()
            for row in np.flatnonzero(weights.any(axis=1)):
                told = weights[row] > 0
                ids[row, inputs["mask_positions"][row, told]] = labels[row, told]
                rows.append(tuple(ids[row, inputs["padding_mask"][row]].tolist()))
        return rows

    @pytest.mark.parametrize("whole_words", [False, True])
    @pytest.mark.parametrize("size", [{}, {"batch_size": None, "batch_tokens": 150}])
    def test_every_row_comes_once(self, size, whole_words):
        dataset = self.batches(training=True, whole_words=whole_words, **size)
        expected = sorted(tuple(row[row != PAD].tolist()) for row in made_rows(53)[0])
        found = sorted(self.restored(dataset))
        # Where only words that are too long for its share make up a row, nothing of it is told.
        assert found == expected if not whole_words else set(found) <= set(expected) and len(found) > 50

    def test_shapes(self):
        found = list(self.batches().as_numpy_iterator())
        widths = []
        for inputs, labels, weights in found:
            assert list(inputs) == ["token_ids", "segment_ids", "padding_mask", "mask_positions"]
            width = inputs["token_ids"].shape[1]
            assert inputs["segment_ids"].shape == inputs["padding_mask"].shape == inputs["token_ids"].shape
            assert inputs["mask_positions"].shape == labels.shape == weights.shape == (len(labels), round(0.15 * width))
            assert not inputs["segment_ids"].any()
            assert [part.dtype for part in (inputs["mask_positions"], labels, weights)] == ["int32", "int32", "float32"]
            widths.append(width)
        assert 1 < len(set(widths)) <= 3

    def test_masks_are_drawn_anew_each_epoch_from_the_seed(self):
        steps = int(self.batches().cardinality())

        def epochs(count, **options):
            found = self.read(self.batches(training=True, **options).take(count * steps))
            return [str(found[start : start + steps]) for start in range(0, count * steps, steps)]

        def masks(found):
            return {tuple(row) for batch in found for row in batch[0].tolist()}

        one, two, three = epochs(3, first_epoch=0, seed=5)
        assert len({one, two, three}) == 3
        assert epochs(2, first_epoch=1, seed=5) == [two, three]
        assert epochs(1, first_epoch=0, seed=6) != [one]
        dataset = self.batches(training=True)
        first, second = masks(self.read(dataset)), masks(self.read(dataset))
        assert len(first & second) < 10  # of 53

    def test_no_two_batches_have_the_same_masks(self):
        """Of rows that are all alike, whose order says nothing."""
        row = np.arange(4, 45, dtype="int32")
        rows = {
            "token_ids": np.tile(row, (20, 1)),
            "word_ids": np.tile(row - 4, (20, 1)),
            "padding_mask": np.ones((20, 41), bool),
        }
        given = {"mask_id": MASK, "vocabulary_size": SIZE, "batch_size": 10}

        def masks(**options):
            dataset = masked_batches(rows, **given, **options).take(4)
            return [str(inputs["mask_positions"]) for inputs, _, _ in dataset.as_numpy_iterator()]

        two_epochs = {"training": True, "first_epoch": 0}
        assert len({*masks(**two_epochs, seed=5), *masks(**two_epochs, seed=6)}) == 8
        assert len(set(masks())) == 2

    def test_evaluation_masks_the_same_tokens_every_time(self):
        dataset = self.batches()
        for one, other in zip(self.read(dataset), self.read(dataset), strict=True):
            for part, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, same)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"mask_selection_rate": 0}, r"a number in \(0, 1\). Received: mask_selection_rate=0"),
            ({"mask_selection_rate": 1.0}, r"a number in \(0, 1\). Received: mask_selection_rate=1.0"),
            ({"batch_tokens": 3}, r"one of batch_size and batch_tokens"),
        ],
    )
    def test_bad_options_are_refused(self, options, match):
        with pytest.raises(ValueError, match=match):
            self.batches(**options)
