"""The command: help that shows examples, results, and one line with exit code 2 on bad input."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from typer.testing import CliRunner

from tests.vitkit.test_evidence import CLASSES, SIZES, with_random_weights
from vitkit import cli
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier
from vitkit.heatmaps import explain
from vitkit.preprocessing import read_image

COMMANDS = ("demo", "train", "evaluate", "explain", "export", "convert", "presets")


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, photo.png and small.png."""
    folder = tmp_path_factory.mktemp("cli")
    names = [f"bird {number}" for number in range(CLASSES)]
    with_random_weights(ViTClassifier(CLASSES, **SIZES, class_names=names)).save(folder / "model.keras")
    rng = np.random.default_rng(5)
    for name, size in {"photo": (29, 43, 3), "small": (13, 17, 3)}.items():
        Image.fromarray(rng.integers(0, 256, size, "uint8")).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command):
    assert f"vitkit {command}" in run(command, "--help").split("Example")[1]


def test_explain_writes_what_explain_says(folder):
    said = run("explain", folder / "photo.png", "--model", folder / "model.keras", "--out", folder / "map.npy")
    picture = read_image(folder / "photo.png")
    model = ViTClassifier.from_preset(folder / "model.keras")
    seen = explain(model, picture[None])
    np.testing.assert_allclose(np.load(folder / "map.npy"), seen.heatmap, atol=1e-6)
    assert said.strip() == f"{folder / 'photo.png'}: bird {seen.logits.argmax()}"


def test_explain_draws_photos_of_several_sizes(folder):
    photos = folder / "photo.png", folder / "small.png"
    run("explain", *photos, "--model", folder / "model.keras", "--method", "rollout", "--out", folder / "map.png")
    with Image.open(folder / "map.png") as drawn:
        assert min(drawn.size) > 100


def test_export_and_convert(folder):
    run("export", "--model", folder / "model.keras", "--out", folder / "saved_model", "--method", "raw")
    assert "explain" in tf.saved_model.load(str(folder / "saved_model")).signatures
    run("convert", folder / "model.keras", folder / "preset")
    assert ViTClassifier.from_preset(folder / "preset").num_classes == CLASSES


def test_presets_lists_every_name():
    listed = [line.split()[0] for line in run("presets").splitlines()]
    assert listed == list(ViTBackbone.presets)
    assert "vit_base_patch16_224" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "missing.png", "--model", "model.keras", "--out", "x.png"], "missing.png"),
        (["explain", "photo.png", "--model", "missing.keras", "--out", "x.png"], "missing.keras"),
        (["explain", "photo.png", "--model", "model.keras", "--out", "x.gif"], "ends in .png or .npy"),
        (["explain", "photo.png", "small.png", "--model", "model.keras", "--out", "x.npy"], "photos of one size"),
        (["explain", "photo.png", "--model", "model.keras", "--out", "x.png", "--method", "legra"], "'legrad'"),
        (["export", "--model", "vit_tiny_patch16_223", "--out", "x"], "'vit_tiny_patch16_224'"),
        (["train", "--data", "./missing", "--out", "x"], "missing"),
        (["train", "--data", "./missing", "--out", "x", "--mixed-precision", "float61"], "'float16'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["vitkit", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("vitkit: ")
    assert error.count("\n") == 1
    assert not list(folder.glob("x*"))
