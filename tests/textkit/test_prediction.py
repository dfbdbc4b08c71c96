"""`Predictor`: what the model says of each text by itself, in the order of the texts, from one graph."""

import numpy as np
import pytest

from tests.backends import tensorflow_only
from tests.checks import assert_close
from tests.textkit.encoders import KINDS, TINY, spread
from textkit import SpanClassifier, TextClassifier, TextEncoder, TokenClassifier, Tokenizer
from textkit.prediction import Predictor

pytestmark = tensorflow_only

LENGTHS = (5, 1, 7, 2, 7, 3)
TOKENIZER = Tokenizer("wordpiece", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "bird", "##s", "sing"], lower_case=True)


def make_inputs():
    random = np.random.RandomState(0)
    mask = np.arange(7) < np.array(LENGTHS)[:, None]
    return {"token_ids": np.where(mask, random.randint(2, 23, mask.shape), 0), "segment_ids": 1 * mask, "padding_mask": mask}


def one_by_one(model, inputs):
    return [
        model({name: array[row : row + 1, :length] for name, array in inputs.items()}) for row, length in enumerate(LENGTHS)
    ]


@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_each_text_is_read_as_by_itself(batch_size):
    model, inputs, steps = spread(TextEncoder(**TINY)), make_inputs(), []
    found = Predictor(model, batch_size)(inputs, progress=lambda done, total: steps.append((done, total)))
    assert found["sequence_output"].shape == (6, 7, 12)
    for row, expected in enumerate(one_by_one(model, inputs)):
        assert_close(found["pooled_output"][row], expected["pooled_output"][0])
        assert_close(found["sequence_output"][row, : LENGTHS[row]], expected["sequence_output"][0])
        assert not found["sequence_output"][row, LENGTHS[row] :].any() or batch_size > 1
    assert steps[-1] == (6, 6)


@pytest.mark.parametrize("kind", ["bert", "albert", "modern"])  # which have every part that there is
def test_heads_of_all_kinds(kind):
    options = {**TINY, **KINDS[kind]}
    inputs = make_inputs()
    for model in (TextClassifier(3, **options), TokenClassifier(7, **options), SpanClassifier(**options)):
        found = Predictor(spread(model))(inputs)
        for row, expected in enumerate(one_by_one(model, inputs)):
            if isinstance(model, TextClassifier):
                assert_close(found[row], expected[0])
            elif isinstance(model, TokenClassifier):
                assert_close(found[row, : LENGTHS[row]], expected[0])
            else:
                assert_close(found["end_logits"][row, : LENGTHS[row]], expected["end_logits"][0])


def test_strings_and_one_graph():
    traced = []

    class Counted(TextEncoder):
        def call(self, *arguments, **options):
            traced.append(1)
            return super().call(*arguments, **options)

    model = spread(Counted(**TINY, tokenizer=TOKENIZER))
    predictor = Predictor(model)
    for texts in (["birds sing"], ["bird", "sing birds sing sing", ""]):
        found = predictor(texts, max_length=5)
        expected = model({name: values.numpy() for name, values in TOKENIZER.encode(texts, max_length=5).items()})
        assert_close(found["pooled_output"], expected["pooled_output"])
    assert predictor(["bird"], ["sing"])["sequence_output"].shape == (1, 5, 12)
    assert len(traced) == 3  # once for all texts, and twice to expect
    long = predictor(["bird " * 20])["sequence_output"]
    assert_close(long, predictor(["bird " * 5])["sequence_output"])  # cut to the positions there are
    endless = Predictor(TextEncoder(**TINY, positions="rotary", tokenizer=TOKENIZER))
    assert endless(["bird " * 600])["sequence_output"].shape == (1, 512, 12)


def test_refuses():
    with pytest.raises(ValueError, match=r"^Expected at least 1\. Received: batch_size=0$"):
        Predictor(TextEncoder(**TINY), 0)
    with pytest.raises(ValueError, match=r"^Expected texts\. Received: none$"):
        Predictor(TextEncoder(**TINY))({name: array[:0] for name, array in make_inputs().items()})
    with pytest.raises(ValueError, match=r"made with a tokenizer\. Received: tokenizer=None$"):
        Predictor(TextEncoder(**TINY))(["bird"])
