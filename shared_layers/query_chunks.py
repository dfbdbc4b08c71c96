"""Memory-efficient attention in chunks of queries; TensorFlow only."""

from keras import ops

from shared_layers.scores import soft

MOST_AT_ONCE = 1024  # queries; above this number attention is computed in chunks
SIZE = 256  # queries per chunk


def attend_in_chunks(queries, keys, values, mask, dropout=0.0, seed=None, size=None):
    """Computes softmax(queries . keys) . values one chunk of queries at a time.

    The scores of a chunk are discarded once its outputs are computed, and recomputed for the gradient: memory grows with
    the number of queries, not with its product with the number of keys.

    Args:
        queries: float tensor (b, h, q, e), already divided by the square root of e.
        keys: float tensor (b, h, e, k).
        values: float tensor (b, h, k, v).
        mask: function (index of a chunk's first query, number of queries q') -> bool tensor that broadcasts to
            (b, h, q', k), `True` = may attend, or `None`. The last chunk may reach beyond q, where the mask does not matter.
        dropout: float in [0, 1), on the attention weights.
        seed: int tensor (2,), for dropout; `None` without dropout.
        size: int, queries per chunk; `None` for `SIZE`. If q is unknown while tracing, up to `MOST_AT_ONCE` are one chunk.

    Returns:
        float tensor (b, h, q, v).

    Reference: Rabe and Staats 2021, "Self-attention Does Not Need O(n^2) Memory", section 3, here
    in chunks of queries only.
    """
    import tensorflow as tf

    length = ops.shape(queries)[2]
    if size is None and queries.shape[2] is None:
        size = tf.where(length > MOST_AT_ONCE, SIZE, tf.maximum(length, 1))
    elif size is None:
        size = SIZE
    chunks = tf.maximum(-(-length // size), 1)

    def divided(tensor):
        """(b, h, q, d) -> (b, h, chunks, size, d), with zeros at the end."""
        padded = tf.pad(tensor, ((0, 0), (0, 0), (0, chunks * size - length), (0, 0)))
        shape = tf.shape(tensor)
        return tf.reshape(padded, (shape[0], shape[1], chunks, size, shape[3]))

    def weights_of(chunk, keys, index):
        """Returns float32 weights (b, h, size, k) of a chunk, and a function that applies dropout to them."""
        weights = soft(tf.matmul(chunk, keys), mask(index * size, size))
        if not dropout:
            return weights, lambda each: each
        drawn = tf.random.stateless_uniform(tf.shape(weights), tf.random.experimental.stateless_fold_in(seed, index))
        kept = tf.cast(drawn >= dropout, weights.dtype) / (1 - dropout)
        return weights, lambda each: each * kept

    def walk(step, carried, dtype):
        """Loops over chunks: returns the parts of all steps as (b, h, q, d), and the final carried tensors."""

        def body(index, parts, *carried):
            part, *carried = step(index, *carried)
            return index + 1, parts.write(index, part), *carried

        # sequentially: in parallel, the scores of several chunks would be in memory
        start = (tf.constant(0), tf.TensorArray(dtype, chunks), *carried)
        _, parts, *carried = tf.while_loop(lambda index, *_: index < chunks, body, start, parallel_iterations=1)
        parts = tf.transpose(parts.stack(), (1, 2, 0, 3, 4))  # (b, h, chunks, size, d)
        shape = tf.shape(parts)
        return tf.reshape(parts, (shape[0], shape[1], chunks * size, shape[4]))[:, :, :length], *carried

    @tf.custom_gradient
    def attend(queries, keys, values):
        # keep outer tapes from recording these operations
        queries, keys, values = (tf.stop_gradient(each) for each in (queries, keys, values))
        parts = divided(queries)

        def step(index):
            weights, drop = weights_of(parts[:, :, index], keys, index)
            return (tf.matmul(tf.cast(drop(weights), values.dtype), values),)

        (outputs,) = walk(step, (), values.dtype)
        outputs.set_shape((*queries.shape[:3], values.shape[-1]))

        def gradient(upstream):
            above = divided(upstream)

            def step(index, to_keys, to_values):
                chunk, to_outputs = parts[:, :, index], above[:, :, index]
                weights, drop = weights_of(chunk, keys, index)
                used = tf.cast(drop(weights), values.dtype)
                to_values += tf.cast(tf.matmul(used, to_outputs, transpose_a=True), tf.float32)
                to_weights = drop(tf.cast(tf.matmul(to_outputs, values, transpose_b=True), tf.float32))
                to_scores = weights * (to_weights - tf.reduce_sum(to_weights * weights, -1, keepdims=True))
                to_scores = tf.cast(to_scores, keys.dtype)
                to_keys += tf.cast(tf.matmul(chunk, to_scores, transpose_a=True), tf.float32)
                return tf.matmul(to_scores, keys, transpose_b=True), to_keys, to_values

            zeros = tf.zeros_like(keys, tf.float32), tf.zeros_like(values, tf.float32)
            to_queries, to_keys, to_values = walk(step, zeros, queries.dtype)
            return to_queries, tf.cast(to_keys, keys.dtype), tf.cast(to_values, values.dtype)

        return outputs, gradient

    return attend(queries, keys, values)
