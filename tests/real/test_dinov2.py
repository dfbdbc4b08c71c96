"""The backbone with DINOv2's real weights, against another runtime and on a real photograph."""

import json
import os
import pathlib

import numpy as np
import pytest

from vitkit import ViTBackbone, explain
from vitkit.preprocessing import read_image


@pytest.fixture(scope="module")
def folder():
    folder = pathlib.Path(os.environ.get("REAL_DATA", "."))
    if not (folder / "dinov2_small" / "model.safetensors").is_file():
        pytest.skip("REAL_DATA names no folder with dinov2_small in it")
    return folder


@pytest.fixture(scope="module")
def backbone(folder):
    return ViTBackbone.from_preset(folder / "dinov2_small")


def test_last_hidden_state_equals_the_reference(folder, backbone):
    with np.load(folder / "dinov2_small" / "reference.npz") as reference:
        image = reference["image_nchw"].transpose(0, 2, 3, 1)
        expected = reference["last_hidden_state"]
    # 16 x 16 patches, where the table of positions holds 37 x 37
    np.testing.assert_allclose(backbone.predict(image, verbose=0), expected, atol=1e-4)


def test_positions_resampled_beforehand_change_nothing(folder):
    small = ViTBackbone.from_preset(folder / "dinov2_small", image_shape=(224, 224, 3))
    with np.load(folder / "dinov2_small" / "reference.npz") as reference:
        image = reference["image_nchw"].transpose(0, 2, 3, 1)
        expected = reference["last_hidden_state"]
    np.testing.assert_allclose(small.predict(image, verbose=0), expected, atol=1e-4)


def test_heatmap_of_a_photograph_is_on_the_bird(folder, backbone):
    if not (folder / "nuthatch" / "nuthatch.jpg").is_file():
        pytest.skip("REAL_DATA names no folder with nuthatch in it")
    box = json.loads((folder / "nuthatch" / "box.json").read_text())
    heatmap = explain(backbone, read_image(folder / "nuthatch" / "nuthatch.jpg")[None]).heatmap[0]
    inside = np.zeros(heatmap.shape, bool)
    inside[box["y0"] : box["y1"], box["x0"] : box["x1"]] = True
    assert inside.flat[heatmap.argmax()]
    assert heatmap[inside].sum() / heatmap.sum() / inside.mean() >= 5
