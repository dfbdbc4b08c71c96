"""`from_preset` and `save_to_preset`: models by preset name, from the Hugging Face Hub, a folder or a file."""

import contextlib
import json
import os
import pathlib
import tempfile
import zipfile

import h5py
import keras

from shared_layers.runtime.files import refuse_to_replace_others, write_aside
from shared_layers.runtime.names import unknown_name

_WEIGHTS = "model.weights.h5"  # Keras's name for the weights, in a folder and in a .keras file
_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}


class Presets:
    """Mixin that adds presets to a `keras.Model` class.

    The class must be registered (`keras.saving.register_keras_serializable`), its constructor must build the model,
    and its layers must have names, so that a weight has the same path in every instance.

    Attributes:
        presets: dict, name -> {"config": constructor arguments} and, where weights are published,
            "hf": "owner/repository".
        relatives: tuple of classes whose saved models this class also accepts. It then needs a class method
            `adopt(model, load_weights, overrides)`, which makes a model of this class from a model of such a class.
    """

    presets = {}  # noqa: RUF012 -- subclasses replace it; it is never mutated
    relatives = ()

    @classmethod
    def from_preset(cls, source, load_weights=True, **overrides):
        """Makes a model from a preset, a Hugging Face repository, a folder or a file.

        Args:
            source: str or path-like: a name in `presets`; "hf://owner/repository"; a folder written by
                `save_to_preset`; a `.keras` file; another folder or file that `import_checkpoint` can read.
            load_weights: bool, `False` for new, random weights.
            **overrides: constructor arguments that replace the source's, such as `num_classes`. Weights whose shapes
                change are adapted by `adapt_weight`.

        Returns:
            A model of this class, not compiled.

        Raises:
            ValueError: an unknown name or argument, a model of another class, a corrupt file, a pickle, or a weight
                that cannot be adapted.
            OSError: the file does not exist, or the download fails.
        """
        source = os.fspath(source)
        preset = cls.presets.get(source, {})
        if preset and not load_weights:
            return cls.from_config({**preset["config"], **overrides})
        if preset and "hf" not in preset:
            raise ValueError(f"No weights are published for it: pass load_weights=False. Received: source={source!r}")
        if preset:
            path = _download(preset["hf"], load_weights)
        elif source.startswith("hf://"):
            path = _download(source.removeprefix("hf://"), load_weights)
        else:
            path = _local(source, cls.presets)

        saved = _saved_config(path)
        if "registered_name" not in saved:
            if load_weights:
                _refuse_pickles(path)
            return cls.import_checkpoint(path, load_weights, overrides)
        saved_class = _saved_class(cls, saved["registered_name"], source)
        model = _load_model(path) if load_weights else _fresh_model(saved)
        if not issubclass(saved_class, cls):
            return cls.adopt(model, load_weights, overrides)
        if not overrides:
            return model
        return model.override(**overrides) if load_weights else model.from_config({**model.get_config(), **overrides})

    def save_to_preset(self, folder):
        """Writes the model's configuration and weights for `from_preset`, without the optimizer.

        Args:
            folder: str or path-like, the folder to write, atomically. An existing preset is replaced.

        Raises:
            ValueError: a folder with other files.
        """
        refuse_to_replace_others(folder, marker="config.json")
        with write_aside(folder) as temporary:
            # A copy has no optimizer, whose state would triple the size.
            keras.saving.save_model(self.override(), temporary, zipped=False)

    def override(self, **overrides):
        """Makes a copy of the model, weights included, with other values of some constructor arguments.

        Args:
            **overrides: constructor arguments.

        Returns:
            A new model of the same class, not compiled. Weights with another shape, or that this model does not have, are
            adapted by `adapt_weight`.

        Raises:
            ValueError: an unknown argument, or a weight that cannot be adapted.
        """
        config = self.get_config()
        for name in overrides:
            if name not in config:
                raise unknown_name("argument", name, config)
        model = self.from_config({**config, **overrides})
        self.copy_weights(model)
        return model

    def copy_weights(self, model):
        """Copies this model's weights to another model, by path.

        Args:
            model: the model to copy to. Weights with another shape, or that this model does not have, are adapted by
                `adapt_weight`.

        Raises:
            ValueError: a weight that cannot be adapted, or a model that its constructor does not build.
        """
        if not model.built:
            raise ValueError(f"Expected {type(model).__name__} to be built by its constructor. Received: built=False")
        values = {_path(self, weight): keras.ops.convert_to_numpy(weight) for weight in self.weights}
        for weight in model.weights:
            path, shape = _path(model, weight), tuple(weight.shape)
            value = values.get(path)
            if value is None or value.shape != shape:
                value = self.adapt_weight(path, value, shape, model)
            if value is not None:
                weight.assign(value)

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Makes a model from another library's checkpoint; for subclasses to override.

        Args:
            path: `pathlib.Path` of a file or folder, such as a Hugging Face folder with `config.json` and
                `model.safetensors`.
            load_weights: bool, as in `from_preset`.
            overrides: dict of constructor arguments, as in `from_preset`.

        Returns:
            A model of this class.

        Raises:
            ValueError: a format that the class cannot read.
        """
        raise ValueError(
            f"{cls.__name__} reads only .keras files and folders written by save_to_preset. Received: path={str(path)!r}"
        )

    def adapt_weight(self, path, value, shape, model):
        """Adapts a weight to a model with other constructor arguments; for subclasses to override.

        Args:
            path: str, the weight's path inside the model, such as "head/kernel".
            value: array, this model's weight; or `None` if it has no weight with this path.
            shape: tuple of int, the expected shape.
            model: the new model that the weight is for.

        Returns:
            array of the expected shape; or `None` to keep the new model's initial value.

        Raises:
            ValueError: a weight that cannot be adapted.
        """
        received = "none" if value is None else value.shape
        raise ValueError(f"Expected the weight {path} to have shape {shape}. Received: shape={received}")


def _path(model, weight):
    return weight.path.removeprefix(f"{model.name}/")


def _download(repository, load_weights):
    import huggingface_hub.errors

    patterns = ["*.json", "*.txt", "*.model"]  # configurations and vocabularies
    if load_weights:
        patterns.append("*.safetensors")
    try:
        return pathlib.Path(huggingface_hub.snapshot_download(repository, allow_patterns=patterns))
    except (huggingface_hub.errors.HFValidationError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise OSError(f"Download from the Hugging Face Hub failed: {reason}. Received: repository={repository!r}") from error


def _local(source, presets):
    path = pathlib.Path(source)
    if path.exists():
        return path
    if path.suffix or len(path.parts) > 1:
        raise FileNotFoundError(f"Expected a file or folder that exists. Received: source={source!r}")
    raise unknown_name("preset", source, presets)


def _saved_config(path):
    """Returns the configuration that Keras or Hugging Face wrote, {} if there is none."""
    try:
        if path.suffix == ".keras" and path.is_file():
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        if (path / "config.json").is_file():
            return json.loads((path / "config.json").read_text())
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"Expected a whole model ({error}). Received: source={str(path)!r}") from error
    return {}


def _load_model(path):
    cause = None
    try:
        model = keras.saving.load_model(path, compile=False)
        # Keras silently ignores unexpected tensors
        reason = None if len(_tensors(path)) == len(model.weights) else _misfit(path)
    except Exception as error:  # on a corrupt file Keras and its readers raise all kinds of exceptions
        cause, reason = error, str(error).partition("\n")[0]
        with contextlib.suppress(Exception):  # a file too corrupt to compare
            reason = _misfit(path) or reason
    if reason:
        raise ValueError(f"Expected a whole model ({reason}). Received: source={str(path)!r}") from cause
    return model


def _misfit(path):
    """Describes the first tensor of a saved model that does not match its configuration; `None` if all match."""
    model = _fresh_model(_saved_config(path))
    with tempfile.TemporaryDirectory() as folder:
        keras.saving.save_model(model, folder, zipped=False)
        expected = _tensors(pathlib.Path(folder))
    received = _tensors(path)
    for name in sorted(expected | received):
        wanted, found = (tensors.get(name, "none") for tensors in (expected, received))
        if wanted != found:
            return f"the tensor {name}: expected shape {wanted}, found {found}"
    return None


def _tensors(path):
    """Returns names and shapes of the tensors in a saved model, without the optimizer's."""
    tensors = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
            tensors[name] = item.shape

    with contextlib.ExitStack() as opened:
        if path.is_dir():
            file = path / _WEIGHTS
        else:
            file = opened.enter_context(opened.enter_context(zipfile.ZipFile(path)).open(_WEIGHTS))
        opened.enter_context(h5py.File(file)).visititems(note)
    return tensors


def _fresh_model(saved):
    return keras.saving.deserialize_keras_object({**saved, "compile_config": None})


def _saved_class(cls, name, source):
    saved = keras.saving.get_registered_object(name)
    if saved is None or not issubclass(saved, (cls, *cls.relatives)):
        raise ValueError(f"Expected a {cls.__name__}. Received: source={source!r}, which holds a {name}")
    return saved


def _refuse_pickles(path):
    files = list(path.iterdir()) if path.is_dir() else [path]
    suffixes = {file.suffix for file in files}
    if suffixes & _PICKLES and ".safetensors" not in suffixes:
        pickle = next(file for file in files if file.suffix in _PICKLES)
        raise ValueError(
            "Expected safetensors, since to unpickle a file is to run the code inside; convert it. "
            f"Received: source={str(pickle)!r}"
        )
