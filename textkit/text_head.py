"""TextHead, ClassHead: the bases of models with a head on a `TextEncoder`."""

import inspect
import warnings

import keras
from keras import ops

from shared_layers import Linear
from shared_layers.runtime import check_class_names, check_sizes
from textkit.encoder import TextEncoder
from textkit.text_model import EncoderModel


class TextHead(EncoderModel):
    """Base of the models with a head on a `TextEncoder`.

    A subclass defines `outputs(seen, inputs, training)`, from the encoder's dict of outputs to the model's dict of outputs.

    Args:
        **encoder: the arguments of `TextEncoder`. A subclass with `reads_pooler=False` has no pooler, as nothing would train
            it.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        The outputs of the subclass; if scores or hidden states are requested, a dict of these and the encoder's outputs.

    Raises:
        TypeError: an unknown argument.
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
        """As `EncoderModel`; a head of another shape is newly initialized."""
        return None if path.startswith("head/") else super().adapt_weight(path, value, shape, model)

    @classmethod
    def adopt(cls, model, load_weights, overrides):
        """As `Model.adopt`: a new head on the encoder of another model."""
        encoder = getattr(model, "encoder", model)
        adopted = cls(**{**encoder.config, **cls.new_head(overrides, load_weights, stacklevel=3), **overrides})
        if load_weights:
            encoder.copy_weights(adopted.encoder)
        return adopted

    @classmethod
    def new_head(cls, overrides, load_weights, stacklevel):
        """Constructor arguments of a new head, for weights without a head; warns that the head is untrained.

        Args:
            overrides: dict of constructor arguments.
            load_weights: bool, whether weights are loaded.
            stacklevel: int, of the warning.

        Returns:
            dict of constructor arguments.

        Raises:
            ValueError: no `num_classes` for a classifier.
        """
        if "num_classes" in inspect.signature(cls).parameters:
            if "num_classes" not in overrides:
                raise ValueError(f"Expected weights with a head, or num_classes= for a new head. Received: {overrides}")
            return {"num_classes": overrides["num_classes"], "use_pooler": cls.reads_pooler}
        if load_weights and cls.checkpoint_head:
            warnings.warn(f"The new head of {cls.__name__} is untrained", stacklevel=stacklevel + 1)
        return {}


class ClassHead(TextHead):
    """Base of the heads with one dense layer to classes.

    Args:
        num_classes: int, c.
        class_names: list of c str, or `None`.
        head_dropout: float in [0, 1), before the head.
        **encoder: as in `TextHead`.

    Raises:
        ValueError: another number of class names than c.
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
        """Computes logits.

        Args:
            states: float tensor (..., d).
            training: bool.

        Returns:
            float32 tensor (..., c).
        """
        return ops.cast(self.head(self.dropout_layer(states, training=training)), "float32")

    def override(self, **overrides):
        """As `Model.override`; another `num_classes` drops the class names."""
        if overrides.get("num_classes", self.num_classes) != self.num_classes:
            overrides = {"class_names": None, **overrides}
        return super().override(**overrides)

    def get_config(self):
        own = {name: getattr(self, name) for name in ("num_classes", "class_names", "head_dropout")}
        return {**super().get_config(), **own}


def linear_head(model, size):
    """Makes a built dense layer on a model's states, named "head".

    Args:
        model: a `TextHead`.
        size: int, the number of outputs.

    Returns:
        A built `shared_layers.Linear`.
    """
    head = Linear(
        size, kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02), dtype=model.dtype_policy, name="head"
    )
    head.build((None, model.encoder.config["hidden_dim"]))
    return head
