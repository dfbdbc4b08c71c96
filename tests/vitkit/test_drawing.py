import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from vitkit import drawing


def pictures_of(count, height=11, width=13):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), "uint8")


def maps_of(count, height=11, width=13):
    return np.random.default_rng(count).random((count, height, width), "float32")


def drawn_pixels(figure, tmp_path):
    path = tmp_path / "figure.png"
    drawing.save(path, figure)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_overlay_is_dim_grey_where_cold_and_the_colour_map_where_hot():
    picture = np.full((1, 2, 3), (200, 100, 50), "uint8")
    drawn = drawing.overlay(picture, np.array([[0.0, 1.0]]), alpha=1.0, colormap="gray")
    # Luminance 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; 0.7 * (0.15 * channel + 0.85 * 124.2).
    np.testing.assert_array_equal(drawn[0, 0], [95, 84, 79])
    np.testing.assert_array_equal(drawn[0, 1], [255, 255, 255])


def test_overlay_mixes_in_proportion_to_the_heat():
    picture = np.full((1, 1, 3), 100, "uint8")
    drawn = drawing.overlay(picture, np.array([[0.5]]), alpha=0.5, colormap="gray")
    # The grey base is 0.85 * 100; a quarter of it gives way to the map's middle, 128 of 255.
    np.testing.assert_array_equal(drawn[0, 0], [96, 96, 96])


def test_overlay_takes_batches_as_single_pictures():
    pictures, heatmaps = pictures_of(3), maps_of(3)
    together = drawing.overlay(pictures, heatmaps)
    assert together.dtype == "uint8"
    for index in range(3):
        np.testing.assert_array_equal(together[index], drawing.overlay(pictures[index], heatmaps[index]))


def test_overlay_refuses_another_size_and_an_unknown_colour_map():
    with pytest.raises(ValueError, match=r"picture.shape=\(11, 13, 3\), heatmap.shape=\(13, 11\)"):
        drawing.overlay(pictures_of(1)[0], np.zeros((13, 11)))
    with pytest.raises(ValueError, match=r"did you mean 'inferno'.*colormap='infarno'"):
        drawing.overlay(pictures_of(1)[0], np.zeros((11, 13)), colormap="infarno")


def test_grid_sets_many_pictures_side_by_side_in_blocks():
    heatmaps = {"tscam": maps_of(5), "rollout": maps_of(5)}
    figure = drawing.grid(pictures_of(5), heatmaps, labels=list("abcde"), per_row=3)
    panels, colour_bar = figure.axes[:-1], figure.axes[-1]
    assert isinstance(figure, Figure)
    assert len(panels) == 5 * 3
    lefts = {round(axes.get_position().x0, 3) for axes in panels}
    bottoms = {round(axes.get_position().y0, 3) for axes in panels}
    assert (len(lefts), len(bottoms)) == (3, 2 * 3)
    assert sorted(texts(figure)) == sorted(["a", "b", "c", "d", "e"] + ["picture", "tscam", "rollout"] * 2)
    assert colour_bar.get_position().height < min(axes.get_position().height for axes in panels)
    shown = [axes.images[0].get_array() for axes in panels[:3]]
    np.testing.assert_array_equal(shown[0], pictures_of(5)[0])
    np.testing.assert_array_equal(shown[1], drawing.overlay(pictures_of(5)[0], heatmaps["tscam"][0], alpha=0.75))


def test_grid_sets_few_pictures_of_any_size_below_each_other():
    pictures = [pictures_of(1, 11, 13)[0], pictures_of(1, 17, 5)[0]]
    heatmaps = {"raw": [maps_of(1, 11, 13)[0], maps_of(1, 17, 5)[0]]} | {
        "tscam": [maps_of(1, 11, 13)[0], maps_of(1, 17, 5)[0]]
    }
    figure = drawing.grid(pictures, heatmaps, predictions=["a 0.9", "b 0.7"])
    panels = figure.axes[:-1]
    assert len({round(axes.get_position().x0, 3) for axes in panels}) == 3
    assert len({round(axes.get_position().y0, 3) for axes in panels}) == 2
    assert texts(figure) == ["a 0.9", "raw", "tscam", "b 0.7", "raw", "tscam"]


