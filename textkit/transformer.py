"""TransformerSeq2Seq: the encoder-decoder Transformer, with a cache and an alignment for every step."""

import keras
from keras import ops

from shared_layers import (
    LayerNormalization,
    Linear,
    PositionEmbedding,
    SinePositionEncoding,
    TransformerDecoder,
    TransformerEncoder,
)
from shared_layers.runtime import check_sizes, unknown_name
from textkit.presets import TRANSFORMERS
from textkit.seq2seq import Seq2Seq, sizes, tied_logits
from textkit.vocabulary import PAD

POSITIONS = ("learned", "sinusoidal")


@keras.saving.register_keras_serializable(package="textkit")
class TransformerSeq2Seq(Seq2Seq):
    """The Transformer of "Attention Is All You Need".

    The alignment of a step is the cross-attention of one layer, averaged over its heads: by default the second-to-last
    layer, which agrees best with human alignments (Garg et al. 2019, "Jointly Learning to Align and Translate with
    Transformer Models").

    Args:
        source_vocabulary_size, target_vocabulary_size: int.
        num_layers: int, layers of the encoder, and of the decoder.
        num_heads, hidden_dim, intermediate_dim: int, sizes of each layer.
        dropout: float in [0, 1), on embeddings, on attention probabilities and on every branch.
        max_source_length, max_target_length: int, the number of learned positions; sinusoidal ones have no limit.
        positions: "sinusoidal" or "learned".
        share_embeddings: bool, whether source and target share one vocabulary and one embedding table.
        tie_output: bool, whether the output weights are tied to the target embeddings; otherwise there is a dense layer.
        normalize_first: bool, pre-norm, with another norm after the last layer of encoder and decoder.
        activation: str, of the feed-forward networks.
        layer_norm_epsilon: float.
        alignment_layer: int, 0 for the first decoder layer; `None` for the second-to-last layer, or the only one.

    Call arguments:
        as those of `Seq2Seq`.

    Returns:
        logits (b, t, v) float32, or a dict of "logits", "alignment" (b, t, s), and lists of the float32 scores of each
        layer: "encoder_attention_scores" (b, h, s, s), "decoder_attention_scores" (b, h, t, t), "cross_attention_scores"
        (b, h, t, s).

    Raises:
        ValueError: sizes that are not positive or do not fit each other, unknown positions, an alignment layer out of range,
            shared embeddings with different vocabulary sizes, sequences longer than the learned positions.

    Reference: Vaswani et al. 2017, section 3 (with dropout on attention probabilities, as in the published code).

    Example:

    >>> import numpy as np
    >>> from textkit.transformer import TransformerSeq2Seq
    >>> model = TransformerSeq2Seq(11, 13, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    >>> ids = {"source_ids": np.array([[4, 5, 3]]), "target_ids": np.array([[2, 7]])}
    >>> seen = model(ids, return_attention_scores=True)
    >>> seen["logits"].shape.as_list(), seen["alignment"].shape.as_list()
    ([1, 2, 13], [1, 2, 3])
    """

    presets = TRANSFORMERS

    def __init__(
        self,
        source_vocabulary_size,
        target_vocabulary_size,
        num_layers=6,
        num_heads=8,
        hidden_dim=512,
        intermediate_dim=2048,
        dropout=0.1,
        max_source_length=512,
        max_target_length=512,
        positions="sinusoidal",
        share_embeddings=False,
        tie_output=True,
        normalize_first=False,
        activation="relu",
        layer_norm_epsilon=1e-6,
        alignment_layer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.config = {
            "source_vocabulary_size": source_vocabulary_size,
            "target_vocabulary_size": target_vocabulary_size,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden_dim": hidden_dim,
            "intermediate_dim": intermediate_dim,
            "dropout": dropout,
            "max_source_length": max_source_length,
            "max_target_length": max_target_length,
            "positions": positions,
            "share_embeddings": share_embeddings,
            "tie_output": tie_output,
            "normalize_first": normalize_first,
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "alignment_layer": alignment_layer,
        }
        check_sizes(**sizes(self.config))
        if positions not in POSITIONS:
            raise unknown_name("positions", positions, POSITIONS)
        if share_embeddings and source_vocabulary_size != target_vocabulary_size:
            raise ValueError(
                "`share_embeddings` needs vocabularies of the same size. Received: "
                f"source_vocabulary_size={source_vocabulary_size}, target_vocabulary_size={target_vocabulary_size}"
            )
        self.alignment_layer = max(num_layers - 2, 0) if alignment_layer is None else alignment_layer
        if not 0 <= self.alignment_layer < num_layers:
            raise ValueError(
                f"`alignment_layer` should be from 0 to {num_layers - 1}. Received: alignment_layer={alignment_layer}"
            )
        policy = self.dtype_policy
        tokens = (None, None, hidden_dim)

        def embedding(name, size):
            # variance 1 as inputs, which are scaled by sqrt(d), and for logits as tied output weights
            initializer = keras.initializers.RandomNormal(stddev=hidden_dim**-0.5)
            layer = keras.layers.Embedding(size, hidden_dim, initializer, dtype=policy, name=name)
            layer.build()
            return layer

        def position_layer(name, length):
            if positions == "sinusoidal":
                layer = SinePositionEncoding(dtype=policy, name=name)
            else:
                layer = PositionEmbedding(length, keras.initializers.RandomNormal(stddev=0.02), dtype=policy, name=name)
            layer.build(tokens)
            return layer

        self.target_embedding = embedding("embedding" if share_embeddings else "target_embedding", target_vocabulary_size)
        self.source_embedding = (
            self.target_embedding if share_embeddings else embedding("source_embedding", source_vocabulary_size)
        )
        self.source_positions = position_layer("source_positions", max_source_length)
        self.target_positions = position_layer("target_positions", max_target_length)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        options = {
            "intermediate_dim": intermediate_dim,
            "num_heads": num_heads,
            "dropout": dropout,
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "normalize_first": normalize_first,
            "dtype": policy,
        }
        self.encoder_layers = [TransformerEncoder(**options, name=f"encoder_layer_{depth}") for depth in range(num_layers)]
        self.decoder_layers = [TransformerDecoder(**options, name=f"decoder_layer_{depth}") for depth in range(num_layers)]
        for encoder_layer, decoder_layer in zip(self.encoder_layers, self.decoder_layers, strict=True):
            encoder_layer.build(tokens)
            decoder_layer.build(tokens, tokens)
        if normalize_first:
            norm = {"epsilon": layer_norm_epsilon, "dtype": policy}
            self.encoder_norm = LayerNormalization(**norm, name="encoder_norm")
            self.decoder_norm = LayerNormalization(**norm, name="decoder_norm")
            self.encoder_norm.build(tokens)
            self.decoder_norm.build(tokens)
        if not tie_output:
            self.head = Linear(target_vocabulary_size, use_bias=False, dtype=policy, name="head")
            self.head.build(tokens)
        self.built = True

    def teacher_force(self, source_ids, target_ids, training=None, return_attention_scores=False):
        """Computes the outputs for whole targets.

        Args:
            source_ids: int tensor (b, s).
            target_ids: int tensor (b, t), beginning with the start token.
            training: bool.
            return_attention_scores: bool.

        Returns:
            dict of "logits" and, with `return_attention_scores`, of the scores; see the class.
        """
        mask = ops.not_equal(source_ids, PAD)
        source, encoder_scores = self._read(source_ids, mask, training, return_attention_scores)
        x = self._embed(self.target_embedding, self.target_positions, target_ids, training=training)
        # no mask for the target's padding: it comes last, where the causal mask hides it
        options = {"encoder_padding_mask": mask, "training": training, "return_attention_scores": return_attention_scores}
        layer_scores = []
        for layer in self.decoder_layers:
            x = layer(x, source, **options)
            if return_attention_scores:
                x, *scores = x
                layer_scores.append(scores)
        seen = {"logits": self._logits(x)}
        if return_attention_scores:
            decoder_scores, cross_scores = (list(scores) for scores in zip(*layer_scores, strict=True))
            seen |= {
                "alignment": ops.mean(cross_scores[self.alignment_layer], axis=1),
                "encoder_attention_scores": encoder_scores,
                "decoder_attention_scores": decoder_scores,
                "cross_attention_scores": cross_scores,
            }
        return seen

    def encode(self, source_ids):
        """Encodes the source for the decoder.

        Args:
            source_ids: int tensor (b, s).

        Returns:
            dict of "mask" bool (b, s), "tokens" (b, s, d), the encoder's output, and "caches", a list of the cross-attention
            keys and values of each layer (b, 2, s, h, e).
        """
        mask = ops.not_equal(source_ids, PAD)
        tokens, _ = self._read(source_ids, mask)
        caches = [
            ops.stack((layer.cross_attention.key_dense(tokens), layer.cross_attention.value_dense(tokens)), axis=1)
            for layer in self.decoder_layers
        ]
        return {"mask": mask, "tokens": tokens, "caches": caches}

    def start(self, memory, max_length):
        """Makes the initial state.

        Args:
            memory: dict, as returned by `encode`.
            max_length: int, the maximum number of generated tokens.

        Returns:
            list of empty self-attention caches (b, 2, `max_length`, h, e), one for each layer.

        Raises:
            ValueError: `max_length` beyond the learned positions.
        """
        config = self.config
        if config["positions"] == "learned" and max_length > config["max_target_length"]:
            raise ValueError(
                f"`max_length` should be at most max_target_length={config['max_target_length']}. "
                f"Received: max_length={max_length}"
            )
        shape = (max_length, config["num_heads"], config["hidden_dim"] // config["num_heads"])
        empty = ops.zeros((ops.shape(memory["mask"])[0], 2, *shape), self.compute_dtype)
        return [empty for _ in self.decoder_layers]

    def step(self, tokens, index, state, memory):
        """Decodes one token of each row, see `Seq2Seq`."""
        x = self._embed(self.target_embedding, self.target_positions, tokens[:, None], start_index=index)
        caches = []
        for depth, layer in enumerate(self.decoder_layers):
            x, _, scores, cache, _ = layer(
                x,
                memory["tokens"],
                encoder_padding_mask=memory["mask"],
                self_attention_cache=state[depth],
                self_attention_cache_update_index=index,
                cross_attention_cache=memory["caches"][depth],
                return_attention_scores=True,
            )
            caches.append(cache)
            if depth == self.alignment_layer:
                alignment = ops.mean(scores, axis=1)[:, 0]  # (b, h, 1, s) -> (b, s)
        return self._logits(x)[:, 0], alignment, caches

    def _read(self, source_ids, mask, training=None, return_attention_scores=False):
        """The encoder's output (b, s, d), and a list of the scores of each layer, if requested."""
        x = self._embed(self.source_embedding, self.source_positions, source_ids, training=training)
        layer_scores = []
        for layer in self.encoder_layers:
            x = layer(x, padding_mask=mask, training=training, return_attention_scores=return_attention_scores)
            if return_attention_scores:
                x, scores = x
                layer_scores.append(scores)
        return self.encoder_norm(x) if self.config["normalize_first"] else x, layer_scores

    def _embed(self, embedding, positions, ids, start_index=0, training=None):
        """(b, n) ids -> (b, n, d)."""
        x = embedding(ids)
        x = x * ops.cast(self.config["hidden_dim"] ** 0.5, x.dtype)
        return self.dropout_layer(x + positions(x, start_index=start_index), training=training)

    def _logits(self, x):
        x = self.decoder_norm(x) if self.config["normalize_first"] else x
        if self.config["tie_output"]:
            return tied_logits(x, self.target_embedding.embeddings)
        return ops.cast(self.head(x), "float32")

    def get_config(self):
        return {**super().get_config(), **self.config}
