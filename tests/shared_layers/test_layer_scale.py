"""LayerScale against the product it is."""

import numpy as np

from shared_layers import LayerScale
from tests.checks import assert_close, check_layer, numpy

INPUTS = np.random.RandomState(0).normal(size=(2, 5, 7)).astype("float32")


def test_contracts():
    check_layer(LayerScale, {"init_value": 0.3}, INPUTS)


def test_starts_with_the_same_factor_for_every_channel():
    assert_close(LayerScale(0.3)(INPUTS), 0.3 * INPUTS)


def test_scales_each_channel_by_its_own_factor():
    layer = LayerScale()
    layer.build(INPUTS.shape)
    factors = np.arange(7, dtype="float32")
    layer.set_weights([factors])
    assert_close(layer(INPUTS), INPUTS * factors)
    assert numpy(layer.gamma).shape == (7,)
