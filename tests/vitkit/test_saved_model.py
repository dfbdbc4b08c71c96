"""The SavedModel, served where only TensorFlow can be imported, against the model itself."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import vitkit
from tests.vitkit.test_evidence import CLASSES, HEADS, SIZES, with_random_weights
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier
from vitkit.heatmaps import explain
from vitkit.preprocessing import prepare, read_image
from vitkit.saved_model import export

NAMES = [f"bird {number}" for number in range(CLASSES)]

# TensorFlow imports Keras if it can; here neither it nor these packages can be imported.
CLIENT = """
import sys
sys.modules["keras"] = sys.modules["vitkit"] = sys.modules["shared_layers"] = None
import numpy as np
import tensorflow as tf
served = tf.saved_model.load("saved_model").signatures
images = tf.constant(np.load("images.npy"))
files = [tf.io.read_file(name) for name in sys.argv[1:]]
answers = {
    "default": served["serving_default"](images=images),
    "bytes": served["serving_bytes"](images=tf.stack([tf.io.encode_png(image) for image in images])),
    "files": served["serving_bytes"](images=tf.stack(files)),
    "predicted": served["explain"](images=images, target=tf.fill([len(images)], -1)),
    "chosen": served["explain"](images=images, target=tf.range(len(images))),
}
np.savez("answers.npz", **{
    f"{call}/{name}": value.numpy().astype(str) if name == "class_names" else value.numpy()
    for call, answer in answers.items() for name, value in answer.items()
})
"""


def write_files(folder):
    """JPEG and PNG of several sizes and depths, smooth, so that all decoders agree; their names."""
    pictures = {}
    for name, (height, width) in {
        "wide.jpg": (24, 56),
        "tall.png": (61, 23),
        "small.jpg": (7, 5),
        "grey.png": (31, 31),
    }.items():
        rows, columns = np.mgrid[:height, :width]
        slope = 255 * rows / height if name.startswith(("wide", "grey")) else 255 * columns / width
        picture = np.stack([slope, 255 - slope, slope / 2], -1).astype("uint8")
        pictures[name] = Image.fromarray(picture[..., 0] if name == "grey.png" else picture)
    pictures["red.jpg"] = Image.new("RGB", (19, 29), "red")
    for name, picture in pictures.items():
        picture.save(folder / name, **({"quality": 95, "subsampling": 0} if name.endswith("jpg") else {}))
    return list(pictures)


@pytest.mark.parametrize("head", ["class token", "distillation", "class token and patch mean"])
def test_serves_what_explain_says(tmp_path, head):
    model = with_random_weights(ViTClassifier(CLASSES, **SIZES, **HEADS[head], class_names=NAMES))
    images = np.random.default_rng(3).integers(0, 256, (3, 29, 43, 3), "uint8")
    np.save(tmp_path / "images.npy", images)
    export(model, tmp_path / "saved_model")
    files = write_files(tmp_path)
    subprocess.run([sys.executable, "-c", CLIENT, *files], cwd=tmp_path, check=True)
    answers = np.load(tmp_path / "answers.npz")

    logits = model(prepare(images, **model.preprocessing), training=False)
    for call in ("default", "bytes", "predicted", "chosen"):
        np.testing.assert_allclose(answers[f"{call}/probabilities"], tf.nn.softmax(logits), atol=1e-5)
        assert answers[f"{call}/class_names"].tolist() == NAMES
    pictures = [prepare(read_image(tmp_path / name)[None], **model.preprocessing) for name in files]
    expected = tf.nn.softmax(model(tf.concat(pictures, 0), training=False))
    assert np.ptp(expected, axis=0).max() > 0.02  # they differ
    np.testing.assert_allclose(answers["files/probabilities"], expected, atol=5e-3)  # of decoders, by a level of 255
    for call, target in (("predicted", None), ("chosen", np.arange(3))):
        heatmap = explain(model, images, target=target).heatmap
        assert heatmap.max() == 1.0
        np.testing.assert_allclose(answers[f"{call}/heatmap"], heatmap, atol=1e-5)


def test_the_package_exports_again_and_again(tmp_path):
    model = ViTClassifier(CLASSES, **SIZES)
    for name in ("once", "twice"):
        vitkit.export(model, tmp_path / name)
        assert (tmp_path / name / "saved_model.pb").is_file()


def test_refuses_a_backbone(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a classifier to export\. Received: model=ViTBackbone"):
        export(ViTBackbone(**SIZES), tmp_path / "saved_model")
    assert not any(tmp_path.iterdir())


def test_an_unknown_method_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'rollout'"):
        export(ViTClassifier(CLASSES, **SIZES), tmp_path / "saved_model", method="roll-out")
    assert not any(tmp_path.iterdir())
