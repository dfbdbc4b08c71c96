import numpy as np
import pytest
from PIL import Image

from vitkit.datasets.birds.places import PLACES, draw_place, fractal, ramp
from vitkit.datasets.birds.props import draw_perch, scatter
from vitkit.datasets.birds.shapes import leaf_outlines, smooth

SIZE = 43


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", PLACES)
def test_places_are_textured_and_vary(name):
    pictures = np.stack([np.asarray(draw_place(name, SIZE, rng(seed)), float) for seed in range(8)])
    assert pictures.shape == (8, SIZE, SIZE, 3)
    assert pictures.std(axis=(1, 2)).min() > 1  # nowhere a plain colour
    assert pictures.mean(axis=(1, 2)).std(axis=0).max() > 4  # nor the same one each time
    np.testing.assert_array_equal(draw_place(name, SIZE, rng(3)), pictures[3])


def test_fractal_noise_has_unit_deviation_and_finer_octaves_are_finer():
    coarse, fine = (fractal(rng(), 128, (8, 8), octaves) for octaves in (1, 5))
    for noise in (coarse, fine):
        assert noise.mean() == pytest.approx(0, abs=0.3)
        assert noise.std() == pytest.approx(1, abs=0.3)
    assert np.abs(np.diff(fine)).mean() > 2 * np.abs(np.diff(coarse)).mean()


def test_ramp_goes_through_its_colours_and_stays_within_them():
    colours = ((0, 10, 20), (100, 110, 120), (200, 250, 40))
    assert ramp(np.array([-3.0, 0.0, 1.0, 5.0]), colours)[:, 1].tolist() == [10, 10, 250, 250]
    assert ramp(np.array([0.25]), colours)[0].tolist() == pytest.approx([50, 60, 70], abs=2)


def test_smooth_curves_pass_through_their_points():
    points = np.array(((0, 0), (3, 1), (5, -2), (1, -4)), float)
    np.testing.assert_allclose(smooth(points, steps=5)[::5], points)
    np.testing.assert_allclose(smooth(points, steps=3, closed=False)[::3], points)


def test_leaves_have_the_length_and_the_place_asked_for():
    centres, lengths = np.array(((3.0, 5.0), (7.0, 11.0))), np.array((2.0, 0.5))
    outlines = leaf_outlines(centres, lengths, rng())
    np.testing.assert_allclose(np.linalg.norm(outlines[:, 0] - outlines[:, 4], axis=-1), 2 * lengths)
    np.testing.assert_allclose((outlines[:, 0] + outlines[:, 4]) / 2, centres)


def changed(draw):
    """Returns where `draw(canvas)` changes a white canvas."""
    canvas = Image.new("RGB", (SIZE, SIZE), (255, 255, 255))
    draw(canvas)
    return (np.asarray(canvas) != 255).any(axis=-1)


def test_distractors_are_small_and_anywhere():
    drawn = np.stack([changed(lambda canvas, seed=seed: scatter(canvas, rng(seed))) for seed in range(100)])
    assert drawn.any(axis=(1, 2)).all()
    assert drawn.mean() < 0.12
    assert drawn.any(axis=0).mean() > 0.9


@pytest.mark.parametrize("place", PLACES)
def test_what_a_bird_stands_on_is_under_its_feet(place):
    for seed in range(5):
        feet = np.array((20.0, 23.0))
        perch = changed(lambda canvas, at=feet, s=seed: draw_perch(canvas, place, at, 13.0, rng(s)))
        assert perch[23:26, 18:23].any()
        assert perch.mean() < 0.4
