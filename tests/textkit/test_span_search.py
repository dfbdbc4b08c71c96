"""`best_spans` against all pairs of tokens, one after the other."""

import numpy as np
import pytest

from textkit.span_search import MAX_ANSWER, best_spans


@pytest.mark.parametrize(("count", "max_answer"), [(1, 30), (7, 3), (500, 5), (4, 1)])
def test_is_that_of_a_loop(count, max_answer):
    random = np.random.RandomState(1)
    starts, ends = random.randint(-3, 4, (2, 37)).astype("float32")  # so that many are alike
    allowed = random.uniform(size=37) < 0.8
    every = [
        (first, last, float(starts[first] + ends[last]))
        for first in range(37)
        for last in range(first, min(first + max_answer, 37))
        if allowed[first] and allowed[last]
    ]
    assert best_spans(starts, ends, allowed, count, max_answer) == sorted(every, key=lambda span: -span[2])[:count]


def test_where_nothing_is_allowed_there_is_no_answer():
    assert best_spans(np.zeros(5), np.zeros(5), np.zeros(5, bool)) == []


def test_answers_are_no_longer_than_said():
    logits = np.eye(50)
    allowed = np.ones(50, bool)
    assert best_spans(logits[3], logits[MAX_ANSWER + 2], allowed) == [(3, MAX_ANSWER + 2, 2.0)]
    assert best_spans(logits[3], logits[MAX_ANSWER + 3], allowed)[0][2] == 1.0
    with pytest.raises(ValueError, match=r"^Expected at least 1\. Received: max_answer=0$"):
        best_spans(logits[3], logits[4], allowed, max_answer=0)
