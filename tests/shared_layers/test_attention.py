"""Attention against Keras's two layers from the same weights; what Keras has not, against its parts."""

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import Attention, additive, concat, dot, general, hard_sample, hard_topk, reinforce, scaled_dot, soft
from tests.checks import assert_close, check_layer, gradient_of, numpy

BATCH, QUERIES, KEYS, WIDTH, KEY_WIDTH, VALUE_WIDTH, UNITS = 3, 7, 5, 11, 13, 2, 17


def draw(*shape, seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype("float32")


QUERY, KEY = draw(BATCH, QUERIES, WIDTH), draw(BATCH, KEYS, WIDTH, seed=1)
VALUE, OTHER_KEY = draw(BATCH, KEYS, VALUE_WIDTH, seed=2), draw(BATCH, KEYS, KEY_WIDTH, seed=3)
QUERY_MASK = np.arange(QUERIES) < np.array([[QUERIES], [4], [1]])
VALUE_MASK = np.arange(KEYS) < np.array([[KEYS], [3], [1]])

THEIRS = {
    "dot": (keras.layers.Attention, {}, {}),
    "scaled by a weight": (keras.layers.Attention, {"use_scale": True}, {"use_scale": True}),
    "concat": (keras.layers.Attention, {"score_mode": "concat"}, {"score_mode": "concat"}),
    "concat with a scale": (
        keras.layers.Attention,
        {"use_scale": True, "score_mode": "concat"},
        {"use_scale": True, "score_mode": "concat"},
    ),
    "additive": (keras.layers.AdditiveAttention, {}, {"score_mode": "additive"}),
    "additive without a scale": (
        keras.layers.AdditiveAttention,
        {"use_scale": False},
        {"use_scale": False, "score_mode": "additive"},
    ),
}
CALLS = {
    "no mask": {},
    "value mask": {"mask": [None, VALUE_MASK]},
    "both masks": {"mask": [QUERY_MASK, VALUE_MASK]},
    "causal": {"use_causal_mask": True},
    "all": {"mask": [QUERY_MASK, VALUE_MASK], "use_causal_mask": True},
}
INPUTS = {"two": [QUERY, KEY], "three": [QUERY, VALUE, KEY], "self": [KEY, KEY]}


@pytest.mark.parametrize(("theirs", "their_options", "options"), THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("inputs", INPUTS.values(), ids=INPUTS)
def test_equals_keras(theirs, their_options, options, call, inputs):
    if inputs[0] is KEY and call.get("mask", [None])[0] is not None:
        call = {**call, "mask": [VALUE_MASK, VALUE_MASK]}
    theirs, ours = theirs(**their_options), Attention(**options)
    theirs.build([x.shape for x in inputs])
    ours.build([x.shape for x in inputs])
    theirs.set_weights([draw(*weight.shape, seed=9) for weight in theirs.weights])
    ours.set_weights(theirs.get_weights())
    expected = theirs(inputs, return_attention_scores=True, **call)
    assert_close(ours(inputs, return_attention_scores=True, **call), expected, 1e-6)
    assert_close(ours(inputs, **call), theirs(inputs, **call), 1e-6)
    assert ours.compute_output_shape([x.shape for x in inputs]) == tuple(expected[0].shape)


def test_takes_and_leaves_the_masks_of_keras_layers():
    tokens = np.array([[3, 1, 0], [2, 0, 0]])
    embedded = keras.layers.Embedding(5, WIDTH, mask_zero=True)(tokens)
    output, scores = Attention()([embedded, embedded], return_attention_scores=True)
    expected = keras.layers.Attention()([embedded, embedded])
    assert_close(output, expected, 1e-6)
    assert (numpy(scores) > 0).tolist() == np.repeat((tokens > 0)[:, None], 3, axis=1).tolist()
    np.testing.assert_array_equal(numpy(Attention().compute_mask([embedded] * 2, [tokens > 0, None])), tokens > 0)
    pooled = keras.layers.GlobalAveragePooling1D()
    assert_close(pooled(output), pooled(expected))  # reads the mask that the output carries


def weights_of(layer):
    return {weight.name: numpy(weight.value) for weight in layer.weights}


PARTS = {
    "scaled_dot": ({"score_mode": "scaled_dot"}, KEY, lambda w: scaled_dot(QUERY, KEY)),
    "scaled_dot with a scale": (
        {"score_mode": "scaled_dot", "use_scale": True},
        KEY,
        lambda w: scaled_dot(QUERY, KEY) * w["scale"],
    ),
    "general": ({"score_mode": "general"}, OTHER_KEY, lambda w: general(QUERY, OTHER_KEY, w["kernel"])),
    "additive": (
        {"score_mode": "additive", "units": UNITS},
        OTHER_KEY,
        lambda w: additive(QUERY, OTHER_KEY, w["scale"], w["query_kernel"], w["key_kernel"]),
    ),
    "additive without a vector": (
        {"score_mode": "additive", "units": UNITS, "use_scale": False},
        OTHER_KEY,
        lambda w: additive(QUERY, OTHER_KEY, np.ones(UNITS, "float32"), w["query_kernel"], w["key_kernel"]),
    ),
    "concat": (
        {"score_mode": "concat", "units": UNITS},
        OTHER_KEY,
        lambda w: concat(QUERY, OTHER_KEY, np.concatenate([w["query_kernel"], w["key_kernel"]]), w["scale"]),
    ),
    "concat_linear": ({"score_mode": "concat_linear"}, OTHER_KEY, lambda w: concat(QUERY, OTHER_KEY, w["kernel"])),
}


@pytest.mark.parametrize(("options", "key", "score"), PARTS.values(), ids=PARTS)
def test_scores_are_those_of_the_functions(options, key, score):
    layer = Attention(**options)
    output, weights = layer([QUERY, VALUE, key], return_attention_scores=True)
    layer.set_weights([weight * 1.5 for weight in layer.get_weights()])  # no scale stays at one
    output, weights = layer([QUERY, VALUE, key], return_attention_scores=True)
    assert_close(weights, soft(score(weights_of(layer))))
    assert_close(output, ops.matmul(weights, VALUE))
    projected = layer.project_keys(key)
    assert_close(layer([QUERY, VALUE, projected], keys_are_projected=True), output)


@pytest.mark.parametrize("options", [{}, {"selection": "hard_topk"}, {"selection": "hard_sample"}], ids=str)
def test_one_query_needs_no_axis(options):
    layer = Attention(score_mode="additive", units=UNITS, **options)
    call = {"return_attention_scores": True, "mask": [QUERY_MASK[:, :1], VALUE_MASK]}
    expected = layer([QUERY[:, :1], VALUE, KEY], **call)
    call["mask"] = [QUERY_MASK[:, 0], VALUE_MASK]
    output, scores = layer([QUERY[:, 0], VALUE, KEY], **call)
    assert output.shape == (BATCH, VALUE_WIDTH)
    assert scores.shape == (BATCH, KEYS)
    assert_close([output, scores], [x[:, 0] for x in expected])
    assert layer.compute_output_shape([(BATCH, WIDTH), VALUE.shape, KEY.shape]) == (BATCH, VALUE_WIDTH)


@pytest.mark.parametrize(
    ("options", "select"),
    [
        ({"selection": "hard_topk"}, lambda scores, mask: hard_topk(scores, 1, mask)),
        (
            {"selection": "hard_topk", "num_selected": 3, "renormalize": True},
            lambda scores, mask: hard_topk(scores, 3, mask, renormalize=True),
        ),
        (
            {"selection": "hard_sample", "num_selected": 2},
            lambda scores, mask: hard_sample(scores, 2, mask, training=False)[0],
        ),
    ],
    ids=["top 1", "renormalized top 3", "sample"],
)
def test_selections_are_those_of_the_functions(options, select):
    mask = np.random.RandomState(4).rand(BATCH, QUERIES, KEYS) > 0.4
    output, weights = Attention(**options)([QUERY, VALUE, KEY], mask=[None, mask], return_attention_scores=True)
    assert_close(weights, select(dot(QUERY, KEY), mask))
    assert_close(output, ops.matmul(weights, VALUE))


def test_the_mask_of_the_key_counts():
    _, weights = Attention()([QUERY, VALUE, KEY], mask=[None, None, VALUE_MASK], return_attention_scores=True)
    assert_close(weights, soft(dot(QUERY, KEY), VALUE_MASK[:, None]))


def test_draws_change_in_training_and_never_at_inference():
    layer = Attention(selection="hard_sample", seed=3)
    first, second = (numpy(layer([QUERY, KEY], training=True, return_attention_scores=True)[1]) for _ in range(2))
    assert (first.sum(-1) == 1).all()
    assert (first != second).any()
    again = Attention(selection="hard_sample", seed=3)([QUERY, KEY], training=True, return_attention_scores=True)[1]
    np.testing.assert_array_equal(numpy(again), first)
    assert_close(layer([QUERY, KEY]), layer([QUERY, KEY]))


def test_dropout_falls_on_the_weights_and_not_on_the_scores():
    layer = Attention(dropout=0.5, seed=1)
    output, scores = layer([QUERY, KEY], training=True, return_attention_scores=True)
    assert_close(scores, soft(dot(QUERY, KEY)))
    assert np.abs(numpy(output) - numpy(layer([QUERY, KEY]))).max() > 0.01


def test_reinforce_gives_the_log_probability_of_the_draws_and_no_other_gradient():
    layer = Attention(selection="hard_sample", gradient="reinforce", seed=1)
    mask = [QUERY_MASK, VALUE_MASK]

    def log_probability(query):
        return layer([query, KEY], mask, training=True, return_log_probability=True)[1]

    found = numpy(log_probability(QUERY))
    probabilities = numpy(soft(dot(QUERY, KEY), VALUE_MASK[:, None]))
    assert (found[~QUERY_MASK] == 0).all()
    drawn = np.abs(np.log(np.maximum(probabilities, 1e-30)) - found[..., None]).min(-1)  # one key's, at each query
    assert drawn[QUERY_MASK].max() < 1e-4

    def loss(query, reads_the_draw):
        output, log_probability = layer([query, KEY], mask, training=True, return_log_probability=True)
        losses = ops.sum(ops.square(output), axis=(1, 2))
        return ops.sum(reinforce(losses, ops.sum(log_probability, axis=1)) if reads_the_draw else losses)

    np.testing.assert_array_equal(gradient_of(lambda query: loss(query, False), QUERY), 0)
    gradient = gradient_of(lambda query: loss(query, True), QUERY)
    assert np.abs(gradient[QUERY_MASK]).max() > 1e-3
    assert (gradient[~QUERY_MASK] == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("selection", ["soft", "hard_topk", "hard_sample"])
@pytest.mark.parametrize("score_mode", ["dot", "additive", "concat"])
def test_a_query_that_may_attend_to_nothing_gets_zeros(dtype, selection, score_mode):
    layer = Attention(score_mode=score_mode, selection=selection, dtype=dtype)
    mask = np.arange(KEYS) < np.array([[KEYS], [0], [2]])
    output, scores = layer([10 * QUERY, KEY], [None, mask], training=True, return_attention_scores=True)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    for found in (numpy(output), numpy(scores)):
        assert np.isfinite(found).all()
        assert (found[1] == 0).all()
        assert (found[0] != 0).any()


@pytest.mark.parametrize("options", [{}, {"selection": "hard_topk"}, {"score_mode": "additive", "units": UNITS}], ids=str)
def test_nothing_leaks_from_the_future(options):
    layer = Attention(**options)
    before = numpy(layer([QUERY, QUERY], use_causal_mask=True))
    for start in range(1, QUERIES):
        changed = np.where(np.arange(QUERIES)[:, None] >= start, 1 - 3 * QUERY, QUERY)
        after = numpy(layer([changed, changed], use_causal_mask=True))
        assert_close(after[:, :start], before[:, :start])
        assert np.abs(after[:, start:] - before[:, start:]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"dropout": 0.1, "use_scale": True}, {"mask": [QUERY_MASK, VALUE_MASK]}),
        ({"score_mode": "scaled_dot", "use_scale": True}, {"use_causal_mask": True}),
        ({"score_mode": "general"}, {}),
        ({"score_mode": "additive", "units": UNITS}, {"return_attention_scores": True}),
        ({"score_mode": "concat", "use_scale": True}, {}),
        ({"score_mode": "concat_linear", "selection": "hard_topk"}, {}),
        ({"score_mode": "general", "selection": "hard_sample", "num_selected": 2}, {}),
        ({"selection": "hard_sample", "gradient": "reinforce"}, {"return_log_probability": True}),
    ],
    ids=lambda options: options.get("score_mode", "dot") if isinstance(options, dict) else None,
)
def test_contracts(options, call):
    check_layer(Attention, options, {"inputs": [QUERY, VALUE, KEY], **call})


