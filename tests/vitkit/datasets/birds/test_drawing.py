import dataclasses

import numpy as np
import pytest

from vitkit.datasets.birds.anatomy import Pose, Shape, anatomy, random_pose
from vitkit.datasets.birds.drawing import draw_bird, paint
from vitkit.datasets.birds.scene import draw_scene
from vitkit.datasets.birds.species import SPECIES

SIZE = 47
STANDING = Pose(pitch=20, nod=5, stretch=1.0, tail=3, facing=1.0, flap=None)


@pytest.fixture(scope="module")
def birds():
    return [draw_bird(name, SIZE, np.random.default_rng([1, i])) for name in SPECIES for i in range(40)]


def test_birds_are_whole_and_of_the_promised_size(birds):
    for bird in birds:
        assert 0.05 < bird.cover.mean() < 0.14
        assert not any(edge.any() for edge in (bird.cover[0], bird.cover[-1], bird.cover[:, 0], bird.cover[:, -1]))


def test_the_centre_misses_most_birds(birds):
    masks = np.stack([bird.cover >= 0.5 for bird in birds])
    assert 0.05 < masks[:, SIZE // 2, SIZE // 2].mean() < 0.25
    rows, columns = (masks.any(axis=axis).mean(axis=0) for axis in (2, 1))
    # They may be anywhere: every row and column but the outermost holds a bird now and then.
    assert rows[2:-2].min() > 0.1
    assert columns[2:-2].min() > 0.1


def test_what_is_not_bird_has_no_colour(birds):
    for bird in birds:
        assert not bird.colour[bird.cover == 0].any()
        assert bird.colour.max() <= 255


def test_poses_vary(birds):
    flying = np.mean([bird.feet is None for bird in birds])
    assert flying == pytest.approx(0.3, abs=0.1)
    poses = [random_pose(SPECIES["gull"], np.random.default_rng(i)) for i in range(100)]
    assert np.mean([pose.facing > 0 for pose in poses]) == pytest.approx(0.5, abs=0.2)
    assert {pose.flap is None or pose.flap > 0 for pose in poses} == {True, False}


def test_feet_are_the_lowest_part_of_a_bird_that_stands():
    for species in SPECIES.values():
        shapes, feet = anatomy(species, dataclasses.replace(STANDING, pitch=0))
        lowest = max(shape.points[:, 1].max() for shape in shapes if not shape.inside)
        assert lowest == pytest.approx(feet[1], abs=0.06)


def test_a_bird_that_faces_left_is_the_mirror_image():
    for flap in (None, 0.8):
        right = dataclasses.replace(STANDING, flap=flap, facing=0.9)
        left = dataclasses.replace(STANDING, flap=flap, facing=-0.9)
        for one, other in zip(*(anatomy(SPECIES["magpie"], pose)[0] for pose in (right, left)), strict=True):
            mirrored = sorted(map(tuple, np.round(other.points * (-1, 1), 9) + 0.0))
            assert sorted(map(tuple, np.round(one.points, 9) + 0.0)) == mirrored


def test_a_lifted_head_rises_and_a_lifted_wing_too():
    def top(**change):
        shapes, _ = anatomy(SPECIES["mallard"], dataclasses.replace(STANDING, **change))
        return -min(shape.points[:, 1].min() for shape in shapes if not shape.inside)

    assert top(stretch=1.1) > top(stretch=0.9)
    assert top(flap=1.0) > top(flap=0.6) > top()


def test_species_differ_in_colour_and_in_outline():
    pictures = [draw_bird(name, SIZE, np.random.default_rng(5)) for name in SPECIES]
    colours = [bird.colour.sum(axis=(0, 1)) / bird.cover.sum() for bird in pictures]
    for i, one in enumerate(pictures):
        for j in range(i):
            assert np.abs(colours[i] - colours[j]).max() > 15
            assert np.abs(one.cover - pictures[j].cover).sum() > 0.05 * one.cover.sum()


def square(low, high, colour, **kind):
    return Shape(np.array([(low, low), (high, low), (high, high), (low, high)], float), colour, **kind)


def test_paint_lays_shapes_over_each_other_and_keeps_plumage_within_the_body():
    red, green, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    shapes = [square(0.0, 1.0, red, body=True), square(0.5, 2.0, green, inside=True), square(2.5, 3.0, blue)]
    picture = np.asarray(paint(shapes, np.array((0.0, 0.0)), np.array((3.5, 3.5)), 10))
    assert picture.shape == (35, 35, 4)
    assert tuple(picture[2, 2]) == (*red, 255)
    assert tuple(picture[7, 7]) == (*green, 255)
    assert tuple(picture[15, 15]) == (0, 0, 0, 0)
    assert tuple(picture[27, 27]) == (*blue, 255)


def test_pixels_that_the_bird_covers_do_not_depend_on_the_place():
    for seed, (name, place, other) in enumerate((("gull", "snow", "bark"), ("robin", "leaves", "sky"))):
        cover = draw_bird(name, SIZE, np.random.default_rng(seed)).cover
        first, mask = draw_scene(name, place, SIZE, np.random.default_rng(seed), np.random.default_rng(11))
        second, same_mask = draw_scene(name, other, SIZE, np.random.default_rng(seed), np.random.default_rng(13))
        np.testing.assert_array_equal(mask, cover >= 0.5)
        np.testing.assert_array_equal(mask, same_mask)
        equal = (first == second).all(axis=-1)
        assert equal[cover == 1].all()
        assert equal[cover == 0].mean() < 0.2
