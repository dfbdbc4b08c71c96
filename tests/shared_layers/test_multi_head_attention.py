"""MultiHeadAttention against Keras's and KerasHub's, from the same weights, in every mode."""

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import MultiHeadAttention
from tests.checks import TOLERANCE, arrays_of, as_model, assert_close, check_fresh_process, check_layer, numpy

BATCH, QUERIES, KEYS, HEADS, WIDTH = 3, 7, 11, 2, 13
HALVES = ("mixed_float16", "mixed_bfloat16")


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


QUERY, VALUE, KEY = draw(BATCH, QUERIES, WIDTH), draw(BATCH, KEYS, 17, seed=1), draw(BATCH, KEYS, 19, seed=2)
MASK = np.random.RandomState(3).rand(BATCH, QUERIES, KEYS) > 0.4
MASK[..., 0] = True
HEAD_MASK = np.random.RandomState(4).rand(BATCH, HEADS, QUERIES, KEYS) > 0.4
HEAD_MASK[..., 0] = True
PADDING = np.arange(KEYS) < np.array([[KEYS], [5], [1]])
QUERY_PADDING = np.arange(QUERIES) < np.array([[QUERIES], [5], [3]])

LAYERS = {
    "plain": {},
    "gate": {"use_gate": True},
    "window": {"sliding_window": 3},
    "other widths": {"value_dim": 5, "output_shape": 23},
    "output of two axes": {"output_shape": (2, 3)},
    "no bias": {"use_bias": False},
}
CALLS = {
    "no mask": {},
    "causal": {"use_causal_mask": True},
    "attention mask": {"attention_mask": MASK},
    "attention mask of heads": {"attention_mask": HEAD_MASK},
    "padding": {"value_mask": PADDING},
    "key padding": {"key_mask": PADDING},
    "all": {"use_causal_mask": True, "attention_mask": MASK, "value_mask": PADDING},
}


def pair(*shapes, **options):
    """Theirs and ours, built on those shapes, with the same weights."""
    options = {"bias_initializer": "uniform", **options}
    theirs, ours = keras.layers.MultiHeadAttention(HEADS, 5, **options), MultiHeadAttention(HEADS, 5, **options)
    theirs.build(*shapes)
    ours.build(*shapes)
    ours.set_weights(theirs.get_weights())
    return theirs, ours


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("masks", CALLS.values(), ids=CALLS)
def test_equals_keras(options, masks):
    theirs, ours = pair(QUERY.shape, VALUE.shape, KEY.shape, **options)
    sees = MASK if masks else np.ones_like(MASK)
    expected, expected_scores = theirs(QUERY, VALUE, KEY, return_attention_scores=True, **masks)
    output, scores = ours(QUERY, VALUE, KEY, return_attention_scores=True, **masks)
    # a row that sees nothing: Keras leaves its mean or nothing, by path; ours zero, held below
    sees = numpy(scores).sum(-1) > 0.5  # (b, h, q)
    assert sees.mean() > 0.5
    expected_scores = np.where(sees[..., None], numpy(expected_scores), 0)
    assert_close(scores, expected_scores)
    rows = sees.all(1)  # (b, q)
    assert_close(numpy(output)[rows], numpy(expected)[rows])
    assert_close(numpy(ours(QUERY, VALUE, KEY, **masks))[rows], numpy(theirs(QUERY, VALUE, KEY, **masks))[rows])
    rows_only, leading = ours(QUERY, VALUE, KEY, return_attention_scores=True, num_score_rows=3, **masks)
    assert_close(rows_only, output)
    assert_close(leading, numpy(scores)[:, :, :3])
    assert ours.compute_output_shape(QUERY.shape, VALUE.shape, KEY.shape) == tuple(output.shape)


def test_takes_the_masks_that_keras_layers_leave():
    theirs, ours = pair(QUERY.shape, QUERY.shape)
    masked = keras.layers.Masking()(QUERY * QUERY_PADDING[..., None])
    output, scores = ours(masked, masked, return_attention_scores=True)
    expected = theirs(masked, masked)
    assert_close(numpy(output)[QUERY_PADDING], numpy(expected)[QUERY_PADDING])
    assert numpy(scores)[1, :, :, 5:].max() == 0


