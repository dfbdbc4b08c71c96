"""ViTClassifier: heads for every pooling, the class map, and what it refuses."""

import keras
import numpy as np
import pytest

from tests.checks import assert_close, check_model, numpy
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier

TINY = {
    "num_classes": 7,
    "image_shape": (10, 15, 3),
    "patch_size": 5,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 14,
    "intermediate_dim": 11,
}
IMAGES = np.random.RandomState(0).normal(size=(2, 10, 15, 3)).astype("float32")
OTHER_SIZE = np.random.RandomState(1).normal(size=(2, 20, 35, 3)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "mean", "num_register_tokens": 3, "head_dropout": 0.1, "class_names": list("abcdefg")},
        {"use_distillation_token": True, "num_layers": 2, "drop_path": 0.1},
        {"pooling": "token_mean", "layer_scale_init": 0.5, "feed_forward": "swiglu"},
    ],
    ids=["mean", "distilled token", "token_mean"],
)
def test_contracts(options):
    check_model(ViTClassifier, {**TINY, "num_layers": 1, **options}, IMAGES)


@pytest.mark.parametrize("pooling", ["token", "mean", "token_mean"])
@pytest.mark.parametrize("images", [IMAGES, OTHER_SIZE], ids=["its size", "another size"])
def test_the_head_reads_what_its_pooling_says(pooling, images):
    model = ViTClassifier(**TINY, pooling=pooling, num_register_tokens=3)
    tokens = numpy(model.backbone(images))
    token, patches = tokens[:, 0], tokens[:, 4:].mean(1)
    pooled = {"token": token, "mean": patches, "token_mean": np.concatenate([token, patches], -1)}[pooling]
    kernel, bias = model.head.get_weights()
    assert_close(model(images), pooled @ kernel + bias)
    assert_close(model.classify(tokens), pooled @ kernel + bias)


def test_the_class_token_alone_is_read_beside_a_distillation_token():
    model = ViTClassifier(**TINY, pooling="class_token", use_distillation_token=True)
    kernel, bias = model.head.get_weights()
    assert_close(model(IMAGES), numpy(model.backbone(IMAGES))[:, 0] @ kernel + bias)
    assert sum("head" in weight.path for weight in model.weights) == 2


def test_two_heads_are_averaged_with_a_distillation_token():
    model = ViTClassifier(**TINY, use_distillation_token=True)
    tokens = numpy(model.backbone(IMAGES))
    heads = [(model.head, 0), (model.distillation_head, 1)]
    assert np.abs(model.head.get_weights()[0] - model.distillation_head.get_weights()[0]).max() > 1e-3
    expected = sum(tokens[:, place] @ head.get_weights()[0] + head.get_weights()[1] for head, place in heads) / 2
    assert_close(model(IMAGES), expected)


def test_the_class_map_averages_to_the_logits_of_mean_pooling():
    model = ViTClassifier(**TINY, pooling="mean", num_register_tokens=3)
    class_map = numpy(model.patch_logits(model.backbone(IMAGES)))
    assert class_map.shape == (2, 6, 7)
    assert_close(class_map.mean(1), model(IMAGES))


def test_the_class_map_of_token_mean_is_the_share_of_the_patches():
    model = ViTClassifier(**TINY, pooling="token_mean")
    tokens = numpy(model.backbone(IMAGES))
    kernel, bias = model.head.get_weights()
    share = numpy(model.patch_logits(tokens)).mean(1)
    assert_close(share + tokens[:, 0] @ kernel[:14] + bias, model(IMAGES))


def test_scores_come_with_the_logits_and_equal_the_backbone_s():
    model = ViTClassifier(**TINY, use_distillation_token=True)
    asked = {"return_attention_scores": True, "return_hidden_states": True}
    seen, backbone_seen = model(IMAGES, **asked), model.backbone(IMAGES, **asked)
    assert_close(seen.pop("logits"), model(IMAGES))
    assert_close(seen, backbone_seen)
    rows = model(IMAGES, return_attention_scores=True, num_score_rows=1)
    assert_close(rows["attention_scores"], [scores[:, :, :1] for scores in seen["attention_scores"]])
    assert_close(rows["logits"], model(IMAGES))


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32(dtype):
    model = ViTClassifier(**TINY, pooling="mean", dtype=dtype)
    assert model.backbone.compute_dtype == dtype.removeprefix("mixed_")
    for logits in (model(IMAGES), model.patch_logits(model.backbone(IMAGES))):
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_has_the_backbone_s_weights_and_preprocessing():
    model = ViTClassifier(**TINY, image_mean=(0.1, 0.2, 0.3))
    sizes = {name: value for name, value in TINY.items() if name != "num_classes"}
    assert model.count_params() == ViTBackbone(**sizes).count_params() + 14 * 7 + 7
    assert model.preprocessing == model.backbone.preprocessing
    assert model.preprocessing["mean"] == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pooling": "tokens"}, ValueError, r"`pooling` should be one of .* Received: pooling='tokens'"),
        ({"num_classes": 0}, ValueError, r"`num_classes` should be a positive int\. Received: num_classes=0"),
        ({"class_names": ["a"]}, ValueError, r"`class_names` should be num_classes=7 names\. Received: 1 names"),
        ({"use_class_token": False}, ValueError, r"Received: pooling='token', use_class_token=False"),
        ({"patch": 5}, TypeError, r"Expected an argument of ViTClassifier or ViTBackbone\. Received: patch=5"),
    ],
    ids=["pooling", "classes", "names", "class token", "argument"],
)
def test_refuses(options, error, message):
    with pytest.raises(error, match=message):
        ViTClassifier(**{**TINY, **options})


@pytest.mark.parametrize(
    ("old", "new", "head"),
    [
        ({"pooling": "mean"}, {"pooling": "token_mean"}, "head"),
        ({"pooling": "class_token", "use_distillation_token": True}, {"pooling": "token"}, "distillation_head"),
    ],
)
def test_warns_of_a_new_head_for_the_old_classes(tmp_path, old, new, head):
    ViTClassifier(**TINY, **old).save_to_preset(tmp_path / "preset")
    with pytest.warns(UserWarning, match=f"a new {head}, since pooling='{old['pooling']}' became") as caught:
        ViTClassifier.from_preset(tmp_path / "preset", **new)
    assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]
    ViTClassifier.from_preset(tmp_path / "preset", **new, num_classes=3)  # is silent: who asks for other classes will train


def test_makes_a_preset_by_name_without_its_weights():
    model = ViTClassifier.from_preset("vit_tiny_patch16_224", load_weights=False, num_classes=7)
    assert model.num_classes == 7
    assert model.backbone.count_params() == 5_717_416 - 193_000
