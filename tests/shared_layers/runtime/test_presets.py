import json
import subprocess
import sys
import zipfile

import h5py
import huggingface_hub
import keras
import numpy as np
import pytest

from shared_layers import runtime
from tests.shared_layers.runtime.small_model import SmallModel, compile_model, make_data, set_same_weights
from tests.shared_layers.runtime.test_replicas import ROOT


@keras.saving.register_keras_serializable(package="tests")
class OtherModel(runtime.Model):
    """A model of another class."""


class Adapting(SmallModel):
    """Keeps the first inputs, repeats none, and begins a new head."""

    def adapt_weight(self, path, value, shape, model):
        if path.startswith("head/"):
            return None
        assert path == "first/kernel"
        return value[: shape[0]]


class Importing(SmallModel):
    """Says what it was asked to import."""

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        return path, load_weights, overrides


class Adopting(OtherModel):
    """Says what it was to be made from."""

    relatives = (SmallModel,)

    @classmethod
    def adopt(cls, model, load_weights, overrides):
        return model, load_weights, overrides


@pytest.fixture
def model():
    model = SmallModel(units=13)
    set_same_weights(model)
    return model


def assert_same(found, expected):
    assert found.get_config() == {**expected.get_config(), "name": found.name}
    for one, other in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_preset_by_name_with_fresh_weights():
    model = SmallModel.from_preset("small_13", load_weights=False, num_classes=3)
    assert (model.units, model.num_classes) == (13, 3)


def test_preset_without_published_weights():
    with pytest.raises(ValueError, match=r"pass load_weights=False. Received: source='small_11'"):
        SmallModel.from_preset("small_11")


def test_unknown_preset():
    with pytest.raises(ValueError, match=r"Unknown preset; did you mean 'small_1.* Received: preset='smal_11'"):
        SmallModel.from_preset("smal_11")


def test_unknown_argument(model):
    with pytest.raises(ValueError, match=r"Unknown argument; did you mean 'units'\? Received: argument='unit'"):
        model.override(unit=5)
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments passed to SmallModel: {'unit': 5}"):
        SmallModel.from_preset("small_11", load_weights=False, unit=5)


def test_missing_file():
    for source in ("no/such/folder", "none.keras"):
        with pytest.raises(FileNotFoundError, match=rf"Expected a file or folder.* Received: source='{source}'"):
            SmallModel.from_preset(source)


def test_folder_round_trip_leaves_training_out(model, tmp_path):
    folder = tmp_path / "preset"
    compile_model(model)
    model.fit(*make_data(8), verbose=0)
    model.save_to_preset(folder)
    found = SmallModel.from_preset(folder)
    assert_same(found, model)
    assert not found.compiled
    parameters = model.count_params()
    # float32, and some kilobytes of HDF5; two moments of AdamW would treble the numbers.
    assert (folder / "model.weights.h5").stat().st_size < 4 * parameters + 40_000
    assert json.loads((folder / "config.json").read_text())["registered_name"] == "tests>SmallModel"
    fresh = SmallModel.from_preset(folder, load_weights=False)
    assert np.abs(fresh.get_weights()[0] - model.get_weights()[0]).max() > 0.01


