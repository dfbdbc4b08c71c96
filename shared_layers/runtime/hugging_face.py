"""Reading of Hugging Face folders: `config.json` and safetensors, for all kinds of models."""

import contextlib
import json
import math

import numpy as np


@contextlib.contextmanager
def reading_config(path):
    """Context manager: turns errors from an unexpected configuration into one clear error.

    Args:
        path: `pathlib.Path` of the folder.

    Raises:
        ValueError: `path` is not a folder, or the configuration lacks an entry.
    """
    if not path.is_dir():
        raise ValueError(f"Expected a folder with config.json and model.safetensors. Received: path={str(path)!r}")
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"Expected Hugging Face's config ({error!r}). Received: path={str(path)!r}") from error


def read_json(file):
    """Reads a JSON file.

    Args:
        file: `pathlib.Path`.

    Returns:
        The content: dict, list, ...

    Raises:
        ValueError: not valid JSON.
        OSError: the file does not exist.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Expected valid JSON ({error}). Received: file={str(file)!r}") from error


def read_class_names(theirs):
    """Reads the classes from a configuration with a head.

    Args:
        theirs: dict, the content of `config.json`.

    Returns:
        A tuple: int, the number of classes; list of str, their names, or `None` if they are only numbered.
    """
    names = theirs.get("id2label") or {}
    names = [names[index] for index in sorted(names, key=int)]
    is_named = names and names != [f"LABEL_{index}" for index in range(len(names))]
    return len(names) or theirs.get("num_labels", 2), names if is_named else None


def read_tensors(path, prefix=""):
    """Reads every safetensors file of a folder.

    Args:
        path: `pathlib.Path` of the folder.
        prefix: str, a prefix that is removed from tensor names.

    Returns:
        dict, name -> float32 array.

    Raises:
        ValueError: a corrupt file.
        OSError: no safetensors file in the folder.
    """
    import safetensors

    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise FileNotFoundError(f"Expected model.safetensors in the folder. Received: path={str(path)!r}")
    tensors = {}
    for file in files:
        try:
            with safetensors.safe_open(file, framework="numpy") as opened:
                for name in opened.keys():  # noqa: SIM118 -- it is not a mapping
                    tensors[name.removeprefix(prefix)] = opened.get_tensor(name).astype(np.float32)
        except safetensors.SafetensorError as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"Expected a valid safetensors file ({reason}). Received: file={str(file)!r}") from error
    return tensors


def to_weights(tensors, layout, is_ignored):
    """Converts tensors to weights; every tensor must be used or ignored.

    Args:
        tensors: dict, name -> array.
        layout: iterable of (name of the tensor, its shape, path of the weight, its shape). PyTorch's matrices are
            (out, in), its convolution kernels (out, in, rows, columns); they are transposed for Keras.
        is_ignored: function of a name -> bool, whether a tensor that is not in the layout may be ignored.

    Returns:
        dict, path of the weight -> array.

    Raises:
        ValueError: a missing or unexpected tensor, or one of another shape.
    """
    tensors, weights = dict(tensors), {}
    for name, their_shape, weight, shape in layout:
        if name not in tensors:
            raise ValueError(f"Expected a tensor {name} of shape {their_shape}. Received: none of that name")
        tensor = tensors.pop(name)
        if tensor.shape != their_shape:
            raise ValueError(f"Expected the tensor {name} to have shape {their_shape}. Received: shape={tensor.shape}")
        axes = (2, 3, 1, 0) if tensor.ndim == 4 else None
        is_kernel = weight.endswith("kernel")
        weights[weight] = (tensor.transpose(axes) if is_kernel else tensor).reshape(shape)
    for name, tensor in tensors.items():
        if not is_ignored(name):
            raise ValueError(f"Expected no tensor of that name. Received: {name} of shape {tensor.shape}")
    return weights


def linear_layout(theirs, ours, sizes_in, sizes_out):
    """Yields the two layout entries of a dense layer, for `to_weights`.

    Args:
        theirs, ours: str, names without ".weight" and "/kernel".
        sizes_in, sizes_out: tuples of int, the input and output axes of our kernel; theirs has one axis for each tuple.

    Yields:
        (name of the tensor, its shape, path of the weight, its shape).
    """
    yield f"{theirs}.weight", (math.prod(sizes_out), math.prod(sizes_in)), f"{ours}/kernel", (*sizes_in, *sizes_out)
    yield f"{theirs}.bias", (math.prod(sizes_out),), f"{ours}/bias", sizes_out


def norm_layout(theirs, ours, d):
    """Yields the two layout entries of a layer normalisation of width d; see `linear_layout`."""
    yield f"{theirs}.weight", (d,), f"{ours}/gamma", (d,)
    yield f"{theirs}.bias", (d,), f"{ours}/beta", (d,)
