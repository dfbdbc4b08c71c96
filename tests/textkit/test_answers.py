"""What models with a head say, read from logits made by hand."""

import numpy as np
import pytest

from tests.textkit.encoders import TINY
from textkit import answers
from textkit.encoder import TextEncoder
from textkit.heads import SentenceEncoder, SpanClassifier, TextClassifier, TokenClassifier

NAMES = ["bad", "good", "odd"]
QUESTION = answers.Divided(
    text="Who?",
    pair="It was  Ada.",
    tokens=["[CLS]", "who", "?", "[SEP]", "it", "was", "ad", "##a", ".", "[SEP]"],
    words=["Who", "?", "It", "was", "Ada", "."],
    offsets=[(0, 3), (3, 4), (0, 2), (3, 6), (8, 11), (11, 12)],
    num_first=2,
    word_of_token=[-1, 0, 1, -1, 2, 3, 4, 4, 5, -1],
)


def classifier(problem="single", names=NAMES, head=TextClassifier):
    options = {} if head is TokenClassifier else {"problem": problem}
    return head(**TINY, num_classes=len(names or NAMES), class_names=names, **options)


@pytest.mark.parametrize(
    ("problem", "answer", "probability"),
    [
        ("single", "good 0.71, odd 0.26, bad 0.04", np.exp(2) / (np.exp(2) + np.exp(1) + np.exp(-1))),
        ("multi", "good 0.88, odd 0.73, bad 0.27", 1 / (1 + np.exp(-2))),
        ("regression", "bad -1.00, good 2.00, odd 1.00", None),
    ],
)
def test_a_text_has_a_class(problem, answer, probability):
    found = answers.read_class(classifier(problem), np.array([-1.0, 2.0, 1.0]), QUESTION, None, None)
    assert (found.answer, found.target, found.explained) == (answer, 1, "relevance for good")
    assert found.row.tolist() == [1, *[0] * 9]
    assert found.chosen.tolist() == [0, 1, 0]
    assert found.probabilities is None if probability is None else found.probabilities[1] == pytest.approx(probability)


@pytest.mark.parametrize(("target", "index"), [("odd", 2), (2, 2), ("2", 2), (np.int64(0), 0)])
def test_another_class_can_be_explained(target, index):
    found = answers.read_class(classifier(), np.array([-1.0, 2.0, 1.0]), QUESTION, target, None)
    assert (found.target, found.chosen.argmax(), found.explained) == (index, index, f"relevance for {NAMES[index]}")


def test_a_number_has_no_class():
    model = TextClassifier(1, "regression", **TINY)
    found = answers.read_class(model, np.array([0.25]), QUESTION, None, None)
    assert (found.answer, found.explained) == ("0.25", "relevance for a larger number")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("goood", r"Unknown target; did you mean 'good'"),
        (3, r"target must be in \[0, 3\), or a name\. Received: target=3"),
        ("3", r"target must be in \[0, 3\), or a name\. Received: target='3'"),
        (-1, r"Received: target=-1"),
        ((0, 1), r"Received: target=\(0, 1\)"),
    ],
)
def test_refuses_a_class_that_is_not_there(target, message):
    with pytest.raises(ValueError, match=message):
        answers.read_class(classifier(), np.zeros(3), QUESTION, target, None)


class TestLabels:
    logits = np.zeros((10, 3))
    logits[[1, 2, 4, 5, 8], 1] = 1.0
    logits[6, 2], logits[7, 0] = 2.0, 3.0  # the first of Ada's two tokens counts

    def read(self, target=None, word=None):
        return answers.read_labels(classifier(head=TokenClassifier), self.logits, QUESTION, target, word)

    def test_a_word_has_that_of_its_first_token(self):
        found = self.read(word=4)
        assert found.answer == "Who good, ? good, It good, was good, Ada odd, . good"
        assert (found.target, found.explained) == (2, "relevance for odd of 'Ada'")
        assert np.argwhere(found.chosen).tolist() == [[6, 2]]
        assert np.flatnonzero(found.row).tolist() == [6]
        np.testing.assert_allclose(found.probabilities.sum(-1), 1)

    def test_another_can_be_explained(self):
        found = self.read(target="bad", word=4)
        assert (found.target, found.explained) == (0, "relevance for bad of 'Ada'")
        assert np.argwhere(found.chosen).tolist() == [[6, 0]]

    def test_all_words_are_explained_by_default(self):
        found = self.read()
        assert (found.target, found.explained) == (None, "relevance for the labels of all words")
        assert np.argwhere(found.chosen).tolist() == [[1, 1], [2, 1], [4, 1], [5, 1], [6, 2], [8, 1]]
        assert self.read(target="bad").explained == "relevance for bad of all words"


class TestSpan:
    logits = np.zeros((10, 2))
    logits[0] = 1.0  # no answer
    logits[1] = 9.0  # not in the question
    logits[5, 0], logits[7, 1], logits[4, 1] = 3.0, 2.0, 8.0  # an end before the beginning is none

    def read(self, logits=logits, target=None):
        return answers.read_span(SpanClassifier(**TINY), logits, QUESTION, target, None)

    def test_the_best_answer_is_quoted_as_it_stands(self):
        logits = self.logits.copy()
        logits[4, 1] = 0.0
        found = self.read(logits)
        assert (found.answer, found.target) == ("was  Ada", (3, 4))
        assert found.explained == "relevance for the answer 'was  Ada'"
        assert np.argwhere(found.chosen).tolist() == [[5, 0], [7, 1]]
        np.testing.assert_allclose(found.probabilities.sum(0), 1)

    def test_it_begins_before_it_ends(self):
        assert self.read().answer == "It"

    def test_none_may_be_likelier(self):
        logits = self.logits.copy()
        logits[0] = 5.0
        found = self.read(logits)
        assert (found.answer, found.target, found.explained) == ("none", None, "relevance for the answer 'none'")
        assert np.argwhere(found.chosen).tolist() == [[0, 0], [0, 1]]

    def test_another_can_be_explained(self):
        found = self.read(target=(4, 5))
        assert (found.answer, found.explained) == ("It", "relevance for the answer 'Ada.'")
        assert np.argwhere(found.chosen).tolist() == [[6, 0], [8, 1]]
        assert self.read(target="was  Ada").target == (3, 4)

    @pytest.mark.parametrize("target", ["who", "was Ada", "Ad", ""])  # of the question, and not as they stand
    def test_refuses_words_that_are_not_there(self, target):
        with pytest.raises(ValueError, match=rf"Expected whole words of the text .*target='{target}'$"):
            self.read(target=target)

    @pytest.mark.parametrize("target", [(4, 3), (4, 6), (1, 2), (-1, 0), 4, (1, 2, 3)])
    def test_refuses_what_is_no_answer(self, target):
        with pytest.raises(
            ValueError, match=r"Expected \(first, last\), indices of words below 6 in one text.* Received: target="
        ):
            self.read(target=target)

    def test_a_text_alone_is_searched(self):
        divided = answers.Divided(
            "It is", None, ["[CLS]", "It", "is", "[SEP]"], ["It", "is"], [(0, 2), (3, 5)], 2, [-1, 0, 1, -1]
        )
        logits = np.array([[0, 0], [1, 0], [0, 1], [0, 0]], float)
        assert answers.read_span(SpanClassifier(**TINY), logits, divided, None, None).answer == "It is"


def test_heads_without_answers_have_no_reader():
    assert answers.reader_of(TextEncoder(**TINY)) is None
    assert answers.reader_of(SentenceEncoder(**TINY)) is None
    assert answers.reader_of(classifier()) is answers.read_class
