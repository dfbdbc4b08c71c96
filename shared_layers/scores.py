"""Attention scores and selections as pure functions.

Score functions map queries (b, q, d) and keys (b, k, d) to scores (b, q, k), for self-attention, cross-attention and
single queries alike. Selections map scores to float32 weights (b, q, k): soft (softmax) or hard. Masked keys get zero
weight; a query with all keys masked gets zero weights.

Example: two scores of a query of width 64, 112 and 96, are scaled by the square root of the width:

>>> import numpy as np
>>> from shared_layers import dot, scaled_dot, soft
>>> query = np.ones((1, 1, 64), "float32")
>>> keys = query * np.array([[[1.75], [1.5]]], "float32")
>>> np.asarray(dot(query, keys)).tolist(), np.asarray(scaled_dot(query, keys)).tolist()
([[[112.0, 96.0]]], [[[14.0, 12.0]]])
>>> print(np.asarray(soft(scaled_dot(query, keys))).round(2))
[[[0.88 0.12]]]
"""

import math

import keras
import numpy as np
from keras import ops

from shared_layers.runtime import check_sizes, unknown_name

GRADIENTS = ("straight_through", "reinforce")


def dot(queries, keys):
    """Dot-product score q . k (Luong et al. 2015, section 3.1).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d).

    Returns:
        float tensor (b, q, k).
    """
    return ops.matmul(queries, ops.swapaxes(keys, -2, -1))


def scaled_dot(queries, keys):
    """Scaled dot-product score q . k / sqrt(d) (Vaswani et al. 2017, section 3.2.1).

    The dot product of two vectors of d independent components of variance 1 has variance d; scaled, it has variance 1 at
    every width, so that the softmax does not saturate.

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d).

    Returns:
        float tensor (b, q, k).
    """
    # on the queries, so that the product does not overflow in half precision
    return dot(queries * ops.cast(1.0 / math.sqrt(queries.shape[-1]), queries.dtype), keys)


def general(queries, keys, kernel):
    """General (bilinear) score q . (W k) (Luong et al. 2015, section 3.1).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        kernel: float tensor (d, d'), W.

    Returns:
        float tensor (b, q, k).
    """
    return dot(ops.matmul(queries, kernel), keys)


def additive(queries, keys, vector=None, query_kernel=None, key_kernel=None):
    """Additive score v . tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        vector: float tensor (u,), v; `None` for ones.
        query_kernel: float tensor (d, u), W; `None` if the queries are already projected, (b, q, u).
        key_kernel: float tensor (d', u), U; `None` if the keys are already projected, (b, k, u), as a decoder does once.

    Returns:
        float tensor (b, q, k). Needs memory for (b, q, k, u).
    """
    queries = queries if query_kernel is None else ops.matmul(queries, query_kernel)
    keys = keys if key_kernel is None else ops.matmul(keys, key_kernel)
    hidden = ops.tanh(queries[:, :, None] + keys[:, None])  # (b, q, k, u)
    return ops.sum(hidden, axis=-1) if vector is None else ops.matmul(hidden, vector[:, None])[..., 0]


def concat(queries, keys, kernel, vector=None):
    """Concat score W [q; k], or v . tanh(W [q; k]) if a vector is given (Luong et al. 2015, section 3.1).

    In the linear form a query adds the same number to all its scores, which a softmax over the keys cancels: the weights
    then depend only on the keys. Nothing is concatenated: W [q; k] = W_q q + W_k k.

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        kernel: float tensor (d + d', u), W, the query's rows first; u = 1 in the linear form.
        vector: float tensor (u,), v; `None` means the plain form.

    Returns:
        float tensor (b, q, k).
    """
    width = queries.shape[-1]
    query_kernel, key_kernel = kernel[:width], kernel[width:]
    if vector is None:
        return ops.matmul(queries, query_kernel) + ops.swapaxes(
            ops.matmul(keys, key_kernel), -2, -1
        )  # (b, q, 1) + (b, 1, k)
    return additive(queries, keys, vector, query_kernel, key_kernel)


def soft(scores, mask=None):
    """Softmax over the keys.

    Args:
        scores: float tensor (..., q, k).
        mask: bool tensor that broadcasts to the scores, `True` = may attend; or `None`.

    Returns:
        float32 tensor (..., q, k); each row sums to 1, or is zero if all keys are masked.
    """
    scores = _masked(scores, mask)
    # with a single key Keras's softmax would warn; log_softmax does not
    weights = ops.exp(ops.log_softmax(scores)) if scores.shape[-1] == 1 else ops.softmax(scores)
    return weights if mask is None else ops.where(mask, weights, 0.0)


def hard_topk(scores, num_selected=1, mask=None, renormalize=False):
    """Hard top-k selection: weight 1 for the keys with the largest scores, 0 for the others.

    The selection has no gradient. Weights of 1 use the gradient of `soft` instead (straight-through estimator, biased);
    renormalized weights have their own gradient.

    Args:
        scores: float tensor (b, q, k).
        num_selected: int, the number of keys per query; if fewer are unmasked, all of them. Ties are broken in
            favour of the first key.
        mask: bool tensor that broadcasts to the scores, `True` = may attend; or `None`.
        renormalize: bool, whether to weight the chosen keys by the softmax over them instead of by 1.

    Returns:
        float32 tensor (b, q, k).

    Raises:
        ValueError: a `num_selected` that is not positive.

    Example:

    >>> import numpy as np
    >>> from shared_layers import hard_topk
    >>> np.asarray(hard_topk(np.array([[[0.5, 3.0, -1.0, 2.0]]]), num_selected=2)).tolist()
    [[[0.0, 1.0, 0.0, 1.0]]]
    """
    check_sizes(num_selected=num_selected)
    chosen = _chosen(_rank(_masked(scores, mask)), num_selected, mask)
    return soft(scores, chosen) if renormalize else _straight_through(chosen, scores, mask)


