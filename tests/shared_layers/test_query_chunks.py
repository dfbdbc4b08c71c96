"""Attention in chunks of queries: the same numbers and gradients as all at once, and without all the scores."""

import functools

import numpy as np
import pytest
from keras import ops

from shared_layers import MultiHeadAttention, multi_head_attention
from shared_layers.query_chunks import attend_in_chunks
from tests.backends import tensorflow_only
from tests.checks import assert_close, numpy

pytestmark = tensorflow_only

BATCH, HEADS, LENGTH, WIDTH = 2, 3, 7, 10
TOKENS = np.random.RandomState(0).normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
OTHERS = np.random.RandomState(1).normal(size=(BATCH, 11, 13)).astype("float32")
REAL = np.arange(LENGTH) < np.array([[LENGTH], [4]])
MASK = np.random.RandomState(2).rand(BATCH, LENGTH, LENGTH) > 0.4
MASK[0, 5] = False  # a query that may attend to nothing
HEAD_MASK = np.random.RandomState(3).rand(BATCH, HEADS, LENGTH, LENGTH) > 0.4
CALLS = {
    "no mask": {},
    "causal": {"use_causal_mask": True},
    "padding": {"value_mask": REAL},
    "queries": {"query_mask": REAL},
    "one row for all": {"attention_mask": MASK[:, 1:2]},
    "attention mask": {"attention_mask": MASK},
    "attention mask of heads": {"attention_mask": HEAD_MASK},
    "all": {"use_causal_mask": True, "value_mask": REAL, "query_mask": REAL, "attention_mask": MASK},
}
LAYERS = {
    "plain": {},
    "other widths": {"value_dim": 4, "use_gate": True},
    "window": {"sliding_window": 2},
    "rotary": {"key_dim": 6, "rotary_max_wavelength": 100.0},
}


def make(**options):
    layer = MultiHeadAttention(**{"num_heads": HEADS, "key_dim": 5, "bias_initializer": "uniform", **options})
    layer.build(TOKENS.shape, TOKENS.shape)
    return layer


@pytest.fixture
def chunks(monkeypatch):
    """Sets how many queries there are at most at once, and in a chunk; tells how often there were chunks."""
    calls = []

    def set_sizes(most=2, size=3):
        def attend(*arguments):
            calls.append(size)
            return attend_in_chunks(*arguments, size=size)

        monkeypatch.setattr(multi_head_attention, "MOST_AT_ONCE", most)
        monkeypatch.setattr(multi_head_attention, "attend_in_chunks", attend)
        return calls

    return set_sizes


def with_gradients(layer, tokens, **call):
    """The output, and the gradients of a sum of it with respect to the tokens and all weights."""
    import tensorflow as tf

    tokens = tf.convert_to_tensor(tokens)
    with tf.GradientTape() as tape:
        tape.watch(tokens)
        output = layer(tokens, tokens, **call)
        total = tf.reduce_sum(tf.sin(3 * output))
    weights = [weight.value for weight in layer.trainable_weights]
    return output, *(tf.convert_to_tensor(each) for each in tape.gradient(total, [tokens, *weights]))


@pytest.mark.parametrize("size", [1, 3, 7, 9])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_equals_all_at_once(chunks, call, size):
    layer = make()
    expected = with_gradients(layer, TOKENS, **call)
    used = chunks(size=size)
    assert_close(with_gradients(layer, TOKENS, **call), expected)
    assert used


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_equals_all_at_once_in_every_layer(chunks, options):
    layer = make(**options)
    call = CALLS["all"]
    expected = with_gradients(layer, TOKENS, **call)
    chunks()
    assert_close(with_gradients(layer, TOKENS, **call), expected)


