"""TransformerDecoder: causal self-attention, cross-attention and a feed-forward network, each on a residual branch."""

import keras

from shared_layers.feed_forward import MLP
from shared_layers.layer_normalization import LayerNormalization
from shared_layers.masking import check_mask
from shared_layers.multi_head_attention import MultiHeadAttention
from shared_layers.runtime import check_sizes


@keras.saving.register_keras_serializable(package="shared_layers")
class TransformerDecoder(keras.layers.Layer):
    """One decoder layer, post-norm or pre-norm, with cross-attention if it is built with an encoder sequence.

    Drop-in replacement for KerasHub's `TransformerDecoder`: same arguments, same weights in the same order, same results.
    Adds the scores of both attentions, also with caches. Decoding step by step with caches gives the same outputs as the
    full sequence at once; reading a cross-attention cache skips the projection of the encoder sequence.

    Args:
        intermediate_dim: int, width of the feed-forward network.
        num_heads: int, h; must divide the width d. Each head has width e = d / h.
        dropout: float in [0, 1), on attention probabilities and on every branch.
        activation: name or callable, of the feed-forward network.
        layer_norm_epsilon: float.
        kernel_initializer, bias_initializer: for every dense layer.
        normalize_first: bool, `True` for pre-norm, `False` for post-norm.
        rotary_max_wavelength: number or `None`, for the self-attention, as in `MultiHeadAttention`.

    Call arguments:
        decoder_sequence: float tensor (b, q, d).
        encoder_sequence: float tensor (b, k, d'); `None` for a layer without cross-attention.
        decoder_padding_mask: (b, q), with a cache also (b, n), nonzero = real token, not padding; by default the Keras mask.
        decoder_attention_mask: (b, q, q), with a cache (b, q, n), nonzero = may attend; axes of size 1 broadcast.
        encoder_padding_mask: (b, k), nonzero = real token, not padding; by default the Keras mask.
        encoder_attention_mask: (b, q, k), nonzero = may attend; axes of size 1 broadcast.
        self_attention_cache: float tensor (b, 2, n, h, e) of projected keys and values, n = maximum length.
        self_attention_cache_update_index: scalar int, position of the first of these q tokens.
        cross_attention_cache: float tensor (b, 2, k, h, e) of projected keys and values.
        cross_attention_cache_update_index: scalar int, 0 fills the cache from `encoder_sequence`; `None` reads it.
        use_causal_mask: bool, token i attends only to tokens 0 .. i.
        training: bool, whether dropout is active.
        return_attention_scores: bool, whether to also return the attention probabilities.

    Returns:
        output (b, q, d). With `return_attention_scores` or caches a tuple: the output; the self-attention scores float32
        (b, h, q, q or n) and cross-attention scores (b, h, q, k); the updated self-attention and cross-attention caches.
        A layer without cross-attention returns no entries for it.

    Raises:
        ValueError: sizes that are not positive or do not match; an `encoder_sequence` for a layer built without one, or
            none for a layer built with one; only one of the two caches; masks of another shape.

    Reference: Vaswani et al. 2017, section 3.1 (post-norm); Radford et al. 2019, section 2.3 (pre-norm).

    Example:

    >>> import numpy as np
    >>> from shared_layers import TransformerDecoder
    >>> target, source = np.ones((2, 3, 8), "float32"), np.ones((2, 5, 8), "float32")
    >>> outputs = TransformerDecoder(16, num_heads=4)(target, source, return_attention_scores=True)
    >>> [output.shape.as_list() for output in outputs]
    [[2, 3, 8], [2, 4, 3, 3], [2, 4, 3, 5]]
    """

    def __init__(
        self,
        intermediate_dim,
        num_heads,
        dropout=0.0,
        activation="relu",
        layer_norm_epsilon=1e-5,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        normalize_first=False,
        rotary_max_wavelength=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(intermediate_dim=intermediate_dim, num_heads=num_heads)
        self.intermediate_dim = intermediate_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.layer_norm_epsilon = layer_norm_epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.normalize_first = normalize_first
        self.rotary_max_wavelength = rotary_max_wavelength
        self.supports_masking = True

    def build(self, decoder_sequence_shape, encoder_sequence_shape=None):
        width = decoder_sequence_shape[-1]
        if width % self.num_heads:
            raise ValueError(f"`num_heads` should divide the width {width}. Received: num_heads={self.num_heads}")
        initializers = {
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "dtype": self.dtype_policy,
        }

        def attention(name, value_shape, **options):
            layer = MultiHeadAttention(
                self.num_heads, width // self.num_heads, dropout=self.dropout, name=name, **options, **initializers
            )
            layer.build(decoder_sequence_shape, value_shape)
            return layer

        def norm(name):
            layer = LayerNormalization(epsilon=self.layer_norm_epsilon, dtype=self.dtype_policy, name=name)
            layer.build(decoder_sequence_shape)
            return layer

        self.self_attention = attention(
            "self_attention", decoder_sequence_shape, rotary_max_wavelength=self.rotary_max_wavelength
        )
        self.self_attention_norm = norm("self_attention_norm")
        self.has_cross_attention = encoder_sequence_shape is not None
        if self.has_cross_attention:
            self.cross_attention = attention("cross_attention", encoder_sequence_shape)
            self.cross_attention_norm = norm("cross_attention_norm")
        self.feed_forward = MLP(self.intermediate_dim, activation=self.activation, name="feed_forward", **initializers)
        self.feed_forward.build(decoder_sequence_shape)
        self.feed_forward_norm = norm("feed_forward_norm")
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def call(
        self,
        decoder_sequence,
        encoder_sequence=None,
        decoder_padding_mask=None,
        decoder_attention_mask=None,
        encoder_padding_mask=None,
        encoder_attention_mask=None,
        self_attention_cache=None,
        self_attention_cache_update_index=None,
        cross_attention_cache=None,
        cross_attention_cache_update_index=None,
        use_causal_mask=True,
        training=None,
        return_attention_scores=False,
    ):
        if self.has_cross_attention != (encoder_sequence is not None):
            raise ValueError(
                "`encoder_sequence` should be given in every call of a layer built with it, and in no other. Received: "
                f"built with it: {self.has_cross_attention}, given: {encoder_sequence is not None}"
            )
        if self.has_cross_attention and (self_attention_cache is None) != (cross_attention_cache is None):
            raise ValueError(
                "`self_attention_cache` and `cross_attention_cache` should both be given or both be None. Received: "
                f"self_attention_cache given: {self_attention_cache is not None}, "
                f"cross_attention_cache given: {cross_attention_cache is not None}"
            )
        b, q, _ = decoder_sequence.shape
        cached = () if self_attention_cache is None else ((b, self_attention_cache.shape[2]),)
        check_mask("decoder_padding_mask", decoder_padding_mask, (b, q), *cached)
        options = {"training": training, "return_attention_scores": return_attention_scores}
        x, extras = self._add_branch(
            decoder_sequence,
            self.self_attention_norm,
            lambda tokens: self.self_attention(
                tokens,
                tokens,
                value_mask=decoder_padding_mask,
                attention_mask=decoder_attention_mask,
                use_causal_mask=use_causal_mask,
                cache=self_attention_cache,
                cache_update_index=self_attention_cache_update_index,
                **options,
            ),
            training,
        )
        if self.has_cross_attention:
            check_mask("encoder_padding_mask", encoder_padding_mask, (b, encoder_sequence.shape[1]))
            x, cross_extras = self._add_branch(
                x,
                self.cross_attention_norm,
                lambda tokens: self.cross_attention(
                    tokens,
                    encoder_sequence,
                    value_mask=encoder_padding_mask,
                    attention_mask=encoder_attention_mask,
                    cache=cross_attention_cache,
                    cache_update_index=cross_attention_cache_update_index,
                    **options,
                ),
                training,
            )
            extras = [extra for pair in zip(extras, cross_extras, strict=True) for extra in pair]  # scores, then caches
        x, _ = self._add_branch(x, self.feed_forward_norm, lambda x: self.feed_forward(x, training=training), training)
        return (x, *extras) if extras else x

    def _add_branch(self, x, norm, branch, training):
        """Adds a residual branch to x; returns the sum and the list of the branch's further outputs."""
        outputs = branch(norm(x) if self.normalize_first else x)
        output, *extras = outputs if isinstance(outputs, tuple) else (outputs,)
        x = x + self.dropout_layer(output, training=training)
        return x if self.normalize_first else norm(x), extras

    def get_config(self):
        return {
            **super().get_config(),
            "intermediate_dim": self.intermediate_dim,
            "num_heads": self.num_heads,
            "dropout": self.dropout,
            "activation": keras.activations.serialize(self.activation),
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "normalize_first": self.normalize_first,
            "rotary_max_wavelength": self.rotary_max_wavelength,
        }

    def compute_output_shape(self, decoder_sequence_shape, encoder_sequence_shape=None):
        return decoder_sequence_shape

    # traces `call`: Keras's default uses `compute_output_shape`, which gives only the output's shape
    compute_output_spec = keras.Operation.compute_output_spec
