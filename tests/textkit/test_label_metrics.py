import itertools
import math

import numpy as np
import pytest

from textkit import label_metrics

RANDOM = np.random.default_rng(0)
LABELS, PREDICTED = RANDOM.integers(0, 4, 211), RANDOM.integers(0, 4, 211)
PREDICTED[:101] = LABELS[:101]


def counted(predicted, labels, one):
    """True and false positives and false negatives of a class, one after the other."""
    right = false = missed = 0
    for found, wanted in zip(predicted, labels, strict=True):
        right += found == one and wanted == one
        false += found == one and wanted != one
        missed += found != one and wanted == one
    return right, false, missed


class TestClasses:
    def test_accuracy_by_hand(self):
        assert label_metrics.accuracy([0, 1, 1, 3], [0, 1, 2, 2]) == 0.5
        assert label_metrics.accuracy([[True, False], [True, True]], [[True, False], [True, False]]) == 0.5

    def test_confusion_matrix_has_labels_in_its_rows(self):
        found = label_metrics.confusion_matrix([0, 2, 2, 1, 2], [0, 0, 0, 1, 1], 3)
        np.testing.assert_array_equal(found, [[1, 0, 2], [0, 1, 1], [0, 0, 0]])

    def test_confusion_matrix_of_many_by_a_loop(self):
        expected = np.zeros((5, 5), int)
        for found, wanted in zip(PREDICTED, LABELS, strict=True):
            expected[wanted, found] += 1
        np.testing.assert_array_equal(label_metrics.confusion_matrix(PREDICTED, LABELS, 5), expected)

    def test_scores_of_each_class_by_hand(self):
        # Class 0: 1 of 1 predicted right, 1 of 3 found; 1: 1 of 1 and 1 of 2; 2: 0 of 3 and none to find.
        scores = label_metrics.precision_recall_f1([0, 2, 2, 1, 2], [0, 0, 0, 1, 1], 3)
        assert scores.precision.tolist() == [1, 1, 0]
        np.testing.assert_allclose(scores.recall, [1 / 3, 1 / 2, 0])
        np.testing.assert_allclose(scores.f1, [1 / 2, 2 / 3, 0])

    def test_scores_of_many_by_a_loop(self):
        scores = label_metrics.precision_recall_f1(PREDICTED, LABELS, 4)
        for one in range(4):
            right, false, missed = counted(PREDICTED, LABELS, one)
            precision, recall = right / (right + false), right / (right + missed)
            f1 = 2 * precision * recall / (precision + recall)
            assert [each[one] for each in scores] == pytest.approx([precision, recall, f1])

    def test_macro_leaves_out_classes_that_do_not_occur(self):
        scores = label_metrics.precision_recall_f1([0, 2, 2, 1, 2], [0, 0, 0, 1, 1], 7, average="macro")
        assert scores == pytest.approx((2 / 3, (1 / 3 + 1 / 2) / 3, (1 / 2 + 2 / 3) / 3))

    def test_micro_of_single_labels_is_accuracy(self):
        expected = label_metrics.accuracy(PREDICTED, LABELS)
        assert label_metrics.precision_recall_f1(PREDICTED, LABELS, 4, average="micro") == pytest.approx((expected,) * 3)

    def test_several_labels_of_each(self):
        labels = [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
        predicted = [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
        scores = label_metrics.precision_recall_f1(np.array(predicted, bool), np.array(labels, bool))
        np.testing.assert_allclose(scores, [[1, 1 / 3, 0], [1, 1, 0], [1, 1 / 2, 0]])
        micro = label_metrics.precision_recall_f1(np.array(predicted), np.array(labels), average="micro")
        assert micro == pytest.approx((2 / 4, 2 / 3, 4 / 7))
        nothing = np.zeros((2, 3), bool)
        assert label_metrics.precision_recall_f1(nothing, nothing, average="macro") == (0, 0, 0)

    def test_what_cannot_be_compared_is_refused(self):
        with pytest.raises(ValueError, match=r"of the shape of the labels, \(3,\). Received: \(2,\)"):
            label_metrics.accuracy([0, 1], [0, 1, 1])
        with pytest.raises(ValueError, match=r"at least one label. Received: none, of shape \(0,\)"):
            label_metrics.accuracy([], [])
        with pytest.raises(ValueError, match=r"classes from 0 to 1. Received: predicted with 2"):
            label_metrics.confusion_matrix([0, 2], [0, 1], 2)
        with pytest.raises(ValueError, match=r"classes from 0 to 1. Received: labels with -1"):
            label_metrics.confusion_matrix([0, 1], [0, -1], 2)
        with pytest.raises(ValueError, match=r"Unknown average; did you mean 'macro' or 'micro'\?"):
            label_metrics.precision_recall_f1([0], [0], 1, average="makro")


class TestCorrelations:
    def test_matthews_by_hand(self):
        # 6 true and 1 false positives, 2 false and 3 true negatives.
        predicted, labels = [1] * 7 + [0] * 5, [1] * 6 + [0] + [1] * 2 + [0] * 3
        expected = (6 * 3 - 1 * 2) / math.sqrt((6 + 1) * (6 + 2) * (3 + 1) * (3 + 2))
        assert label_metrics.matthews_correlation(predicted, labels, 2) == pytest.approx(expected)

    def test_matthews_of_many_classes_is_the_correlation_of_their_indicators(self):
        """Gorodkin's definition: the covariances of the columns, summed."""
        ones, others = np.eye(4)[PREDICTED], np.eye(4)[LABELS]

        def covariance(one, other):
            return sum(np.mean((one[:, k] - one[:, k].mean()) * (other[:, k] - other[:, k].mean())) for k in range(4))

        expected = covariance(ones, others) / math.sqrt(covariance(ones, ones) * covariance(others, others))
        assert label_metrics.matthews_correlation(PREDICTED, LABELS, 4) == pytest.approx(expected)

    def test_matthews_of_one_class_is_zero(self):
        assert label_metrics.matthews_correlation([1, 1, 1], [0, 1, 1], 2) == 0

    def test_pearson_is_numpys(self):
        one, other = RANDOM.normal(size=(2, 53)) * [[1e-3], [50]]
        assert label_metrics.pearson(one, one + other) == pytest.approx(np.corrcoef(one, one + other)[0, 1])
        assert label_metrics.pearson(one, -3 * one + 7) == pytest.approx(-1)

    def test_spearman_shares_ranks_of_equal_numbers(self):
        # Ranks 1, 2.5, 2.5, 4 and 3, 4, 2, 1.
        expected = np.corrcoef([1, 2.5, 2.5, 4], [3, 4, 2, 1])[0, 1]
        assert label_metrics.spearman([0, 5, 5, 9], [7, 8, 1, 0.5]) == pytest.approx(expected)

    @pytest.mark.parametrize("correlation", [label_metrics.pearson, label_metrics.spearman])
    def test_a_constant_says_nothing(self, correlation):
        assert correlation([0.1] * 3, [1, 2, 3]) == 0
        assert correlation([1, 2, 3], [0.1] * 3) == 0
        with pytest.raises(ValueError, match=r"of the shape of the labels, \(2,\). Received: \(1,\)"):
            correlation([1], [1, 2])


class TestAnswers:
    @pytest.mark.parametrize(
        ("text", "normalized"),
        [
            ("The  U.S.A.", "usa"),
            ("an apple a day", "apple day"),
            ("another theme", "another theme"),
            ("half-time", "halftime"),
            ("the", ""),
            ("«Élan» — 三十", "«élan» — 三十"),  # other punctuation than ASCII's stays
        ],
    )
    def test_normalised_as_published(self, text, normalized):
        assert label_metrics.normalized_answer(text) == normalized

    def test_by_hand(self):
        # Exact but for an article; 2 of 3 words and 2 of 4; "x" nowhere; the second reference is nearer: 1 of 1, 1 of 2.
        answers = ["The Denver Broncos", "in new york", "x", "blue"]
        references = [["Denver Broncos"], ["new york city hall"], ["y", "z w"], ["a green one", "blue sky"]]
        scores = label_metrics.answer_scores(answers, references)
        assert scores == pytest.approx({"exact_match": 1 / 4, "f1": (1 + 4 / 7 + 0 + 2 / 3) / 4})

    def test_words_count_as_often_as_both_have_them(self):
        # 2 of 3 "no" are shared with 2 of 4 words.
        assert label_metrics.answer_scores(["no no no"], [["no no yes yes"]])["f1"] == pytest.approx(4 / 7)

    def test_no_answer(self):
        answers, references = ["", "x", "", "the sea"], [[], [], ["y"], ["sea"]]
        scores = label_metrics.answer_scores(answers, references)
        assert scores == {
            "exact_match": 0.5,
            "f1": 0.5,
            "answerable_exact_match": 0.5,
            "answerable_f1": 0.5,
            "unanswerable_accuracy": 0.5,
        }

    def test_a_reference_of_nothing_but_articles_is_left_out(self):
        assert label_metrics.answer_scores([""], [["the", "cat"]])["exact_match"] == 0
        assert label_metrics.answer_scores(["a"], [["the"]]) == {"exact_match": 1, "f1": 1}

    def test_what_cannot_be_compared_is_refused(self):
        with pytest.raises(ValueError, match=r"as many references as answers. Received: 2 for 1"):
            label_metrics.answer_scores(["a"], [["a"], ["b"]])
        with pytest.raises(ValueError, match=r"at least one answer. Received: none"):
            label_metrics.answer_scores([], [])


def entities_by_rules(tags):
    """conlleval's own questions, of each place between two words: does an entity end here, does one begin?"""
    found, begin = [], None
    for place in range(len(tags) + 1):
        (last, last_type), (tag, kind) = (
            (*tags[index].split("-", 1), "")[:2] if 0 <= index < len(tags) else ("O", "") for index in (place - 1, place)
        )
        ends = last in "ES" or (last in "BI" and tag in "BSO") or (last != "O" and last_type != kind)
        begins = tag in "BS" or (last in "ESO" and tag in "EI") or (tag != "O" and last_type != kind)
        if ends and last != "O":
            found.append((last_type, begin, place))
        if begins:
            begin = place
    return found


class TestEntities:
    @pytest.mark.parametrize(
        ("tags", "found"),
        [
            ("O O", []),
            ("B-PER I-PER O B-PER", [("PER", 0, 2), ("PER", 3, 4)]),
            ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
            ("O I-PER I-PER", [("PER", 1, 3)]),  # I without B
            ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # I of another type
            ("S-LOC S-LOC", [("LOC", 0, 1), ("LOC", 1, 2)]),
            ("B-LOC I-LOC E-LOC E-LOC", [("LOC", 0, 3), ("LOC", 3, 4)]),  # E without B
            ("E-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 2)]),
            ("S-LOC I-LOC", [("LOC", 0, 1), ("LOC", 1, 2)]),
            ("B-PER E-LOC", [("PER", 0, 1), ("LOC", 1, 2)]),
            ("U-PER B-PER L-PER", [("PER", 0, 1), ("PER", 1, 3)]),
            ("B M E S B E", [("", 0, 3), ("", 3, 4), ("", 4, 6)]),  # a segmentation into words
            ("B-X-Y I-X-Y I-X", [("X-Y", 0, 2), ("X", 2, 3)]),
        ],
    )
    def test_by_hand(self, tags, found):
        assert label_metrics.entities(tags.split()) == found

    def test_all_short_sentences_by_the_rules_of_conlleval(self):
        tags = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "XY")]
        for sentence in itertools.product(tags, repeat=3):
            assert label_metrics.entities(sentence) == entities_by_rules(sentence), sentence

    @pytest.mark.parametrize("tag", ["PER", "X-PER", "B-", "", "b-PER", "-"])
    def test_no_tag_is_refused(self, tag):
        with pytest.raises(ValueError, match=rf"Expected tags O, or B, I, E or S, .*Received: '{tag}'"):
            label_metrics.entities(["O", tag])

    def test_scores_by_hand(self):
        labels = ["B-PER I-PER O B-LOC", "B-ORG O B-LOC I-LOC"]
        # PER is found; ORG in place of LOC; ORG missed; LOC a word too short.
        predicted = ["B-PER I-PER O B-ORG", "O O B-LOC O"]
        scores = label_metrics.entity_scores(*([tags.split() for tags in some] for some in (predicted, labels)))
        assert scores["micro"] == pytest.approx((1 / 3, 1 / 4, 2 / 7))
        assert scores["types"] == {"LOC": (0, 0, 0), "ORG": (0, 0, 0), "PER": (1, 1, 1)}
        assert list(scores["types"]) == ["LOC", "ORG", "PER"]
        assert scores["macro"] == pytest.approx((1 / 3,) * 3)

    def test_schemes_mark_the_same_entities(self):
        one = label_metrics.entity_scores([["B-PER", "I-PER", "O"]], [["B-PER", "E-PER", "O"]])
        assert one["micro"] == (1, 1, 1)

    def test_without_entities_scores_are_zero(self):
        assert label_metrics.entity_scores([["O"]], [["O"]]) == {"micro": (0, 0, 0), "macro": (0, 0, 0), "types": {}}

    def test_what_cannot_be_compared_is_refused(self):
        with pytest.raises(ValueError, match=r"tags for the same sentences, at least one. Received: 1 for 2"):
            label_metrics.entity_scores([["O"]], [["O"], ["O"]])
        with pytest.raises(ValueError, match=r"at least one. Received: 0 for 0"):
            label_metrics.entity_scores([], [])
        with pytest.raises(ValueError, match=r"Expected 2 tags in sentence 1. Received: 1"):
            label_metrics.entity_scores([["O"], ["O"]], [["O"], ["O", "O"]])
