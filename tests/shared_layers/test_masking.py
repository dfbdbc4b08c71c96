"""Masks against loops."""

import numpy as np
import pytest
from keras import ops

from shared_layers import causal_mask, combine_masks, padding_and_attention_mask, sliding_window_mask
from tests.checks import numpy


@pytest.mark.parametrize(("query_length", "key_length", "start"), [(5, None, 0), (3, 7, 0), (3, 7, 2), (7, 5, 0)])
def test_causal_mask_hides_the_future(query_length, key_length, start):
    mask = numpy(causal_mask(query_length, key_length, start))
    expected = [[k <= q + start for k in range(key_length or query_length)] for q in range(query_length)]
    np.testing.assert_array_equal(mask, [expected])


@pytest.mark.parametrize("window", [1, 3])
def test_sliding_window_mask_is_a_band(window):
    expected = [[abs(q - k) < window for k in range(7)] for q in range(5)]
    np.testing.assert_array_equal(numpy(sliding_window_mask(5, 7, window)), [expected])


def test_combine_masks_is_a_logical_and():
    rng = np.random.RandomState(0)
    rows, columns = rng.rand(2, 5, 1) > 0.5, rng.randint(0, 3, (2, 1, 7))
    np.testing.assert_array_equal(numpy(combine_masks(None, rows, None, columns)), rows & (columns > 0))


def test_combine_masks_of_nothing_is_nothing():
    assert combine_masks(None, None) is None
    assert padding_and_attention_mask(None, None) is None


def test_padding_and_attention_mask():
    rng = np.random.RandomState(0)
    padding, attention = rng.randint(0, 2, (2, 7)), rng.rand(2, 5, 7) > 0.5
    np.testing.assert_array_equal(numpy(padding_and_attention_mask(padding, None)), padding[:, None] > 0)
    np.testing.assert_array_equal(numpy(padding_and_attention_mask(None, attention)), attention)
    np.testing.assert_array_equal(numpy(padding_and_attention_mask(padding, attention)), attention & (padding[:, None] > 0))


def test_refuses_masks_of_another_rank():
    with pytest.raises(ValueError, match=r"`padding_mask` should have shape \(batch, length\). Received: .*\(2, 1, 7\)"):
        padding_and_attention_mask(ops.ones((2, 1, 7)), None)
    with pytest.raises(
        ValueError, match=r"`attention_mask` should have shape \(batch, query length, .*Received: .*\(5, 7\)"
    ):
        padding_and_attention_mask(None, ops.ones((5, 7)))
