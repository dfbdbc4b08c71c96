import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from vitkit import ViTBackbone, ViTClassifier
from vitkit.checkpoints.hugging_face import read

SIZES = {
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 11,
    "image_size": 21,
    "patch_size": 7,
}
PATCHES = 9
QUERY = "encoder.layer.1.attention.attention.query.weight"


def tensors_of(kind, classes=None, swiglu=False):
    """Tensors with the names and shapes of Hugging Face's models."""
    d, mlp, patch = 6, 11, 7
    dinov2 = kind.startswith("dinov2")
    special = 2 if kind == "deit" else 1
    shapes = {
        "embeddings.cls_token": (1, 1, d),
        "embeddings.position_embeddings": (1, special + PATCHES, d),
        "embeddings.patch_embeddings.projection.weight": (d, 3, patch, patch),
        "embeddings.patch_embeddings.projection.bias": (d,),
        "layernorm.weight": (d,),
        "layernorm.bias": (d,),
    }
    if kind == "deit":
        shapes["embeddings.distillation_token"] = (1, 1, d)
    if kind == "dinov2_with_registers":
        shapes["embeddings.register_tokens"] = (1, 3, d)
    for index in range(2):
        layer = f"encoder.layer.{index}"
        if dinov2:
            mlp = 16 if swiglu else 24
            norms, names = ("norm1", "norm2"), ("mlp.weights_in", "mlp.weights_out") if swiglu else ("mlp.fc1", "mlp.fc2")
            shapes |= {f"{layer}.layer_scale{branch}.lambda1": (d,) for branch in (1, 2)}
        else:
            norms, names = ("layernorm_before", "layernorm_after"), ("intermediate.dense", "output.dense")
        shapes |= {f"{layer}.{norm}.{part}": (d,) for norm in norms for part in ("weight", "bias")}
        linear = {f"attention.attention.{name}": (d, d) for name in ("query", "key", "value")}
        linear |= {"attention.output.dense": (d, d), names[0]: (2 * mlp if swiglu else mlp, d), names[1]: (d, mlp)}
        for name, shape in linear.items():
            shapes[f"{layer}.{name}.weight"] = shape
            shapes[f"{layer}.{name}.bias"] = shape[:1]
    if classes:
        heads = ("cls_classifier", "distillation_classifier") if kind == "deit" else ("classifier",)
        for head in heads:
            shapes[f"{head}.weight"] = (classes, 2 * d if dinov2 else d)
            shapes[f"{head}.bias"] = (classes,)
    random = np.random.default_rng(5)
    prefixed = {name if "classifier" in name else f"{kind}.{name}": shape for name, shape in shapes.items()}
    return {name: random.normal(size=shape).astype("float32") for name, shape in prefixed.items()}


def write(folder, kind="vit", tensors=None, preprocessor=None, **config):
    config = {"model_type": kind, **SIZES, **config}
    (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    save_file(tensors_of(kind) if tensors is None else tensors, folder / "model.safetensors")
    return folder


def layer_norm(x, tensors, name, epsilon):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    return x * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]


