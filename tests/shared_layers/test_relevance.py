"""Relevance maths against numbers done by hand and against loops in NumPy."""

import numpy as np
import pytest
from keras import ops

from shared_layers import relevance
from tests.backends import tensorflow_only

BATCH, HEADS, TOKENS, LAYERS, WIDTH = 2, 3, 7, 5, 11


def softmax(values):
    weights = np.exp(values - values.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def scores(rng):
    return list(softmax(rng.normal(size=(LAYERS, BATCH, HEADS, TOKENS, TOKENS)) * 2).astype("float32"))


@pytest.fixture
def gradients(rng):
    return list(rng.normal(size=(LAYERS, BATCH, HEADS, TOKENS, TOKENS)).astype("float32"))


@pytest.fixture(params=["class token", "mean of the last tokens", "one row an item"])
def row(request, rng):
    if request.param == "class token":
        return np.eye(TOKENS, dtype="float32")[0]
    if request.param == "mean of the last tokens":
        return np.array([0.0, 0.0] + [0.2] * 5, "float32")
    return rng.uniform(size=(BATCH, TOKENS)).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def rows_of(row):
    return np.broadcast_to(row, (BATCH, TOKENS))


def naive_rollout(scores, row, fuse=np.mean, discard_ratio=0.0):
    results = []
    for item, weights in enumerate(rows_of(row)):
        product = np.eye(TOKENS)
        for layer in scores:
            fused = fuse(layer[item].astype("float64"), axis=0)
            order = sorted((value, q, k) for (q, k), value in np.ndenumerate(fused))
            for _, q, k in order[: int(discard_ratio * TOKENS * TOKENS)]:
                fused[q, k] = 0.0
            passed_on = fused + np.eye(TOKENS)
            for q in range(TOKENS):
                passed_on[q] /= passed_on[q].sum()
            product = passed_on @ product
        results.append(weights @ product)
    return np.array(results)


def naive_gradient_rollout(scores, gradients, row):
    results = []
    for item, weights in enumerate(rows_of(row)):
        relevance_matrix = np.eye(TOKENS)
        for layer, gradient in zip(scores, gradients, strict=True):
            positive = np.zeros((TOKENS, TOKENS))
            for head in range(HEADS):
                positive += np.maximum(layer[item, head] * gradient[item, head], 0) / HEADS
            relevance_matrix = relevance_matrix + positive @ relevance_matrix
        results.append(weights @ relevance_matrix)
    return np.array(results)


class TestRaw:
    def test_reads_one_head_of_one_layer(self, scores):
        row = np.eye(TOKENS, dtype="float32")[4]
        np.testing.assert_allclose(numpy(relevance.raw(scores, row, layer=3, head=1)), scores[3][:, 1, 4], atol=1e-6)

    def test_reads_the_last_layer_and_the_mean_of_heads_by_default(self, scores, row):
        expected = [
            sum(w * scores[-1][item, :, q].mean(0) for q, w in enumerate(weights))
            for item, weights in enumerate(rows_of(row))
        ]
        np.testing.assert_allclose(numpy(relevance.raw(scores, row)), expected, atol=1e-6)

    @pytest.mark.parametrize("layer", [-LAYERS - 1, LAYERS])
    def test_refuses_a_layer_that_is_not_there(self, scores, layer):
        with pytest.raises(ValueError, match=rf"layer must be in \[-5, 5\)\. Received: layer={layer}"):
            relevance.raw(scores, np.eye(TOKENS)[0], layer=layer)

    def test_refuses_a_head_that_is_not_there(self, scores):
        with pytest.raises(ValueError, match=r"head must be in \[-3, 3\)\. Received: head=3"):
            relevance.raw(scores, np.eye(TOKENS)[0], head=3)


class TestRollout:
    def test_by_hand(self):
        first, second = np.array([[0.5, 0.5], [0.2, 0.8]]), np.array([[1.0, 0.0], [0.6, 0.4]])
        # (A + I) / 2 is [[.75, .25], [.1, .9]], then [[1, 0], [.3, .7]]; multiplied, last layer on the left:
        expected = np.array([[0.75, 0.25], [0.295, 0.705]])
        for row in np.eye(2):
            ours = numpy(relevance.rollout([first[None, None], second[None, None]], row))
            np.testing.assert_allclose(ours, [row @ expected], atol=1e-6)

    @pytest.mark.parametrize(("fusion", "fuse"), [("mean", np.mean), ("max", np.max), ("min", np.min)])
    @pytest.mark.parametrize("discard_ratio", [0.0, 0.9])
    def test_equals_the_product_of_whole_matrices(self, scores, row, fusion, fuse, discard_ratio):
        ours = numpy(relevance.rollout(scores, row, fusion=fusion, discard_ratio=discard_ratio))
        np.testing.assert_allclose(ours, naive_rollout(scores, row, fuse, discard_ratio), atol=1e-6)

    def test_keeps_the_sum_of_the_row(self, scores, row):
        ours = numpy(relevance.rollout(scores, row, fusion="max", discard_ratio=0.5))
        np.testing.assert_allclose(ours.sum(-1), rows_of(row).sum(-1), rtol=1e-5)

    def test_an_item_does_not_depend_on_its_batch(self, scores):
        row = np.eye(TOKENS, dtype="float32")[0]
        together = numpy(relevance.rollout(scores, row, discard_ratio=0.9))
        alone = numpy(relevance.rollout([layer[1:] for layer in scores], row, discard_ratio=0.9))
        np.testing.assert_allclose(together[1:], alone, atol=1e-6)

    def test_refuses_an_unknown_fusion(self, scores):
        with pytest.raises(ValueError, match="Unknown fusion; did you mean 'mean'"):
            relevance.rollout(scores, np.eye(TOKENS)[0], fusion="meen")

    @pytest.mark.parametrize("discard_ratio", [-0.1, 1.0])
    def test_refuses_a_discard_ratio_out_of_range(self, scores, discard_ratio):
        with pytest.raises(ValueError, match=rf"in \[0, 1\)\. Received: discard_ratio={discard_ratio}"):
            relevance.rollout(scores, np.eye(TOKENS)[0], discard_ratio=discard_ratio)


class TestGradientRollout:
    def test_by_hand(self):
        # Layer 1 passes on [[0, 1], [0, 0]], layer 2 [[0, 3], [1, 0]]:
        # (I + 2)(I + 1) = [[1, 3], [1, 1]] @ [[1, 1], [0, 1]] = [[1, 4], [1, 2]]
        scores = [np.full((1, 1, 2, 2), 0.5), np.full((1, 1, 2, 2), 0.5)]
        gradients = [np.array([[[[-4.0, 2.0], [0.0, -2.0]]]]), np.array([[[[0.0, 6.0], [2.0, -8.0]]]])]
        row = np.array([1.0, 0.0])
        np.testing.assert_allclose(numpy(relevance.gradient_rollout(scores, gradients, row)), [[1.0, 4.0]], atol=1e-6)

    def test_equals_the_product_of_whole_matrices(self, scores, gradients, row):
        ours = numpy(relevance.gradient_rollout(scores, gradients, row))
        np.testing.assert_allclose(ours, naive_gradient_rollout(scores, gradients, row), rtol=1e-5)

    def test_refuses_gradients_of_other_layers(self, scores, gradients):
        with pytest.raises(ValueError, match="zip"):
            relevance.gradient_rollout(scores, gradients[1:], np.eye(TOKENS)[0])


def test_legrad_equals_a_loop(gradients):
    expected = np.zeros((BATCH, TOKENS))
    for layer in gradients:
        for item, head, q, k in np.ndindex(BATCH, HEADS, TOKENS, TOKENS):
            expected[item, k] += max(layer[item, head, q, k], 0.0) / (LAYERS * HEADS * TOKENS)
    np.testing.assert_allclose(numpy(relevance.legrad(gradients)), expected, atol=1e-6)


def test_gradcam_equals_a_loop(rng):
    features = rng.normal(size=(BATCH, TOKENS, WIDTH)).astype("float32")
    gradients = rng.normal(size=(BATCH, TOKENS, WIDTH)).astype("float32")
    expected = np.zeros((BATCH, TOKENS))
    for item, token, feature in np.ndindex(BATCH, TOKENS, WIDTH):
        expected[item, token] += gradients[item, :, feature].sum() / TOKENS * features[item, token, feature]
    assert (expected < 0).any()
    np.testing.assert_allclose(numpy(relevance.gradcam(features, gradients)), np.maximum(expected, 0), atol=1e-5)


def test_class_row_coupling_equals_a_loop(rng):
    class_map = rng.normal(size=(BATCH, TOKENS)).astype("float32")
    rows = list(rng.uniform(size=(LAYERS, BATCH, TOKENS)).astype("float32"))
    expected = np.zeros((BATCH, TOKENS))
    for layer, item, token in np.ndindex(LAYERS, BATCH, TOKENS):
        expected[item, token] += class_map[item, token] * rows[layer][item, token]
    np.testing.assert_allclose(numpy(relevance.class_row_coupling(class_map, rows)), expected, atol=1e-6)


def test_integrated_gradients_of_a_square_are_complete(rng):
    inputs, baseline = rng.normal(size=(2, BATCH, TOKENS, WIDTH)).astype("float32")
    # The score sum(x^2) has gradient 2x, whose mean on the line is at its middle.
    ours = numpy(relevance.integrated_gradients(inputs, baseline, inputs + baseline))
    np.testing.assert_allclose(ours, (inputs**2 - baseline**2).sum(-1), atol=1e-5)


class TestOutlierTokens:
    def test_by_hand(self):
        norms = np.array([[1.0, 2.0, 3.0, 4.0, 9.0], [2.0, 2.0, 2.1, 2.2, 2.4]])
        tokens = norms[..., None] * np.array([0.6, 0.0, -0.8])
        # Medians 3 and 2.1, median deviations 1 and 0.1: the last norms lie 6 and 3 deviations above.
        last, none = [False] * 4 + [True], [False] * 5
        assert numpy(relevance.outlier_tokens(tokens, threshold=5.5)).tolist() == [last, none]
        assert numpy(relevance.outlier_tokens(tokens, threshold=2.5)).tolist() == [last, last]

    def test_finds_none_among_equals(self):
        assert not numpy(relevance.outlier_tokens(np.ones((BATCH, TOKENS, WIDTH)))).any()


class TestNormalise:
    def test_stretches_each_map_by_itself(self, rng):
        maps = rng.normal(size=(BATCH, 3, 5)).astype("float32") * np.array([1e-12, 1e6]).reshape(2, 1, 1)
        expected = [(one - one.min()) / (one.max() - one.min()) for one in maps]
        np.testing.assert_allclose(numpy(relevance.normalise(maps)), expected, atol=1e-6)

    def test_shows_nothing_where_there_is_nothing(self):
        noise = 1000.0 + np.array([0.0, 1e-4, 2e-4])
        maps = np.array([[7.0] * 3, [0.0] * 3, noise, [1.0, np.nan, 2.0], [1.0, np.inf, 2.0]], "float32")
        assert (numpy(relevance.normalise(maps)) == 0.0).all()


@tensorflow_only
def test_traces_with_an_unknown_batch_size(scores, gradients):
    import tensorflow as tf

    row = np.eye(TOKENS, dtype="float32")[0]

    @tf.function(input_signature=[tf.TensorSpec((LAYERS, None, HEADS, TOKENS, TOKENS))] * 2)
    def graph(scores, gradients):
        scores, gradients = tf.unstack(scores), tf.unstack(gradients)
        rolled = relevance.rollout(scores, row, fusion="max", discard_ratio=0.5)
        outliers = relevance.outlier_tokens(scores[0][:, 0])
        return (
            rolled,
            relevance.gradient_rollout(scores, gradients, row),
            outliers,
            relevance.normalise(rolled),
        )

    rolled, weighted, outliers, normalised = graph(np.stack(scores), np.stack(gradients))
    expected = relevance.rollout(scores, row, fusion="max", discard_ratio=0.5)
    np.testing.assert_allclose(rolled, expected, atol=1e-6)
    np.testing.assert_allclose(weighted, relevance.gradient_rollout(scores, gradients, row), rtol=1e-5)
    np.testing.assert_array_equal(outliers, relevance.outlier_tokens(scores[0][:, 0]))
    np.testing.assert_allclose(normalised, relevance.normalise(expected), atol=1e-5)
