"""Bad input through the command's own door: one line that names it, exit code 2, and nothing written or lost."""

import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.vitkit.checkpoints import test_hugging_face as hugging_face
from tests.vitkit.test_evidence import SIZES, with_random_weights
from vitkit import cli
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier

ROOT = pathlib.Path(__file__).parents[2]
QUERY = f"vit.{hugging_face.QUERY}"
EXPLAIN = "explain photo.png --model model.keras --out x.npy"
TRAIN = "train --data birds --model model.keras --batch-size 7 --epochs 1 --out x"
EVALUATE = "evaluate --data birds --model model.keras --out x.json"

# What is wrong: the command, run in the folder that `folder` makes, and what its one line says.
ROWS = {
    # pictures
    "a missing photo": ("explain no.jpg --model model.keras --out x.npy", r"No such file .* 'no\.jpg'"),
    "a folder for a photo": ("explain birds --model model.keras --out x.npy", r"Is a directory: 'birds'"),
    "an empty photo": ("explain empty.jpg --model model.keras --out x.npy", r"valid picture.*empty\.jpg \(not a picture\)"),
    "a photo cut short": ("explain cut.jpg --model model.keras --out x.npy", r"valid picture.*cut\.jpg \(Truncated"),
    "text for a photo": (
        "explain notes.txt --model model.keras --out x.npy",
        r"valid picture.*notes\.txt \(not a picture\)",
    ),
    "a photo of 200 megapixels": (
        "explain huge.tif --model model.keras --out x.npy",
        r"at most 178956970 pixels.*huge\.tif",
    ),
    "photos of two sizes for one array": (
        "explain photo.png wide.png --model model.keras --out x.npy",
        r"photos of the same size .*sizes=",
    ),
    # data
    "a corrupt picture, refused": (f"{TRAIN} --data spoilt --on-corrupt refuse", r"1 of 8 pictures .*crow.cut\.jpg"),
    "a corrupt picture, misspelt": (f"{EVALUATE} --on-corrupt skipp", r"did you mean 'skip'"),
    "a folder that is not there": (f"{TRAIN} --data ./no", r"folder of class folders.*Received: folder=no"),
    "an unknown data set": (f"{TRAIN} --data oxford_flowers12", r"Unknown dataset; did you mean .*'oxford_flowers102'"),
    "an unknown split": (f"{EVALUATE} --split tets", r"Unknown split; did you mean 'test'"),
    "an empty folder": (f"{TRAIN} --data nothing", r"two or more class folders.*classes \[\]"),
    "one class": (f"{TRAIN} --data lonely", r"two or more class folders.*classes \['crow'\]"),
    "no picture in the split": (f"{EVALUATE} --data few --split validation", r"at least one valid picture in each split"),
    "a batch larger than the data": (f"{TRAIN} --batch-size 99", r"a batch of 1 to 14 pictures.*batch_size=99"),
    "classes that the model does not know": (f"{EVALUATE} --data strangers", r"Unknown class; .*class='dodo'"),
    # models
    "an unknown preset": ("export --model vit_tiny_patch16_223 --out x", r"did you mean .*'vit_tiny_patch16_224'"),
    "a preset without weights": ("convert vit_tiny_patch16_224 x", r"No weights are published"),
    "a missing model": ("export --model no.keras --out x", r"file or folder that exists.*'no\.keras'"),
    "an empty model": ("export --model empty.keras --out x", r"Expected a whole model .*empty\.keras"),
    "a model cut short": ("export --model cut.keras --out x", r"Expected a whole model .*cut\.keras"),
    "a model without weights": (
        "export --model weightless.keras --out x",
        r"Expected a whole model .*weightless\.keras",
    ),
    "a model with other weights": (
        "export --model swapped.keras --out x",
        r"the tensor backbone/\S+: expected shape .*, found none\)\. .*swapped\.keras",
    ),
    "a preset without its weights": ("export --model weightless --out x", r"Expected a whole model .*weightless"),
    "an empty folder for a model": ("export --model nothing --out x", r"config\.json"),
    "a backbone for a classifier": ("export --model backbone.keras --out x", r"Expected a ViTClassifier.*ViTBackbone"),
    "a missing tensor": ("convert hf/missing x --backbone", rf"a tensor {hugging_face.QUERY} of shape \(6, 6\).*none"),
    "an extra tensor": ("convert hf/extra x --backbone", r"no tensor of that name.*adapter\.weight of shape \(2, 3\)"),
    "a misshapen tensor": (
        "convert hf/misshapen x --backbone",
        rf"{hugging_face.QUERY} to have shape \(6, 6\).*shape=\(6, 5\)",
    ),
    "tensors cut short": ("convert hf/cut x --backbone", r"a valid safetensors file .*model\.safetensors"),
    "a pickle": ("convert hf/pickle x --backbone", r"to unpickle a file is to run the code inside.*pytorch_model\.bin"),
    "a broken config": ("convert hf/broken x --backbone", r"Expected a whole model .*broken"),
    "a checkpoint without a head": ("convert hf/whole x", r"with a head"),
    "a size that the patch does not divide": (f"{TRAIN} --image-size 21", r"21.*patch|patch.*21"),
    # options
    "an unknown method": (f"{EXPLAIN} --method legra", r"did you mean 'legrad'"),
    "a method that needs a head": (
        "explain photo.png --model backbone.keras --backbone --method legrad --out x.npy",
        r"needs a classifier.*'legrad'",
    ),
    "an unknown target": (f"{EVALUATE} --target lable", r"Unknown target; did you mean 'label'"),
    "an unknown strategy": (f"{TRAIN} --strategy miror", r"did you mean 'mirrored'"),
    "an unknown precision": (f"{TRAIN} --mixed-precision float61", r"'float16'"),
    "an unknown option": (f"{EXPLAIN} --metod raw", r"No such option: --metod"),
    "an unknown command": ("explian", r"No such command 'explian'"),
    "a missing option": ("explain photo.png --out x.npy", r"Missing option '--model'"),
    "a class below the first": (f"{EXPLAIN} --target -1", r"target must be in \[0, 2\).*target=-1"),
    "a class past the last": (f"{EXPLAIN} --target 2", r"target must be in \[0, 2\).*target=2"),
    "a class of a backbone": (
        "explain photo.png --model backbone.keras --backbone --target 0 --out x.npy",
        r"has no classes.*target=0",
    ),
    "no picture": (f"{EVALUATE} --limit 0", r"'--limit'.* 1"),
    "no epoch": (f"{TRAIN} --epochs 0", r"'--epochs'.* 1"),
    "a word for a number": (f"{TRAIN} --epochs many", r"'--epochs'.* valid integer"),
    "an empty batch": (f"{TRAIN} --batch-size 0", r"'--batch-size'.* 1"),
    "a size below 1": (f"{EVALUATE} --image-size -3", r"'--image-size'.* 1"),
    "a negative seed": (f"{EVALUATE} --seed -1", r"'--seed'.* 0"),
    "a negative rate": (f"{TRAIN} --learning-rate -1", r"above 0.*learning_rate=-1"),
    "no rate": (f"{TRAIN} --learning-rate nan", r"above 0.*learning_rate=nan"),
    "an average of nothing": (f"{TRAIN} --ema-momentum 1", r"in \[0, 1\).*ema_momentum=1"),
    "too much to mix": (f"{TRAIN} --mixup 7", r"\[0\.1, 1\].*mixup=7"),
    "too much to change": (f"{TRAIN} --rand-augment 7", r"'--rand-augment'.* 1"),
    # where to write
    "a heatmap of another kind": ("explain photo.png --model model.keras --out x.gif", r"ends in \.png or \.npy.*x\.gif"),
    "a folder for a heatmap": ("explain photo.png --model model.keras --out folder.png", r"'folder\.png' is a directory"),
    "a folder for a file": ("evaluate --data birds --model model.keras --out birds", r"'birds' is a directory"),
    "a file for a run": (f"{TRAIN} --out photo.png", r"'photo\.png' is a file"),
    "a file for a preset": ("convert model.keras photo.png", r"'photo\.png' is a file"),
    "a path below a file": ("explain photo.png --model model.keras --out notes.txt/x.png", r"'notes\.txt' is a file"),
    "a folder with something else": ("export --model model.keras --out birds", r"a new or empty folder.*'birds'"),
}


