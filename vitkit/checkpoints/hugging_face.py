"""Hugging Face folders: `config.json`, `preprocessor_config.json` and safetensors of ViT, DeiT, DINO and DINOv2.

`layout` maps tensors to weights; a tensor that is neither in it nor in `_IGNORED` is an error.
"""

import math

from shared_layers.runtime import (
    linear_layout,
    norm_layout,
    read_class_names,
    read_json,
    read_tensors,
    reading_config,
    to_weights,
    unknown_name,
)

_DEFAULTS = {"vit": (16, 1e-12), "deit": (16, 1e-12), "dinov2": (14, 1e-6), "dinov2_with_registers": (14, 1e-6)}
_ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "silu": "silu", "swish": "silu"}
_INTERPOLATIONS = {"2": "bilinear", "3": "bicubic"}  # Pillow's constants
# Weights for other tasks: the pooler, the mask token and the decoder of masked image modelling.
_IGNORED = ("pooler.", "embeddings.mask_token", "decoder.")
_HEADS = ("head/", "distillation_head/")


def import_hugging_face(cls, path, load_weights, overrides):
    """Makes a backbone or a classifier from a Hugging Face folder.

    Args:
        cls: `ViTBackbone` or `ViTClassifier` (or a subclass). A classifier from a folder without a head gets a new one.
        path: `pathlib.Path` of the folder.
        load_weights: bool, `False` for new, random weights.
        overrides: dict of constructor arguments that replace the folder's; position embeddings are resampled.

    Returns:
        A model of class `cls`.

    Raises:
        ValueError: see `read`; or a folder without a head and no `num_classes` in `overrides`.
        OSError: a missing file.
    """
    config, weights = read(path, load_weights)
    head = {name: config.pop(name) for name in ("num_classes", "pooling", "class_names") if name in config}
    if hasattr(cls, "classify"):
        if not head and "num_classes" not in overrides:
            raise ValueError(f"Expected a checkpoint with a head, or num_classes=. Received: path={str(path)!r}")
        config |= head or {name: overrides[name] for name in ("num_classes", "pooling") if name in overrides}
    model = cls(**config)
    places = {weight.path: weight for weight in model.weights}
    for name, value in weights.items():
        if hasattr(cls, "classify") or not name.startswith(_HEADS):
            places[name].assign(value)
    return model.override(**overrides) if overrides else model


def read(path, load_weights=True):
    """Reads a Hugging Face folder without building a model.

    Args:
        path: `pathlib.Path` of the folder.
        load_weights: bool, `False` to read only the configuration.

    Returns:
        config: dict, the constructor arguments of `ViTClassifier` if there is a head, otherwise of `ViTBackbone`. Without a
            `preprocessor_config.json`, the preprocessing is the constructor's default.
        weights: dict, path of the weight in the model -> float32 array; empty without `load_weights`.

    Raises:
        ValueError: an unknown `model_type`, activation or interpolation; a corrupt file; a missing or unexpected tensor, or
            one of another shape.
        OSError: a missing file.
    """
    with reading_config(path):
        kind, config = _read_config(path)
    if not load_weights:
        return config, {}
    tensors = read_tensors(path, prefix=f"{kind}.")
    return config, to_weights(tensors, layout(kind, config), lambda name: name.startswith(_IGNORED))