def linear(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def vit_by_hand(tensors, image, epsilon):
    """A ViT of one head at a time and one patch at a time, with ReLU; (21, 21, 3) -> (10, 6)."""
    tensors = {name.removeprefix("vit."): value for name, value in tensors.items()}
    kernel = tensors["embeddings.patch_embeddings.projection.weight"]
    rows = [tensors["embeddings.cls_token"][0, 0]]
    for top in (0, 7, 14):
        for left in (0, 7, 14):
            patch = image[top : top + 7, left : left + 7]
            rows.append(np.einsum("ijc,dcij->d", patch, kernel) + tensors["embeddings.patch_embeddings.projection.bias"])
    x = np.stack(rows) + tensors["embeddings.position_embeddings"][0]
    for index in range(2):
        layer = f"encoder.layer.{index}"
        normed = layer_norm(x, tensors, f"{layer}.layernorm_before", epsilon)
        query, key, value = (
            linear(normed, tensors, f"{layer}.attention.attention.{name}") for name in ("query", "key", "value")
        )
        outputs = []
        for head in (slice(0, 3), slice(3, 6)):
            scores = np.exp(query[:, head] @ key[:, head].T / np.sqrt(3))
            outputs.append(scores / scores.sum(-1, keepdims=True) @ value[:, head])
        x = x + linear(np.concatenate(outputs, -1), tensors, f"{layer}.attention.output.dense")
        normed = layer_norm(x, tensors, f"{layer}.layernorm_after", epsilon)
        hidden = np.maximum(linear(normed, tensors, f"{layer}.intermediate.dense"), 0)
        x = x + linear(hidden, tensors, f"{layer}.output.dense")
    return layer_norm(x, tensors, "layernorm", epsilon)


def test_a_vit_and_its_head_give_the_numbers_done_by_hand(tmp_path):
    tensors = tensors_of("vit", classes=5)
    names = {str(index): f"bird {index}" for index in range(5)}
    folder = write(tmp_path, tensors=tensors, hidden_act="relu", architectures=["ViTForImageClassification"], id2label=names)
    image = np.random.default_rng(7).normal(size=(21, 21, 3)).astype("float32")
    expected = vit_by_hand(tensors, image, epsilon=1e-12)
    tokens = ViTBackbone.from_preset(folder)(image[None])
    np.testing.assert_allclose(np.asarray(tokens)[0], expected, atol=1e-4)
    model = ViTClassifier.from_preset(folder)
    logits = np.asarray(model(image[None]))[0]
    np.testing.assert_allclose(logits, linear(expected[0], tensors, "classifier"), atol=1e-4)
    assert model.class_names == [f"bird {index}" for index in range(5)]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("deit", {}),
        ("dinov2", {}),
        ("dinov2", {"use_swiglu_ffn": True}),
        ("dinov2_with_registers", {"num_register_tokens": 3}),
    ],
)
def test_every_weight_of_every_kind_comes_from_the_file(tmp_path, kind, options):
    tensors = tensors_of(kind, classes=5, swiglu="use_swiglu_ffn" in options)
    folder = write(tmp_path, kind, tensors, architectures=["ForImageClassification"], num_labels=5, **options)
    model = ViTClassifier.from_preset(folder)
    weights = {weight.path: np.asarray(weight) for weight in model.weights}
    # random values: the same sorted ones mean the same tensors
    theirs = np.sort(np.concatenate([tensor.ravel() for tensor in tensors.values()]))
    ours = np.sort(np.concatenate([weight.ravel() for weight in weights.values()]))
    np.testing.assert_array_equal(ours, theirs)
    head = "cls_classifier" if kind == "deit" else "classifier"
    np.testing.assert_array_equal(weights["head/kernel"], tensors[f"{head}.weight"].T)
    key = tensors[f"{kind}.encoder.layer.1.attention.attention.key.weight"]
    np.testing.assert_array_equal(weights["encoder_layer_1/attention/key/kernel"][:, 1], key[3:].T)


def test_a_deit_with_one_head_reads_the_class_token_alone(tmp_path):
    tensors = tensors_of("deit")
    random = np.random.default_rng(11)
    tensors |= {"classifier.weight": random.normal(size=(5, 6)), "classifier.bias": random.normal(size=5)}
    write(tmp_path, "deit", tensors, architectures=["DeiTForImageClassification"], num_labels=5)
    images = random.normal(size=(3, 21, 21, 3)).astype("float32")
    tokens = np.asarray(ViTBackbone.from_preset(tmp_path)(images))
    assert tokens.shape == (3, 2 + PATCHES, 6)
    logits = ViTClassifier.from_preset(tmp_path)(images)
    np.testing.assert_allclose(logits, linear(tokens[:, 0], tensors, "classifier"), atol=1e-5)


def test_a_classifier_without_a_head_in_the_folder_needs_num_classes(tmp_path):
    folder = write(tmp_path)
    assert ViTClassifier.from_preset(folder, num_classes=3).head.kernel.shape == (6, 3)
    with pytest.raises(ValueError, match=r"with a head, or num_classes=\. Received: path="):
        ViTClassifier.from_preset(folder)


def test_overrides_resample_positions_and_renew_the_head(tmp_path):
    folder = write(tmp_path, tensors=tensors_of("vit", 5), architectures=["ViTForImageClassification"], num_labels=5)
    model = ViTClassifier.from_preset(folder, image_shape=(14, 28, 3), num_classes=3)
    assert model(np.zeros((2, 14, 28, 3), "float32")).shape == (2, 3)
    fresh = ViTClassifier.from_preset(folder, load_weights=False, num_classes=3)
    assert fresh.num_classes == 3