def test_any_registered_class_from_the_base(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    assert_same(runtime.Model.from_preset(str(tmp_path / "preset")), model)


def test_keras_file(model, tmp_path):
    compile_model(model)
    model.save(tmp_path / "model.keras")
    found = SmallModel.from_preset(tmp_path / "model.keras")
    assert_same(found, model)
    assert not found.compiled


def test_folder_in_a_fresh_process(model, tmp_path):
    folder = tmp_path / "preset"
    model.save_to_preset(folder)
    inputs, _ = make_data(3)
    program = f"""
import numpy
from tests.shared_layers.runtime.small_model import SmallModel, make_data
numpy.save({str(tmp_path / "out.npy")!r}, SmallModel.from_preset({str(folder)!r}).predict(make_data(3)[0]))
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), model.predict(inputs, verbose=0), atol=1e-6)


def test_saving_replaces_presets_and_nothing_else(model, tmp_path):
    folder = tmp_path / "preset"
    model.save_to_preset(folder)
    SmallModel(units=17).save_to_preset(folder)
    assert SmallModel.from_preset(folder).units == 17
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"new or empty folder, or one with config.json in it. Received: folder="):
        model.save_to_preset(tmp_path)


def test_failed_saving_leaves_the_previous_preset(model, tmp_path, monkeypatch):
    folder = tmp_path / "preset"
    model.save_to_preset(folder)

    def save_half(model, folder, zipped):
        folder.mkdir()
        (folder / "config.json").write_text("{")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keras.saving, "save_model", save_half)
    with pytest.raises(OSError, match="No space left"):
        SmallModel(units=17).save_to_preset(folder)
    assert SmallModel.from_preset(folder).units == 13
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["preset", "model.keras"])
def test_another_class_is_refused(tmp_path, name):
    path = tmp_path / name
    SmallModel().save(path, zipped=name.endswith(".keras"))
    with pytest.raises(ValueError, match=rf"Expected a OtherModel. Received: .*{name}'.* holds a tests>SmallModel"):
        OtherModel.from_preset(path)


def test_a_relative_is_handed_to_the_class(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    found, load_weights, overrides = Adopting.from_preset(tmp_path / "preset", num_classes=3)
    assert_same(found, model)
    assert (load_weights, overrides) == (True, {"num_classes": 3})
    fresh, load_weights, _ = Adopting.from_preset(tmp_path / "preset", load_weights=False)
    assert not load_weights
    assert np.abs(fresh.get_weights()[0] - model.get_weights()[0]).max() > 0.01


@pytest.mark.parametrize("cut", [20, 0.5])
def test_truncated_keras_file(model, tmp_path, cut):
    path = tmp_path / "model.keras"
    model.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole)) if cut < 1 else cut])
    with pytest.raises(ValueError, match=r"Expected a whole model.*Received: source='.*model.keras'"):
        SmallModel.from_preset(path)


@pytest.mark.parametrize("weights", [None, b"no weights"])
def test_broken_weights(model, tmp_path, weights):
    model.save_to_preset(tmp_path / "preset")
    file = tmp_path / "preset" / "model.weights.h5"
    file.unlink() if weights is None else file.write_bytes(weights)
    with pytest.raises(ValueError, match=r"Expected a whole model \(.*\)\. Received: source=.*preset") as caught:
        SmallModel.from_preset(tmp_path / "preset")
    assert "\n" not in str(caught.value)


KERNEL = "first/vars/0"


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (KERNEL, (5, 2), rf"the tensor {KERNEL}: expected shape \(5, 13\), found \(5, 2\)"),
        (KERNEL, None, rf"the tensor {KERNEL}: expected shape \(5, 13\), found none"),
        ("first/vars/2", (3,), r"the tensor first/vars/2: expected shape none, found \(3,\)"),
        ("adapter/vars/0", (3,), r"the tensor adapter/vars/0: expected shape none, found \(3,\)"),
    ],
    ids=["misshapen", "missing", "extra", "of an extra layer"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_tensor_that_does_not_fit_is_named(model, tmp_path, name, shape, message, zipped):
    folder, path = tmp_path / "preset", tmp_path / "model.keras"
    model.save_to_preset(folder)
    with h5py.File(folder / "model.weights.h5", "a") as tensors:
        if name in tensors:
            del tensors[name]
        if shape:
            tensors[name] = np.ones(shape, "float32")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    with pytest.raises(ValueError, match=rf"Expected a whole model \({message}\)\. Received: source="):
        SmallModel.from_preset(path if zipped else folder)


def test_broken_config(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(ValueError, match=r"Expected a whole model \(Expecting value.*Received: source="):
        SmallModel.from_preset(tmp_path)


def test_override_keeps_the_weights_that_fit(model, tmp_path):
    model.save_to_preset(tmp_path / "preset")
    found = SmallModel.from_preset(tmp_path / "preset", dropout=0.5)
    assert found.dropout == 0.5
    for one, other in zip(found.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_override_without_an_adaptation_names_the_weight(model):
    with pytest.raises(ValueError, match=r"weight head/kernel to have shape \(13, 3\). Received: shape=\(13, 7\)"):
        model.override(num_classes=3)


def test_override_needs_a_model_built_by_its_constructor():
    with pytest.raises(ValueError, match=r"OtherModel to be built by its constructor. Received: built=False"):
        OtherModel().override()


def test_override_adapts_weights():
    model = Adapting(units=13)
    set_same_weights(model)
    found = model.override(num_classes=3, num_features=2)
    np.testing.assert_array_equal(found.first.kernel, model.first.kernel[:2])
    np.testing.assert_array_equal(found.norm.gamma, model.norm.gamma)
    assert found.head.kernel.shape == (13, 3)
    assert float(np.abs(found.head.bias).max()) == 0.0


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "weights.pt"])
@pytest.mark.parametrize("inside", [True, False])
def test_pickles_are_refused(tmp_path, name, inside):
    (tmp_path / name).touch()
    source = tmp_path if inside else tmp_path / name
    with pytest.raises(ValueError, match=rf"to unpickle a file is to run the code.* Received: source='.*{name}'"):
        SmallModel.from_preset(source)


def test_foreign_formats_are_handed_to_the_class(tmp_path):
    array = tmp_path / "weights.npz"
    array.touch()
    assert Importing.from_preset(array, num_classes=3) == (array, True, {"num_classes": 3})
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "training_args.bin").touch()
    (tmp_path / "model.safetensors").touch()
    assert Importing.from_preset(tmp_path, load_weights=False) == (tmp_path, False, {})
    with pytest.raises(ValueError, match=r"SmallModel reads only .keras files and folders.* Received: path='.*npz'"):
        SmallModel.from_preset(array)


@pytest.mark.parametrize(("source", "repository"), [("small_13", "tests/small"), ("hf://owner/name", "owner/name")])
def test_hub(tmp_path, monkeypatch, source, repository):
    asked = []

    def snapshot_download(repository, allow_patterns):
        asked.append((repository, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert Importing.from_preset(source, units=5) == (tmp_path, True, {"units": 5})
    assert asked == [(repository, ["*.json", "*.txt", "*.model", "*.safetensors"])]


def test_hub_without_an_answer(monkeypatch):
    def snapshot_download(repository, allow_patterns):
        raise huggingface_hub.errors.LocalEntryNotFoundError("Cannot find it.\nAnd more.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(OSError, match=r"Hub failed: Cannot find it.. Received: repository='owner/name'$"):
        SmallModel.from_preset("hf://owner/name")
