"""ViTBackbone: tokens and their order, sizes of pictures, scores, and what it refuses."""

import keras
import numpy as np
import pytest

from shared_layers import resample_grid
from tests.checks import assert_close, check_model, numpy
from vitkit.backbone import ViTBackbone
from vitkit.patches import PatchTokens

TINY = {
    "image_shape": (10, 15, 3),
    "patch_size": 5,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 14,
    "intermediate_dim": 11,
}
EVERYTHING = {
    "use_distillation_token": True,
    "num_register_tokens": 3,
    "layer_scale_init": 0.5,
    "feed_forward": "swiglu",
    "dropout": 0.1,
    "attention_dropout": 0.1,
    "drop_path": 0.1,
}
IMAGES = np.random.RandomState(0).normal(size=(2, 10, 15, 3)).astype("float32")
OTHER_SIZE = np.random.RandomState(1).normal(size=(2, 20, 35, 3)).astype("float32")


@pytest.mark.parametrize("options", [{}, EVERYTHING], ids=["plain", "everything"])
def test_contracts(options):
    check_model(ViTBackbone, {**TINY, **options}, IMAGES)


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({}, 1),
        ({"use_class_token": False}, 0),
        ({"use_distillation_token": True}, 2),
        ({"num_register_tokens": 3}, 4),
        ({"use_class_token": False, "num_register_tokens": 3}, 3),
    ],
    ids=str,
)
def test_special_tokens_stand_in_front(options, prefix):
    backbone = ViTBackbone(**TINY, **options)
    assert backbone.num_prefix_tokens == prefix
    assert backbone(IMAGES).shape == (2, prefix + 2 * 3, 14)
    assert backbone(OTHER_SIZE).shape == (2, prefix + 4 * 7, 14)
    assert backbone.grid(OTHER_SIZE) == backbone.grid((20, 35, 3)) == (4, 7)


def test_the_order_is_class_distillation_registers_patches():
    layer = PatchTokens(5, 14, (2, 3), use_distillation_token=True, num_register_tokens=2)
    layer.build(IMAGES.shape)
    tokens, positions = numpy(layer(IMAGES)), numpy(layer.position_embeddings)
    assert_close(tokens[0, :1], numpy(layer.class_token) + positions[:1])
    assert_close(tokens[0, 1:2], numpy(layer.distillation_token) + positions[1:2])
    assert_close(tokens[0, 2:4], layer.register_tokens)
    kernel, bias = (numpy(weight) for weight in layer.projection.weights)
    for row in range(2):
        for column in range(3):
            patch = IMAGES[:, 5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            place = 3 * row + column
            expected = np.einsum("bhwc,hwcd->bd", patch, kernel) + bias + positions[2 + place]
            assert_close(tokens[:, 4 + place], expected, 1e-4)
    assert layer.compute_output_shape(IMAGES.shape) == tokens.shape


def test_positions_are_resampled_for_another_size():
    backbone = ViTBackbone(**TINY)
    bare = ViTBackbone(**{**TINY, "image_shape": OTHER_SIZE.shape[1:]})
    table = numpy(backbone.patch_tokens.position_embeddings)
    resampled = np.concatenate([table[:1], numpy(resample_grid(table[1:], (2, 3), (4, 7)))])
    weights = dict(zip((weight.path for weight in backbone.weights), backbone.get_weights(), strict=True))
    bare.set_weights([resampled if value.shape == table.shape else value for value in weights.values()])
    assert_close(backbone(OTHER_SIZE), bare(OTHER_SIZE))


def test_scores_and_hidden_states_come_on_request_and_change_nothing():
    backbone = ViTBackbone(**TINY, **EVERYTHING)
    tokens = backbone(IMAGES)
    seen = backbone(IMAGES, return_attention_scores=True, return_hidden_states=True)
    assert_close(seen["sequence_output"], tokens)
    assert [tuple(scores.shape) for scores in seen["attention_scores"]] == [(2, 2, 11, 11)] * 2
    assert [tuple(states.shape) for states in seen["hidden_states"]] == [(2, 11, 14)] * 2
    assert_close(backbone.final_norm(seen["hidden_states"][-1]), tokens)
    for scores in seen["attention_scores"]:
        assert keras.backend.standardize_dtype(scores.dtype) == "float32"
        np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=1e-5)
    rows = backbone(IMAGES, return_attention_scores=True, num_score_rows=2)
    assert set(rows) == {"sequence_output", "attention_scores"}
    assert_close(rows["attention_scores"], [scores[:, :, :2] for scores in seen["attention_scores"]])
    assert_close(rows["sequence_output"], tokens)


def test_drop_path_grows_from_zero_to_the_given_rate():
    backbone = ViTBackbone(**{**TINY, "num_layers": 3, "drop_path": 0.3})
    np.testing.assert_allclose([layer.drop_path for layer in backbone.encoder_layers], [0, 0.15, 0.3])


def test_preprocessing_names_what_the_pictures_need():
    backbone = ViTBackbone(**TINY, image_mean=(0.1, 0.2, 0.3), interpolation="bicubic")
    assert backbone.preprocessing["mean"] == (0.1, 0.2, 0.3)
    assert backbone.preprocessing["std"] == (0.5, 0.5, 0.5)
    assert backbone.preprocessing["interpolation"] == "bicubic"
    assert backbone.preprocessing["image_shape"] == (10, 15, 3)


@pytest.mark.parametrize("name", [name for name in TINY if name != "image_shape"])
def test_refuses_sizes_that_are_no_positive_ints(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be a positive int\. Received: {name}=0"):
        ViTBackbone(**{**TINY, name: 0})


@pytest.mark.parametrize("name", ["patch_size", "hidden_dim"])
def test_patches_refuse_sizes_that_are_no_positive_ints(name):
    with pytest.raises(ValueError, match=rf"`{name}` should be a positive int\. Received: {name}=0"):
        PatchTokens(**{"patch_size": 5, "hidden_dim": 14, "grid": (2, 3), name: 0})


def test_refuses_sizes_that_the_patch_does_not_divide():
    with pytest.raises(ValueError, match=r"multiples of patch_size=5\. Received: height=10, width=17"):
        ViTBackbone(**{**TINY, "image_shape": (10, 17, 3)})
    with pytest.raises(ValueError, match=r"multiples of patch_size=5\. Received: height=11, width=15"):
        ViTBackbone(**TINY)(np.zeros((1, 11, 15, 3), "float32"))


def test_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"`num_heads` should divide the width 14\. Received: num_heads=3"):
        ViTBackbone(**{**TINY, "num_heads": 3})
