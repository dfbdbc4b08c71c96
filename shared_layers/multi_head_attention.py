"""MultiHeadAttention: fast by default, attention scores on request on every path, a cache for decoding."""

import math

import keras
from keras import ops

from shared_layers.linear import Linear
from shared_layers.masking import causal_mask, check_mask, combine_masks, sliding_window_mask
from shared_layers.positional import RotaryEmbedding
from shared_layers.query_chunks import MOST_AT_ONCE, attend_in_chunks
from shared_layers.runtime import check_sizes
from shared_layers.scores import soft


@keras.saving.register_keras_serializable(package="shared_layers")
class MultiHeadAttention(keras.layers.Layer):
    """Multi-head scaled dot-product attention that returns attention scores on every path.

    Drop-in replacement for `keras.layers.MultiHeadAttention` and KerasHub's `CachedMultiHeadAttention`: same arguments, same
    weights in the same order (`ours.set_weights(theirs.get_weights())`), same results. Differences:

    - scores are returned on every path, also with a causal mask, a cache or dropout, as float32 probabilities before
      dropout; `num_score_rows` returns only the first rows, at a cost of O(rows * k), while the output uses the fast path;
    - on TensorFlow, more than 1024 queries are processed in chunks unless scores are returned, which takes as little as a
      tenth of the memory in the same time (except in training if the graph does not know the length);
    - a query with all keys masked gets zero context on every path (Keras: zeros if scores are returned, otherwise the
      mean of all values);
    - an explicit `query_mask` is applied.

    Args:
        num_heads: int, h.
        key_dim: int, width of each head's queries and keys, e.
        value_dim: int, width of each head's values, v; `None` for `key_dim`.
        dropout: float in [0, 1), on the attention probabilities.
        use_bias: bool, whether the projections have biases.
        output_shape: int or tuple, trailing shape of the output; `None` for the query's width.
        attention_axes: `None` or 1, the axis of the tokens. Reshape other layouts to (b, n, d) first.
        sliding_window: int, each query attends only to keys less than this many positions away; `None` for no window.
        flash_attention: bool or `None` (the backend chooses); only the JAX backend has flash attention.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint:
            for every projection, as in `keras.layers.Dense`.
        activity_regularizer: as in `keras.layers.Layer`.
        use_gate: bool, whether to multiply each head's output by a sigmoid gate computed from the query.
        seed: int or `None`, for dropout.
        rotary_max_wavelength: number, applies `RotaryEmbedding` with this `max_wavelength` to queries and keys (before keys
            are cached); `None` for no rotary embedding.

    Call arguments:
        query: float tensor (b, q, d).
        value: float tensor (b, k, d').
        key: float tensor (b, k, d''); `None` for `value`.
        query_mask, value_mask, key_mask: (b, q), (b, k), (b, k), nonzero = real token, not padding; by default the Keras
            masks. With a cache, value_mask and key_mask may also cover only the tokens that are written to it.
        attention_mask: (b, q, k) or (b, h, q, k), nonzero = may attend; axes of size 1 broadcast.
        return_attention_scores: bool, whether to also return the attention probabilities.
        training: bool, whether dropout is active.
        use_causal_mask: bool, query i attends only to keys 0 .. i (with a cache: 0 .. i + `cache_update_index`).
        cache: float tensor (b, 2, k, h, e) of projected keys and values, or `None`.
        cache_update_index: scalar int, position in the cache where new keys and values are written, and position of the
            first query; `None` reads the cache without an update.
        num_score_rows: int, with `return_attention_scores`: return only the rows of this many leading queries.

    Returns:
        output (b, q, *output_shape), of the compute dtype. With `return_attention_scores` or `cache` a tuple: the output,
        the scores float32 (b, h, q or `num_score_rows`, k), and the updated cache.

    Raises:
        ValueError: sizes that are not positive, `attention_axes` other than `None` or 1, `value` and `key` of different
            lengths, `cache_update_index` without `cache`, a mask of another shape.

    Reference: Vaswani et al. 2017, "Attention Is All You Need", sections 3.2.1 and 3.2.2.

    Example:

    >>> import numpy as np
    >>> from shared_layers import MultiHeadAttention
    >>> tokens = np.random.rand(2, 5, 8).astype("float32")
    >>> output, scores = MultiHeadAttention(num_heads=4, key_dim=3)(tokens, tokens, return_attention_scores=True)
    >>> output.shape.as_list(), scores.shape.as_list()
    ([2, 5, 8], [2, 4, 5, 5])
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        value_dim=None,
        dropout=0.0,
        use_bias=True,
        output_shape=None,
        attention_axes=None,
        sliding_window=None,
        flash_attention=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        use_gate=False,
        seed=None,
        rotary_max_wavelength=None,
        **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        value_dim = key_dim if value_dim is None else value_dim
        check_sizes(num_heads=num_heads, key_dim=key_dim, value_dim=value_dim)
        if attention_axes not in (None, 1, (1,), [1]):
            raise ValueError(
                "`attention_axes` should be None or 1: reshape other layouts to (batch, tokens, width) first. "
                f"Received: attention_axes={attention_axes}"
            )
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.dropout = dropout
        self.use_bias = use_bias
        self.output_sizes = (output_shape,) if isinstance(output_shape, int) else output_shape and tuple(output_shape)
        self.attention_axes = attention_axes
        self.sliding_window = sliding_window
        self.flash_attention = flash_attention
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.use_gate = use_gate
        self.seed = seed
        self.rotary_max_wavelength = rotary_max_wavelength
        self.supports_masking = True

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ValueError(
                f"`value` and `key` should have the same length. Received: value_shape={value_shape}, key_shape={key_shape}"
            )

        def projection(name, output_shape, input_shape, **options):
            layer = Linear(
                output_shape,
                use_bias=self.use_bias,
                kernel_initializer=self.kernel_initializer,
                bias_initializer=self.bias_initializer,
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                kernel_constraint=self.kernel_constraint,
                bias_constraint=self.bias_constraint,
                dtype=self.dtype_policy,
                name=name,
                **options,
            )
            layer.build(input_shape)
            return layer

        h, e = self.num_heads, self.key_dim
        self.query_dense = projection("query", (h, e), query_shape)
        self.key_dense = projection("key", (h, e), key_shape)
        if self.use_gate:
            self.gate_dense = projection("gate", (h, self.value_dim), query_shape, activation="sigmoid")
        self.value_dense = projection("value", (h, self.value_dim), value_shape)
        if self.rotary_max_wavelength is not None:
            self.rotary = RotaryEmbedding(self.rotary_max_wavelength, dtype=self.dtype_policy, name="rotary")
            self.rotary.build((*query_shape[:-1], h, e))
        self.dropout_layer = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)
        self.output_dense = projection(
            "attention_output",
            self.output_sizes or query_shape[-1],
            (*query_shape[:-1], h, self.value_dim),
            input_axes=2,
        )

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
        cache=None,
        cache_update_index=None,
        num_score_rows=None,
    ):
        if cache is None and cache_update_index is not None:
            raise ValueError(
                "`cache_update_index` needs a `cache` to write to. "
                f"Received: cache=None, cache_update_index={cache_update_index}"
            )
        start_index = 0 if cache_update_index is None else cache_update_index
        queries = self._turn(self.query_dense(query), start_index)  # (b, q, h, e)
        if cache is None or cache_update_index is not None:
            keys = self._turn(self.key_dense(value if key is None else key), start_index)  # (b, k, h, e)
            values = self.value_dense(value)
        if cache is not None:
            if cache_update_index is not None:
                update = ops.cast(ops.stack((keys, values), axis=1), cache.dtype)
                cache = ops.slice_update(cache, (0, 0, cache_update_index, 0, 0), update)
                value_mask, key_mask = (
                    mask_in_cache(mask, update.shape[2], cache, cache_update_index) for mask in (value_mask, key_mask)
                )
            keys, values = cache[:, 0], cache[:, 1]
        b, q, k = query.shape[0], query.shape[1], keys.shape[1]
        check_mask("query_mask", query_mask, (b, q))
        check_mask("value_mask", value_mask, (b, k))
        check_mask("key_mask", key_mask, (b, k))
        check_mask("attention_mask", attention_mask, (b, q, k), (b, self.num_heads, q, k), broadcasts=True)

        mask = self._mask(
            ops.shape(queries)[1],
            ops.shape(keys)[1],
            query_mask,
            value_mask,
            key_mask if key is not None else None,
            attention_mask,
            use_causal_mask,
            start_index,
        )
        context, scores = self._attend(queries, keys, values, cache, mask, return_attention_scores, num_score_rows, training)
        if self.use_gate:
            context = context * self.gate_dense(query)
        output = self.output_dense(context)  # (b, q, h, e) -> (b, q, *output_shape)

        results = (output,)
        if return_attention_scores:
            results += (scores,)
        if cache is not None:
            results += (cache,)
        return results if len(results) > 1 else output

    def _turn(self, projected, start_index):
        """Applies the rotary embedding, if there is one, to queries or keys (b, n, h, e)."""
        return projected if self.rotary_max_wavelength is None else self.rotary(projected, start_index=start_index)

    def _mask(self, q, k, query_mask, value_mask, key_mask, attention_mask, use_causal_mask, start_index):
        """Returns a function (first=0, count=q) -> combined mask that broadcasts to (b, h, count, k), or `None`."""
        if attention_mask is not None and len(attention_mask.shape) == 3:
            attention_mask = ops.expand_dims(attention_mask, 1)

        def mask(first=0, count=None):
            rows, start = q if count is None else count, start_index + first
            return combine_masks(
                None if query_mask is None else rows_of(query_mask[:, None, :, None], first, count),
                None if value_mask is None else value_mask[:, None, None, :],
                None if key_mask is None else key_mask[:, None, None, :],
                causal_mask(rows, k, start)[:, None] if use_causal_mask else None,
                sliding_window_mask(rows, k, self.sliding_window, start)[:, None]
                if self.sliding_window is not None
                else None,
                None if attention_mask is None else rows_of(attention_mask, first, count),
            )

        return mask

    def _attend(self, queries, keys, values, cache, mask, return_scores, num_score_rows, training):
        """(b, q, h, e), (b, k, h, e), (b, k, h, v) -> context (b, q, h, v) and scores or `None`.

        `cache` is the cache that keys and values were read from, or `None`; `mask` is the function from `_mask`.
        """
        scale = 1.0 / math.sqrt(self.key_dim)
        rows_only = return_scores and num_score_rows is not None
        drops = self.dropout > 0 and training
        # TensorFlow's fused op is slower than the products below; JAX's needs values as wide as the keys, and float16 only
        # compiles on GPUs
        fuses = keras.backend.backend() != "tensorflow" and keras.backend.standardize_dtype(queries.dtype) != "float16"
        if fuses and self.value_dim == self.key_dim and not drops and (rows_only or not return_scores):
            whole = mask()
            context = ops.dot_product_attention(
                queries, keys, values, mask=whole, scale=scale, flash_attention=self.flash_attention
            )
            if whole is not None:
                attends = ops.any(whole, axis=-1)  # (b, h, q)
                context = context * ops.cast(ops.transpose(attends, (0, 2, 1)), context.dtype)[..., None]
            if not rows_only:
                return context, None
            queries = ops.transpose(queries[:, :num_score_rows], (0, 2, 1, 3))
            keys = ops.transpose(keys, (0, 2, 3, 1))
            return context, attention_probabilities(queries, keys, mask(0, ops.shape(queries)[2]), scale)

        queries = ops.transpose(queries, (0, 2, 1, 3))  # (b, h, q, e)
        if cache is None:
            keys = ops.transpose(keys, (0, 2, 3, 1))  # (b, h, e, k)
            values = ops.transpose(values, (0, 2, 1, 3))  # (b, h, k, v)
        else:
            # Both at once, without slices; TensorFlow's graph optimiser folds the second transposition into the product.
            keys, values = ops.unstack(ops.transpose(cache, (1, 0, 3, 2, 4)))
            keys = ops.transpose(keys, (0, 1, 3, 2))

        length = queries.shape[2]
        # with an unknown length the graph uses chunks, a short sequence being one chunk; not in training, where keeping the
        # scores for the gradient is faster
        is_long = keras.backend.backend() == "tensorflow" and (not training if length is None else length > MOST_AT_ONCE)
        if is_long and (rows_only or not return_scores):
            scaled = queries * ops.cast(scale, queries.dtype)
            dropout = (self.dropout, self.dropout_layer.seed_generator.next()) if drops else ()
            context = attend_in_chunks(scaled, keys, values, mask, *dropout)
            first = queries[:, :, :num_score_rows]
            scores = attention_probabilities(first, keys, mask(0, ops.shape(first)[2]), scale) if rows_only else None
        else:
            scores = attention_probabilities(queries, keys, mask(), scale)  # (b, h, q, k)
            weights = self.dropout_layer(ops.cast(scores, values.dtype), training=training)
            context = ops.matmul(weights, values)
            scores = scores[:, :, :num_score_rows] if rows_only else scores
        return ops.transpose(context, (0, 2, 1, 3)), scores  # (b, q, h, v)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "dropout": self.dropout,
            "use_bias": self.use_bias,
            "output_shape": self.output_sizes,
            "attention_axes": self.attention_axes,
            "sliding_window": self.sliding_window,
            "flash_attention": self.flash_attention,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "use_gate": self.use_gate,
            "seed": self.seed,
            "rotary_max_wavelength": self.rotary_max_wavelength,
        }

    def compute_output_shape(self, query_shape, value_shape, key_shape=None):
        return (*query_shape[:-1], *(self.output_sizes or query_shape[-1:]))

    # traces `call`: Keras's default uses `compute_output_shape`, which gives only the output's shape
    compute_output_spec = keras.Operation.compute_output_spec


def attention_probabilities(queries, keys, mask, scale):
    """Computes softmax(queries . keys * scale) in float32, zero where the mask is `False`.

    Args:
        queries: float tensor (b, h, q, e).
        keys: float tensor (b, h, e, k).
        mask: bool tensor that broadcasts to (b, h, q, k), or `None`.
        scale: float; multiplies the queries, so that the product does not overflow in half precision.

    Returns:
        float32 tensor (b, h, q, k); each row sums to 1, or is zero if all keys are masked.
    """
    return soft(ops.matmul(queries * ops.cast(scale, queries.dtype), keys), mask)


def mask_in_cache(mask, length, cache, start_index):
    """Extends a mask (b, n) of the `length` tokens written to a cache to (b, k) for the whole cache.

    All other tokens may be attended to. A mask that already has the cache's length is returned unchanged.
    """
    if mask is None or length == cache.shape[2] or mask.shape[1] != length:
        return mask
    batch, _, size, *_ = ops.shape(cache)
    return ops.slice_update(ops.ones((batch, size), "bool"), (0, start_index), ops.cast(mask, "bool"))


def rows_of(mask, first, count):
    """Returns `count` (or all) rows of a mask (b, h, q, k), starting at `first`; the last row is repeated beyond the end.

    A mask with one row for all queries is returned unchanged.
    """
    if count is None or mask.shape[-2] == 1:
        return mask
    rows = ops.minimum(first + ops.arange(count), ops.shape(mask)[-2] - 1)
    return ops.take(mask, rows, axis=-2)