def layout(kind, config):
    """Maps the tensors of a Hugging Face model to weights.

    Args:
        kind: str, Hugging Face's `model_type`.
        config: dict, as returned by `read`.

    Yields:
        (name of the tensor without the model's prefix, its shape, path of the weight, its shape). PyTorch's matrices are
        (out, in), ours (in, out) with a separate axis for heads; its convolution kernels are (out, in, rows, columns), ours
        (rows, columns, in, out).
    """
    d, patch = config["hidden_dim"], config["patch_size"]
    heads = (config["num_heads"], d // config["num_heads"])
    rows, columns = (side // patch for side in config["image_shape"][:2])
    distilled = config.get("use_distillation_token", False)
    positions = 1 + distilled + rows * columns

    yield "embeddings.cls_token", (1, 1, d), "patch_tokens/class_token", (1, d)
    if distilled:
        yield "embeddings.distillation_token", (1, 1, d), "patch_tokens/distillation_token", (1, d)
    if registers := config.get("num_register_tokens", 0):
        yield "embeddings.register_tokens", (1, registers, d), "patch_tokens/register_tokens", (registers, d)
    yield "embeddings.position_embeddings", (1, positions, d), "patch_tokens/position_embeddings", (positions, d)
    projection = "embeddings.patch_embeddings.projection"
    channels = config["image_shape"][2]
    shapes = (d, channels, patch, patch), (patch, patch, channels, d)
    yield f"{projection}.weight", shapes[0], "patch_tokens/projection/kernel", shapes[1]
    yield f"{projection}.bias", (d,), "patch_tokens/projection/bias", (d,)

    for index in range(config["num_layers"]):
        yield from _layer_layout(kind, config, f"encoder.layer.{index}", f"encoder_layer_{index}", d, heads)
    yield from norm_layout("layernorm", "final_norm", d)
    if "num_classes" in config:
        width = 2 * d if config["pooling"] == "token_mean" else d
        has_two = distilled and config["pooling"] == "token"
        names = {"cls_classifier": "head", "distillation_classifier": "distillation_head"}
        for name, head in names.items() if has_two else [("classifier", "head")]:
            yield from linear_layout(name, head, (width,), (config["num_classes"],))


def _layer_layout(kind, config, theirs, ours, d, heads):
    is_dinov2 = kind.startswith("dinov2")
    norms = ("norm1", "norm2") if is_dinov2 else ("layernorm_before", "layernorm_after")
    yield from norm_layout(f"{theirs}.{norms[0]}", f"{ours}/attention_norm", d)
    yield from norm_layout(f"{theirs}.{norms[1]}", f"{ours}/feed_forward_norm", d)
    for name in ("query", "key", "value"):
        yield from linear_layout(f"{theirs}.attention.attention.{name}", f"{ours}/attention/{name}", (d,), heads)
    yield from linear_layout(f"{theirs}.attention.output.dense", f"{ours}/attention/attention_output", heads, (d,))

    width = config["intermediate_dim"]
    names = ("mlp.fc1", "mlp.fc2") if is_dinov2 else ("intermediate.dense", "output.dense")
    first = "intermediate_dense"
    if config.get("feed_forward") == "swiglu":
        names, first, width = ("mlp.weights_in", "mlp.weights_out"), "gate_and_value_dense", 2 * width
    yield from linear_layout(f"{theirs}.{names[0]}", f"{ours}/feed_forward/{first}", (d,), (width,))
    inner = (config["intermediate_dim"],)
    yield from linear_layout(f"{theirs}.{names[1]}", f"{ours}/feed_forward/output_dense", inner, (d,))
    if is_dinov2:
        for index, scale in ((1, "attention_scale"), (2, "feed_forward_scale")):
            yield f"{theirs}.layer_scale{index}.lambda1", (d,), f"{ours}/{scale}/gamma", (d,)


def _read_config(path):
    theirs = read_json(path / "config.json")
    kind = theirs.get("model_type")
    if kind not in _DEFAULTS:
        raise unknown_name("model_type", kind, _DEFAULTS)
    return kind, {**_backbone_config(kind, theirs), **_preprocessing(path), **_head_config(kind, theirs)}


def _backbone_config(kind, theirs):
    patch_size, epsilon = _DEFAULTS[kind]
    activation = theirs.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise unknown_name("hidden_act", activation, _ACTIVATIONS)
    image_size = theirs.get("image_size", 224)
    hidden_dim = theirs.get("hidden_size", 768)
    config = {
        "image_shape": (*_sides(image_size), theirs.get("num_channels", 3)),
        "patch_size": theirs.get("patch_size", patch_size),
        "num_layers": theirs.get("num_hidden_layers", 12),
        "num_heads": theirs.get("num_attention_heads", 12),
        "hidden_dim": hidden_dim,
        "intermediate_dim": theirs.get("intermediate_size", 3072),
        "activation": _ACTIVATIONS[activation],
        "dropout": theirs.get("hidden_dropout_prob", 0.0),
        "attention_dropout": theirs.get("attention_probs_dropout_prob", 0.0),
        "layer_norm_epsilon": theirs.get("layer_norm_eps", epsilon),
    }
    if kind == "deit":
        config["use_distillation_token"] = True
    if kind.startswith("dinov2"):
        width = int(hidden_dim * theirs.get("mlp_ratio", 4))
        config["drop_path"] = theirs.get("drop_path_rate", 0.0)
        config["layer_scale_init"] = theirs.get("layerscale_value", 1.0)
        if theirs.get("use_swiglu_ffn", False):
            config["feed_forward"] = "swiglu"
            width = math.ceil(int(width * 2 / 3) / 8) * 8  # as many weights as the MLP, rounded up to a multiple of 8
        config["intermediate_dim"] = width
    if kind == "dinov2_with_registers":
        config["num_register_tokens"] = theirs.get("num_register_tokens", 4)
    return config


def _head_config(kind, theirs):
    architectures = theirs.get("architectures") or ()
    if not any("ForImageClassification" in name for name in architectures):
        return {}
    pooling = "token_mean" if kind.startswith("dinov2") else "token"
    if "DeiTForImageClassification" in architectures:  # trained without distillation: only one head
        pooling = "class_token"
    num_classes, class_names = read_class_names(theirs)
    return {"num_classes": num_classes, "pooling": pooling, "class_names": class_names}


def _preprocessing(path):
    """Constructor arguments of the preprocessing; a centre crop means that the shorter side is resized first."""
    file = path / "preprocessor_config.json"
    if not file.is_file():
        return {}
    theirs = read_json(file)
    config = {"image_mean": (0.0,) * 3, "image_std": (1.0,) * 3}
    if theirs.get("do_normalize", True):
        config = {name: tuple(theirs[name]) for name in config if name in theirs}
    resample = str(theirs.get("resample", 2))
    if resample not in _INTERPOLATIONS:
        raise unknown_name("resample", resample, _INTERPOLATIONS)
    config["interpolation"] = _INTERPOLATIONS[resample]
    if theirs.get("do_center_crop", False):
        config["resize"] = "crop"
        config["crop_fraction"] = min(1.0, min(_sides(theirs["crop_size"])) / min(_sides(theirs["size"])))
    return config


def _sides(size):
    """Returns (height, width) of a Hugging Face size: 224, [224, 224], or a dict with shortest_edge or height and width."""
    if isinstance(size, dict):
        size = size["shortest_edge"] if "shortest_edge" in size else (size["height"], size["width"])
    return (size, size) if isinstance(size, int) else tuple(size)
