import numpy as np
import pytest

from vitkit import regions


def drawn(*rows):
    """A bool mask from rows of text, # = object."""
    return np.array([[character == "#" for character in row] for row in rows])


def naive_component_boxes(mask):
    """Boxes of the 8-connected components of one mask, by flooding pixel after pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    boxes = []
    while left:
        flooded, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            flooded.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
        ys, xs = zip(*flooded, strict=True)
        boxes.append((min(ys), min(xs), max(ys) + 1, max(xs) + 1))
    return sorted(boxes)


def test_box_masks_fills_the_pixels_whose_centre_lies_inside():
    masks = regions.box_masks([[0.2, 0.0, 0.6, 2 / 7], [0.0, 3 / 7, 1.0, 1.0]], 5, 7)
    expected = [
        drawn(".......", "##.....", "##.....", ".......", "......."),
        drawn("...####", "...####", "...####", "...####", "...####"),
    ]
    np.testing.assert_array_equal(masks, expected)


def test_box_masks_keeps_a_pixel_of_a_box_thinner_than_one_even_at_the_border():
    masks = regions.box_masks([[0.5, 0.5, 0.5, 0.51], [1.0, 1.0, 1.0, 1.0]], 3, 5)
    np.testing.assert_array_equal(masks[0].sum(), 1)
    np.testing.assert_array_equal(np.argwhere(masks[1]), [[2, 4]])


def test_boxes_of_masks_come_back_from_masks_of_boxes():
    boxes = np.array([[1, 2, 4, 3], [0, 0, 5, 7], [4, 6, 5, 7]]) / [5, 7, 5, 7]
    np.testing.assert_allclose(regions.mask_boxes(regions.box_masks(boxes.astype("float32"), 5, 7)), boxes)


def test_mask_boxes_names_the_empty_mask():
    masks = np.ones((3, 2, 2), bool)
    masks[1] = False
    with pytest.raises(ValueError, match=r"True pixel in every mask. Received: none in masks\[1\]"):
        regions.mask_boxes(masks)


def test_grow_boxes_stops_at_the_border():
    np.testing.assert_allclose(regions.grow_boxes([[0.4, 0.1, 0.6, 0.5]], 0.5), [[0.3, 0.0, 0.7, 0.7]])


@pytest.mark.parametrize("radius", [0, 1, 1.5, 3, 11])
def test_dilate_adds_what_is_within_the_distance(radius):
    masks = np.random.default_rng(3).random((2, 7, 11)) < 0.05
    pixels = np.moveaxis(np.indices((7, 11)), 0, -1)  # (H, W, 2)
    for mask, grown in zip(masks, regions.dilate(masks, radius), strict=True):
        distances = np.linalg.norm(pixels[:, :, None] - np.argwhere(mask), axis=-1)
        np.testing.assert_array_equal(grown, (distances <= radius).any(-1))


def test_paint_covers_the_mask_and_nothing_else():
    pictures = np.full((1, 2, 2, 3), 7, "uint8")
    painted = regions.paint(pictures, drawn("#.", "..")[None], [127.5, 0, 254.9])
    assert painted.dtype == "uint8"
    np.testing.assert_array_equal(painted[0, 0], [[128, 0, 255], [7, 7, 7]])
    assert (pictures == 7).all()


def test_component_boxes_joins_diagonals_and_arms_that_meet_late():
    mask = drawn(
        "#..#.#..",
        "#..#..#.",
        "#..#....",
        ".##....#",
        ".......#",
    )
    owners, boxes = regions.component_boxes([np.zeros_like(mask), mask, mask[::-1]])
    np.testing.assert_array_equal(owners, [1, 1, 1, 2, 2, 2])
    assert sorted(map(tuple, boxes[:3].tolist())) == [(0, 0, 4, 4), (0, 5, 2, 7), (3, 7, 5, 8)]
    assert sorted(map(tuple, boxes[3:].tolist())) == [(0, 7, 2, 8), (1, 0, 5, 4), (3, 5, 5, 7)]


@pytest.mark.parametrize("density", [0.1, 0.4, 0.6, 0.9])
def test_component_boxes_agrees_with_flooding(density):
    masks = np.random.default_rng(5).random((11, 13, 17)) < density
    owners, boxes = regions.component_boxes(masks)
    for index, mask in enumerate(masks):
        assert sorted(map(tuple, boxes[owners == index].tolist())) == naive_component_boxes(mask)


def test_component_boxes_follows_a_spiral():
    spiral = drawn(
        "########",
        ".......#",
        "######.#",
        "#....#.#",
        "#.##.#.#",
        "#.#....#",
        "#.######",
        "#.......",
    )
    owners, boxes = regions.component_boxes(spiral[None])
    boxes = sorted(map(tuple, boxes.tolist()))
    assert boxes == naive_component_boxes(spiral)
    assert len(owners) == 2


def test_component_boxes_of_nothing():
    owners, boxes = regions.component_boxes(np.zeros((2, 3, 5), bool))
    assert (owners.shape, boxes.shape) == ((0,), (0, 4))
