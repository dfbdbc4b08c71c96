"""CausalLM: a GPT-2-like language model, with cached generation."""

import functools

import keras
from keras import ops

from shared_layers import LayerNormalization, PositionEmbedding, SinePositionEncoding, TransformerDecoder
from shared_layers.runtime import check_sizes, unknown_name
from textkit.decoding import decode
from textkit.encoder import ACTIVATIONS, POSITIONS
from textkit.presets import CAUSAL
from textkit.seq2seq import compile_write, sizes, tied_logits
from textkit.text_model import TextModel


@keras.saving.register_keras_serializable(package="textkit")
class CausalLM(TextModel):
    """A decoder-only language model: the logits at each token predict the next one.

    Args:
        vocabulary_size: int.
        num_layers, num_heads, hidden_dim, intermediate_dim: int, sizes of the layers.
        dropout: float in [0, 1), on embeddings, on attention probabilities and on both branches of each layer.
        activation: str, of the feed-forward networks, a name of Keras or "gelu_approximate".
        layer_norm_epsilon: float.
        max_sequence_length: int, the number of learned positions; other positions have no limit.
        positions: "learned", "sinusoidal" or "rotary" (in the attention of every layer).
        normalize_first: bool, pre-norm, with another norm after the last layer.
        end_id: int, the id at which generation ends.
        tokenizer: `textkit.Tokenizer` or its configuration, for text input; or `None`.

    Call arguments:
        inputs: dict of "token_ids" (b, n) int, and optionally "padding_mask" (b, n), nonzero for real tokens; padding must
            come last, otherwise the outputs of its row are undefined.
        training: bool.
        return_attention_scores: bool.
        return_hidden_states: bool.

    Returns:
        logits (b, n, v) float32; or, if scores or hidden states are requested, a dict of "logits", "sequence_output"
        (b, n, d), "attention_scores", a list with (b, h, n, n) float32 for each layer, and "hidden_states", a list with the
        embeddings and the output of each layer (b, n, d).

    Raises:
        ValueError: sizes that are not positive or do not fit each other, unknown positions, sequences longer than learned
            positions.

    Reference: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.

    Example:

    >>> import numpy as np
    >>> from textkit import CausalLM
    >>> model = CausalLM(11, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, end_id=10)
    >>> model({"token_ids": np.array([[2, 7, 3]])}).shape.as_list()
    [1, 3, 11]
    >>> model.generate({"token_ids": np.array([[2, 7, 3]])}, max_length=4)["ids"].shape
    (1, 4)
    """

    presets = CAUSAL
    checkpoint_families = ("gpt2",)
    checkpoint_head = "LMHeadModel"

    def __init__(
        self,
        vocabulary_size,
        num_layers=12,
        num_heads=12,
        hidden_dim=768,
        intermediate_dim=3072,
        dropout=0.1,
        activation="gelu_approximate",
        layer_norm_epsilon=1e-5,
        max_sequence_length=1024,
        positions="learned",
        normalize_first=True,
        end_id=50256,
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
            "activation": activation,
            "layer_norm_epsilon": layer_norm_epsilon,
            "max_sequence_length": max_sequence_length,
            "positions": positions,
            "normalize_first": normalize_first,
            "end_id": end_id,
            "tokenizer": tokenizer if tokenizer is None or isinstance(tokenizer, dict) else tokenizer.get_config(),
        }
        check_sizes(**sizes(self.config))
        if positions not in POSITIONS:
            raise unknown_name("positions", positions, POSITIONS)
        policy = self.dtype_policy
        tokens = (None, None, hidden_dim)

        def small():
            return keras.initializers.TruncatedNormal(stddev=0.02)

        self.token_embedding = keras.layers.Embedding(
            vocabulary_size, hidden_dim, small(), dtype=policy, name="token_embedding"
        )
        self.token_embedding.build()
        self.position_embedding = None
        if positions == "learned":
            self.position_embedding = PositionEmbedding(
                max_sequence_length, small(), dtype=policy, name="position_embedding"
            )
        elif positions == "sinusoidal":
            self.position_embedding = SinePositionEncoding(dtype=policy, name="position_embedding")
        if self.position_embedding is not None:
            self.position_embedding.build(tokens)
        self.dropout_layer = keras.layers.Dropout(dropout, dtype=policy, name="dropout")
        self.decoder_layers = [
            TransformerDecoder(
                intermediate_dim,
                num_heads,
                dropout=dropout,
                activation=ACTIVATIONS.get(activation, activation),
                layer_norm_epsilon=layer_norm_epsilon,
                kernel_initializer=small(),
                normalize_first=normalize_first,
                rotary_max_wavelength=10000 if positions == "rotary" else None,
                dtype=policy,
                name=f"decoder_layer_{depth}",
            )
            for depth in range(num_layers)
        ]
        self.final_norm = None
        if normalize_first:
            self.final_norm = LayerNormalization(epsilon=layer_norm_epsilon, dtype=policy, name="final_norm")
        for layer in (*self.decoder_layers, *([self.final_norm] if normalize_first else [])):
            layer.build(tokens)
        self.seed_generator = keras.random.SeedGenerator()
        self._compiled_write = functools.cache(self._compile_write)
        self.built = True

    def call(self, inputs, training=None, return_attention_scores=False, return_hidden_states=False):
        mask = inputs.get("padding_mask")
        x = self._embed(inputs["token_ids"], training=training)
        attention_scores, hidden_states = [], [x]
        for layer in self.decoder_layers:
            x = layer(x, decoder_padding_mask=mask, training=training, return_attention_scores=return_attention_scores)
            if return_attention_scores:
                x, scores = x
                attention_scores.append(scores)
            hidden_states.append(x)
        x = x if self.final_norm is None else self.final_norm(x)
        logits = tied_logits(x, self.token_embedding.embeddings)
        if not (return_attention_scores or return_hidden_states):
            return logits
        seen = {"logits": logits, "sequence_output": x}
        if return_attention_scores:
            seen["attention_scores"] = attention_scores
        if return_hidden_states:
            seen["hidden_states"] = hidden_states
        return seen

    def generate(self, inputs, method="greedy", max_length=64, seed=None, jit_compile=False, **options):
        """Generates a continuation of each text; a graph is compiled for each shape and set of options.

        Args:
            inputs: dict of "token_ids" (b, n) int, and optionally "padding_mask" (b, n), nonzero for real tokens: padding
                may come first or last, and each text needs at least one real token.
            method: "greedy", "sample" or "beam".
            max_length: int, the maximum number of generated tokens, the end token included.
            seed: int or `None`, for "sample".
            jit_compile: bool, whether XLA compiles the graph; always on JAX.
            **options: see `textkit.decoding.decode`.

        Returns:
            dict of NumPy arrays: "ids" of the new tokens, "lengths" and "scores", see `textkit.decoding.decode`.

        Raises:
            ValueError: an option out of its range, or more tokens than learned positions.
        """
        if seed is not None:
            self.seed_generator.state.assign(keras.random.SeedGenerator(seed).state)
        write = self._compiled_write(method, max_length, jit_compile, tuple(sorted(options.items())))
        inputs = {name: ops.convert_to_tensor(array, "int32") for name, array in inputs.items()}
        return keras.tree.map_structure(ops.convert_to_numpy, write(inputs))

    def write(self, inputs, method="greedy", max_length=64, **options):
        """As `generate`, but from tensors to tensors, for use in graphs such as a SavedModel.

        Args:
            inputs: dict of tensors, see `generate`.
            method, max_length, **options: see `generate`.

        Returns:
            dict of tensors, see `textkit.decoding.decode`.

        Raises:
            ValueError: see `generate`.
        """
        token_ids, mask = inputs["token_ids"], inputs.get("padding_mask")
        longest = token_ids.shape[1] + max_length - 1  # the last generated token is not read
        if self.config["positions"] == "learned" and longest > self.config["max_sequence_length"]:
            raise ValueError(
                f"The text and `max_length` should be at most {self.config['max_sequence_length'] + 1} tokens. "
                f"Received: {token_ids.shape[1]} tokens, max_length={max_length}"
            )
        mask = ops.ones_like(token_ids) if mask is None else mask
        tokens, mask = _real_last(token_ids, ops.cast(mask, "bool"))
        first = tokens.shape[1] - 1  # keys and values of all but the last token are computed at once
        memory = {
            "mask": ops.pad(mask, ((0, 0), (0, max_length - 1)), constant_values=True),
            "offset": first + 1 - ops.sum(ops.cast(mask, "int32"), axis=1),
        }
        config = self.config
        shape = (longest, config["num_heads"], config["hidden_dim"] // config["num_heads"])
        caches = [ops.zeros((ops.shape(tokens)[0], 2, *shape), self.compute_dtype) for _ in self.decoder_layers]
        if first:
            _, caches = self._read(tokens[:, :first], 0, caches, memory)

        def step(tokens, index, state, memory):
            logits, caches = self._read(tokens[:, None], first + index, state, memory)
            return logits[:, 0], None, caches

        return decode(
            step,
            caches,
            tokens[:, first],
            max_length,
            config["end_id"],
            method,
            memory=memory,
            seed=self.seed_generator,
            **options,
        )

    def _read(self, tokens, start, caches, memory):
        """Logits (b, q, v) of tokens (b, q) from index `start` on, and the updated caches."""
        places = start + ops.arange(tokens.shape[1], dtype="int32")
        positions = ops.maximum(places - memory["offset"][:, None], 0)  # (b, q); those of padding do not matter
        x, updated = self._embed(tokens, positions=positions), []
        for layer, cache in zip(self.decoder_layers, caches, strict=True):
            x, cache = layer(
                x,
                decoder_padding_mask=memory["mask"],
                self_attention_cache=cache,
                self_attention_cache_update_index=start,
            )
            updated.append(cache)
        x = x if self.final_norm is None else self.final_norm(x)
        return tied_logits(x, self.token_embedding.embeddings), updated

    def _embed(self, ids, positions=None, training=None):
        """(b, n) ids -> (b, n, d)."""
        x = self.token_embedding(ids)
        if self.position_embedding is not None:
            x = x + self.position_embedding(x, positions=positions)
        return self.dropout_layer(x, training=training)

    def _compile_write(self, method, max_length, jit_compile, options):
        def write(inputs):
            return self.write(inputs, method, max_length, **dict(options))

        return compile_write(self, write, jit_compile)

    def get_config(self):
        return {**super().get_config(), **self.config}


def _real_last(token_ids, mask):
    """Tokens and mask (b, n) with the padding of each row moved to the front."""
    order = ops.argsort(ops.cast(mask, "int32") * ops.shape(mask)[1] + ops.arange(ops.shape(mask)[1], dtype="int32"), axis=1)
    return ops.take_along_axis(token_ids, order, axis=1), ops.take_along_axis(mask, order, axis=1)
