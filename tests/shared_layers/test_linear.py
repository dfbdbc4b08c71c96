"""Linear against Keras's Dense and EinsumDense, from the same weights."""

import keras
import numpy as np
import pytest

from shared_layers import Linear
from tests.checks import assert_close, check_layer

INPUTS = np.random.RandomState(0).normal(size=(2, 5, 7, 3)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [{"output_shape": 11, "activation": "gelu"}, {"output_shape": (5, 2), "input_axes": 2, "use_bias": False}],
    ids=["one axis", "several axes"],
)
def test_contracts(options):
    check_layer(Linear, options, INPUTS)


@pytest.mark.parametrize("activation", [None, "gelu", "relu"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("leading", [(2,), (2, 5), (2, 5, 3)])
def test_equals_dense(activation, use_bias, leading):
    inputs = np.random.RandomState(1).normal(size=(*leading, 7)).astype("float32")
    options = {"activation": activation, "use_bias": use_bias, "bias_initializer": "uniform"}
    theirs, ours = keras.layers.Dense(11, **options), Linear(11, **options)
    expected = theirs(inputs)
    ours.build(inputs.shape)
    ours.set_weights(theirs.get_weights())
    assert_close(ours(inputs), expected)
    assert ours.compute_output_shape(inputs.shape) == (*leading, 11)


@pytest.mark.parametrize(
    ("equation", "output_shape", "input_axes", "bias_axes"),
    [("bnxy,yhe->bnxhe", (2, 11), 1, "he"), ("bnxy,xyd->bnd", (13,), 2, "d"), ("bnxy,xyhe->bnhe", (2, 11), 2, "he")],
)
def test_equals_einsum_dense(equation, output_shape, input_axes, bias_axes):
    leading = (None,) * (3 - input_axes)
    theirs = keras.layers.EinsumDense(equation, (*leading, *output_shape), bias_axes=bias_axes, bias_initializer="uniform")
    expected = theirs(INPUTS)
    ours = Linear(output_shape, input_axes=input_axes)
    ours.build(INPUTS.shape)
    ours.set_weights(theirs.get_weights())
    assert_close(ours(INPUTS), expected)
    assert ours.compute_output_shape(INPUTS.shape) == tuple(expected.shape)


def test_one_initializer_object_gives_each_layer_its_own_values():
    initializer = keras.initializers.GlorotUniform()
    one, two = Linear(11, kernel_initializer=initializer), Linear(11, kernel_initializer=initializer)
    for layer in (one, two):
        layer.build(INPUTS.shape)
    assert np.abs(one.get_weights()[0] - two.get_weights()[0]).max() > 0.01


def test_regularizer_and_constraint_act_on_the_kernel():
    layer = Linear(11, kernel_regularizer="l2", kernel_constraint="non_neg")
    layer.build(INPUTS.shape)
    assert_close(layer.losses[0], 0.01 * (layer.get_weights()[0] ** 2).sum())
    assert isinstance(layer.kernel.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize("output_shape", [0, -3, (), (5, 0), (5, 2.0)])
def test_refuses_an_output_axis_that_is_not_positive(output_shape):
    with pytest.raises(ValueError, match=r"`output_shape` should be one or more positive ints\. Received: output_shape="):
        Linear(output_shape)
