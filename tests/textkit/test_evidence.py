"""Each method of `textkit.explain` against loops, against a model run by hand, and against what it promises."""

import numpy as np
import pytest
import tensorflow as tf

from tests.textkit.encoders import KINDS, TINY, make_ids, spread
from textkit import evidence
from textkit.heads import SpanClassifier, TextClassifier, TokenClassifier

CLASSES, BATCH, TOKENS = 5, 2, 7
WORDS = [[-1, 0, 0, 1, 2, 2, -1], [-1, 0, 1, -1, -1, -1, -1]]
BLANK = 22
MODELS = {
    "class": (TextClassifier, "bert", {"num_classes": CLASSES}),
    "class, no pooler": (TextClassifier, "distilbert", {"num_classes": CLASSES}),
    "class, shared layers": (TextClassifier, "albert", {"num_classes": CLASSES}),
    "labels, pre-norm": (TokenClassifier, "modern", {"num_classes": CLASSES}),
    "span": (SpanClassifier, "bert", {}),
}


@pytest.fixture(params=MODELS, scope="module")
def model(request):
    head, kind, options = MODELS[request.param]
    return spread(head(**{**TINY, **KINDS[kind], **options}))


@pytest.fixture(scope="module")
def inputs():
    ids = make_ids((TOKENS, 4))
    return {
        **{name: tf.constant(values) for name, values in ids.items()},
        "padding_mask": tf.constant(ids["token_ids"] != 0),
    }


@pytest.fixture(scope="module")
def question(model):
    """One class of each text; of two tokens one label each; the begin and the end of a span."""
    chosen = np.zeros(
        {TextClassifier: (BATCH, CLASSES), TokenClassifier: (BATCH, TOKENS, CLASSES)}.get(type(model), (BATCH, 7, 2))
    )
    row = np.zeros((BATCH, TOKENS))
    if isinstance(model, TextClassifier):
        chosen[0, 3] = chosen[1, 1] = 1
        row[:, 0] = 1
    else:
        chosen[0, 1, 0] = chosen[0, 4, 1] = chosen[1, 2, 1] = 1
        row[0, [1, 4]], row[1, 2] = 0.5, 1
    return evidence.Question(tf.constant(row, tf.float32), tf.constant(chosen, tf.float32), tf.constant(WORDS), BLANK)


def score_of(outputs, question):
    """What is explained, of a model's own outputs."""
    if "start_logits" in outputs:
        chosen = question.chosen
        return tf.reduce_sum(outputs["start_logits"] * chosen[..., 0] + outputs["end_logits"] * chosen[..., 1], axis=1)
    products = outputs["logits"] * question.chosen
    return tf.reduce_sum(products, axis=[1, 2] if len(products.shape) == 3 else 1)


def run(model, inputs, question):
    return score_of(model(inputs, return_hidden_states=True), question).numpy()


def watched(model, inputs, question):
    """The scores of each layer, and their gradients, of the model's own call."""
    with tf.GradientTape() as tape:
        outputs = model(inputs, return_attention_scores=True)
        score = score_of(outputs, question)
    return outputs["attention_scores"], tape.gradient(score, outputs["attention_scores"])


class TestRaw:
    def test_reads_a_head_of_a_layer(self, model, inputs, question):
        scores = model(inputs, return_attention_scores=True)["attention_scores"][1].numpy()[:, 1]
        expected = np.einsum("bq,bqk->bk", question.row, scores)
        np.testing.assert_allclose(evidence.raw(model, inputs, question, layer=1, head=1), expected, atol=1e-6)

    def test_reads_the_mean_by_default(self, model, inputs, question):
        scores = np.mean(model(inputs, return_attention_scores=True)["attention_scores"], axis=(0, 2))
        expected = np.einsum("bq,bqk->bk", question.row, scores)
        np.testing.assert_allclose(evidence.raw(model, inputs, question), expected, atol=1e-6)

    def test_reads_a_head_of_all_layers(self, model, inputs, question):
        scores = np.mean(model(inputs, return_attention_scores=True)["attention_scores"], axis=0)[:, 1]
        expected = np.einsum("bq,bqk->bk", question.row, scores)
        np.testing.assert_allclose(evidence.raw(model, inputs, question, head=1), expected, atol=1e-6)

    @pytest.mark.parametrize("option", [{"layer": 3}, {"head": 2}])
    def test_refuses_what_is_not_there(self, model, inputs, question, option):
        with pytest.raises(ValueError, match=r"(layer|head) must be in"):
            evidence.raw(model, inputs, question, **option)


