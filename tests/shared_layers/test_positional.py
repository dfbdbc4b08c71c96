"""Positional layers against KerasHub's and loops; resampling against a loop over samples."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from shared_layers import (
    PositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    SinePositionEncoding2D,
    resample_grid,
    resample_positions,
)
from tests.checks import assert_close, check_layer, numpy

TOKENS = np.random.RandomState(0).normal(size=(2, 7, 10)).astype("float32")
GRID = np.random.RandomState(1).normal(size=(2, 3, 5, 12)).astype("float32")
QUERIES = np.random.RandomState(2).normal(size=(2, 7, 3, 22)).astype("float32")
POSITIONS = np.random.RandomState(3).randint(0, 11, (2, 7))
ROPES = [
    {},
    {"max_wavelength": 500, "scaling_factor": 4.0},
    {"rope_type": "dynamic", "scaling_factor": 3.0},
    {"rope_type": "yarn", "scaling_factor": 4.0, "original_max_position_embeddings": 64},
    {"rope_type": "yarn", "scaling_factor": 2.5, "beta_fast": 13.0, "beta_slow": 2.0, "truncate": False},
    {"rope_type": "yarn", "max_wavelength": 700, "scaling_factor": 1.0},
]


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("keras_nlp", reason="the layers to compare with are KerasHub's").layers


@pytest.mark.parametrize(
    ("layer_class", "init", "inputs"),
    [
        (PositionEmbedding, {"sequence_length": 11}, TOKENS),
        (SinePositionEncoding, {"max_wavelength": 100}, TOKENS),
        (SinePositionEncoding2D, {"max_wavelength": 100}, GRID),
        (RotaryEmbedding, ROPES[3], QUERIES),
        (RotaryEmbedding, {"denominator_dim": 44}, {"inputs": QUERIES, "start_index": 3}),
    ],
)
def test_contracts(layer_class, init, inputs):
    check_layer(layer_class, init, inputs)


CALLS = [{}, {"start_index": 3}, {"positions": POSITIONS}]


@pytest.mark.parametrize("call", CALLS, ids=["first", "later", "given"])
def test_position_embedding_equals_kerashub(theirs, call):
    other, ours = theirs.PositionEmbedding(11), PositionEmbedding(11)
    other.build(TOKENS.shape)
    ours.build(TOKENS.shape)
    ours.set_weights(other.get_weights())
    assert_close(ours(TOKENS, **call), other(TOKENS, **call))


@pytest.mark.parametrize("call", CALLS, ids=["first", "later", "given"])
def test_sine_equals_kerashub(theirs, call):
    assert_close(SinePositionEncoding(300)(TOKENS, **call), theirs.SinePositionEncoding(300)(TOKENS, **call))


def test_sine_keeps_its_digits_in_half_precision():
    late = {"positions": np.array([4001] * 7)}
    half, single = (SinePositionEncoding(dtype=dtype)(TOKENS, **late) for dtype in ("float16", "float32"))
    assert_close(half, single, 1e-3)


@pytest.mark.parametrize("call", CALLS, ids=["first", "later", "given"])
@pytest.mark.parametrize("options", ROPES, ids=str)
def test_rotary_equals_kerashub(theirs, options, call):
    assert_close(RotaryEmbedding(**options)(QUERIES, **call), theirs.RotaryEmbedding(**options)(QUERIES, **call))


def test_rotary_takes_other_axes(theirs):
    options = {"sequence_axis": 2, "feature_axis": -1}
    inputs = np.swapaxes(QUERIES, 1, 2)
    assert_close(RotaryEmbedding(**options)(inputs), theirs.RotaryEmbedding(**options)(inputs))
    assert_close(RotaryEmbedding(**options)(inputs), np.swapaxes(numpy(RotaryEmbedding()(QUERIES)), 1, 2))


def test_rotary_makes_products_depend_on_distance_alone():
    layer, query, key = RotaryEmbedding(), QUERIES[:, :1], QUERIES[:, 1:2]
    products = [numpy(layer(query, start_index=p + 5) * layer(key, start_index=p)).sum(-1) for p in (0, 17)]
    np.testing.assert_allclose(products[0], products[1], atol=1e-4)


def test_sine_2d_equals_a_loop():
    encoding = numpy(SinePositionEncoding2D(100)(GRID))
    for row in range(3):
        for column in range(5):
            expected = []
            for position, wave in ((column, math.sin), (column, math.cos), (row, math.sin), (row, math.cos)):
                expected += [wave(position * 100 ** (-channel / 3)) for channel in range(3)]
            np.testing.assert_allclose(encoding[:, row, column], [expected] * 2, atol=1e-5)


def keys(x, a=-0.75):
    """Keys 1981, equation 4, with its free parameter."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def resampled(samples, length):
    """Bicubic resampling of (n, ...) to (length, ...), a sum over every sample that the kernel reaches."""
    scale, edge = len(samples) / length, len(samples) - 1
    return np.array(
        [
            sum(keys((i + 0.5) * scale - 0.5 - j) * samples[min(max(j, 0), edge)] for j in range(-3, len(samples) + 3))
            for i in range(length)
        ]
    )


