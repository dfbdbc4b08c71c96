"""TextHead, ClassHead: what models with a head on a `TextEncoder` have in common."""

import inspect
import warnings

import keras
from keras import ops

from shared_layers import Linear
from shared_layers.runtime import check_class_names, check_sizes
from textkit.encoder import TextEncoder
from textkit.text_model import EncoderModel


class TextHead(EncoderModel):
    """Base of the models that read a `TextEncoder`'s states.

    A subclass has `outputs(seen, inputs, training)`, from the encoder's dict of outputs to the model's own.

    Args:
        **encoder: the arguments of `TextEncoder`. Without `reads_pooler` there is never a pooler: nothing would train it.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        what the subclass says; or, when scores or hidden states are asked for, the encoder's dict of outputs with it added.

    Raises:
        TypeError: an argument that neither has.
    """

    def __init__(self, **kwargs):
        own = {name: kwargs.pop(name) for name in ("name", "dtype", "trainable") if name in kwargs}
        super().__init__(**own)
        known = inspect.signature(TextEncoder).parameters
        for name in kwargs:
            if name not in known:
                cls = type(self).__name__
                raise TypeError(f"Expected an argument of {cls} or TextEncoder. Received: {name}={kwargs[name]!r}")
        if not self.reads_pooler:
            kwargs["use_pooler"] = False
        self.encoder = TextEncoder(**kwargs, dtype=self.dtype_policy, name="encoder")

    def call(self, inputs, training=None, return_attention_scores=False, num_score_rows=None, return_hidden_states=False):
        seen = self.encoder(
            inputs,
            training=training,
            return_attention_scores=return_attention_scores,
            num_score_rows=num_score_rows,
            return_hidden_states=return_hidden_states,
        )
        outputs = self.outputs(seen, inputs, training)
        if return_attention_scores or return_hidden_states:
            return {**seen, **outputs}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def get_config(self):
        return {**super().get_config(), **self.encoder.config}

    def adapt_weight(self, path, value, shape, model):
        """As `EncoderModel`; a head of another shape starts anew."""
        return None if path.startswith("head/") else super().adapt_weight(path, value, shape, model)

    @classmethod
    def adopt(cls, model, load_weights, overrides):
        """A new head on the encoder of another model."""
        encoder = getattr(model, "encoder", model)
        adopted = cls(**{**encoder.config, **cls.new_head(overrides, load_weights, stacklevel=3), **overrides})
        if load_weights:
            encoder.copy_weights(adopted.encoder)
        return adopted

    @classmethod
    def new_head(cls, overrides, load_weights, stacklevel):
        """What a head of its own needs, where weights come without one; says that it has to be trained.

        Args:
            overrides: dict of constructor arguments.
            load_weights: bool, whether there are weights at all.
            stacklevel: int, how many calls ago that is to be said.

        Returns:
            dict of constructor arguments.

        Raises:
            ValueError: classes without their number.
        """
        if "num_classes" in inspect.signature(cls).parameters:
            if "num_classes" not in overrides:
                raise ValueError(f"Expected weights with a head, or num_classes= for a new one. Received: {overrides}")
            return {"num_classes": overrides["num_classes"], "use_pooler": cls.reads_pooler}
        if load_weights and cls.checkpoint_head:
            warnings.warn(f"Has to be trained: the new head of {cls.__name__}", stacklevel=stacklevel + 1)
        return {}


class ClassHead(TextHead):
    """Base of the heads that are one linear map to classes.

    Args:
        num_classes: int, c.
        class_names: names of the classes, or `None`.
        head_dropout: float in [0, 1), before the head.
        **encoder: as in `TextHead`.

    Raises:
        ValueError: names that are not c.
    """

    def __init__(self, num_classes, class_names=None, head_dropout=0.1, **kwargs):
        super().__init__(**kwargs)
        check_sizes(num_classes=num_classes)
        check_class_names(num_classes, class_names)
        self.num_classes = num_classes
        self.class_names = None if class_names is None else list(class_names)
        self.head_dropout = head_dropout
        self.dropout_layer = keras.layers.Dropout(head_dropout, dtype=self.dtype_policy, name="head_dropout")
        self.head = linear_head(self, num_classes)
        self.built = True

    def classify(self, states, training=None):
        """Logits (..., c) float32 of states (..., d)."""
        return ops.cast(self.head(self.dropout_layer(states, training=training)), "float32")

    def override(self, **overrides):
        """As `Model.override`; another `num_classes` drops the names of the old classes."""
        if overrides.get("num_classes", self.num_classes) != self.num_classes:
            overrides = {"class_names": None, **overrides}
        return super().override(**overrides)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("num_classes", "class_names", "head_dropout")}
        return {**super().get_config(), **own}


def linear_head(model, size):
    """A linear map from a model's states, named "head"."""
    head = Linear(
        size, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02), dtype=model.dtype_policy, name="head"
    )
    head.build((None, model.encoder.config["hidden_dim"]))
    return head
