"""Masks against loops."""

import re

import keras
import numpy as np
import pytest

from shared_layers import causal_mask, combine_masks, sliding_window_mask
from shared_layers.masking import check_mask
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


@pytest.mark.parametrize(
    ("mask", "shapes", "broadcasts"),
    [
        (None, [(2, 7)], False),
        (np.ones((2, 7)), [(2, 7)], False),
        (np.ones((2, 7)), [(2, 5, 7), (2, 7)], False),
        (np.ones((2, 7)), [("batch", "length")], False),
        (np.ones((2, 7)), [(None, 7)], False),
        (keras.KerasTensor((None, 7)), [(2, 7)], False),
        (np.ones((1, 1, 7)), [(2, 5, 7)], True),
    ],
)
def test_check_mask_takes(mask, shapes, broadcasts):
    check_mask("mask", mask, *shapes, broadcasts=broadcasts)


@pytest.mark.parametrize(
    ("shape", "shapes", "broadcasts", "expected"),
    [
        ((2, 1, 7), [("batch", "length")], False, r"\(batch, length\)\."),
        ((5, 6), [("batch", 7), (3, 5, 7)], True, r"\(batch, 7\) or \(3, 5, 7\), or axes of size 1\."),
        ((1, 7), [(2, 7)], False, r"\(2, 7\)\."),
        ((2, 6), [(2, 7)], True, r"\(2, 7\), or axes of size 1\."),
    ],
)
def test_check_mask_refuses(shape, shapes, broadcasts, expected):
    with pytest.raises(
        ValueError, match=f"`mask` should have shape {expected} Received: mask.shape={re.escape(str(shape))}"
    ):
        check_mask("mask", np.ones(shape), *shapes, broadcasts=broadcasts)
