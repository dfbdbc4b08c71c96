"""The drawn matrix: dark where the attention lies, labels where they belong, and a hint where a font lacks them."""

import warnings

import numpy as np
import pytest
from PIL import Image

from textkit import alignment

SCORES = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], "float32")


def test_cells_are_as_dark_as_their_scores_and_labels_stand_beside_them(tmp_path):
    figure = alignment.matrix(SCORES, ["a", " ", "c"], ["K", "AE"], title="one")
    alignment.save(tmp_path / "drawn" / "one.png", figure)
    with Image.open(tmp_path / "drawn" / "one.png") as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["K", "AE"]
    box = axes.get_position()
    height, width = pixels.shape
    shades = np.empty(SCORES.shape)
    for row, column in np.ndindex(SCORES.shape):
        x = box.x0 + (column + 0.5) / 3 * box.width
        y = 1 - box.y1 + (row + 0.5) / 2 * box.height
        shades[row, column] = pixels[int(y * height), int(x * width)]
    assert shades[0, 1] < 80
    assert (shades[SCORES == 0] > 240).all()
    assert (np.abs(shades[1, [0, 2]] - 150) < 40).all()


def test_a_long_text_stays_within_what_can_be_drawn(tmp_path):
    scores = np.full((11, 997), 1 / 997, "float32")
    alignment.save(tmp_path / "long.png", alignment.matrix(scores, ["x"] * 997, ["word"] * 11))
    with Image.open(tmp_path / "long.png") as image:
        assert max(image.size) <= 8001


def test_characters_without_a_font_are_named_once(tmp_path):
    with pytest.warns(UserWarning, match=r"No font here has '.+'; install one that does, such as Noto Sans CJK"):
        figure = alignment.matrix(SCORES, ["a", "b", "\U000f1234"], ["K", "AE"])
    alignment.save(tmp_path / "boxes.png", figure)  # where a warning is an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alignment.matrix(SCORES, list("aé▁"), ["K", "Ж"])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((0, 3)), r"Received: alignment.shape=\(0, 3\), len\(target\)=2, len\(source\)=3"),
        (SCORES.T, r"Received: alignment.shape=\(3, 2\), len\(target\)=2, len\(source\)=3"),
    ],
)
def test_refuses(scores, message):
    with pytest.raises(ValueError, match=message):
        alignment.matrix(scores, ["a", "b", "c"], ["K", "AE"])
