"""MLP and SwiGLU against two Dense layers and against their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import MLP, SwiGLU
from tests.checks import assert_close, check_layer, numpy

INPUTS = np.random.RandomState(0).normal(size=(2, 5, 7)).astype("float32")


@pytest.mark.parametrize("layer_class", [MLP, SwiGLU])
def test_contracts(layer_class):
    check_layer(layer_class, {"intermediate_dim": 11, "dropout": 0.1}, INPUTS)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_mlp_equals_two_dense_layers(activation):
    theirs = keras.Sequential([keras.layers.Dense(11, activation=activation), keras.layers.Dense(7)])
    expected = theirs(INPUTS)
    ours = MLP(11, activation=activation)
    ours.build(INPUTS.shape)
    ours.set_weights(theirs.get_weights())
    assert_close(ours(INPUTS), expected)


def test_swiglu_equals_its_formula():
    layer = SwiGLU(11, bias_initializer="uniform")
    layer.build(INPUTS.shape)
    kernel, bias, output_kernel, output_bias = layer.get_weights()
    gate, value = np.split(INPUTS @ kernel + bias, 2, axis=-1)
    assert_close(layer(INPUTS), (gate / (1 + np.exp(-gate)) * value) @ output_kernel + output_bias)


@pytest.mark.parametrize("layer_class", [MLP, SwiGLU])
def test_positions_do_not_see_each_other(layer_class):
    layer = layer_class(11)
    other = np.concatenate([INPUTS[:, :2], -INPUTS[:, 2:]], axis=1)
    assert_close(layer(INPUTS)[:, :2], layer(other)[:, :2])


@pytest.mark.parametrize("layer_class", [MLP, SwiGLU])
def test_dropout_acts_between_the_maps_in_training_alone(layer_class):
    layer = layer_class(11, dropout=0.999)
    still = numpy(layer(INPUTS))
    assert_close(layer(INPUTS, training=False), still)
    dropped = numpy(layer(INPUTS, training=True))
    assert (np.abs(dropped).max(-1) == 0).mean() > 0.5  # nothing passes, and the output bias is zero
    assert ops.shape(dropped) == INPUTS.shape


@pytest.mark.parametrize("layer_class", [MLP, SwiGLU])
def test_refuses_a_width_that_is_no_positive_int(layer_class):
    with pytest.raises(ValueError, match=r"`intermediate_dim` should be a positive int\. Received: intermediate_dim=0"):
        layer_class(0)