def test_a_functional_model_of_any_length_gives_all_that_is_asked_for():
    layer = Attention(selection="hard_sample")
    asked = {"return_attention_scores": True, "return_log_probability": True}
    inputs = [keras.Input((None, WIDTH)), keras.Input((None, WIDTH)), keras.Input((None,), dtype="bool")]
    outputs = layer(inputs[:2], mask=[None, inputs[2]], **asked)
    assert [x.shape for x in outputs] == [(None, None, WIDTH), (None, None, None), (None, None)]
    found = keras.Model(inputs, outputs)([QUERY, KEY, VALUE_MASK])
    assert_close(found, layer([QUERY, KEY], mask=[None, VALUE_MASK], **asked))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_mode": "adative"}, r"Unknown score_mode; did you mean 'additive'\? Received: score_mode='adative'"),
        ({"selection": "?"}, r"Unknown selection; expected one of 'hard_sample', 'hard_topk', 'soft'\. Received"),
        ({"gradient": "reinforced"}, r"Unknown gradient; did you mean 'reinforce'\? Received: gradient='reinforced'"),
        ({"num_selected": 0}, r"`num_selected` should be a positive int\. Received: num_selected=0"),
        ({"score_mode": "additive", "units": -3}, r"`units` should be a positive int\. Received: units=-3"),
        ({"units": 3}, r"`units` is an option of the score modes .*Received: units=3, score_mode='dot'"),
        ({"renormalize": True}, r"`renormalize` is an option of .*Received: renormalize=True, selection='soft'"),
        ({"num_selected": 3}, r"`num_selected` is an option of .*Received: num_selected=3, selection='soft'"),
        (
            {"gradient": "reinforce", "selection": "hard_topk"},
            r"`gradient` is an option of .*'hard_sample'\. Received: gradient='reinforce', selection='hard_topk'",
        ),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        Attention(**options)


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        (
            {},
            {"inputs": QUERY},
            r"`inputs` should be a list \[query, value\] or .*Received: inputs=one of shape \(3, 7, 11\)",
        ),
        ({}, {"inputs": [QUERY]}, r"`inputs` should be a list \[query, value\] or .*Received: inputs=a list of 1"),
        (
            {},
            {"mask": VALUE_MASK},
            r"`mask` should be a list \[query_mask, value_mask\] or .*Received: mask=one of shape \(3, 5\)",
        ),
        *(
            (
                {},
                {"mask": [None, mask]},
                rf"`value_mask` should have shape \(3, 5\) or \(3, 7, 5\)\. Received: value_mask\.shape=\({shape}\)",
            )
            for mask, shape in (
                (VALUE_MASK[0], "5,"),
                (VALUE_MASK[:, :1], "3, 1"),
                (QUERY_MASK, "3, 7"),
                (VALUE_MASK[:, None], "3, 1, 5"),
            )
        ),
        (
            {},
            {"mask": [None, None, VALUE_MASK[:, None]]},
            r"`key_mask` should have shape \(3, 5\)\. Received: key_mask\.shape=\(3, 1, 5\)",
        ),
        (
            {},
            {"mask": [VALUE_MASK, None]},
            r"`query_mask` should have shape \(3, 7\)\. Received: query_mask\.shape=\(3, 5\)",
        ),
        ({}, {"return_log_probability": True}, r"`return_log_probability` is an option .*Received: .*selection='soft'"),
        (
            {"selection": "hard_sample", "gradient": "reinforce"},
            {"training": True},
            r"With `gradient='reinforce'` .*Received: training=True, return_log_probability=False",
        ),
        ({}, {"keys_are_projected": True}, r"Projected keys should be the third .*Received: keys_are_projected=True"),
    ],
)
def test_refuses_calls(options, call, message):
    with pytest.raises(ValueError, match=message):
        Attention(**options)(**{"inputs": [QUERY, KEY], **call})
