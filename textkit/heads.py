"""Heads on a `TextEncoder`: text, token and span classification, sentence embeddings, masked language modelling."""

import keras
from keras import ops

from shared_layers import LayerNormalization, Linear
from shared_layers.runtime import unknown_name
from textkit.encoder import ACTIVATIONS
from textkit.seq2seq import tied_logits
from textkit.text_head import ClassHead, TextHead, linear_head

PROBLEMS = ("single", "multi", "regression")
POOLINGS = ("mean", "token")
_HIDDEN = -1e9  # the logit of padding


@keras.saving.register_keras_serializable(package="textkit")
class TextClassifier(ClassHead):
    """Text classification and regression, for texts or pairs of texts.

    The head is on the pooled output; without a pooler, on the first token's state; with `pooling="mean"`, on the mean of all
    tokens' states. Compile with a cross-entropy from logits, with `keras.losses.BinaryCrossentropy(from_logits=True)` for
    "multi", or with "mse" for "regression".

    Args:
        num_classes: int, c; for "regression" the number of outputs.
        problem: "single" (one class for each text), "multi" (any number of classes), "regression".
        pooling: "token", as published, or "mean" (over real tokens, without a pooler), for encoders whose first token was
            not trained: new ones, or those pretrained only on masked tokens.
        class_names, head_dropout, **encoder: as in `ClassHead`.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        logits (b, c) float32, or a dict; see `TextHead`.

    Raises:
        ValueError: an unknown problem or pooling, another number of class names than c.

    Reference: Devlin et al. 2019, section 4.1; Liu et al. 2019 (whose classifier has the pooler as its first layer).

    Example:

    >>> import numpy as np
    >>> from textkit import TextClassifier
    >>> sizes = dict(vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> TextClassifier(3, **sizes)({"token_ids": np.array([[2, 7, 3, 0]])}).shape.as_list()
    [1, 3]
    """

    reads_pooler = True
    checkpoint_head = "ForSequenceClassification"

    def __init__(self, num_classes, problem="single", class_names=None, head_dropout=0.1, pooling="token", **kwargs):
        if pooling == "mean":
            kwargs["use_pooler"] = False  # nothing would train it
        super().__init__(num_classes, class_names, head_dropout, **kwargs)
        if problem not in PROBLEMS:
            raise unknown_name("problem", problem, PROBLEMS)
        if pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        self.problem = problem
        self.pooling = pooling

    def outputs(self, seen, inputs, training):
        return {"logits": self.classify(self.pooled(seen, inputs), training)}

    def pooled(self, seen, inputs):
        """The input of the head.

        Args:
            seen: dict of tensors, the outputs of the encoder.
            inputs: dict of tensors, the inputs of the model.

        Returns:
            float tensor (b, d).
        """
        return seen["pooled_output"] if self.encoder.pooler else pooled_state(self, seen, inputs)

    def get_config(self):
        return {**super().get_config(), "problem": self.problem, "pooling": self.pooling}


@keras.saving.register_keras_serializable(package="textkit")
class TokenClassifier(ClassHead):
    """Token classification, such as named entities and parts of speech.

    Args:
        num_classes, class_names, head_dropout, **encoder: as in `ClassHead`.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        logits (b, n, c) float32, or a dict; see `TextHead`. Tokens without a label need sample weight 0.

    Raises:
        ValueError: another number of class names than c.

    Reference: Devlin et al. 2019, section 5.3 (without a CRF).

    Example:

    >>> import numpy as np
    >>> from textkit import TokenClassifier
    >>> sizes = dict(vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> TokenClassifier(5, **sizes)({"token_ids": np.array([[2, 7, 3, 0]])}).shape.as_list()
    [1, 4, 5]
    """

    checkpoint_head = "ForTokenClassification"

    def outputs(self, seen, inputs, training):
        return {"logits": self.classify(seen["sequence_output"], training)}


@keras.saving.register_keras_serializable(package="textkit")
class SpanClassifier(TextHead):
    """Extractive question answering: the start and the end of an answer.

    Args:
        head_dropout: float in [0, 1), before the head.
        **encoder: as in `TextHead`.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        dict of "start_logits" and "end_logits" (b, n) float32, -1e9 in padding; see `TextHead`. The first token stands for
        "no answer".

    Reference: Devlin et al. 2019, sections 4.2 and 4.3.

    Example:

    >>> import numpy as np
    >>> from textkit import SpanClassifier
    >>> sizes = dict(vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> seen = SpanClassifier(**sizes)({"token_ids": np.array([[2, 7, 3, 0]])})
    >>> seen["start_logits"].shape.as_list(), seen["end_logits"].shape.as_list()
    ([1, 4], [1, 4])
    """

    checkpoint_head = "ForQuestionAnswering"

    def __init__(self, head_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.head_dropout = head_dropout
        self.dropout_layer = keras.layers.Dropout(head_dropout, dtype=self.dtype_policy, name="head_dropout")
        self.head = linear_head(self, 2)
        self.built = True

    def outputs(self, seen, inputs, training):
        logits = ops.cast(self.head(self.dropout_layer(seen["sequence_output"], training=training)), "float32")
        logits = ops.where(self.encoder.padding_mask(inputs)[..., None], logits, _HIDDEN)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}

    def get_config(self):
        return {**super().get_config(), "head_dropout": self.head_dropout}


