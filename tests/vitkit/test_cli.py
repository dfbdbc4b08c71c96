"""The command: every subcommand from its arguments to its files, and what is seen in the terminal meanwhile."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from typer.testing import CliRunner

from tests.vitkit.test_evidence import SIZES, with_random_weights
from vitkit import cli
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier
from vitkit.evaluation import evaluate
from vitkit.heatmaps import explain
from vitkit.preprocessing import read_image

ROOT = pathlib.Path(__file__).parents[2]
COMMANDS = ("demo", "train", "evaluate", "explain", "export", "convert", "presets")
BIRDS = ("crow", "gull", "rødstrupe")
# What the script that pip installs does; its name is how the package knows that it is the command.
SCRIPT = "import sys; sys.argv[0] = '/usr/bin/vitkit'; from vitkit.cli import main; main()"


def run(*arguments):
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_in_a_process(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a model, photo.png, small.png, and birds/train, validation and test with a folder for each bird."""
    folder = tmp_path_factory.mktemp("cli")
    with_random_weights(ViTClassifier(len(BIRDS), **SIZES, class_names=BIRDS)).save(folder / "model.keras")
    rng = np.random.default_rng(5)
    for name, size in {"photo": (29, 43, 3), "small": (13, 17, 3)}.items():
        Image.fromarray(rng.integers(0, 256, size, "uint8")).save(folder / f"{name}.png")
    for split, count in {"train": 11, "validation": 5, "test": 7}.items():
        for channel, bird in enumerate(BIRDS):
            (folder / "birds" / split / bird).mkdir(parents=True)
            for number in range(count):
                picture = rng.integers(0, 80, (17 + number, 23 - number, 3), "uint8")
                picture[..., channel] += 160
                Image.fromarray(picture).save(folder / "birds" / split / bird / f"{number}.png")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command):
    assert f"vitkit {command}" in run(command, "--help").split("Example")[1]


def test_help_names_every_command_and_no_other():
    listed = [line.split()[0] for line in run("--help").split("Commands:")[1].splitlines() if line.strip()]
    assert sorted(listed) == sorted(COMMANDS)


def test_a_run_resumed_and_its_model_in_every_other_command(folder, tmp_path):
    out = tmp_path / "run"
    given = ["train", "--data", folder / "birds", "--model", folder / "model.keras", "--out", out, "--batch-size", 11]
    given += ["--mixed-precision", "bfloat16", "--strategy", "mirrored", "--ema-momentum", 0.9]
    first, second = (json.loads(run(*given, "--epochs", *more)) for more in ([1], [2, "--resume"]))
    assert (first["epochs"], first["steps_per_epoch"], second["epochs"]) == (1, 3, 2)
    assert second["best_accuracy"] >= first["best_accuracy"]
    assert ViTClassifier.from_preset(out / "last.keras").dtype_policy.name == "mixed_bfloat16"

    run("evaluate", "--model", out / "best.keras", "--data", folder / "birds", "--out", out / "metrics.json")
    assert json.loads((out / "metrics.json").read_text())["num_examples"] == 21
    said = run("explain", folder / "photo.png", "--model", out / "best.keras", "--out", out / "map.npy")
    assert said.split(": ")[1].strip() in BIRDS
    assert np.load(out / "map.npy").shape == (1, 29, 43)
    run("export", "--model", out / "best.keras", "--out", out / "saved_model")
    assert "explain" in tf.saved_model.load(str(out / "saved_model")).signatures
    run("convert", out / "best.keras", out / "preset")
    assert ViTClassifier.from_preset(out / "preset").class_names == list(BIRDS)


def test_training_with_new_weights_at_another_size(folder, tmp_path):
    given = ["train", "--data", folder / "birds", "--model", folder / "model.keras", "--out", tmp_path, "--batch-size", 11]
    given += ["--fresh", "--image-size", 20, "--epochs", 1, "--xla", "--accumulate", 2, "--cache", "--rand-augment", 0.5]
    run(*given, "--mixup", 0.2, "--cutmix", 0.8, "--seed", 3, "--validation-split", "test")
    assert ViTClassifier.from_preset(tmp_path / "best.keras").get_config()["image_shape"] == (20, 20, 3)