def test_takes_a_query_mask_by_hand():
    layer = MultiHeadAttention(HEADS, 5)
    _, scores = layer(QUERY, VALUE, query_mask=QUERY_PADDING, return_attention_scores=True)
    np.testing.assert_allclose(numpy(scores).sum(-1), np.repeat(QUERY_PADDING[:, None], HEADS, 1), atol=TOLERANCE)


@pytest.mark.parametrize("backend_cache", ["step by step", "whole", "read only"])
def test_cache_equals_kerashub(backend_cache):
    keras_nlp = pytest.importorskip("keras_nlp", reason="the layer to compare with is KerasHub's")
    theirs, ours = keras_nlp.layers.CachedMultiHeadAttention(HEADS, 5), MultiHeadAttention(HEADS, 5)
    theirs.build(QUERY.shape, QUERY.shape)
    ours.build(QUERY.shape, QUERY.shape)
    ours.set_weights(theirs.get_weights())
    cache = their_cache = ops.zeros((BATCH, 2, QUERIES, HEADS, 5))
    if backend_cache == "whole":
        calls = [(QUERY, 0)]
    elif backend_cache == "read only":
        cache = their_cache = draw(BATCH, 2, QUERIES, HEADS, 5)
        calls = [(QUERY, None)]
    else:
        calls = [(QUERY[:, :3], 0), *((QUERY[:, i : i + 1], i) for i in range(3, QUERIES))]
    outputs = []
    for part, index in calls:
        start = index or 0
        mask = np.arange(QUERIES)[None, None] <= np.arange(start, start + part.shape[1])[None, :, None]
        expected, their_cache = theirs(part, part, attention_mask=mask, cache=their_cache, cache_update_index=index)
        output, scores, cache = ours(
            part, part, use_causal_mask=True, cache=cache, cache_update_index=index, return_attention_scores=True
        )
        assert scores.shape == (BATCH, HEADS, part.shape[1], QUERIES)
        assert_close([output, cache], [expected, their_cache])
        outputs.append(output)
    if backend_cache == "step by step":
        assert_close(ops.concatenate(outputs, axis=1), ours(QUERY, QUERY, use_causal_mask=True))


def test_a_window_moves_with_the_cache():
    layer = MultiHeadAttention(HEADS, 5, sliding_window=3)
    whole, cache, outputs = layer(QUERY, QUERY, use_causal_mask=True), ops.zeros((BATCH, 2, QUERIES, HEADS, 5)), []
    for index in range(QUERIES):
        token = QUERY[:, index : index + 1]
        output, cache = layer(token, token, use_causal_mask=True, cache=cache, cache_update_index=index)
        outputs.append(output)
    assert_close(ops.concatenate(outputs, axis=1), whole)


def test_a_mask_of_what_goes_into_a_cache_hides_nothing_else():
    layer, cache = MultiHeadAttention(HEADS, 5), draw(BATCH, 2, QUERIES, HEADS, 5)
    for start, stop in ((0, 3), (3, 4)):
        rows = slice(start, stop)
        whole = np.ones_like(QUERY_PADDING)
        whole[:, rows] = QUERY_PADDING[:, rows]
        call = {"cache": cache, "cache_update_index": start, "return_attention_scores": True}
        expected = layer(QUERY[:, rows], QUERY[:, rows], value_mask=whole, **call)
        assert_close(layer(QUERY[:, rows], QUERY[:, rows], value_mask=QUERY_PADDING[:, rows], **call), expected)


@pytest.mark.parametrize("mask", [MASK[:1], MASK[:, :1], HEAD_MASK[:1, :, :1], HEAD_MASK[:, :1]], ids=lambda x: str(x.shape))
def test_axes_of_size_1_of_an_attention_mask_broadcast(mask):
    layer, whole = MultiHeadAttention(HEADS, 5), mask if mask.ndim == 4 else mask[:, None]
    whole = np.broadcast_to(whole, HEAD_MASK.shape)
    assert_close(layer(QUERY, VALUE, attention_mask=mask), layer(QUERY, VALUE, attention_mask=whole))


