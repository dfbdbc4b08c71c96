"""Attention rules as pure functions: a score says how well a key fits a query, a selection what a query takes.

Scores take queries (b, q, d) and keys (b, k, d) and give (b, q, k): self-attention, attention to another sequence and
a single query are the same call. Selections take scores and give weights (b, q, k) in float32; what a mask hides gets
no weight, and a query that may attend to nothing gets none at all.

Example: the two scores 112 and 96 of a query of width 64, divided by the square root of the width,

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
    """q . k (Luong et al. 2015, section 3.1).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d).

    Returns:
        float tensor (b, q, k).
    """
    return ops.matmul(queries, ops.swapaxes(keys, -2, -1))


def scaled_dot(queries, keys):
    """q . k / sqrt(d) (Vaswani et al. 2017, section 3.2.1).

    The product of two vectors of d independent numbers of variance 1 has variance d; divided, it has variance 1 at every
    width, and the softmax after it keeps its gradient.

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d).

    Returns:
        float tensor (b, q, k).
    """
    # on the queries, so that half precision does not overflow in the product
    return dot(queries * ops.cast(1.0 / math.sqrt(queries.shape[-1]), queries.dtype), keys)


def general(queries, keys, kernel):
    """q . (W k) (Luong et al. 2015, section 3.1).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        kernel: float tensor (d, d'), W.

    Returns:
        float tensor (b, q, k).
    """
    return dot(ops.matmul(queries, kernel), keys)


def additive(queries, keys, vector=None, query_kernel=None, key_kernel=None):
    """v . tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        vector: float tensor (u,), v; `None` means ones.
        query_kernel: float tensor (d, u), W; `None` where the queries are (b, q, u) already.
        key_kernel: float tensor (d', u), U; `None` where the keys are (b, k, u) already: a decoder maps them once.

    Returns:
        float tensor (b, q, k); (b, q, k, u) numbers are held on the way.
    """
    queries = queries if query_kernel is None else ops.matmul(queries, query_kernel)
    keys = keys if key_kernel is None else ops.matmul(keys, key_kernel)
    hidden = ops.tanh(queries[:, :, None] + keys[:, None])  # (b, q, k, u)
    return ops.sum(hidden, axis=-1) if vector is None else ops.matmul(hidden, vector[:, None])[..., 0]


def concat(queries, keys, kernel, vector=None):
    """W [q; k], or v . tanh(W [q; k]) where a vector is given (Luong et al. 2015, section 3.1).

    In the plain form a query adds the same to all its scores, and a softmax over the keys takes that out again: what is
    attended to then depends on the keys alone. The vectors are never laid side by side: W [q; k] = W_q q + W_k k.

    Args:
        queries: float tensor (b, q, d).
        keys: float tensor (b, k, d').
        kernel: float tensor (d + d', u), W, the rows of the query first; the plain form has u = 1.
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
        float32 tensor (..., q, k); each row sums to 1, or is zero where it may attend to nothing.
    """
    scores = _masked(scores, mask)
    # of a single key all weight is that key's, for which Keras's softmax would warn; its logarithm does not
    weights = ops.exp(ops.log_softmax(scores)) if scores.shape[-1] == 1 else ops.softmax(scores)
    return weights if mask is None else ops.where(mask, weights, 0.0)


def hard_topk(scores, num_selected=1, mask=None, renormalize=False):
    """Weight 1 for the keys with the largest scores, 0 for the others.

    The choice itself has no gradient. The weights of 1 pass on the gradient of `soft` in its place (straight-through:
    biased, and enough to learn scores from); the renormalized ones have their own.

    Args:
        scores: float tensor (b, q, k).
        num_selected: int, how many keys each query takes, or all it may attend to where these are fewer. Of equal
            scores the first counts as the larger.
        mask: bool tensor that broadcasts to the scores, `True` = may attend; or `None`.
        renormalize: bool, the chosen keys get the softmax over themselves instead of 1.

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
    """Weight 1 for keys drawn without replacement, 0 for the others; the arg-top-k at inference.

    Keys are drawn one after the other, each with its softmax probability among those that are left (drawn at once as the
    largest of scores plus Gumbel noise).

    A draw has no gradient. With "straight_through" the weights pass on that of `soft` in its place: low variance, biased.
    With "reinforce" they pass on none, and the log-probability of the draw must reach the loss, through `reinforce`.

    Args:
        scores: float tensor (b, q, k), logits.
        num_selected: int, how many keys each query takes, or all it may attend to where these are fewer.
        mask: bool tensor that broadcasts to the scores, `True` = may attend; or `None`.
        training: bool, draws; otherwise the keys with the largest scores are taken.
        gradient: "straight_through" or "reinforce".
        seed: int or `keras.random.SeedGenerator`, of the draw.

    Returns:
        weights (b, q, k) float32, and the log-probability (b, q) float32 of drawing the chosen keys in this order; 0 for
        a query that may attend to nothing.

    Raises:
        ValueError: a `num_selected` that is not positive, an unknown `gradient`.

    Reference: Xu et al. 2015, "Show, Attend and Tell", section 4.1 (one key; its baseline is `reinforce`'s, its entropy
    term is left to the loss); Kool et al. 2019, "Stochastic Beams and Where to Find Them", sections 2.3 and 2.4.
    """
    check_sizes(num_selected=num_selected)
    if gradient not in GRADIENTS:
        raise unknown_name("gradient", gradient, GRADIENTS)
    logits = _masked(scores, mask)
    if training:
        tiny = float(np.finfo("float32").tiny)  # the logarithm of 0 would rank a key below the masked ones
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
    """A loss that depends on draws, with the score-function estimator in its gradient.

    The value is the loss. The gradient is that of the loss with the draws held fixed plus
    (loss - baseline) * d log_probability: over the draws its mean is exactly the gradient of the mean loss, whatever the
    loss does with the weights, as long as each entry of `loss` holds all of the loss that the draws of the same entry of
    `log_probability` had a part in, and `baseline` does not depend on those draws.

    Args:
        loss: float tensor of any shape, as (b,) the loss of each example.
        log_probability: float tensor of that shape: that of all draws behind this entry, summed.
        baseline: float, or tensor that broadcasts to the loss: takes variance away, as a running mean of the loss does.

    Returns:
        float tensor of the shape of the loss.

    Reference: Williams 1992, "Simple statistical gradient-following algorithms", section 4; Xu et al. 2015, equation 12.

    Example: one step of "Show, Attend and Tell" (section 4.1), with an attention that draws one of five values and whose
    scores learn through `log_probability` alone. The baseline is a running mean of the loss; the paper's entropy term would
    be added to `loss`.

    >>> import numpy as np
    >>> from keras import ops
    >>> from shared_layers import Attention, reinforce
    >>> random = np.random.RandomState(0)
    >>> query, values, wanted = (random.normal(size=shape).astype("float32") for shape in [(3, 7), (3, 5, 7), (3, 7)])
    >>> attention = Attention(score_mode="dot", selection="hard_sample", gradient="reinforce", seed=1)
    >>> context, log_probability = attention([query, values], training=True, return_log_probability=True)  # (b, d), (b,)
    >>> losses = ops.mean(ops.square(context - wanted), axis=-1)  # (b,)
    >>> baseline = 0.0
    >>> loss = ops.mean(reinforce(losses, log_probability, baseline))  # what the tape or `jax.grad` is given
    >>> baseline = 0.9 * baseline + 0.1 * float(ops.mean(losses))  # for the next step
    >>> bool(ops.isclose(loss, ops.mean(losses)))
    True
    """
    advantage = ops.stop_gradient(loss - baseline)
    return loss + advantage * (log_probability - ops.stop_gradient(log_probability))


def _masked(scores, mask):
    """float32 scores; those that the mask hides are finite, so that a row of nothing else gives no NaN."""
    scores = ops.cast(scores, "float32")
    return scores if mask is None else ops.where(mask, scores, -1e9)


def _rank(scores):
    """int tensor: 0 for the largest score of a row, 1 for the next."""
    return ops.argsort(ops.argsort(-scores, axis=-1), axis=-1)


def _chosen(rank, num_selected, mask):
    chosen = rank < num_selected
    return chosen if mask is None else ops.logical_and(chosen, mask)


def _straight_through(chosen, scores, mask):
    """1 where chosen, exactly, with the gradient of `soft`."""
    weights = soft(scores, mask)
    return ops.cast(chosen, "float32") + (weights - ops.stop_gradient(weights))
