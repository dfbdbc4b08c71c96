import numpy as np
import pytest

from vitkit import faithfulness


def brightness(pictures):
    """A model of two classes whose class 1 is as likely as the picture is bright."""
    share = pictures.mean((1, 2, 3)) / 255
    return np.stack([1 - share, share], 1)


def left_pixel(pictures):
    """A model that looks at the first pixel only."""
    share = pictures[:, 0, 0, 0] / 255
    return np.stack([1 - share, share], 1)


def test_deletion_of_the_only_pixel_that_counts():
    pictures = np.full((2, 1, 4, 3), 255, "uint8")
    heatmaps = np.array([[[1.0, 0.5, 0.2, 0.1]], [[0.1, 0.2, 0.5, 1.0]]])
    # Covered first: 1, 0, 0, 0, 0; covered last: 1, 1, 1, 1, 0. Trapezoids of width 1/4.
    areas = faithfulness.deletion(left_pixel, pictures, heatmaps, [1, 1], (0, 0, 0), steps=4)
    np.testing.assert_allclose(areas, [0.125, 0.875])


def test_deletion_watches_the_target_of_each_picture():
    pictures = np.full((2, 1, 4, 3), 255, "uint8")
    heatmaps = np.tile([1.0, 0.5, 0.2, 0.1], (2, 1, 1))
    areas = faithfulness.deletion(left_pixel, pictures, heatmaps, [1, 0], (0, 0, 0), steps=4)
    np.testing.assert_allclose(areas, [0.125, 0.875])


def test_deletion_covers_with_the_colour_and_ends_with_the_whole_picture():
    seen = []

    def predict(pictures):
        seen.append(pictures)
        return brightness(pictures)

    pictures = np.full((1, 3, 5, 3), 200, "uint8")
    heatmap = np.arange(15.0).reshape(1, 3, 5)
    faithfulness.deletion(predict, pictures, heatmap, [1], (10, 20, 30), steps=3)
    assert len(seen) == 1
    assert seen[0].dtype == "uint8"
    # The hottest pixel is the last one: 0, 5, 10, 15 pixels from the end.
    for count, picture in zip([0, 5, 10, 15], seen[0], strict=True):
        np.testing.assert_array_equal((picture == (10, 20, 30)).all(-1).ravel(), np.arange(15) >= 15 - count)


def test_deletion_takes_ties_row_by_row():
    covered = []

    def predict(pictures):
        covered.append((pictures == 0).all(-1).reshape(len(pictures), -1))
        return brightness(pictures)

    pictures = np.full((1, 22, 26, 3), 255, "uint8")
    heatmap = np.tile([0.0, 1.0], (1, 22, 13))  # every other pixel is hot
    faithfulness.deletion(predict, pictures, heatmap, [1], (0, 0, 0), steps=4)
    hot = np.arange(22 * 26) % 2 == 1
    upper = np.arange(22 * 26) < 11 * 26
    for fraction, expected in zip(covered[0], [hot & False, hot & upper, hot, hot | upper, hot | True], strict=True):
        np.testing.assert_array_equal(fraction, expected)


def test_insertion_gives_the_picture_back_hottest_first():
    # Blurred, one white pixel among black ones is almost gone; its own place brings it back.
    pictures = np.zeros((2, 11, 13, 3), "uint8")
    pictures[:, 0, 0] = 255
    heatmaps = np.zeros((2, 11, 13))
    heatmaps[0, 0, 0], heatmaps[1, 0, 0] = 1, -1
    areas = faithfulness.insertion(left_pixel, pictures, heatmaps, [1, 1], steps=11)
    first = faithfulness.blur(pictures)[0, 0, 0, 0] / 255
    np.testing.assert_allclose(areas, [1 - (1 - first) / 22, first + (1 - first) / 22], rtol=1e-6)


def test_a_model_that_adds_pixels_up_gives_a_straight_line():
    pictures = np.full((1, 5, 7, 3), 255, "uint8")
    heatmap = np.random.default_rng(3).random((1, 5, 7))
    areas = faithfulness.deletion(brightness, pictures, heatmap, [1], (0, 0, 0), steps=7)
    np.testing.assert_allclose(areas, [0.5], rtol=1e-6)


def test_blur_agrees_with_a_naive_sum():
    picture = np.random.default_rng(5).integers(0, 256, (1, 5, 7, 1), "uint8")
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 1.5) ** 2)
    weights /= weights.sum()
    mirrored = np.pad(picture[0, :, :, 0].astype("float64"), 2, mode="symmetric")
    expected = np.zeros((5, 7))
    for y in range(5):
        for x in range(7):
            expected[y, x] = weights @ mirrored[y : y + 5, x : x + 5] @ weights
    np.testing.assert_allclose(faithfulness.blur(picture, 1.5, 2)[0, :, :, 0], expected, atol=0.51)


def test_blur_keeps_one_colour():
    pictures = np.full((1, 3, 5, 3), (10, 128, 250), "uint8")
    np.testing.assert_array_equal(faithfulness.blur(pictures), pictures)


@pytest.mark.parametrize("metric", ["deletion", "insertion"])
def test_heatmaps_of_another_size_are_refused(metric):
    extra = {"colour": (0, 0, 0)} if metric == "deletion" else {}
    with pytest.raises(ValueError, match=r"pictures.shape=\(1, 3, 5, 3\), heatmaps.shape=\(1, 5, 3\)"):
        getattr(faithfulness, metric)(brightness, np.zeros((1, 3, 5, 3), "uint8"), np.zeros((1, 5, 3)), [0], **extra)
