"""ViTBackbone: pictures to normalised tokens, with attention scores of every layer on request."""

import keras
import numpy as np

from shared_layers import LayerNormalization, TransformerEncoder, resample_grid
from shared_layers.runtime import Model, check_sizes
from vitkit.patches import PatchTokens, check_divides
from vitkit.presets import BACKBONES


@keras.saving.register_keras_serializable(package="vitkit")
class ViTBackbone(Model):
    """The Vision Transformer without a head.

    Args:
        image_shape: (H, W, channels) in pixels; pictures of other sizes that the patch divides are taken as well.
        patch_size: int, side of a patch in pixels.
        num_layers, num_heads, hidden_dim, intermediate_dim: int, sizes of the encoder.
        use_class_token, use_distillation_token: bool.
        num_register_tokens: int.
        layer_scale_init: float or `None` (no LayerScale).
        feed_forward: "mlp" or "swiglu".
        activation: of the MLP.
        dropout: float, on embeddings and on both branches of each layer.
        attention_dropout: float, on attention probabilities.
        drop_path: float, stochastic depth of the last layer; it grows linearly from 0 at the first.
        layer_norm_epsilon: float.
        image_mean, image_std: per channel, in [0, 1]; how pictures are normalised.
        interpolation: "bilinear" or "bicubic", how pictures are resized.
        resize: "squash" (to `image_shape`) or "crop" (the shorter side, then the centre).
        crop_fraction: float, share of the shorter side that the crop keeps.

    Call arguments:
        images: float tensor (b, H, W, channels), prepared as `preprocessing` says.
        training: bool.
        return_attention_scores: bool.
        num_score_rows: int, with `return_attention_scores`: only the scores of that many leading tokens.
        return_hidden_states: bool.

    Returns:
        tokens (b, special + patches, d) after the final norm, in the order class, distillation, registers, patches; or,
        when scores or hidden states are asked for, a dict of "sequence_output" (the tokens), "attention_scores" (a list
        with (b, h, q, k) float32 for each layer) and "hidden_states" (a list with (b, n, d) for each layer).

    Raises:
        ValueError: sizes that are not positive or do not fit each other, a picture that the patch does not divide.

    Reference: Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", section 3.1 (pre-norm encoder).

    Example:

    >>> import numpy as np
    >>> from vitkit import ViTBackbone
    >>> backbone = ViTBackbone((32, 48, 3), 16, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    >>> backbone(np.zeros((1, 32, 48, 3), "float32")).shape.as_list()
    [1, 7, 8]
    """

    presets = BACKBONES

    def __init__(
        self,
        image_shape=(224, 224, 3),
        patch_size=16,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        use_class_token=True,
        use_distillation_token=False,
        num_register_tokens=0,
        layer_scale_init=None,
        feed_forward="mlp",
        activation="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        layer_norm_epsilon=1e-6,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.5, 0.5, 0.5),
        interpolation="bilinear",
        resize="squash",
        crop_fraction=0.875,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(
            patch_size=patch_size,
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            intermediate_dim=intermediate_dim,
        )
        image_shape = tuple(image_shape)
        check_divides(patch_size, *image_shape[:2])
        self.config = {
            "image_shape": image_shape,
            "patch_size": patch_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden_dim": hidden_dim,
            "intermediate_dim": intermediate_dim,
            "use_class_token": use_class_token,
            "use_distillation_token": use_distillation_token,
            "num_register_tokens": num_register_tokens,
            "layer_scale_init": layer_scale_init,
            "feed_forward": feed_forward,
            "activation": activation,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "drop_path": drop_path,
            "layer_norm_epsilon": layer_norm_epsilon,
            "image_mean": tuple(image_mean),
            "image_std": tuple(image_std),
            "interpolation": interpolation,
            "resize": resize,
            "crop_fraction": crop_fraction,
        }
        self.use_class_token = use_class_token
        self.use_distillation_token = use_distillation_token
        self.num_register_tokens = num_register_tokens
        self.num_prefix_tokens = int(use_class_token) + int(use_distillation_token) + num_register_tokens
        policy = self.dtype_policy
        self.patch_tokens = PatchTokens(
            patch_size,
            hidden_dim,
            self.grid(image_shape),
            use_class_token,
            use_distillation_token,
            num_register_tokens,
            dtype=policy,
            name="patch_tokens",
        )
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.encoder_layers = [
            TransformerEncoder(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                activation=activation,
                layer_norm_epsilon=layer_norm_epsilon,
                normalize_first=True,
                attention_dropout=attention_dropout,
                feed_forward=feed_forward,
                layer_scale_init=layer_scale_init,
                drop_path=drop_path * depth / max(num_layers - 1, 1),
                dtype=policy,
                name=f"encoder_layer_{depth}",
            )
            for depth in range(num_layers)
        ]
        self.final_norm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=policy, name="final_norm")

        tokens = (None, self.num_prefix_tokens + self.grid(image_shape)[0] * self.grid(image_shape)[1], hidden_dim)
        self.patch_tokens.build((None, *image_shape))
        for layer in (*self.encoder_layers, self.final_norm):
            layer.build(tokens)
        self.built = True

    def call(
        self,
        images,
        training=None,
        return_attention_scores=False,
        num_score_rows=None,
        return_hidden_states=False,
    ):
        x = self.embed(images, training=training)
        attention_scores, hidden_states = [], []
        for layer in self.encoder_layers:
            if return_attention_scores:
                x, scores = layer(x, training=training, return_attention_scores=True, num_score_rows=num_score_rows)
                attention_scores.append(scores)
            else:
                x = layer(x, training=training)
            hidden_states.append(x)
        tokens = self.final_norm(x)
        seen = {"sequence_output": tokens}
        if return_attention_scores:
            seen["attention_scores"] = attention_scores
        if return_hidden_states:
            seen["hidden_states"] = hidden_states
        return seen if len(seen) > 1 else tokens

    def embed(self, images, training=None):
        """The tokens (b, n, d) that the first encoder layer gets."""
        return self.dropout_layer(self.patch_tokens(images), training=training)

    def grid(self, images):
        """(rows, columns) of patches for pictures (b, H, W, c) or a shape (H, W, c)."""
        height, width = tuple(images)[:2] if isinstance(images, tuple | list) else tuple(images.shape)[1:3]
        return height // self.config["patch_size"], width // self.config["patch_size"]

    @property
    def preprocessing(self):
        """Keyword arguments of `vitkit.preprocessing.prepare`: how pictures become the model's input."""
        names = {"image_mean": "mean", "image_std": "std"}
        keys = ("image_shape", "image_mean", "image_std", "interpolation", "resize", "crop_fraction")
        return {names.get(key, key): self.config[key] for key in keys}

    def get_config(self):
        return {**super().get_config(), **self.config}

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Reads a Hugging Face folder; see `vitkit.checkpoints.hugging_face`."""
        from vitkit.checkpoints.hugging_face import import_hugging_face

        return import_hugging_face(cls, path, load_weights, overrides)

    def adapt_weight(self, path, value, shape, model):
        """Resamples the positions where `image_shape` or `patch_size` changed the grid; the rest is refused."""
        if value is None or not path.endswith("position_embeddings"):
            return super().adapt_weight(path, value, shape, model)
        return resample_table(value, self, model)


def resample_table(table, old, new):
    """A table of positions (special + patches, d) of one backbone, for the grid of another.

    Raises:
        ValueError: backbones of another width or with other special tokens.
    """
    placed = old.patch_tokens.num_placed
    if placed != new.patch_tokens.num_placed or table.shape[1] != new.config["hidden_dim"]:
        raise ValueError(
            f"Expected positions of {placed} special tokens and width {table.shape[1]}. "
            f"Received: {new.patch_tokens.num_placed} and {new.config['hidden_dim']}"
        )
    patches = resample_grid(table[placed:], old.patch_tokens.grid, new.patch_tokens.grid)
    return np.concatenate([table[:placed], keras.ops.convert_to_numpy(patches)])
