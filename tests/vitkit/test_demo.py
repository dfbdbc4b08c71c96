"""The demo, small, as a user starts it."""

import json
import os
import pathlib
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def run(*command, data_dir):
    environment = {**os.environ, "TFDS_DATA_DIR": str(data_dir)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_the_demo_makes_what_it_says(tmp_path, data_dir):
    out = tmp_path / "demo"
    said, shown = run(
        str(pathlib.Path(sys.executable).with_name("vitkit")), "demo", "--smoke", "--out", str(out), data_dir=data_dir
    )
    for name in ("model.keras", "preset", "saved_model", "heatmaps.png", "metrics.json", "logs"):
        assert (out / name).exists(), name
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["test"]["num_examples"] == metrics["test_swapped"]["num_examples"] == 64
    assert set(metrics["test"]["focus"]["pointing"]) == {"heatmap", "centre", "random"}
    assert "epoch 1/1" in shown
    assert f"{metrics['test']['accuracy']['top1']:.3f}" in said
    assert f"vitkit explain YOUR_PHOTO.jpg --model {out}/model.keras" in said


def test_the_recipe_runs(tmp_path, data_dir):
    said, _ = run(sys.executable, "-m", "scripts.train_bird_focus", "--smoke", "--out", str(tmp_path), data_dir=data_dir)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) == {"training", "test", "test_swapped"}
    assert "pointing game" in said