def save(model, path):
    with_random_weights(model).save(path)


def jpeg():
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (31, 37, 3), "uint8")).save(buffer, "JPEG")
    return buffer.getvalue()


def draw(folder, number, name="bird"):
    folder.mkdir(parents=True)
    for index in range(number):
        Image.new("RGB", (11 + index, 13), (17 * index, 99, 0)).save(folder / f"{name}{index}.png")


def write_models(folder):
    save(ViTClassifier(2, **SIZES, class_names=["crow", "gull"]), folder / "model.keras")
    save(ViTBackbone(**SIZES), folder / "backbone.keras")
    (folder / "empty.keras").touch()
    (folder / "cut.keras").write_bytes((folder / "model.keras").read_bytes()[:-999])
    with zipfile.ZipFile(folder / "model.keras") as whole:
        with zipfile.ZipFile(folder / "weightless.keras", "w") as part:
            for name in ("config.json", "metadata.json"):
                part.writestr(name, whole.read(name))
        whole.extractall(folder / "weightless")
        with zipfile.ZipFile(folder / "backbone.keras") as other, zipfile.ZipFile(folder / "swapped.keras", "w") as mixed:
            for name in whole.namelist():
                mixed.writestr(name, (other if name.endswith(".h5") else whole).read(name))
    (folder / "weightless" / "model.weights.h5").unlink()

    tensors = hugging_face.tensors_of("vit")
    without = {name: tensor for name, tensor in tensors.items() if name != QUERY}
    for name, changed in {
        "whole": tensors,
        "cut": tensors,
        "pickle": tensors,
        "broken": tensors,
        "missing": without,
        "extra": {**tensors, "vit.adapter.weight": np.ones((2, 3), "float32")},
        "misshapen": {**tensors, QUERY: np.ones((6, 5), "float32")},
    }.items():
        (folder / "hf" / name).mkdir(parents=True)
        hugging_face.write(folder / "hf" / name, tensors=changed)
    file = folder / "hf" / "cut" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    (folder / "hf" / "pickle" / "model.safetensors").rename(folder / "hf" / "pickle" / "pytorch_model.bin")
    (folder / "hf" / "broken" / "config.json").write_text("{")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    Image.new("RGB", (37, 31)).save(folder / "photo.png")
    Image.new("RGB", (41, 31)).save(folder / "wide.png")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.tif", compression="group4")
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes(jpeg()[:400])
    (folder / "notes.txt").write_text("A crow.")
    (folder / "folder.png").mkdir()
    (folder / "nothing").mkdir()
    for name in ("crow", "gull"):
        for split, number in {"train": 7, "validation": 3, "test": 3}.items():
            draw(folder / "birds" / split / name, number)
        draw(folder / "few" / name, 1)
    draw(folder / "lonely" / "crow", 5)
    shutil.copytree(folder / "birds", folder / "strangers")
    (folder / "strangers" / "test" / "gull").rename(folder / "strangers" / "test" / "dodo")
    for split in ("train", "validation"):
        draw(folder / "spoilt" / split / "crow", 3)
        draw(folder / "spoilt" / split / "gull", 4)
    shutil.copy(folder / "cut.jpg", folder / "spoilt" / "train" / "crow")
    write_models(folder)
    return folder


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """Runs the command in the folder; gives its exit code and what it wrote to standard output and standard error."""
    monkeypatch.chdir(folder)

    def run(line):
        monkeypatch.setattr(sys, "argv", ["vitkit", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def contents(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("line", "message"), ROWS.values(), ids=ROWS)
def test_is_one_line_and_exit_code_2(folder, command, line, message):
    before = contents(folder)
    code, out, error = command(line)
    assert error.startswith("vitkit: ")
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert code == 2
    assert out == ""
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{TRAIN} --learning-rate 1e38 --clip-norm 1e38 --weight-decay 1e38", r"a finite loss;.* at epoch 1, step 2$"),
        (f"{TRAIN} --data spoilt --on-corrupt trust", r"Expected a valid picture\. Received: source=.*cut\.jpg"),
    ],
    ids=["a lost loss", "a corrupt picture that was trusted"],
)
def test_what_ends_training_is_one_line_and_leaves_no_checkpoint(folder, command, line, message):
    code, out, error = command(f"{line} --out ended")
    assert re.search(message, error)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert not list(folder.glob("ended/*.keras"))