@pytest.mark.parametrize("new_grid", [(5, 7), (2, 3), (3, 11), (4, 5), (13, 1)])
def test_resample_grid_equals_a_loop(new_grid):
    table = GRID[0].reshape(15, 12)
    by_row = resampled(GRID[0].astype("float64"), new_grid[0])
    expected = np.swapaxes(resampled(np.swapaxes(by_row, 0, 1), new_grid[1]), 0, 1)
    assert_close(resample_grid(table, (3, 5), new_grid), expected.reshape(-1, 12))


def test_resample_grid_known_values():
    # twice as many samples lie a quarter to the left and to the right of the old ones; the kernel at .25, .75, 1.25, 1.75
    near, far = (0.87890625, 0.26171875), (-0.10546875, -0.03515625)
    doubled = numpy(resample_grid(np.array([[0.0], [0.0], [1.0], [0.0], [0.0], [0.0]], "float32"), (1, 6), (1, 12)))
    expected = [0, far[1], far[0], near[1], near[0], near[0], near[1], far[0], far[1], 0]
    np.testing.assert_allclose(doubled[:10, 0], [0.0, *expected[1:9], 0.0], atol=1e-6)


def test_resample_grid_keeps_a_table_of_the_same_grid():
    table = GRID[0].reshape(15, 12)
    assert resample_grid(table, (3, 5), (3, 5)) is table


@pytest.mark.parametrize("length", [5, 13])
def test_resample_positions_equals_a_loop(length):
    assert_close(resample_positions(TOKENS[0], length), resampled(TOKENS[0].astype("float64"), length))


def test_resample_positions_keeps_a_table_of_the_same_length():
    table = TOKENS[0]
    assert resample_positions(table, 7) is table


def test_resampling_keeps_the_dtype():
    table = ops.cast(GRID[0].reshape(15, 12), "float16")
    assert keras.backend.standardize_dtype(resample_grid(table, (3, 5), (2, 7)).dtype) == "float16"


def test_refuses_a_table_of_another_grid():
    with pytest.raises(ValueError, match=r"The table should hold 3 x 4 = 12 positions\. Received: 15"):
        resample_grid(GRID[0].reshape(15, 12), (3, 4), (5, 7))


@pytest.mark.parametrize("length", [0, -3, None])
def test_refuses_a_length_that_is_not_positive(length):
    with pytest.raises(
        ValueError, match=rf"`sequence_length` should be a positive int\. Received: sequence_length={length}"
    ):
        PositionEmbedding(length)


def test_refuses_more_tokens_than_positions():
    with pytest.raises(ValueError, match=r"at most sequence_length=5 tokens\. Received: inputs.shape=\(2, 7, 10\)"):
        PositionEmbedding(5)(TOKENS)


def test_refuses_a_width_that_four_does_not_divide():
    with pytest.raises(ValueError, match=r"The width should be a multiple of 4\. Received: input_shape=\(2, 3, 5, 10\)"):
        SinePositionEncoding2D().build((2, 3, 5, 10))


def test_refuses_an_unknown_rope_type():
    with pytest.raises(ValueError, match=r"`rope_type` should be 'linear', .* Received: rope_type='linaer'"):
        RotaryEmbedding(rope_type="linaer")


def test_refuses_an_odd_width():
    with pytest.raises(ValueError, match=r"The rotated width should be even\. Received: 7 in \(2, 5, 7\)"):
        RotaryEmbedding().build((2, 5, 7))


def test_refuses_equal_axes():
    with pytest.raises(ValueError, match=r"should differ\. Received: sequence_axis=2, feature_axis=-1, rank 3"):
        RotaryEmbedding(sequence_axis=2).build((2, 5, 6))