def test_rollout_equals_the_product_of_matrices(model, inputs, question):
    product = np.eye(TOKENS)
    for scores in model(inputs, return_attention_scores=True)["attention_scores"]:
        passed = scores.numpy().mean(1) + np.eye(TOKENS)
        product = passed / passed.sum(-1, keepdims=True) @ product
    expected = np.einsum("bq,bqk->bk", question.row, product)
    np.testing.assert_allclose(evidence.rollout(model, inputs, question), expected, atol=1e-6)


def test_gradient_rollout_equals_the_product_of_matrices(model, inputs, question):
    product = np.eye(TOKENS)
    for scores, gradient in zip(*watched(model, inputs, question), strict=True):
        product = product + np.maximum(scores.numpy() * gradient.numpy(), 0).mean(1) @ product
    expected = np.einsum("bq,bqk->bk", question.row, product - np.eye(TOKENS))
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(evidence.gradient_rollout(model, inputs, question), expected, rtol=1e-3, atol=1e-6)


def test_legrad_equals_gradients_through_the_whole_model(model, inputs, question):
    with tf.GradientTape(persistent=True) as tape:
        seen = model(inputs, return_attention_scores=True, return_hidden_states=True)
        states = seen["hidden_states"][1:]
        scores = [score_of(model.outputs(model.encoder.finish(state), inputs, False), question) for state in states]
    expected = 0.0
    for score, attention in zip(scores, seen["attention_scores"], strict=True):
        expected += np.maximum(tape.gradient(score, attention), 0.0).mean((1, 2)) / TINY["num_layers"]
    real = inputs["padding_mask"].numpy()
    expected = expected * real * TOKENS / real.sum(1, keepdims=True)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(evidence.legrad(model, inputs, question), expected, rtol=1e-3, atol=1e-6)


def blanked(inputs, which):
    return {**inputs, "token_ids": tf.constant(np.where(which, BLANK, inputs["token_ids"]))}


class TestIntegratedGradients:
    def test_sums_to_the_gain_over_a_text_of_blanks(self, model, inputs, question):
        blank = blanked(inputs, np.array(WORDS) >= 0)
        gain = run(model, inputs, question) - run(model, blank, question)
        assert np.abs(gain).max() > 0.1
        found = evidence.integrated_gradients(model, inputs, question).numpy()
        np.testing.assert_allclose(found.sum(1), gain, atol=1e-2)
        assert (found[np.array(WORDS) < 0] == 0).all()

    @pytest.mark.parametrize("steps", [3, 11])
    def test_equals_a_loop(self, model, inputs, question, steps):
        state = model.encoder.embed(inputs)
        baseline = model.encoder.embed(blanked(inputs, np.array(WORDS) >= 0))
        expected = 0.0
        for place, weight in zip(*np.polynomial.legendre.leggauss(steps), strict=True):
            point = tf.constant(baseline + (place + 1) / 2 * (state - baseline))
            with tf.GradientTape() as tape:
                tape.watch(point)
                seen = model.encoder.encode(point, inputs["padding_mask"])
                score = score_of(model.outputs(seen, inputs, False), question)
            expected += weight / 2 * ((state - baseline) * tape.gradient(score, point)).numpy().sum(-1)
        found = evidence.integrated_gradients(model, inputs, question, steps=steps)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)

    def test_refuses_no_steps(self, model, inputs, question):
        with pytest.raises(ValueError, match=r"steps must be at least 1\. Received: steps=0"):
            evidence.integrated_gradients(model, inputs, question, steps=0)


def test_occlusion_equals_a_loop(model, inputs, question):
    whole = run(model, inputs, question)
    expected = np.zeros((BATCH, TOKENS))
    for item, word in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):
        places = np.array(WORDS) == word
        places[1 - item] = False
        fall = (whole - run(model, blanked(inputs, places), question))[item]
        expected[places] = fall / places.sum()
    found = evidence.occlusion(model, inputs, question)
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model", ["class", "labels, pre-norm"], indirect=True)
@pytest.mark.parametrize("method", evidence.METHODS)
class TestEach:
    def test_is_the_same_in_a_graph_and_beside_a_longer_text(self, model, inputs, question, method):
        found = tf.function(lambda inputs: evidence.METHODS[method](model, inputs, question))(inputs).numpy()[1]
        short = {name: values[1:, :4] for name, values in inputs.items()}
        chosen = question.chosen[1:] if isinstance(model, TextClassifier) else question.chosen[1:, :4]
        alone = evidence.Question(question.row[1:, :4], chosen, question.words[1:, :4], BLANK)
        expected = evidence.METHODS[method](model, short, alone).numpy()[0]
        np.testing.assert_allclose(found, [*expected, 0, 0, 0], rtol=1e-3, atol=1e-5)

    def test_needs_no_trainable_weights(self, model, inputs, question, method):
        expected = evidence.METHODS[method](model, inputs, question)
        model.trainable = False
        try:
            found = evidence.METHODS[method](model, inputs, question)
        finally:
            model.trainable = True
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