def test_a_corrupt_picture_skipped_is_named_and_counted(command):
    code, out, error = command("evaluate --data spoilt --split train --model model.keras --limit 3")
    assert code == 0
    assert error == "vitkit: Skipped: 1 of 8 pictures in spoilt/train cannot be read: crow/cut.jpg\n"
    assert out.startswith("3 pictures")


@pytest.mark.parametrize(
    ("name", "image", "options"),
    [
        ("one_pixel.png", Image.new("RGB", (1, 1), "lime"), {}),
        ("one_line.png", Image.new("RGB", (301, 1), "lime"), {}),
        ("grey.png", Image.new("L", (37, 31), 99), {}),
        ("cmyk.jpg", Image.new("CMYK", (37, 31), (0, 255, 255, 0)), {}),
        ("deep.png", Image.fromarray(np.full((31, 37), 40_000, "uint16")), {}),
        ("moves.gif", Image.new("RGB", (37, 31)), {"save_all": True, "append_images": [Image.new("RGB", (37, 31), "red")]}),
        ("rødstrupe 知更鸟.png", Image.new("RGB", (37, 31)), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_odd_pictures_are_explained(folder, command, name, image, options):
    image.save(folder / name, **options)
    code, out, error = command(f"explain '{name}' --model model.keras --out odd/map.npy")
    assert (code, error) == (0, "")
    assert out.startswith(f"{name}: ")
    assert np.load(folder / "odd/map.npy").shape == (1, *image.size[::-1])
    assert command(f"explain '{name}' --model model.keras --out odd/map.png")[0] == 0


def test_100_megapixels_are_explained_in_bounded_memory(folder):
    Image.new("1", (12_500, 8_000), 1).save(folder / "large.tif", compression="group4")
    program = (
        "import resource, sys; sys.argv = ['vitkit', *sys.argv[1:]]; from vitkit.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    line = "explain large.tif --model model.keras --out large.png"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *line.split()], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 4e6  # kB; the picture as floats is 1.2e6
    assert (folder / "large.png").is_file()
