import math

import keras
import pytest

from vitkit import ViTBackbone, ViTClassifier
from vitkit.presets import BACKBONES, CLASSIFIERS

SIZES = {  # layers, width, hidden width
    "tiny": (12, 192, 768),
    "small": (12, 384, 1536),
    "base": (12, 768, 3072),
    "large": (24, 1024, 4096),
    "huge": (32, 1280, 5120),
    "giant": (40, 1536, 4096),
}


@pytest.fixture
def count_parameters():
    """Counts without values: a giant's would fill 4.5 GB."""

    def count(cls, config):
        with keras.StatelessScope(initialize_variables=False):
            model = cls(**config)
        return sum(math.prod(weight.shape) for weight in model.trainable_variables)

    yield count
    keras.utils.clear_session(free_memory=False)  # forgets the variables that wait for a value


def parameters(name, num_classes):
    """What the parts of the published model with that name add up to."""
    family, *words, patch, image = name.split("_")
    size = next(word for word in words if word in SIZES)
    layers, d, m = SIZES[size]
    patch, image = int(patch.removeprefix("patch")), int(image)
    distilled, registers = "distilled" in words, 4 * ("registers" in words)
    dinov2, swiglu = family == "dinov2", size == "giant"

    patches = (3 * patch**2 + 1) * d
    tokens = (1 + distilled + registers) * d
    positions = ((image // patch) ** 2 + 1 + distilled) * d
    attention = 4 * (d + 1) * d
    feed_forward = (d + 1) * (2 * m if swiglu else m) + (m + 1) * d
    norm, scales = 2 * d, 2 * d * dinov2
    head = (d * (2 if dinov2 else 1) + 1) * num_classes * (2 if distilled else 1)
    return patches + tokens + positions + layers * (attention + feed_forward + 2 * norm + scales) + norm + head


@pytest.mark.parametrize("name", BACKBONES)
def test_every_preset_counts_its_parts(count_parameters, name):
    if name in CLASSIFIERS:  # which has the backbone in it
        assert count_parameters(ViTClassifier, CLASSIFIERS[name]["config"]) == parameters(name, num_classes=1000)
    else:
        assert count_parameters(ViTBackbone, BACKBONES[name]["config"]) == parameters(name, num_classes=0)


@pytest.mark.parametrize(
    ("name", "published"),
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
def test_classifiers_parts_add_up_to_the_reference_implementation(name, published):
    assert parameters(name, num_classes=1000) == published


@pytest.mark.parametrize(
    ("size", "published"),
    [("small", 22_056_576), ("base", 86_580_480), ("large", 304_368_640), ("giant", 1_136_480_768)],
)
def test_dinov2_parts_and_a_mask_token_add_up_to_the_published_weights(size, published):
    mask_token = SIZES[size][1]
    assert parameters(f"dinov2_{size}_patch14_518", num_classes=0) + mask_token == published


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("dino_small_patch16_224", 21_665_664),
        ("dino_small_patch8_224", 21_670_272),
        ("dino_base_patch16_224", 85_798_656),
        ("dino_base_patch8_224", 85_807_872),
    ],
)
def test_dino_parts_add_up_to_the_published_weights(name, published):
    assert parameters(name, num_classes=0) == published


def test_tables_hold_every_family():
    assert {name.split("_")[0] for name in BACKBONES} == {"vit", "deit", "dino", "dinov2"}
    assert {name.split("_")[0] for name in CLASSIFIERS} == {"vit", "deit", "dinov2"}
    assert len({preset["hf"] for preset in CLASSIFIERS.values() if "hf" in preset}) == 16
