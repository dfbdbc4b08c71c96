"""Presets: the sizes of published Vision Transformers, and the repositories of their weights.

A preset is {"config": constructor arguments} and, where weights are published, "hf": the Hugging Face repository.
"""

IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}

# name: layers, heads, width, width of the feed-forward network.
SIZES = {
    "tiny": (12, 3, 192, 768),  # Touvron et al. 2021 (DeiT), table 1
    "small": (12, 6, 384, 1536),  # Touvron et al. 2021 (DeiT), table 1
    "base": (12, 12, 768, 3072),  # Dosovitskiy et al. 2021, table 1
    "large": (24, 16, 1024, 4096),  # Dosovitskiy et al. 2021, table 1
    "huge": (32, 16, 1280, 5120),  # Dosovitskiy et al. 2021, table 1
    "giant": (40, 24, 1536, 4096),  # Oquab et al. 2023 (DINOv2), table 17; SwiGLU
}


def _config(size, patch_size, image_size=224, **options):
    num_layers, num_heads, hidden_dim, intermediate_dim = SIZES[size]
    return {
        "image_shape": (image_size, image_size, 3),
        "patch_size": patch_size,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "hidden_dim": hidden_dim,
        "intermediate_dim": intermediate_dim,
        **options,
    }


_DEIT = {**IMAGENET, "interpolation": "bicubic", "resize": "crop"}
_DINOV2 = {**_DEIT, "layer_scale_init": 1.0}
_GIANT = {"feed_forward": "swiglu"}

_ARCHITECTURES = {
    # Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words"; tiny and small after Steiner et al. 2021.
    **{
        f"vit_{size}_patch{patch}_224": _config(size, patch)
        for size in ("tiny", "small", "base", "large", "huge")
        for patch in (14, 16, 32)
    },
    # Touvron et al. 2021, "Training data-efficient image transformers & distillation through attention".
    **{f"deit_{size}_patch16_224": _config(size, 16, **_DEIT) for size in ("tiny", "small", "base")},
    **{
        f"deit_{size}_distilled_patch16_224": _config(size, 16, use_distillation_token=True, **_DEIT)
        for size in ("tiny", "small", "base")
    },
    # Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers".
    **{f"dino_{size}_patch{patch}_224": _config(size, patch, **_DEIT) for size in ("small", "base") for patch in (8, 16)},
    # Oquab et al. 2023, "DINOv2"; the last training stage was at 518 pixels, the size of the position embeddings.
    **{
        f"dinov2_{size}_patch14_518": _config(size, 14, 518, **_DINOV2, **(_GIANT if size == "giant" else {}))
        for size in ("small", "base", "large", "giant")
    },
    # Darcet et al. 2023, "Vision Transformers Need Registers".
    **{
        f"dinov2_registers_{size}_patch14_518": _config(
            size, 14, 518, num_register_tokens=4, **_DINOV2, **(_GIANT if size == "giant" else {})
        )
        for size in ("small", "base", "large", "giant")
    },
}

_CLASSIFIER_WEIGHTS = {
    "vit_base_patch16_224": "google/vit-base-patch16-224",
    "vit_large_patch16_224": "google/vit-large-patch16-224",
    "deit_tiny_patch16_224": "facebook/deit-tiny-patch16-224",
    "deit_small_patch16_224": "facebook/deit-small-patch16-224",
    "deit_base_patch16_224": "facebook/deit-base-patch16-224",
    "deit_tiny_distilled_patch16_224": "facebook/deit-tiny-distilled-patch16-224",
    "deit_small_distilled_patch16_224": "facebook/deit-small-distilled-patch16-224",
    "deit_base_distilled_patch16_224": "facebook/deit-base-distilled-patch16-224",
    "dinov2_small_patch14_518": "facebook/dinov2-small-imagenet1k-1-layer",
    "dinov2_base_patch14_518": "facebook/dinov2-base-imagenet1k-1-layer",
    "dinov2_large_patch14_518": "facebook/dinov2-large-imagenet1k-1-layer",
    "dinov2_giant_patch14_518": "facebook/dinov2-giant-imagenet1k-1-layer",
    "dinov2_registers_small_patch14_518": "facebook/dinov2-with-registers-small-imagenet1k-1-layer",
    "dinov2_registers_base_patch14_518": "facebook/dinov2-with-registers-base-imagenet1k-1-layer",
    "dinov2_registers_large_patch14_518": "facebook/dinov2-with-registers-large-imagenet1k-1-layer",
    "dinov2_registers_giant_patch14_518": "facebook/dinov2-with-registers-giant-imagenet1k-1-layer",
}

_BACKBONE_WEIGHTS = {
    **_CLASSIFIER_WEIGHTS,
    "vit_base_patch32_224": "google/vit-base-patch32-224-in21k",
    "vit_large_patch32_224": "google/vit-large-patch32-224-in21k",
    "vit_huge_patch14_224": "google/vit-huge-patch14-224-in21k",
    "dino_small_patch8_224": "facebook/dino-vits8",
    "dino_small_patch16_224": "facebook/dino-vits16",
    "dino_base_patch8_224": "facebook/dino-vitb8",
    "dino_base_patch16_224": "facebook/dino-vitb16",
    "dinov2_small_patch14_518": "facebook/dinov2-small",
    "dinov2_base_patch14_518": "facebook/dinov2-base",
    "dinov2_large_patch14_518": "facebook/dinov2-large",
    "dinov2_giant_patch14_518": "facebook/dinov2-giant",
    "dinov2_registers_small_patch14_518": "facebook/dinov2-with-registers-small",
    "dinov2_registers_base_patch14_518": "facebook/dinov2-with-registers-base",
    "dinov2_registers_large_patch14_518": "facebook/dinov2-with-registers-large",
    "dinov2_registers_giant_patch14_518": "facebook/dinov2-with-registers-giant",
}


def _preset(config, repository):
    return {"config": config, "hf": repository} if repository else {"config": config}


def _head(name):
    """The head's arguments: 1000 classes of ImageNet; DINOv2's linear head reads the patches' mean as well."""
    return {"num_classes": 1000, "pooling": "token_mean" if name.startswith("dinov2") else "token"}


BACKBONES = {name: _preset(config, _BACKBONE_WEIGHTS.get(name)) for name, config in _ARCHITECTURES.items()}

CLASSIFIERS = {
    name: _preset({**config, **_head(name)}, _CLASSIFIER_WEIGHTS.get(name))
    for name, config in _ARCHITECTURES.items()
    if not name.startswith("dino_")  # published without a head
}
