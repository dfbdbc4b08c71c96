"""ViTBackbone: pictures to layer-normalised tokens, optionally with the attention scores of every layer."""

import keras
import numpy as np

from shared_layers import LayerNormalization, TransformerEncoder, resample_grid
from shared_layers.runtime import Model, check_sizes
from vitkit.patches import PatchTokens, check_divides
from vitkit.presets import BACKBONES


@keras.saving.register_keras_serializable(package="vitkit")
class ViTBackbone(Model):
    """Vision Transformer without a classification head.

    Args:
        image_shape: (H, W, channels), H and W in pixels. The model also accepts other sizes that are multiples of
            `patch_size`; position embeddings are resampled for them.
        patch_size: int, side of a patch in pixels.
        num_layers: int, number of encoder layers.
        num_heads: int, attention heads per layer; must divide `hidden_dim`.
        hidden_dim: int, width of the tokens, d.
        intermediate_dim: int, width of the feed-forward networks.
        use_class_token, use_distillation_token: bool, whether to add these tokens.
        num_register_tokens: int, number of register tokens.
        layer_scale_init: float, initial value of LayerScale; `None` for no LayerScale.
        feed_forward: "mlp" or "swiglu".
        activation: name or callable, activation of the MLP.
        dropout: float in [0, 1), on embeddings and on both branches of each layer.
        attention_dropout: float in [0, 1), on attention probabilities.
        drop_path: float in [0, 1), stochastic-depth rate of the last layer; it grows linearly from 0 at the first layer.
        layer_norm_epsilon: float.
        image_mean, image_std: float per channel, to normalise pictures in [0, 1].
        interpolation: "bilinear" or "bicubic", to resize pictures.
        resize: "squash" (to `image_shape`, ignoring the aspect ratio) or "crop" (the shorter side, then a centre crop).
        crop_fraction: float in (0, 1], "crop" only: fraction of the shorter side that the crop keeps.

    Call arguments:
        images: float tensor (b, H, W, channels), preprocessed (see `preprocessing` and `vitkit.preprocessing.prepare`).
        training: bool, whether dropout and stochastic depth are active.
        return_attention_scores: bool, whether to also return attention probabilities.
        num_score_rows: int, with `return_attention_scores`: return only the rows of this many leading query tokens.
        return_hidden_states: bool, whether to also return the output of each layer.

    Returns:
        float tensor (b, special + patches, d): the tokens after the final LayerNorm, in the order class, distillation,
        registers, patches. With `return_attention_scores` or `return_hidden_states` a dict: "sequence_output" (these
        tokens), "attention_scores" (a list with a float32 (b, h, q, k) per layer) and "hidden_states" (a list with a
        (b, n, d) per layer, before the final LayerNorm).

    Raises:
        ValueError: sizes that are not positive or do not match, pictures whose sides are not multiples of `patch_size`.

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
        """Returns the tokens (b, n, d) that enter the first encoder layer, for prepared pictures (b, H, W, channels)."""
        return self.dropout_layer(self.patch_tokens(images), training=training)

    def grid(self, images):
        """Returns the (rows, columns) of patches of pictures (b, H, W, channels) or of a shape (H, W, channels)."""
        height, width = tuple(images)[:2] if isinstance(images, tuple | list) else tuple(images.shape)[1:3]
        return height // self.config["patch_size"], width // self.config["patch_size"]

    @property
    def preprocessing(self):
        """dict, keyword arguments of `vitkit.preprocessing.prepare`, which turns pictures into the model's input."""
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
        """Resamples the position embeddings if the grid has changed; raises for any other weight."""
        if value is None or not path.endswith("position_embeddings"):
            return super().adapt_weight(path, value, shape, model)
        return resample_table(value, self, model)


def resample_table(table, old, new):
    """Resamples a table of position embeddings bicubically from one backbone's grid to another's.

    Args:
        table: float array (special + patches, d), the table of `old`.
        old: `ViTBackbone`.
        new: `ViTBackbone`.

    Returns:
        float array (special + new patches, d).

    Raises:
        ValueError: the backbones differ in width or in their special tokens.
    """
    placed = old.patch_tokens.num_placed
    if placed != new.patch_tokens.num_placed or table.shape[1] != new.config["hidden_dim"]:
        raise ValueError(
            f"Expected the same special tokens and width: {placed} with a position, width {table.shape[1]}. "
            f"Received: {new.patch_tokens.num_placed} and {new.config['hidden_dim']}"
        )
    patches = resample_grid(table[placed:], old.patch_tokens.grid, new.patch_tokens.grid)
    return np.concatenate([table[:placed], keras.ops.convert_to_numpy(patches)])