@keras.saving.register_keras_serializable(package="textkit")
class SentenceEncoder(TextHead):
    """Sentence embeddings: a vector for each text, close for texts of similar meaning.

    Args:
        pooling: "mean" (over real tokens' states) or "token" (the first token's state).
        normalize: bool, whether vectors have length 1, so that dot products are cosine similarities.
        **encoder: as in `TextHead`.

    Call arguments:
        as those of `TextEncoder`.

    Returns:
        embeddings (b, d) float32, or a dict with "embedding"; see `TextHead`.

    Raises:
        ValueError: an unknown pooling.

    Reference: Reimers and Gurevych 2019, "Sentence-BERT", section 3.

    Example:

    >>> import numpy as np
    >>> from textkit import SentenceEncoder
    >>> sizes = dict(vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> SentenceEncoder(**sizes)({"token_ids": np.array([[2, 7, 3, 0]])}).shape.as_list()
    [1, 8]
    """

    def __init__(self, pooling="mean", normalize=True, **kwargs):
        super().__init__(**kwargs)
        if pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        self.pooling = pooling
        self.normalize = normalize
        self.built = True

    def outputs(self, seen, inputs, training):
        vectors = pooled_state(self, seen, inputs)
        if self.normalize:
            vectors = ops.normalize(vectors, axis=-1)
        return {"embedding": vectors}

    @classmethod
    def checkpoint_arguments(cls, path):
        """Constructor arguments from sentence-transformers' files, see `textkit.checkpoints.sentence_transformers`."""
        from textkit.checkpoints.sentence_transformers import read_pooling

        return read_pooling(path)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling, "normalize": self.normalize}


@keras.saving.register_keras_serializable(package="textkit")
class MaskedLanguageModel(TextHead):
    """Masked language modelling; the output weights are tied to the token embeddings.

    Args:
        **encoder: as in `TextHead`.

    Call arguments:
        inputs: as those of `TextEncoder`, and optionally "mask_positions" (b, m) int: the positions to predict, which costs
            less than predicting all.
        others: as those of `TextEncoder`.

    Returns:
        logits (b, m, v) float32, without positions (b, n, v); or a dict; see `TextHead`.

    Reference: Devlin et al. 2019, section 3.1, and appendix A.1.

    Example:

    >>> import numpy as np
    >>> from textkit import MaskedLanguageModel
    >>> model = MaskedLanguageModel(vocabulary_size=11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    >>> ids = {"token_ids": np.array([[2, 7, 3, 0]]), "mask_positions": np.array([[1, 2]])}
    >>> model(ids).shape.as_list()
    [1, 2, 11]
    """

    checkpoint_head = "ForMaskedLM"

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        config = self.encoder.config
        activation, epsilon = config["activation"], config["layer_norm_epsilon"]
        self.head = MaskedLanguageHead(activation, epsilon, dtype=self.dtype_policy, name="head")
        self.head.build((None, None, config["hidden_dim"]), self.encoder.token_embedding.embeddings.shape)
        self.built = True

    def outputs(self, seen, inputs, training):
        states, positions = seen["sequence_output"], inputs.get("mask_positions")
        if positions is not None:
            states = ops.take_along_axis(states, ops.cast(positions, "int32")[..., None], axis=1)
        return {"logits": self.head(states, self.encoder.token_embedding.embeddings)}


@keras.saving.register_keras_serializable(package="textkit")
class MaskedLanguageHead(keras.layers.Layer):
    """From states to vocabulary logits: dense layer, activation, layer norm, product with the embeddings, bias.

    Args:
        activation: as in `TextEncoder`.
        layer_norm_epsilon: float.

    Call arguments:
        states: float tensor (b, n, d).
        table: float tensor (v, e), the token embeddings.

    Returns:
        logits (b, n, v) float32.
    """

    def __init__(self, activation="gelu", layer_norm_epsilon=1e-12, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.layer_norm_epsilon = layer_norm_epsilon

    def build(self, states_shape, table_shape):
        size, width = table_shape
        self.transform = Linear(
            width,
            activation=ACTIVATIONS.get(self.activation, self.activation),
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            dtype=self.dtype_policy,
            name="transform",
        )
        self.transform.build(states_shape)
        self.norm = LayerNormalization(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name="norm")
        self.norm.build((*states_shape[:-1], width))
        self.bias = self.add_weight(name="bias", shape=(size,), initializer="zeros")

    def call(self, states, table):
        return tied_logits(self.norm(self.transform(states)), table) + ops.cast(self.bias, "float32")

    def get_config(self):
        own = {"activation": self.activation, "layer_norm_epsilon": self.layer_norm_epsilon}
        return {**super().get_config(), **own}


def mean_state(states, padding_mask):
    """Averages the states of real tokens.

    Args:
        states: float tensor (b, n, d).
        padding_mask: bool tensor (b, n), True for real tokens.

    Returns:
        float32 tensor (b, d), 0 for rows without real tokens.
    """
    weights = ops.cast(padding_mask, "float32")[..., None]
    return ops.sum(ops.cast(states, "float32") * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)


def pooled_state(model, seen, inputs):
    """Pools the states of each text by `model.pooling`.

    Args:
        model: a model with `pooling` "mean" or "token".
        seen: dict of tensors, the outputs of the encoder.
        inputs: dict of tensors, the inputs of the model.

    Returns:
        float32 tensor (b, d).
    """
    if model.pooling == "mean":
        return mean_state(seen["sequence_output"], model.encoder.padding_mask(inputs))
    return ops.cast(seen["sequence_output"][:, 0], "float32")