@pytest.mark.parametrize("xla", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_equals_all_at_once_in_graphs(chunks, xla, known):
    import tensorflow as tf

    layer, call = make(), {"use_causal_mask": True, "value_mask": REAL}
    expected = with_gradients(layer, TOKENS, **call)
    used = chunks()
    spec = tf.TensorSpec((BATCH, LENGTH, WIDTH) if known else (None, None, WIDTH))

    @functools.partial(tf.function, input_signature=[spec], jit_compile=xla, autograph=False)
    def compiled(tokens):
        return with_gradients(layer, tokens, **call)

    assert_close(compiled(TOKENS), expected)
    assert used


def test_a_graph_takes_any_length():
    import tensorflow as tf

    layer = make()
    layer.dropout = 0.9  # of which there is none without training
    compiled = tf.function(layer, input_signature=[tf.TensorSpec((None, None, WIDTH))] * 2, autograph=False)
    for length in (1, LENGTH, 1100):
        tokens = np.resize(TOKENS, (1, length, WIDTH))
        expected, _ = layer(tokens, tokens, return_attention_scores=True)
        assert_close(compiled(tokens, tokens), expected)


def test_equals_all_at_once_of_other_keys_and_a_cache(chunks):
    layer = MultiHeadAttention(HEADS, 5)
    expected = layer(TOKENS, OTHERS)
    causal, cache = make(), ops.zeros((BATCH, 2, 9, HEADS, 5))
    call = {"use_causal_mask": True, "cache": cache, "cache_update_index": 2}
    expected_step = causal(TOKENS, TOKENS, **call)
    used = chunks()
    assert_close(layer(TOKENS, OTHERS), expected)
    assert_close(causal(TOKENS, TOKENS, **call), expected_step)
    assert len(used) == 2


def test_scores_that_are_asked_for_come(chunks):
    layer, call = make(), {"return_attention_scores": True, **CALLS["all"]}
    output, scores = layer(TOKENS, TOKENS, **call)
    used = chunks()
    assert_close(layer(TOKENS, TOKENS, **call), (output, scores))
    assert not used
    assert_close(layer(TOKENS, TOKENS, num_score_rows=2, **call), (output, scores[:, :, :2]))
    assert_close(layer(TOKENS, TOKENS, num_score_rows=LENGTH + 2, **call), (output, scores))
    assert len(used) == 2


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_trains_in_half_precision(chunks, dtype):
    layer = make(dtype=dtype)
    expected = with_gradients(layer, TOKENS, **CALLS["all"])
    chunks()
    for ours, theirs in zip(with_gradients(layer, TOKENS, **CALLS["all"]), expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert_close(ours, theirs, 0.1 if dtype == "mixed_bfloat16" else 1e-2)


def test_dropout_drops_the_same_in_the_gradient():
    import tensorflow as tf

    rate, seed = 0.4, np.array([3, 5])
    random = np.random.RandomState(0)
    shapes = [(1, 2, 300, 4), (1, 2, 4, 50), (1, 2, 50, 3)]
    given = [tf.constant(random.normal(size=shape), tf.float32) for shape in shapes]

    def attend(queries, keys, values):
        return attend_in_chunks(queries, keys, values, lambda first, count: None, rate, seed, size=70)

    # values of which each key has one of its own give the weights themselves
    weights = attend(*given[:2], tf.eye(50, batch_shape=(1, 2)))
    kept = numpy(weights / tf.nn.softmax(tf.matmul(*given[:2])))
    np.testing.assert_allclose(np.unique(kept.round(4)), [0.0, 1.6667])
    assert abs((kept > 0).mean() - 0.6) < 0.02
    assert len({tuple(kept[0, 0, first : first + 70].argmin(-1)) for first in (0, 70, 140, 210)}) == 4

    def at_once(queries, keys, values):
        return tf.matmul(tf.nn.softmax(tf.matmul(queries, keys)) * kept, values)

    outputs, gradients = [], []
    for function in (attend, at_once):
        with tf.GradientTape() as tape:
            tape.watch(given)
            outputs.append(function(*given))
            total = tf.reduce_sum(tf.sin(3 * outputs[-1]))
        gradients.append(tape.gradient(total, given))
    assert_close(outputs[0], outputs[1], 1e-4)
    assert_close(gradients[0], gradients[1], 1e-3)


def test_training_with_dropout_stays_in_chunks(chunks):
    layer = make(dropout=0.3)
    used = chunks()
    outputs = [numpy(layer(TOKENS, TOKENS, training=True)) for _ in range(2)]
    assert len(used) == 2
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3


def test_no_tensor_holds_all_scores():
    """At 1500 tokens no operation of the graph of a training step makes a tensor of (h, n, n)."""
    import tensorflow as tf

    length = 1500
    layer = make(dropout=0.1)

    @tf.function
    def step(tokens):
        return with_gradients(layer, tokens, training=True, use_causal_mask=True)

    definition = step.get_concrete_function(tf.TensorSpec((1, length, WIDTH))).graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
    shapes = [shape.dim for node in nodes for shape in node.attr["_output_shapes"].list.shape]
    sizes = [
        np.prod([each.size for each in shape], dtype="int64") for shape in shapes if all(each.size > 0 for each in shape)
    ]
    assert HEADS * 256 * length <= max(sizes) < HEADS * length * length / 4
