import math

import keras
import pytest

from vitkit import ViTBackbone, ViTClassifier
from vitkit.presets import BACKBONES, CLASSIFIERS

DINOV2_MASK_TOKEN = {"small": 384, "base": 768, "large": 1024, "giant": 1536}


@pytest.fixture
def count_parameters():
    """Counts without values: a giant's would fill 4.5 GB."""

    def count(cls, config):
        with keras.StatelessScope(initialize_variables=False):
            model = cls(**config)
        return sum(math.prod(weight.shape) for weight in model.trainable_variables)

    yield count
    keras.utils.clear_session()  # forgets the variables that wait for a value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # timm's and torchvision's models, 1000 classes
        ("vit_tiny_patch16_224", 5_717_416),
        ("vit_small_patch16_224", 22_050_664),
        ("vit_base_patch16_224", 86_567_656),
        ("vit_base_patch32_224", 88_224_232),
        ("vit_large_patch16_224", 304_326_632),
        ("vit_large_patch32_224", 306_535_400),
        ("vit_huge_patch14_224", 632_045_800),
        ("deit_tiny_patch16_224", 5_717_416),
        ("deit_small_patch16_224", 22_050_664),
        ("deit_base_patch16_224", 86_567_656),
        ("deit_tiny_distilled_patch16_224", 5_910_800),
        ("deit_small_distilled_patch16_224", 22_436_432),
        ("deit_base_distilled_patch16_224", 87_338_192),
    ],
)
def test_classifiers_count_what_the_reference_implementation_counts(count_parameters, name, expected):
    assert count_parameters(ViTClassifier, CLASSIFIERS[name]["config"]) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [("small", 22_056_576), ("base", 86_580_480), ("large", 304_368_640), ("giant", 1_136_480_768)],
)
def test_dinov2_counts_the_published_weights_without_the_mask_token(count_parameters, size, expected):
    expected -= DINOV2_MASK_TOKEN[size]
    assert count_parameters(ViTBackbone, BACKBONES[f"dinov2_{size}_patch14_518"]["config"]) == expected
    registers = 4 * DINOV2_MASK_TOKEN[size]
    with_registers = BACKBONES[f"dinov2_registers_{size}_patch14_518"]["config"]
    assert count_parameters(ViTBackbone, with_registers) == expected + registers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dino_small_patch16_224", 21_665_664),
        ("dino_small_patch8_224", 21_670_272),
        ("dino_base_patch16_224", 85_798_656),
        ("dino_base_patch8_224", 85_807_872),
    ],
)
def test_dino_counts_the_published_weights(count_parameters, name, expected):
    assert count_parameters(ViTBackbone, BACKBONES[name]["config"]) == expected


@pytest.mark.parametrize(("cls", "table"), [(ViTBackbone, BACKBONES), (ViTClassifier, CLASSIFIERS)])
def test_every_preset_makes_a_model(count_parameters, cls, table):
    for preset in table.values():
        assert count_parameters(cls, {**preset["config"], "num_layers": 1}) > 500_000


def test_tables_hold_every_family():
    assert {name.split("_")[0] for name in BACKBONES} == {"vit", "deit", "dino", "dinov2"}
    assert {name.split("_")[0] for name in CLASSIFIERS} == {"vit", "deit", "dinov2"}
    assert len({preset["hf"] for preset in CLASSIFIERS.values() if "hf" in preset}) == 16