def hard_sample(scores, num_selected=1, mask=None, training=True, gradient="straight_through", seed=None):
    """Hard sampled selection: weight 1 for keys sampled without replacement, 0 for the others; top-k at inference.

    Keys are sampled one after the other, each with its softmax probability among the remaining ones (implemented as the
    top-k of scores plus Gumbel noise).

    Sampling has no gradient. With "straight_through" the weights use the gradient of `soft` instead: low variance, biased.
    With "reinforce" they have no gradient, and the log-probability must be added to the loss with `reinforce`.

    Args:
        scores: float tensor (b, q, k), logits.
        num_selected: int, the number of keys per query; if fewer are unmasked, all of them.
        mask: bool tensor that broadcasts to the scores, `True` = may attend; or `None`.
        training: bool, `True` to sample, `False` to take the keys with the largest scores.
        gradient: "straight_through" or "reinforce".
        seed: int or `keras.random.SeedGenerator`, for sampling.

    Returns:
        A tuple: weights float32 (b, q, k); log-probability float32 (b, q) of sampling the chosen keys in this order, 0 for
        a query with all keys masked.

    Raises:
        ValueError: a `num_selected` that is not positive, an unknown `gradient`.

    Reference: Xu et al. 2015, "Show, Attend and Tell", section 4.1 (one key; for its baseline see `reinforce`, its
    entropy term is left to the loss); Kool et al. 2019, "Stochastic Beams and Where to Find Them", sections 2.3 and 2.4.
    """
    check_sizes(num_selected=num_selected)
    if gradient not in GRADIENTS:
        raise unknown_name("gradient", gradient, GRADIENTS)
    logits = _masked(scores, mask)
    if training:
        tiny = float(np.finfo("float32").tiny)  # log(0) would rank a key below the masked ones
        uniform = keras.random.uniform(ops.shape(logits), minval=tiny, maxval=1.0, dtype="float32", seed=seed)
        rank = _rank(logits - ops.log(-ops.log(uniform)))
    else:
        rank = _rank(logits)
    chosen = _chosen(rank, num_selected, mask)
    log_probability = 0.0
    for turn in range(num_selected):
        drawn = _chosen(rank, turn + 1, mask) & (rank == turn)
        left = ops.logsumexp(ops.where(rank >= turn, logits, -1e9), axis=-1, keepdims=True)
        log_probability += ops.sum(ops.where(drawn, logits - left, 0.0), axis=-1)
    if gradient == "straight_through":
        return _straight_through(chosen, scores, mask), log_probability
    return ops.cast(chosen, "float32"), log_probability


def reinforce(loss, log_probability, baseline=0.0):
    """Adds the REINFORCE (score-function) gradient to a loss that depends on sampled selections.

    The value is the loss. The gradient is that of the loss with fixed samples plus (loss - baseline) * d log_probability,
    an unbiased estimate of the gradient of the expected loss, provided that each entry of `loss` contains all of the loss
    that depends on the samples of the same entry of `log_probability`, and that `baseline` does not depend on them.

    Args:
        loss: float tensor of any shape, such as (b,), the loss of each example.
        log_probability: float tensor of the same shape, summed over all samples that the entry depends on.
        baseline: float, or tensor that broadcasts to the loss; reduces the variance, such as a running mean of the loss.

    Returns:
        float tensor of the shape of the loss.

    Reference: Williams 1992, "Simple statistical gradient-following algorithms", section 4; Xu et al. 2015, equation 12.

    Example: one step of "Show, Attend and Tell" (section 4.1), with an attention that samples one of five values and whose
    scores get their gradient only through `log_probability`. The baseline is a running mean of the loss; the paper's
    entropy term would be added to `loss`.

    >>> import numpy as np
    >>> from keras import ops
    >>> from shared_layers import Attention, reinforce
    >>> random = np.random.RandomState(0)
    >>> query, values, wanted = (random.normal(size=shape).astype("float32") for shape in [(3, 7), (3, 5, 7), (3, 7)])
    >>> attention = Attention(score_mode="dot", selection="hard_sample", gradient="reinforce", seed=1)
    >>> context, log_probability = attention([query, values], training=True, return_log_probability=True)  # (b, d), (b,)
    >>> losses = ops.mean(ops.square(context - wanted), axis=-1)  # (b,)
    >>> baseline = 0.0
    >>> loss = ops.mean(reinforce(losses, log_probability, baseline))  # the loss for the tape or `jax.grad`
    >>> baseline = 0.9 * baseline + 0.1 * float(ops.mean(losses))  # for the next step
    >>> bool(ops.isclose(loss, ops.mean(losses)))
    True
    """
    advantage = ops.stop_gradient(loss - baseline)
    return loss + advantage * (log_probability - ops.stop_gradient(log_probability))


def _masked(scores, mask):
    """Returns float32 scores with a large negative, finite number where masked: a fully masked row gives no NaN."""
    scores = ops.cast(scores, "float32")
    return scores if mask is None else ops.where(mask, scores, -1e9)


def _rank(scores):
    """Returns ranks as an int tensor: 0 for the largest score of a row, 1 for the next."""
    return ops.argsort(ops.argsort(-scores, axis=-1), axis=-1)


def _chosen(rank, num_selected, mask):
    chosen = rank < num_selected
    return chosen if mask is None else ops.logical_and(chosen, mask)


def _straight_through(chosen, scores, mask):
    """Returns exactly 1 where chosen and 0 elsewhere, with the gradient of `soft`."""
    weights = soft(scores, mask)
    return ops.cast(chosen, "float32") + (weights - ops.stop_gradient(weights))