def test_explain_writes_what_explain_says(folder):
    said = run("explain", folder / "photo.png", "--model", folder / "model.keras", "--out", folder / "map.npy")
    picture = read_image(folder / "photo.png")
    model = ViTClassifier.from_preset(folder / "model.keras")
    seen = explain(model, picture[None])
    np.testing.assert_allclose(np.load(folder / "map.npy"), seen.heatmap, atol=1e-6)
    assert said.strip() == f"{folder / 'photo.png'}: {BIRDS[seen.logits.argmax()]}"


def test_explain_draws_photos_of_several_sizes(folder):
    photos = folder / "photo.png", folder / "small.png"
    run("explain", *photos, "--model", folder / "model.keras", "--method", "rollout", "--out", folder / "map.png")
    with Image.open(folder / "map.png") as drawn:
        assert min(drawn.size) > 100


def test_a_backbone_converted_and_explained(folder, tmp_path):
    ViTBackbone(**SIZES).save(tmp_path / "backbone.keras")
    run("convert", tmp_path / "backbone.keras", tmp_path / "preset", "--backbone")
    given = ["--backbone", "--model", tmp_path / "preset", "--out", tmp_path / "map.npy"]
    assert run("explain", folder / "photo.png", *given) == ""
    assert np.load(tmp_path / "map.npy").max() == 1.0


def test_evaluate_takes_the_size_and_the_number_asked_for(folder):
    given = ["evaluate", "--model", folder / "model.keras", "--data", folder / "birds", "--split", "validation"]
    assert run(*given, "--image-size", 10, "--limit", 5, "--method", "rollout").startswith("5 pictures, 0 of them")


def test_evaluate_takes_the_target_and_the_precision_asked_for(folder, monkeypatch):
    seen = {}

    def measure(model, source, **options):
        seen.update(options, policy=model.dtype_policy.name)
        return evaluate(model, source, **options)

    monkeypatch.setattr("vitkit.evaluation.evaluate", measure)
    given = ["evaluate", "--model", folder / "model.keras", "--data", folder / "birds", "--limit", 5]
    said = run(*given, "--target", "label", "--mixed-precision", "bfloat16")
    assert (seen["target"], seen["policy"]) == ("label", "mixed_bfloat16")
    assert "target label" in said


def test_presets_lists_every_name():
    listed = [line.split()[0] for line in run("presets").splitlines()]
    assert listed == list(ViTBackbone.presets)
    rows = {line.split()[0]: line.split()[1:] for line in run("presets").splitlines()}
    assert rows["dinov2_small_patch14_518"] == ["facebook/dinov2-small-imagenet1k-1-layer", "facebook/dinov2-small"]
    assert rows["dino_small_patch16_224"] == ["-", "facebook/dino-vits16"]
    assert "vit_base_patch16_224" in listed


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_alone(folder, monkeypatch, capsys, terminal):
    monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # how rich is told
    monkeypatch.setattr(sys, "argv", ["vitkit", "evaluate", "--model", f"{folder}/model.keras", "--data", f"{folder}/birds"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    error = capsys.readouterr().err
    assert ("reading" in error) == ("evaluating" in error) == terminal


def test_nothing_but_the_answer_is_written(folder, tmp_path):
    given = ["explain", folder / "photo.png", "--model", folder / "model.keras", "--out", tmp_path / "map.png"]
    done = run_in_a_process(*given)
    assert done.stderr == ""
    assert done.stdout.startswith(str(folder / "photo.png"))
    assert done.stdout.count("\n") == 1
    assert "oneDNN" in run_in_a_process("presets", TF_CPP_MIN_LOG_LEVEL="0").stderr