def test_tensors_of_other_tasks_are_left_out(tmp_path):
    others = {"vit.pooler.dense.weight": np.ones((6, 6), "float32"), "vit.embeddings.mask_token": np.ones((1, 6), "float32")}
    write(tmp_path, tensors={**tensors_of("vit"), **others})
    assert len(read(tmp_path)[1]) == len(tensors_of("vit"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_becomes_float32(tmp_path, dtype):
    write(tmp_path, tensors={name: tensor.astype(dtype) for name, tensor in tensors_of("vit").items()})
    assert {weight.dtype for weight in read(tmp_path)[1].values()} == {np.dtype("float32")}


@pytest.mark.parametrize(
    ("preprocessor", "expected"),
    [
        (
            {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "resample": 3, "size": 21},
            {"image_mean": (0.1, 0.2, 0.3), "image_std": (0.4, 0.5, 0.6), "interpolation": "bicubic"},
        ),
        (
            {
                "do_normalize": False,
                "do_center_crop": True,
                "crop_size": {"height": 21, "width": 21},
                "size": {"shortest_edge": 24},
            },
            {
                "image_mean": (0, 0, 0),
                "image_std": (1, 1, 1),
                "interpolation": "bilinear",
                "resize": "crop",
                "crop_fraction": 0.875,
            },
        ),
    ],
)
def test_preprocessing_comes_from_its_file(tmp_path, preprocessor, expected):
    config, weights = read(write(tmp_path, preprocessor=preprocessor), load_weights=False)
    assert {name: config[name] for name in expected} == expected
    assert not weights


def test_a_missing_tensor_is_named(tmp_path):
    tensors = tensors_of("vit")
    del tensors[f"vit.{QUERY}"]
    with pytest.raises(ValueError, match=rf"a tensor {QUERY} of shape \(6, 6\)\. Received: none"):
        read(write(tmp_path, tensors=tensors))


def test_an_extra_tensor_is_named(tmp_path):
    tensors = {**tensors_of("vit"), "vit.adapter.weight": np.ones((2, 3), "float32")}
    with pytest.raises(ValueError, match=r"no tensor of that name\. Received: adapter.weight of shape \(2, 3\)"):
        read(write(tmp_path, tensors=tensors))


def test_a_misshapen_tensor_is_named_with_both_shapes(tmp_path):
    tensors = {**tensors_of("vit"), f"vit.{QUERY}": np.ones((6, 5), "float32")}
    with pytest.raises(ValueError, match=rf"{QUERY} to have shape \(6, 6\)\. Received: shape=\(6, 5\)"):
        read(write(tmp_path, tensors=tensors))


def test_a_truncated_file_is_named(tmp_path):
    file = write(tmp_path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"a valid safetensors file \(.*\)\. Received: file=.*model\.safetensors"):
        ViTBackbone.from_preset(tmp_path)


def test_a_file_that_is_not_json_is_named(tmp_path):
    (write(tmp_path) / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"valid JSON .*preprocessor_config\.json"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.json", "[]"),
        ("config.json", '{"model_type": "vit", "architectures": 5}'),
        ("preprocessor_config.json", "[]"),
        ("preprocessor_config.json", '{"do_center_crop": true}'),
        ("preprocessor_config.json", '{"image_mean": 0.5}'),
    ],
)
def test_a_config_of_another_form_is_named(tmp_path, file, text):
    (write(tmp_path) / file).write_text(text)
    with pytest.raises(ValueError, match=r"Expected Hugging Face's config \(\w+Error\(.*\)\)\. Received: path="):
        read(tmp_path)


def test_a_pickle_is_refused(tmp_path):
    folder = write(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"to unpickle a file is to run the code inside.*pytorch_model\.bin"):
        ViTBackbone.from_preset(folder)


def test_a_folder_without_weights_is_named(tmp_path):
    (write(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors in the folder\. Received: path="):
        read(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"Expected a folder with config\.json"):
        read(write(tmp_path) / "model.safetensors")


@pytest.mark.parametrize(
    ("config", "preprocessor", "message"),
    [
        ({"model_type": "dinov22"}, None, "Unknown model_type; did you mean .*dinov2"),
        ({"hidden_act": "gelu_new"}, None, "Unknown hidden_act; did you mean 'gelu'"),
        ({}, {"resample": 1}, "Unknown resample; expected one of '2', '3'"),
    ],
)
def test_unknown_names_are_refused(tmp_path, config, preprocessor, message):
    tensors = tensors_of("vit")
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path, tensors=tensors, preprocessor=preprocessor, **config))