def attend_by_hand(layer, tokens, wavelength):
    """Causal attention one head, query and key at a time; pairs of channels as complex numbers, turned by their position."""
    query, key, value = (
        np.einsum("nd,dhe->hne", tokens, numpy(dense.kernel)) + numpy(dense.bias)[:, None]
        for dense in (layer.query_dense, layer.key_dense, layer.value_dense)
    )
    frequencies = wavelength ** -(np.arange(3) / 3)
    output = np.zeros((len(tokens), HEADS, 6))
    for head in range(HEADS):
        turned = [
            [(row[:3] + 1j * row[3:]) * np.exp(1j * position * frequencies) for position, row in enumerate(rows[head])]
            for rows in (query, key)
        ]
        for place in range(len(tokens)):
            scores = [np.exp((turned[0][place] @ other.conj()).real / np.sqrt(6)) for other in turned[1][: place + 1]]
            output[place, head] = np.array(scores) / sum(scores) @ value[head, : place + 1]
    return np.einsum("nhe,hed->nd", output, numpy(layer.output_dense.kernel)) + numpy(layer.output_dense.bias)


@pytest.mark.parametrize("wavelength", [10000, 7.0])
def test_rotary_positions_equal_complex_numbers_by_hand(wavelength):
    layer = MultiHeadAttention(HEADS, 6, rotary_max_wavelength=wavelength, bias_initializer="uniform")
    output, _ = layer(QUERY, QUERY, use_causal_mask=True, return_attention_scores=True)
    for row in range(BATCH):
        assert_close(output[row], attend_by_hand(layer, QUERY[row], wavelength))
    plain = MultiHeadAttention(HEADS, 6)
    plain.build(QUERY.shape, QUERY.shape)
    plain.set_weights(layer.get_weights())  # the same ones, Keras's
    assert np.abs(numpy(plain(QUERY, QUERY, use_causal_mask=True) - output)).max() > 1e-3
    assert_close(layer(QUERY, QUERY, use_causal_mask=True), output)


@pytest.mark.parametrize("parts", [[1] * QUERIES, [3, 1, 3]], ids=str)
def test_rotary_positions_go_on_with_the_cache(parts):
    layer = MultiHeadAttention(HEADS, 6, rotary_max_wavelength=10000)
    whole, cache, outputs = layer(QUERY, QUERY, use_causal_mask=True), ops.zeros((BATCH, 2, QUERIES, HEADS, 6)), []
    for part in np.split(QUERY, np.cumsum(parts)[:-1], axis=1):
        start = sum(output.shape[1] for output in outputs)
        output, cache = layer(part, part, use_causal_mask=True, cache=cache, cache_update_index=start)
        outputs.append(output)
    assert_close(ops.concatenate(outputs, axis=1), whole)


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
@pytest.mark.parametrize("options", [{}, {"return_attention_scores": True}, {"training": True}], ids=str)
def test_a_query_that_may_attend_to_nothing_gets_zeros(dtype, options):
    layer = MultiHeadAttention(HEADS, 5, dropout=0.1, dtype=dtype)
    mask = MASK.copy()
    mask[:, 2] = False
    outputs = layer(100 * QUERY, VALUE, attention_mask=mask, **options)
    output = numpy(outputs[0] if isinstance(outputs, tuple) else outputs)
    assert np.isfinite(output).all()
    assert (output[:, 2] == 0).all()  # the output bias starts at zero
    assert (output[:, 3] != 0).any()


def test_scores_are_float32_probabilities_before_dropout():
    layer = MultiHeadAttention(HEADS, 5, dropout=0.5, dtype="mixed_float16")
    output, scores = layer(QUERY, VALUE, return_attention_scores=True, training=True)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=TOLERANCE)
    assert np.abs(numpy(output) - numpy(layer(QUERY, VALUE))).max() > 0.01  # but the output was dropped


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize(
    "asked", [{}, {"return_attention_scores": True}, {"return_attention_scores": True, "num_score_rows": 2}]
)
def test_nothing_leaks_from_the_future(options, asked):
    _, layer = pair(QUERY.shape, QUERY.shape, **options)
    for start in range(1, QUERIES):
        changed = np.where(np.arange(QUERIES)[:, None] >= start, 1 - QUERY, QUERY)
        before, after = (layer(x, x, use_causal_mask=True, **asked) for x in (QUERY, changed))
        before, after = (x[0] if asked else x for x in (before, after))
        assert_close(after[:, :start], before[:, :start])
        assert np.abs(numpy(after - before)[:, start:]).max() > 1e-3


