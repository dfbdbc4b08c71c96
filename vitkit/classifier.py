"""ViTClassifier: a Vision Transformer with a classification head."""

import inspect
import warnings

import keras
from keras import ops

from shared_layers import Linear
from shared_layers.runtime import Model, check_class_names, check_sizes
from vitkit.backbone import ViTBackbone, resample_table
from vitkit.presets import CLASSIFIERS

POOLINGS = ("token", "class_token", "mean", "token_mean")


@keras.saving.register_keras_serializable(package="vitkit")
class ViTClassifier(Model):
    """Vision Transformer for image classification.

    Args:
        num_classes: int, c.
        pooling: str, the input of the head: "token" (the class token; with a distillation token each has its own head and
            the logits are averaged), "class_token" (the class token, even if there is a distillation token), "mean" (the
            mean over patches) or "token_mean" (class token and mean over patches, concatenated).
        class_names: list of c str, or `None`.
        head_dropout: float in [0, 1), before the head.
        **kwargs: the arguments of `ViTBackbone`. `use_class_token` defaults to `True` for every pooling.

    Call arguments:
        the same as for `ViTBackbone`.

    Returns:
        float32 logits (b, c). With `return_attention_scores` or `return_hidden_states` the dict of `ViTBackbone` with
        "logits" added.

    Raises:
        ValueError: an unknown pooling, a pooling of the class token without `use_class_token`, a number of `class_names`
            other than c, or see `ViTBackbone`.
        TypeError: an unknown argument.

    Reference: Dosovitskiy et al. 2021, section 3.1; Touvron et al. 2021 (DeiT), section 4 (two heads, averaged here as
    logits); Oquab et al. 2023 (DINOv2), section 7.1 ("token_mean"); Gao et al. 2021 (TS-CAM), section 3 ("mean": as the
    head is linear, each logit is the mean of the patches' own logits).

    Example:

    >>> import numpy as np
    >>> from vitkit import ViTClassifier
    >>> sizes = dict(image_shape=(32, 32, 3), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> model = ViTClassifier(5, "mean", **sizes)
    >>> seen = model(np.zeros((1, 32, 32, 3), "float32"), return_attention_scores=True)
    >>> seen["logits"].shape.as_list(), seen["attention_scores"][0].shape.as_list()
    ([1, 5], [1, 2, 5, 5])
    """

    presets = CLASSIFIERS

    def __init__(self, num_classes, pooling="token", class_names=None, head_dropout=0.0, **kwargs):
        own = {name: kwargs.pop(name) for name in ("name", "dtype", "trainable") if name in kwargs}
        super().__init__(**own)
        known = inspect.signature(ViTBackbone).parameters
        for name in kwargs:
            if name not in known:
                raise TypeError(f"Expected an argument of ViTClassifier or ViTBackbone. Received: {name}={kwargs[name]!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"`pooling` should be one of {POOLINGS}. Received: pooling={pooling!r}")
        check_sizes(num_classes=num_classes)
        check_class_names(num_classes, class_names)
        self.num_classes = num_classes
        self.pooling = pooling
        self.class_names = None if class_names is None else list(class_names)
        self.head_dropout = head_dropout
        self.backbone = ViTBackbone(**kwargs, dtype=self.dtype_policy, name="backbone")
        self.distilled = pooling == "token" and self.backbone.config["use_distillation_token"]
        if "token" in pooling and not self.backbone.config["use_class_token"]:
            raise ValueError(
                f"This pooling needs use_class_token=True. Received: pooling={pooling!r}, use_class_token=False"
            )

        width = self.backbone.config["hidden_dim"] * (2 if pooling == "token_mean" else 1)
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.dropout_layer = keras.layers.Dropout(head_dropout, dtype=self.dtype_policy, name="head_dropout")
        self.head = Linear(num_classes, kernel_initializer=small, dtype=self.dtype_policy, name="head")
        self.head.build((None, width))
        if self.distilled:
            self.distillation_head = Linear(
                num_classes, kernel_initializer=small, dtype=self.dtype_policy, name="distillation_head"
            )
            self.distillation_head.build((None, width))
        self.built = True

    def call(
        self,
        images,
        training=None,
        return_attention_scores=False,
        num_score_rows=None,
        return_hidden_states=False,
    ):
        seen = self.backbone(
            images,
            training=training,
            return_attention_scores=return_attention_scores,
            num_score_rows=num_score_rows,
            return_hidden_states=return_hidden_states,
        )
        if not isinstance(seen, dict):
            return self.classify(seen, training=training)
        return {**seen, "logits": self.classify(seen["sequence_output"], training=training)}

    def classify(self, tokens, training=None):
        """Returns the float32 logits (b, c) of tokens (b, special + patches, d) after the final LayerNorm."""
        if self.pooling == "mean":
            pooled = ops.mean(self._patches(tokens), axis=1)
        elif self.pooling == "token_mean":
            pooled = ops.concatenate([tokens[:, 0], ops.mean(self._patches(tokens), axis=1)], axis=-1)
        else:
            pooled = tokens[:, 0]
        logits = self.head(self.dropout_layer(pooled, training=training))
        if self.distilled:
            distilled = self.distillation_head(self.dropout_layer(tokens[:, 1], training=training))
            logits = (logits + distilled) / 2
        return ops.cast(logits, "float32")

    def patch_logits(self, tokens):
        """Returns the class map, float32 (b, patches, c): the head applied to each patch token.

        With pooling "mean" its average over patches is the logits. With "token_mean" only the patches' half of the kernel is
        used, without the bias. With "token" or "class_token" the head has not been trained on patches.

        Args:
            tokens: float tensor (b, special + patches, d), after the final LayerNorm.
        """
        patches = self._patches(tokens)
        if self.pooling == "token_mean":
            kernel = ops.cast(self.head.kernel[patches.shape[-1] :], patches.dtype)
            return ops.cast(ops.matmul(patches, kernel), "float32")
        return ops.cast(self.head(patches), "float32")

    def _patches(self, tokens):
        return tokens[:, self.backbone.num_prefix_tokens :]

    @property
    def preprocessing(self):
        """dict, keyword arguments of `vitkit.preprocessing.prepare`, which turns pictures into the model's input."""
        return self.backbone.preprocessing

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "pooling": self.pooling,
            "class_names": self.class_names,
            "head_dropout": self.head_dropout,
            **self.backbone.config,
        }

    @classmethod
    def import_checkpoint(cls, path, load_weights, overrides):
        """Reads a Hugging Face folder; see `vitkit.checkpoints.hugging_face`."""
        from vitkit.checkpoints.hugging_face import import_hugging_face

        return import_hugging_face(cls, path, load_weights, overrides)

    def override(self, **overrides):
        """As `Model.override`; if `num_classes` changes, the old class names are dropped."""
        if overrides.get("num_classes", self.num_classes) != self.num_classes:
            overrides = {"class_names": None, **overrides}
        return super().override(**overrides)

    def adapt_weight(self, path, value, shape, model):
        """Resamples position embeddings; reinitialises a head of another shape and warns if the classes are the same."""
        head, _, part = path.partition("/")
        if head in ("head", "distillation_head"):
            if part == "kernel" and model.num_classes == self.num_classes:
                change = f"pooling={self.pooling!r} became {model.pooling!r}"
                warnings.warn(f"Needs training: a new {head}, since {change}", stacklevel=6)  # the caller of from_preset
            return None
        if value is not None and path.endswith("position_embeddings"):
            return resample_table(value, self.backbone, model.backbone)
        return super().adapt_weight(path, value, shape, model)
