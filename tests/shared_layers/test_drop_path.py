"""DropPath: whole examples, the right share of them, scaled so that the mean stays."""

import numpy as np
import pytest

from shared_layers import DropPath
from tests.checks import assert_close, check_layer, numpy

INPUTS = np.random.RandomState(0).normal(size=(2, 5, 7)).astype("float32")


def test_contracts():
    check_layer(DropPath, {"rate": 0.3, "seed": 5}, INPUTS)


def test_passes_everything_on_when_not_training():
    assert_close(DropPath(0.9)(INPUTS, training=False), INPUTS)


def test_passes_everything_on_at_rate_zero():
    assert_close(DropPath(0.0)(INPUTS, training=True), INPUTS)


@pytest.mark.parametrize("rate", [0.25, 0.6])
def test_drops_whole_examples_and_scales_the_others(rate):
    outputs = numpy(DropPath(rate, seed=3)(np.ones((4001, 3, 2), "float32"), training=True))
    kept = outputs[:, 0, 0] > 0
    assert_close(outputs, np.where(kept, 1 / (1 - rate), 0)[:, None, None] * np.ones((1, 3, 2)))
    assert abs(kept.mean() - (1 - rate)) < 0.04


def test_draws_anew_at_each_call():
    layer, ones = DropPath(0.5, seed=3), np.ones((101, 2), "float32")
    assert (numpy(layer(ones, training=True)) != numpy(layer(ones, training=True))).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_refuses_a_rate_outside_its_range(rate):
    with pytest.raises(ValueError, match=rf"`rate` should lie in \[0, 1\)\. Received: rate={rate}"):
        DropPath(rate)
