"""Scores and selections against loops, enumerations and numbers done by hand."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import additive, concat, dot, general, hard_sample, hard_topk, reinforce, scaled_dot, soft
from tests.checks import assert_close, gradient_of, numpy

BATCH, QUERIES, KEYS, WIDTH, KEY_WIDTH, UNITS = 2, 3, 5, 7, 11, 13
DRAWS = 40009


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


QUERY, KEY, OTHER_KEY = draw(BATCH, QUERIES, WIDTH), draw(BATCH, KEYS, WIDTH, seed=1), draw(BATCH, KEYS, KEY_WIDTH, seed=2)
KERNEL, SQUARE = draw(WIDTH + KEY_WIDTH, UNITS, seed=3), draw(WIDTH, KEY_WIDTH, seed=4)
VECTOR = draw(UNITS, seed=5)
SCORES = draw(BATCH, QUERIES, KEYS, seed=6)
MASK = np.random.RandomState(7).rand(BATCH, QUERIES, KEYS) > 0.4
MASK[1, 2] = False  # this query may attend to nothing
LOGITS = np.array([0.3, -0.4, 1.1, 0.0], "float32")


def loop(rule, queries, keys):
    """rule(one query, one key) for every pair."""
    return np.array([[[rule(q, k) for k in keys[b]] for q in queries[b]] for b in range(BATCH)])


RULES = {
    "dot": (dot, KEY, (), lambda q, k: sum(q * k)),
    "scaled_dot": (scaled_dot, KEY, (), lambda q, k: sum(q * k) / 7**0.5),
    "general": (general, OTHER_KEY, (SQUARE,), lambda q, k: q @ SQUARE @ k),
    "additive without weights": (additive, KEY, (), lambda q, k: sum(np.tanh(q + k))),
    "additive with a vector": (additive, KEY, (VECTOR[:7],), lambda q, k: VECTOR[:7] @ np.tanh(q + k)),
    "additive": (
        additive,
        OTHER_KEY,
        (VECTOR, KERNEL[:7], KERNEL[7:]),
        lambda q, k: VECTOR @ np.tanh(KERNEL[:7].T @ q + KERNEL[7:].T @ k),
    ),
    "concat": (
        concat,
        OTHER_KEY,
        (KERNEL, VECTOR),
        lambda q, k: VECTOR @ np.tanh(KERNEL.T @ np.concatenate([q, k])),
    ),
    "plain concat": (concat, OTHER_KEY, (KERNEL[:, :1],), lambda q, k: KERNEL[:, 0] @ np.concatenate([q, k])),
}


@pytest.mark.parametrize(("score", "keys", "weights", "rule"), RULES.values(), ids=RULES)
@pytest.mark.parametrize("queries", [QUERY, QUERY[:, :1]], ids=["several queries", "one query"])
def test_scores_equal_a_loop(score, keys, weights, rule, queries):
    assert_close(score(queries, keys, *weights), loop(rule, queries, keys))


def test_keys_may_be_projected_once():
    keys = ops.matmul(OTHER_KEY, KERNEL[WIDTH:])
    expected = additive(QUERY, OTHER_KEY, VECTOR, KERNEL[:WIDTH], KERNEL[WIDTH:])
    assert_close(additive(QUERY, keys, VECTOR, KERNEL[:WIDTH]), expected)


def test_the_worked_example():
    """Scores 112 and 96 of width 64: 14 and 12 scaled, 0.88 and 0.12 as weights."""
    query = np.full((1, 1, 64), 2.0, "float32")
    keys = np.zeros((1, 2, 64), "float32")
    keys[0, 0, :56], keys[0, 1, 16:] = 1.0, 1.0
    np.testing.assert_array_equal(numpy(dot(query, keys)), [[[112.0, 96.0]]])
    np.testing.assert_array_equal(numpy(scaled_dot(query, keys)), [[[14.0, 12.0]]])
    weights = soft(scaled_dot(query, keys))
    np.testing.assert_allclose(numpy(weights), [[[0.88, 0.12]]], atol=0.005)
    assert_close(weights[0, 0, 0], 1 / (1 + np.exp(-2.0)))


@pytest.mark.parametrize("width", [4, 64, 1024])
def test_the_variance_of_a_product_grows_with_the_width_and_that_of_a_scaled_one_does_not(width):
    queries, keys = draw(1, 97, width), draw(1, 101, width, seed=1)
    np.testing.assert_allclose(numpy(dot(queries, keys)).var(), width, rtol=0.2)
    np.testing.assert_allclose(numpy(scaled_dot(queries, keys)).var(), 1, rtol=0.2)


def test_plain_concat_attends_to_the_same_whatever_the_query():
    weights = numpy(soft(concat(QUERY, OTHER_KEY, KERNEL[:, :1])))
    assert_close(weights, np.repeat(weights[:, :1], QUERIES, axis=1))


def softmax(scores, mask):
    exponentials = np.where(mask, np.exp(scores.astype("float64")), 0)
    total = exponentials.sum(-1, keepdims=True)
    return np.divide(exponentials, total, where=total > 0, out=np.zeros_like(exponentials))


def topk(scores, mask, count):
    """One where a score is among the `count` largest of those that the mask shows."""
    chosen = np.zeros_like(scores)
    for index in np.ndindex(scores.shape[:-1]):
        shown = [key for key in range(scores.shape[-1]) if mask[index][key]]
        for key in sorted(shown, key=lambda key: -scores[index][key])[:count]:
            chosen[index][key] = 1
    return chosen


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_soft(dtype):
    scores = ops.cast(np.round(SCORES * 4) / 4, dtype)  # in every dtype the same numbers
    assert_close(soft(scores), softmax(numpy(scores), np.ones_like(MASK)))
    weights = soft(scores, MASK)
    assert_close(weights, softmax(numpy(scores), MASK))
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"


@pytest.mark.parametrize("count", [1, 2, 5, 17])
@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
def test_hard_topk(count, mask):
    chosen = topk(SCORES, np.ones_like(MASK) if mask is None else mask, count)
    np.testing.assert_array_equal(numpy(hard_topk(SCORES, count, mask)), chosen)
    assert_close(hard_topk(SCORES, count, mask, renormalize=True), softmax(SCORES, chosen > 0))


def test_the_first_of_equal_scores_is_chosen():
    np.testing.assert_array_equal(numpy(hard_topk(np.zeros((1, 1, 5), "float32"), 2)), [[[1, 1, 0, 0, 0]]])


@pytest.mark.parametrize("mask", [None, MASK], ids=["no mask", "mask"])
def test_hard_weights_pass_on_the_gradient_of_soft(mask):
    slope = draw(BATCH, QUERIES, KEYS, seed=8)
    expected = gradient_of(lambda scores: ops.sum(soft(scores, mask) * slope), SCORES)
    assert np.abs(expected).max() > 0.1
    assert_close(gradient_of(lambda scores: ops.sum(hard_topk(scores, 2, mask) * slope), SCORES), expected)
    assert_close(gradient_of(lambda scores: ops.sum(hard_sample(scores, 2, mask, seed=3)[0] * slope), SCORES), expected)
    passed_on = gradient_of(
        lambda scores: ops.sum(hard_sample(scores, 2, mask, gradient="reinforce", seed=3)[0] * slope), SCORES
    )
    np.testing.assert_array_equal(passed_on, 0)


def test_renormalized_weights_have_their_own_gradient():
    chosen = topk(SCORES, np.ones_like(MASK), 3) > 0
    slope = draw(BATCH, QUERIES, KEYS, seed=8)
    weights = softmax(SCORES, chosen)
    expected = weights * (slope - (weights * slope).sum(-1, keepdims=True))  # the Jacobian of a softmax
    assert_close(gradient_of(lambda scores: ops.sum(hard_topk(scores, 3, renormalize=True) * slope), SCORES), expected)


def draws(logits, count, visible=None):
    """Every way to draw `count` keys one after the other: (keys in order, probability)."""
    visible = range(len(logits)) if visible is None else visible
    odds = np.exp(logits.astype("float64"))
    for keys in itertools.permutations(visible, count):
        left, probability = list(visible), 1.0
        for key in keys:
            probability *= odds[key] / odds[left].sum()
            left.remove(key)
        yield keys, probability


@pytest.mark.parametrize("count", [1, 2, 3])
def test_hard_sample_draws_without_replacement(count):
    mask = np.array([True, True, False, True])
    scores = np.broadcast_to(LOGITS, (1, DRAWS, 4))
    weights, log_probability = (numpy(x)[0] for x in hard_sample(scores, count, mask, seed=1))
    assert set(np.unique(weights)) <= {0.0, 1.0}
    assert (weights.sum(-1) == count).all()
    assert (weights[:, 2] == 0).all()
    share, known = {}, {}
    for keys, probability in draws(LOGITS, count, (0, 1, 3)):
        share[frozenset(keys)] = share.get(frozenset(keys), 0) + probability
        known.setdefault(frozenset(keys), []).append(np.log(probability))
    assert sum(share.values()) == pytest.approx(1)
    for keys, probability in share.items():
        drawn = (weights == np.isin(range(4), list(keys))).all(-1)
        assert drawn.mean() == pytest.approx(probability, abs=4 * (probability / DRAWS) ** 0.5)
        # each log-probability is that of one order in which these keys can come
        assert np.abs(log_probability[drawn][:, None] - known[keys]).min(-1).max() < 1e-5


def test_hard_sample_takes_the_largest_at_inference():
    weights, log_probability = hard_sample(SCORES, 2, MASK, training=False)
    np.testing.assert_array_equal(numpy(weights), topk(SCORES, MASK, 2))
    for index in np.ndindex(BATCH, QUERIES):
        visible = np.flatnonzero(MASK[index])
        order = tuple(sorted(visible, key=lambda key: -SCORES[index][key])[:2])
        expected = np.log(dict(draws(SCORES[index], len(order), visible))[order])
        np.testing.assert_allclose(numpy(log_probability)[index], expected, atol=1e-5)
    assert numpy(log_probability)[1, 2] == 0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("baseline", [0.0, 1.5])
def test_reinforce_has_the_exact_gradient_in_the_mean(count, baseline):
    """The loss is not linear in the weights, so that an estimator that takes its slope alone would miss."""
    values, target = draw(4, 3), draw(3, seed=1)

    def loss_of(weights):
        return ops.sum(ops.square(ops.matmul(weights, values) - target), axis=-1)  # (..., keys) -> (...)

    def mean_loss(logits):
        total = 0.0
        for keys, _ in draws(LOGITS, count):
            left, probability = list(range(4)), 1.0
            for key in keys:
                probability *= ops.exp(logits[key] - ops.logsumexp(ops.stack([logits[i] for i in left])))
                left.remove(key)
            total += probability * loss_of(np.isin(range(4), keys).astype("float32")[None])[0]
        return total

    def surrogate(scores):
        weights, log_probability = hard_sample(scores, count, gradient="reinforce", seed=1)
        return ops.sum(reinforce(loss_of(weights), log_probability, baseline))

    estimates = gradient_of(surrogate, np.broadcast_to(LOGITS, (1, DRAWS, 4)))[0]
    error = estimates.std(0) / DRAWS**0.5
    expected = gradient_of(mean_loss, LOGITS)
    assert np.abs(expected).max() > 20 * error.max()
    assert (np.abs(estimates.mean(0) - expected) < 4 * error).all()


def test_reinforce_keeps_the_value_and_the_gradient_of_the_loss():
    losses, log_probability = draw(5), draw(5, seed=1)
    assert_close(reinforce(losses, log_probability, 0.7), losses)
    through_loss = gradient_of(lambda x: ops.sum(reinforce(x**2, log_probability, 0.7)), losses)
    assert_close(through_loss, 2 * losses)
    through_draw = gradient_of(lambda x: ops.sum(reinforce(ops.convert_to_tensor(losses), x, 0.7)), log_probability)
    assert_close(through_draw, losses - 0.7)


@pytest.mark.parametrize("select", [soft, hard_topk, lambda *args, mask: hard_sample(*args, mask=mask, seed=1)[0]])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_query_that_may_attend_to_nothing_takes_nothing(select, dtype):
    scores = (10000 * SCORES).astype(dtype)
    weights = numpy(select(scores, mask=MASK))
    assert (weights[1, 2] == 0).all()
    assert (weights[~MASK] == 0).all()
    gradient = gradient_of(lambda scores: ops.sum(ops.square(select(scores, mask=MASK))), scores)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("select", [soft, hard_topk, lambda *args, **options: hard_sample(*args, **options, seed=1)[0]])
def test_a_single_key_has_all_the_weight(select):
    scores = draw(BATCH, QUERIES, 1)
    np.testing.assert_array_equal(numpy(select(scores)), np.ones_like(scores))
    mask = np.arange(QUERIES)[:, None] != 1
    np.testing.assert_array_equal(numpy(select(scores, mask=mask)), np.broadcast_to(mask, scores.shape))
    gradient = gradient_of(lambda scores: ops.sum(ops.square(select(scores, mask=mask))), scores)
    np.testing.assert_array_equal(gradient, np.zeros_like(scores))


def test_selections_refuse_what_they_do_not_know():
    for select in (hard_topk, hard_sample):
        with pytest.raises(ValueError, match=r"`num_selected` should be a positive int\. Received: num_selected=0"):
            select(SCORES, 0)
    with pytest.raises(ValueError, match=r"Unknown gradient; .*'straight_through'.* Received: gradient='straightthrough'"):
        hard_sample(SCORES, gradient="straightthrough")