@pytest.mark.parametrize(
    ("init", "call"),
    [
        ({}, {}),
        ({"use_gate": True, "value_dim": 7, "dropout": 0.1, "seed": 3}, {}),
        ({"sliding_window": 3}, {"return_attention_scores": True}),
        ({"key_dim": 6, "rotary_max_wavelength": 100.0}, {}),
        ({"output_shape": 17}, {"return_attention_scores": True, "num_score_rows": 1}),
    ],
    ids=["plain", "gate", "window and scores", "rotary", "score rows"],
)
def test_contracts(init, call):
    inputs = {"query": QUERY, "value": QUERY, **call}
    if "return_attention_scores" in call:
        check_layer(MultiHeadAttention, {"num_heads": HEADS, "key_dim": 5, **init}, inputs)
    else:
        check_layer(
            MultiHeadAttention,
            {"num_heads": HEADS, "key_dim": 5, **init},
            inputs,
            tokens=("query", "value"),
            padding_mask="value_mask",
            attention_mask="attention_mask",
            causal={"use_causal_mask": True},
        )


def test_a_functional_model_has_the_scores_and_the_cache():
    """In a process of its own too. What trains asks for no cache: TensorFlow has no gradient of its update."""
    layer = MultiHeadAttention(HEADS, 5, dtype="mixed_float16")
    cache = draw(BATCH, 2, QUERIES, HEADS, 5)
    call = {"query": QUERY[:, :2], "value": QUERY[:, :2], "cache": cache, "cache_update_index": 3}
    call |= {"return_attention_scores": True, "use_causal_mask": True}
    check_fresh_process(as_model(layer, call), arrays_of(call), numpy(layer(**call)), MultiHeadAttention.__module__)


def test_a_functional_model_of_any_length_gives_all_that_is_asked_for():
    layer, inputs = MultiHeadAttention(HEADS, 5), [keras.Input((None, x.shape[-1])) for x in (QUERY, VALUE)]
    inputs.append(keras.Input((None,), dtype="bool"))
    outputs = layer(*inputs[:2], value_mask=inputs[2], return_attention_scores=True)
    assert [x.shape for x in outputs] == [(None, None, WIDTH), (None, HEADS, None, None)]
    expected = layer(QUERY, VALUE, value_mask=PADDING, return_attention_scores=True)
    assert_close(keras.Model(inputs, outputs)([QUERY, VALUE, PADDING]), expected)


@pytest.mark.parametrize("size", [0, -1, 2.0])
@pytest.mark.parametrize("name", ["num_heads", "key_dim", "value_dim"])
def test_refuses_sizes_that_are_no_positive_ints(name, size):
    with pytest.raises(ValueError, match=f"`{name}` should be a positive int. Received: {name}={size}"):
        MultiHeadAttention(**{"num_heads": HEADS, "key_dim": 5, name: size})


def test_refuses_other_attention_axes():
    with pytest.raises(ValueError, match=r"`attention_axes` should be None or 1: .* Received: attention_axes=\(1, 2\)"):
        MultiHeadAttention(HEADS, 5, attention_axes=(1, 2))


def test_refuses_values_and_keys_of_different_lengths():
    with pytest.raises(ValueError, match=r"`value` and `key` should have the same length\. Received: value_shape="):
        MultiHeadAttention(HEADS, 5).build(QUERY.shape, VALUE.shape, QUERY.shape)


def test_refuses_an_update_without_a_cache():
    with pytest.raises(
        ValueError, match=r"`cache_update_index` needs a `cache` to write to\. Received: .*cache_update_index=3"
    ):
        MultiHeadAttention(HEADS, 5)(QUERY, QUERY, cache_update_index=3)


@pytest.mark.parametrize(
    ("name", "mask", "expected"),
    [
        ("query_mask", PADDING, r"\(3, 7\)\. Received: query_mask\.shape=\(3, 11\)"),
        ("value_mask", PADDING[:, :1], r"\(3, 11\)\. Received: value_mask\.shape=\(3, 1\)"),
        ("key_mask", QUERY_PADDING, r"\(3, 11\)\. Received: key_mask\.shape=\(3, 7\)"),
        (
            "attention_mask",
            PADDING,
            r"\(3, 7, 11\) or \(3, 2, 7, 11\), or axes of size 1\. Received: attention_mask\.shape=\(3, 11\)",
        ),
        ("attention_mask", MASK[..., :5], r"\(3, 7, 11\) or .* Received: attention_mask\.shape=\(3, 7, 5\)"),
    ],
)
def test_refuses_masks_of_another_shape(name, mask, expected):
    with pytest.raises(ValueError, match=f"`{name}` should have shape {expected}"):
        MultiHeadAttention(HEADS, 5)(QUERY, VALUE, KEY, **{name: mask})
