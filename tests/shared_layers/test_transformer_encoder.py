"""TransformerEncoder against KerasHub's from the same weights; its additions against their parts."""

import keras
import numpy as np
import pytest

from shared_layers import MultiHeadAttention, TransformerEncoder
from tests.checks import arrays_of, as_model, assert_close, check_fresh_process, check_layer, numpy

INPUTS = np.random.RandomState(0).normal(size=(3, 7, 10)).astype("float32")
MASK = np.random.RandomState(1).rand(3, 7, 7) > 0.4
MASK[:, range(7), range(7)] = True
PADDING = np.arange(7) < np.array([[7], [5], [3]])
OPTIONS = {
    "post-norm": {},
    "pre-norm": {"normalize_first": True},
    "gelu": {"activation": "gelu", "layer_norm_epsilon": 1e-3, "normalize_first": True},
}
MASKS = {
    "no mask": {},
    "padding": {"padding_mask": PADDING},
    "attention": {"attention_mask": MASK},
    "both": {"padding_mask": PADDING, "attention_mask": MASK | (np.arange(7) == 0)},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_equals_kerashub(options, masks):
    keras_nlp = pytest.importorskip("keras_nlp", reason="the layer to compare with is KerasHub's")
    options = {"intermediate_dim": 11, "num_heads": 2, "bias_initializer": "uniform", **options}
    theirs, ours = keras_nlp.layers.TransformerEncoder(**options), TransformerEncoder(**options)
    theirs.build(INPUTS.shape)
    ours.build(INPUTS.shape)
    ours.set_weights(theirs.get_weights())
    expected, expected_scores = theirs(INPUTS, return_attention_scores=True, **masks)
    output, scores = ours(INPUTS, return_attention_scores=True, **masks)
    assert_close([output, scores], [expected, expected_scores])
    assert_close(ours(INPUTS, **masks), expected)
    rows_only, leading = ours(INPUTS, return_attention_scores=True, num_score_rows=3, **masks)
    assert_close([rows_only, leading], [expected, numpy(expected_scores)[:, :, :3]])


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.1},
        {
            "normalize_first": True,
            "feed_forward": "swiglu",
            "layer_scale_init": 0.7,
            "drop_path": 0.1,
            "attention_dropout": 0.0,
            "activation": "gelu",
        },
    ],
    ids=["post-norm", "pre-norm with everything"],
)
def test_contracts(options):
    check_layer(
        TransformerEncoder,
        {"intermediate_dim": 11, "num_heads": 2, **options},
        INPUTS,
        tokens=("inputs",),
        padding_mask="padding_mask",
        attention_mask="attention_mask",
        causal={"attention_mask": np.tril(np.ones((3, 7, 7), bool))},
    )


def test_a_functional_model_has_the_scores():
    layer, call = TransformerEncoder(11, 2), {"inputs": INPUTS, "return_attention_scores": True, "num_score_rows": 1}
    check_fresh_process(as_model(layer, call), arrays_of(call), numpy(layer(**call)), TransformerEncoder.__module__)


def test_a_functional_model_of_any_length_takes_and_leaves_the_masks_of_keras_layers():
    tokens, inputs = np.array([[3, 1, 0], [2, 0, 0]]), keras.Input((None,), dtype="int32")
    embed, layer = keras.layers.Embedding(5, 10, mask_zero=True), TransformerEncoder(11, 2, normalize_first=True)
    output, scores = layer(embed(inputs), return_attention_scores=True)
    assert scores.shape == (None, 2, None, None)
    found = keras.Model(inputs, [output, scores, keras.layers.GlobalAveragePooling1D()(output)])(tokens)
    output, scores = layer(numpy(embed(tokens)), padding_mask=tokens > 0, return_attention_scores=True)
    real = (tokens > 0)[..., None]
    assert_close(numpy(found[0]) * real, numpy(output) * real)
    assert_close(numpy(found[1]), numpy(scores) * real[:, None])
    assert_close(found[2], (numpy(output) * real).sum(1) / real.sum(1))


def test_layer_scale_of_zero_passes_the_inputs_on():
    layer = TransformerEncoder(11, 2, normalize_first=True, layer_scale_init=0.0)
    assert_close(layer(INPUTS), INPUTS)


def test_layer_scale_of_one_changes_nothing():
    plain = TransformerEncoder(11, 2, normalize_first=True)
    scaled = TransformerEncoder(11, 2, normalize_first=True, layer_scale_init=1.0)
    expected = plain(INPUTS)
    scaled.build(INPUTS.shape)
    scaled.set_weights([*plain.get_weights(), np.ones(10), np.ones(10)])
    assert_close(scaled(INPUTS), expected)


def test_rotary_positions_are_those_of_its_attention():
    inputs = np.random.RandomState(0).normal(size=(3, 7, 12)).astype("float32")
    layer = TransformerEncoder(11, 2, rotary_max_wavelength=100.0)
    output, scores = layer(inputs, return_attention_scores=True)
    attention = MultiHeadAttention(2, 6, rotary_max_wavelength=100.0)
    attention.build(inputs.shape, inputs.shape)
    attention.set_weights(layer.attention.get_weights())
    assert_close(scores, attention(inputs, inputs, return_attention_scores=True)[1])
    reversed_output = layer(inputs[:, ::-1])
    assert np.abs(numpy(reversed_output)[:, ::-1] - numpy(output)).max() > 1e-3


def test_drop_path_passes_whole_examples_on():
    inputs = np.random.RandomState(0).normal(size=(211, 3, 10)).astype("float32")
    layer = TransformerEncoder(11, 2, normalize_first=True, drop_path=0.5)
    unchanged = (numpy(layer(inputs, training=True)) == inputs).all((1, 2))
    assert 0.1 < unchanged.mean() < 0.4  # both branches dropped: a quarter
    assert not (numpy(layer(inputs)) == inputs).all((1, 2)).any()


def test_refuses_an_unknown_feed_forward():
    with pytest.raises(
        ValueError, match=r"`feed_forward` should be one of \['mlp', 'swiglu'\]\. Received: feed_forward='mpl'"
    ):
        TransformerEncoder(11, 2, feed_forward="mpl")


@pytest.mark.parametrize("name", ["intermediate_dim", "num_heads"])
def test_refuses_sizes_that_are_no_positive_ints(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be a positive int\. Received: {name}=0"):
        TransformerEncoder(**{"intermediate_dim": 11, "num_heads": 2, name: 0})


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` should divide the width 10\. Received: num_heads=3"):
        TransformerEncoder(11, 3).build(INPUTS.shape)


def test_refuses_masks_of_another_shape():
    with pytest.raises(ValueError, match=r"`padding_mask` should have shape \(3, 7\)\. Received: .*\(3, 7, 7\)"):
        TransformerEncoder(11, 2)(INPUTS, padding_mask=MASK)
    with pytest.raises(ValueError, match=r"`padding_mask` should have shape \(3, 7\)\. Received: .*\(3, 1\)"):
        TransformerEncoder(11, 2)(INPUTS, padding_mask=PADDING[:, :1])
