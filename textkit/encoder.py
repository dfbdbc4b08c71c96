"""TextEncoder: a bidirectional Transformer encoder, with attention scores of any layer on request."""

import keras
from keras import ops

from shared_layers import (
    LayerNormalization,
    Linear,
    PositionEmbedding,
    SinePositionEncoding,
    TransformerEncoder,
    gelu_approximate,
)
from shared_layers.runtime import check_sizes, unknown_name
from textkit.seq2seq import sizes
from textkit.text_model import EncoderModel

POSITIONS = ("learned", "sinusoidal", "rotary")
ACTIVATIONS = {"gelu_approximate": gelu_approximate}  # in addition to Keras's


@keras.saving.register_keras_serializable(package="textkit")
class TextEncoder(EncoderModel):
    """BERT's encoder, with options for RoBERTa, DistilBERT, ALBERT, ELECTRA, MiniLM and ModernBERT-like models.

    Sharing the weights of all layers (ALBERT) reduces the parameters, but not the computation; see `count_params()` and
    `multiply_adds(length)`.

    Args:
        vocabulary_size: int.
        num_layers, num_heads, hidden_dim, intermediate_dim: int, sizes of the layers.
        dropout: float in [0, 1), on embeddings and on both branches of each layer.
        attention_dropout: float, on attention probabilities; `None` for the value of `dropout`.
        activation: str, of the feed-forward networks, a name of Keras or "gelu_approximate".
        layer_norm_epsilon: float.
        max_sequence_length: int, the number of learned positions; other positions have no limit.
        num_segments: int, the number of segment embeddings; 0 for none. With 1 all tokens have the same one.
        positions: "learned", "sinusoidal" or "rotary" (in the attention of every layer).
        embedding_dim: int, width of the embeddings, projected to `hidden_dim`; `None` for `hidden_dim` without projection.
        share_layers: bool, one layer is applied `num_layers` times.
        normalize_first: bool, pre-norm, with another norm after the last layer.
        feed_forward: "mlp" or "swiglu".
        pad_id: int, the id of padding.
        use_pooler: bool, whether there is a pooler: a dense layer on the first token's last state.
        pooler_activation: str, its activation.
        tokenizer: `textkit.Tokenizer` or its configuration, for text input; or `None`.

    Call arguments:
        inputs: dict of "token_ids" (b, n) int; "segment_ids" (b, n) int, optional, by default zeros; "padding_mask" (b, n),
            optional, nonzero for real tokens, by default `token_ids != pad_id`.
        training: bool.
        return_attention_scores: bool, or a list of layer indices, -1 for the last layer.
        num_score_rows: int, the scores of only the first `num_score_rows` query tokens are returned; or `None`.
        return_hidden_states: bool.

    Returns:
        dict of "sequence_output" (b, n, d), the states after the last layer; "pooled_output" (b, d), with a pooler;
        "attention_scores", on request, a list of (b, h, n, n) float32 for the requested layers, in that order;
        "hidden_states", on request, a list of the embeddings and the output of each layer (b, n, d). Padding does not
        change the outputs of real tokens.

    Raises:
        ValueError: sizes that are not positive or do not fit each other, unknown positions or activations, sequences longer
            than the learned positions, a layer index out of range.

    Reference: Devlin et al. 2019, "BERT", section 3; Lan et al. 2020, "ALBERT", section 3.1; Warner et al. 2024,
    "Smarter, Better, Faster, Longer", section 2.1 (pre-norm, rotary positions).

    Example:

    >>> import numpy as np
    >>> from textkit import TextEncoder
    >>> encoder = TextEncoder(11, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    >>> seen = encoder({"token_ids": np.array([[2, 7, 3, 0]])}, return_attention_scores=[-1])
    >>> seen["sequence_output"].shape.as_list(), seen["attention_scores"][0].shape.as_list()
    ([1, 4, 8], [1, 2, 4, 4])
    """

    reads_pooler = True

    def __init__(
        self,
        vocabulary_size,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        dropout=0.1,
        attention_dropout=None,
        activation="gelu",
        layer_norm_epsilon=1e-12,
        max_sequence_length=512,
        num_segments=2,
        positions="learned",
        embedding_dim=None,
        share_layers=False,
        normalize_first=False,
        feed_forward="mlp",
        pad_id=0,
        use_pooler=True,
        pooler_activation="tanh",
        tokenizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config = {
            "vocabulary_size": vocabulary_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden_dim": hidden_dim,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "max_sequence_length": max_sequence_length,
            "num_segments": num_segments,
            "positions": positions,
            "embedding_dim": embedding_dim,
            "share_layers": share_layers,
            "normalize_first": normalize_first,
            "feed_forward": feed_forward,
            "pad_id": pad_id,
            "use_pooler": use_pooler,
            "pooler_activation": pooler_activation,
            "tokenizer": tokenizer if tokenizer is None or isinstance(tokenizer, dict) else tokenizer.get_config(),
        }
        can_be_none = {"num_segments": 0, "embedding_dim": None}
        check_sizes(**{name: size for name, size in sizes(self.config).items() if (name, size) not in can_be_none.items()})
        if positions not in POSITIONS:
            raise unknown_name("positions", positions, POSITIONS)
        policy = self.dtype_policy
        narrow = (None, None, hidden_dim if embedding_dim is None else embedding_dim)
        wide = (None, None, hidden_dim)

        def small():
            return keras.initializers.TruncatedNormal(stddev=0.02)

        def build(layer, shape):
            layer.build(shape)
            return layer

        def embedding(name, size):
            return build(keras.layers.Embedding(size, narrow[-1], small(), dtype=policy, name=name), None)

        def linear(name, shape, activation=None):
            layer = Linear(hidden_dim, activation=activation, kernel_initializer=small(), dtype=policy, name=name)
            return build(layer, shape)

        def norm(name, shape):
            return build(LayerNormalization(epsilon=layer_norm_epsilon, dtype=policy, name=name), shape)

        self.token_embedding = embedding("token_embedding", vocabulary_size)
        if num_segments:
            self.segment_embedding = embedding("segment_embedding", num_segments)
        self.position_embedding = None
        if positions == "learned":
            table = PositionEmbedding(max_sequence_length, small(), dtype=policy, name="position_embedding")
            self.position_embedding = build(table, narrow)
        elif positions == "sinusoidal":
            self.position_embedding = build(SinePositionEncoding(dtype=policy, name="position_embedding"), narrow)
        self.embedding_norm = norm("embedding_norm", narrow)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.embedding_projection = None if embedding_dim is None else linear("embedding_projection", narrow)
        self.encoder_layers = [
            TransformerEncoder(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                activation=ACTIVATIONS.get(activation, activation),
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=small(),
                normalize_first=normalize_first,
                attention_dropout=attention_dropout,
                feed_forward=feed_forward,
                rotary_max_wavelength=10000 if positions == "rotary" else None,
                dtype=policy,
                name=f"encoder_layer_{depth}",
            )
            for depth in range(1 if share_layers else num_layers)
        ]
        for layer in self.encoder_layers:
            layer.build(wide)
        self.final_norm = norm("final_norm", wide) if normalize_first else None
        self.pooler = linear("pooler", wide, ACTIVATIONS.get(pooler_activation, pooler_activation)) if use_pooler else None
        self.built = True

    def call(self, inputs, training=None, return_attention_scores=False, num_score_rows=None, return_hidden_states=False):
        return self.encode(
            self.embed(inputs, training=training),
            self.padding_mask(inputs),
            training=training,
            return_attention_scores=return_attention_scores,
            num_score_rows=num_score_rows,
            return_hidden_states=return_hidden_states,
        )

    def padding_mask(self, inputs):
        """The padding mask of inputs.

        Args:
            inputs: dict, as those of the call.

        Returns:
            bool tensor (b, n), True for real tokens: "padding_mask", or else `token_ids != pad_id`.
        """
        mask = inputs.get("padding_mask")
        return ops.not_equal(inputs["token_ids"], self.config["pad_id"]) if mask is None else ops.cast(mask, "bool")

    def embed(self, inputs, training=None):
        """Embeds token ids, segments and positions.

        Args:
            inputs: dict, as those of the call.
            training: bool.

        Returns:
            float tensor (b, n, d), the input of the first layer.
        """
        x = self.token_embedding(inputs["token_ids"])
        if self.config["num_segments"]:
            segment_ids = inputs.get("segment_ids")
            if segment_ids is None or self.config["num_segments"] == 1:
                segment_ids = ops.zeros_like(inputs["token_ids"])
            x = x + self.segment_embedding(segment_ids)
        if self.position_embedding is not None:
            x = x + self.position_embedding(x)
        x = self.dropout_layer(self.embedding_norm(x), training=training)
        return x if self.embedding_projection is None else self.embedding_projection(x)

    def encode(
        self,
        embedded,
        padding_mask,
        training=None,
        return_attention_scores=False,
        num_score_rows=None,
        return_hidden_states=False,
    ):
        """Applies the layers; with `embed` and `padding_mask` this is the call.

        Args:
            embedded: float tensor (b, n, d), as returned by `embed`.
            padding_mask: bool tensor (b, n), True for real tokens.
            training, return_attention_scores, num_score_rows, return_hidden_states: as in the call.

        Returns:
            dict, as the call.
        """
        asked = self._asked(return_attention_scores)
        x, hidden_states, attention_scores = embedded, [embedded], {}
        for depth in range(self.config["num_layers"]):
            layer = self.encoder_layers[0 if self.config["share_layers"] else depth]
            options = {"padding_mask": padding_mask, "training": training}
            if depth in asked:
                options |= {"return_attention_scores": True, "num_score_rows": num_score_rows}
                x, attention_scores[depth] = layer(x, **options)
            else:
                x = layer(x, **options)
            hidden_states.append(x)
        seen = self.finish(x)
        if asked:
            seen["attention_scores"] = [attention_scores[depth] for depth in asked]
        if return_hidden_states:
            seen["hidden_states"] = hidden_states
        return seen

    def finish(self, state):
        """Applies the final norm and the pooler.

        Args:
            state: float tensor (b, n, d), the output of the last layer.

        Returns:
            dict of "sequence_output" (b, n, d) and, with a pooler, "pooled_output" (b, d).
        """
        seen = {"sequence_output": state if self.final_norm is None else self.final_norm(state)}
        if self.pooler is not None:
            seen["pooled_output"] = self.pooler(seen["sequence_output"][:, 0])
        return seen

    def multiply_adds(self, length):
        """Counts the multiply-adds of the matrix products for one text.

        Args:
            length: int, tokens of the text.

        Returns:
            int. Layers with shared weights count as often as they are applied.
        """
        config, d = self.config, self.config["hidden_dim"]
        feed_forward = {"mlp": 2, "swiglu": 3}[config["feed_forward"]] * d * config["intermediate_dim"]
        layer = length * (4 * d * d + 2 * length * d + feed_forward)
        projection = 0 if self.embedding_projection is None else length * config["embedding_dim"] * d
        return config["num_layers"] * layer + projection + (0 if self.pooler is None else d * d)

    def _asked(self, return_attention_scores):
        """The indices of the layers whose scores are requested."""
        num_layers = self.config["num_layers"]
        if isinstance(return_attention_scores, bool):
            return range(num_layers if return_attention_scores else 0)
        for depth in return_attention_scores:
            if not -num_layers <= depth < num_layers:
                raise ValueError(
                    f"`return_attention_scores` should be a bool or layer indices below {num_layers}. "
                    f"Received: return_attention_scores={return_attention_scores}"
                )
        return [depth % num_layers for depth in return_attention_scores]

    def get_config(self):
        return {**super().get_config(), **self.config}

    @classmethod
    def adopt(cls, model, load_weights, overrides):
        """As `Model.adopt`: the encoder of a model with a head."""
        if load_weights:
            return model.encoder.override(**overrides)
        return cls(**{**model.encoder.config, **overrides})