def test_everything_lies_on_the_page():
    figure = drawing.grid(pictures_of(3), {"raw": maps_of(3)}, labels=["x"] * 3, predictions=["y" * 99] * 3)
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    artists = [*figure.axes, *figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    artists += figure.axes[-1].get_xticklabels()
    for artist in artists:
        box = artist.get_window_extent()
        assert 0 <= box.x0 <= box.x1 <= width, artist
        assert 0 <= box.y0 <= box.y1 <= height, artist


def test_a_wrong_answer_is_red_and_a_right_one_is_not(tmp_path):
    def red(predictions):
        pictures, heatmaps = np.zeros((2, 11, 13, 3), "uint8"), {"raw": np.zeros((2, 11, 13))}
        figure = drawing.grid(pictures, heatmaps, labels=["jay", "owl"], predictions=predictions)
        pixels = drawn_pixels(figure, tmp_path)
        return (pixels[..., 0] > pixels[..., 1] + 100).sum(), texts(figure)

    count, captions = red(["jay", "owl"])
    assert count == 0
    assert {"jay", "owl"} < set(captions)
    count, captions = red(["jay", "gull"])
    assert count > 20
    assert {"jay", "owl\n→ gull"} < set(captions)


def test_the_mark_is_at_the_hottest_place():
    heatmaps = np.zeros((1, 11, 13))
    heatmaps[0, 7, 2] = 1
    figure = drawing.grid(pictures_of(1), {"raw": heatmaps})
    picture, heated, _ = figure.axes
    assert not picture.lines
    assert [tuple(line.get_xydata()[0]) for line in heated.lines] == [(2, 7), (2, 7)]


def test_large_pictures_are_thinned_alike_to_what_the_page_shows():
    heatmap = np.zeros((1, 2003, 1009), "float32")
    heatmap[0, 1800:1809, 300:309] = 1.0
    mask = heatmap > 0
    figure = drawing.grid(pictures_of(1, 2003, 1009), {"raw": heatmap}, masks=mask)
    picture, seen = figure.axes[:2]
    assert picture.images[0].get_array().shape == seen.images[0].get_array().shape == (668, 337, 3)
    mark = seen.lines[0]
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (100, 600)


def test_the_outline_follows_the_mask_even_at_the_border(tmp_path):
    masks = np.zeros((1, 11, 13), bool)
    masks[0, 0:5, 2:6] = True
    figure = drawing.grid(pictures_of(1), {"raw": maps_of(1)}, masks=masks)
    for axes in figure.axes[:2]:
        for line in axes.collections:
            places = np.concatenate([path.vertices for path in line.get_paths()])
            np.testing.assert_allclose(places.min(0), [1.5, -0.5])
            np.testing.assert_allclose(places.max(0), [5.5, 4.5])
        assert len(axes.collections) == 2
        assert axes.get_ylim() == (10.5, -0.5)


@pytest.mark.parametrize("value", [False, True])
def test_masks_that_are_empty_or_full_draw_without_a_warning(value, tmp_path):
    figure = drawing.grid(pictures_of(1), {"raw": maps_of(1)}, masks=np.full((1, 11, 13), value))
    drawn_pixels(figure, tmp_path)
    assert [len(axes.collections) for axes in figure.axes[:2]] == [2 * value, 2 * value]


def test_grid_refuses_lengths_that_differ_and_nothing_at_all():
    with pytest.raises(ValueError, match=r"Received: len\(pictures\)=3, len\(labels\)=2, len\(raw\)=3"):
        drawing.grid(pictures_of(3), {"raw": maps_of(3)}, labels=["a", "b"])
    with pytest.raises(ValueError, match=r"at least one picture.*len\(pictures\)=0, len\(raw\)=0"):
        drawing.grid([], {"raw": []})


def test_save_writes_pictures_and_arrays(tmp_path):
    picture, heatmap = pictures_of(1)[0], maps_of(1)[0]
    drawing.save(tmp_path / "picture.PNG", picture)
    for name in ("heatmap.npy", "heatmap.NPY"):
        drawing.save(str(tmp_path / name), heatmap)
        np.testing.assert_array_equal(np.load(tmp_path / name), heatmap)
    np.testing.assert_array_equal(Image.open(tmp_path / "picture.PNG"), picture)


def test_save_refuses_another_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .png or .npy. Received: path='.*picture.gif'"):
        drawing.save(tmp_path / "picture.gif", pictures_of(1)[0])
    assert not list(tmp_path.iterdir())


def test_save_that_fails_keeps_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "heatmap.npy"
    drawing.save(path, np.arange(3))

    def full_disk(file, content):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        drawing.save(path, np.arange(5))
    np.testing.assert_array_equal(np.load(path), np.arange(3))
    assert [file.name for file in tmp_path.iterdir()] == ["heatmap.npy"]


def test_drawing_leaves_the_global_state_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    drawing.save(tmp_path / "figure.png", drawing.grid(pictures_of(1), {"raw": maps_of(1)}))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []
