"""Relevance: attention scores and gradients in, one number per token out.

Pure functions on arrays with `keras.ops`, so they run eagerly, in a `tf.function` and on JAX. They are
independent of the modality: the caller chooses which rows of the attention to explain and which tokens to show.

`row` is always the weight of each query token in the explanation, (q,) or (b, q): one-hot for the attention of
the class token, 1/n at each of n tokens for a model that pools them by their mean. Only this row is propagated
through a product of attention matrices, so a product over l layers costs O(l n^2) instead of O(l n^3).
"""

from keras import ops

from shared_layers.runtime import unknown_name

_FUSIONS = {"mean": ops.mean, "max": ops.max, "min": ops.min}
# Below this fraction of the largest magnitude, differences of float32 values are rounding errors.
_ROUNDING = 1e-6


def raw(scores, row, layer=-1, head=None):
    """The attention of one row in one layer.

    Args:
        scores: list of l arrays (b, h, q, k), softmax probabilities, first layer first.
        row: float (q,) or (b, q), weights of the query tokens.
        layer: int in [-l, l), index of the layer.
        head: int in [-h, h), index of the head; `None` for the mean over heads.

    Returns:
        float (b, k), the attention that each key token gets.

    Raises:
        ValueError: a layer or head that does not exist.

    Example:
        >>> scores = [ops.array([[[[1.0, 0.0], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]])]
        >>> ops.convert_to_numpy(raw(scores, ops.array([1.0, 0.0]))).tolist()
        [[0.75, 0.25]]
    """
    _check_index("layer", layer, len(scores))
    attention = scores[layer]
    if head is None:
        return _mix_rows(row, ops.mean(attention, axis=1))
    _check_index("head", head, attention.shape[1])
    return _mix_rows(row, attention[:, head])


def rollout(scores, row, fusion="mean", discard_ratio=0.0):
    """Attention rollout: attention through all layers, residual connections included.

    A layer contributes rownorm(A + I), with A the attention fused over heads and I the residual connection; `row` times
    the product of all layers is the share of each input token in the output.

    Args:
        scores: list of l arrays (b, h, n, n), softmax probabilities, first layer first.
        row: float (n,) or (b, n), weights of the output tokens.
        fusion: str, "mean", "max" or "min" over heads.
        discard_ratio: float in [0, 1), fraction of each fused matrix, its smallest entries, that is set to zero.
            Entries equal to the smallest kept entry are kept.

    Returns:
        float (b, n), the share of each input token; sums to the sum of `row`.

    Raises:
        ValueError: an unknown `fusion`, or a `discard_ratio` out of range.

    Reference:
        Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3 (mean fusion, no
        discarding). Other fusions and discarding follow Gildenblat's vit-explain; unlike there, all
        items of a batch are processed and rows are renormalised after discarding.

    Example:
        >>> scores = [ops.array([[[[0.5, 0.5], [0.0, 1.0]]]])]
        >>> ops.convert_to_numpy(rollout(scores, ops.array([1.0, 0.0]))).tolist()
        [[0.75, 0.25]]
    """
    if fusion not in _FUSIONS:
        raise unknown_name("fusion", fusion, _FUSIONS)
    if not 0.0 <= discard_ratio < 1.0:
        raise ValueError(f"discard_ratio must be in [0, 1). Received: discard_ratio={discard_ratio}")
    for layer in reversed(scores):
        attention = _FUSIONS[fusion](layer, axis=1)  # (b, n, n)
        if discard_ratio:
            attention = _discard_smallest(attention, discard_ratio)
        row = row / (1.0 + ops.sum(attention, axis=-1))  # each row of A + I sums to 1 + sum(A)
        row = row + _mix_rows(row, attention)
    return row


def gradient_rollout(scores, gradients, row):
    """Class-specific attention through all layers: generic attention explainability (Chefer et al.).

    A layer contributes I + mean over heads of relu(gradient * A); unlike in `rollout`, rows are not normalised.

    Args:
        scores: list of l arrays (b, h, n, n), softmax probabilities, first layer first.
        gradients: list of l arrays (b, h, n, n), the gradients of the explained class's logit with respect to `scores`.
        row: float (n,) or (b, n), weights of the output tokens.

    Returns:
        float (b, n), the relevance of each input token. Includes `row` itself, the contribution of the residual
        connections.

    Reference:
        Chefer, Gur & Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
        Encoder-Decoder Transformers", ICCV 2021, equations 1, 5 and 6 (self-attention only).

    Example:
        >>> scores = [ops.array([[[[0.5, 0.5], [0.0, 1.0]]]])]
        >>> gradients = [ops.array([[[[-1.0, 2.0], [0.0, 0.0]]]])]
        >>> ops.convert_to_numpy(gradient_rollout(scores, gradients, ops.array([1.0, 0.0]))).tolist()
        [[1.0, 1.0]]
    """
    for layer, gradient in zip(reversed(scores), reversed(gradients), strict=True):
        row = row + _mix_rows(row, ops.mean(ops.relu(gradient * layer), axis=1))
    return row


def legrad(gradients):
    """LeGrad: positive gradients with respect to attention, averaged over layers, heads and query tokens.

    Args:
        gradients: list of l arrays (b, h, q, k): of the class's logit computed from the output of layer l, with
            respect to the softmax probabilities of layer l.

    Returns:
        float (b, k), the relevance of each key token, at least zero.

    Reference:
        Bousselham et al., "LeGrad: An Explainability Method for Vision Transformers via Feature Formation
        Sensitivity", arXiv 2404.03214, 2024, section 3. Not normalised here.

    Example:
        >>> ops.convert_to_numpy(legrad([ops.array([[[[4.0, -1.0], [2.0, 0.0]]]])])).tolist()
        [[3.0, 0.0]]
    """
    return sum(ops.mean(ops.relu(gradient), axis=(1, 2)) for gradient in gradients) / len(gradients)


def gradcam(features, gradients):
    """Grad-CAM: features of each token weighted by their mean gradients; the positive part of the sum.

    Args:
        features: float (b, n, d), one layer's output at the shown tokens.
        gradients: float (b, n, d), the gradient of the explained class's logit with respect to `features`.

    Returns:
        float (b, n), at least zero.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
        ICCV 2017, equations 1 and 2, with tokens instead of pixels.

    Example:
        >>> features = ops.array([[[1.0, 2.0], [3.0, -9.0]]])
        >>> gradients = ops.array([[[1.0, 0.0], [1.0, 2.0]]])
        >>> ops.convert_to_numpy(gradcam(features, gradients)).tolist()
        [[3.0, 0.0]]
    """
    weights = ops.mean(gradients, axis=1, keepdims=True)  # (b, 1, d)
    return ops.relu(ops.sum(weights * features, axis=-1))


def class_row_coupling(class_map, rows):
    """TS-CAM: a class map times the class-agnostic attention of the class token.

    Args:
        class_map: float (b, n), the explained class's logit at each token.
        rows: list of l arrays (b, n), the class row of each layer, mean over heads.

    Returns:
        float (b, n), the class map times the sum of the rows over layers.

    Reference:
        Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object
        Localization", ICCV 2021, section 3.

    Example:
        >>> rows = [ops.array([[0.125, 0.5]]), ops.array([[0.125, 0.25]])]
        >>> ops.convert_to_numpy(class_row_coupling(ops.array([[-1.0, 2.0]]), rows)).tolist()
        [[-0.25, 1.5]]
    """
    return class_map * sum(rows)


def integrated_gradients(inputs, baseline, mean_gradient):
    """Integrated gradients: attributes the change of a score from a baseline to the inputs.

    Args:
        inputs: float (b, ..., d).
        baseline: float, of a shape that broadcasts with `inputs`: the input without evidence.
        mean_gradient: float (b, ..., d), the mean of the score's gradients at points evenly spread along the
            straight line from `baseline` to `inputs`.

    Returns:
        float (b, ...), signed, summed over the features d. The attributions of an item sum to score(inputs) -
        score(baseline), up to the discretisation error of the points.

    Reference:
        Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, section 3.

    Example:
        >>> inputs = ops.array([[[3.0, 1.0], [0.0, 2.0]]])
        >>> ops.convert_to_numpy(integrated_gradients(inputs, 0.0, 2.0 * ops.ones_like(inputs))).tolist()
        [[8.0, 4.0]]
    """
    return ops.sum((inputs - baseline) * mean_gradient, axis=-1)


def outlier_tokens(tokens, threshold=6.0):
    """Finds tokens of outlier norm, in which Vision Transformers store global information instead of their patch.

    Args:
        tokens: float (b, n, d), a layer's output before the final norm, tokens of one kind only (patches).
        threshold: float, the maximum norm of a normal token, in median absolute deviations above the median.

    Returns:
        bool (b, n), `True` at outliers.

    Reference:
        Darcet et al., "Vision Transformers Need Registers", ICLR 2024, section 2.1, where a fixed norm
        separates the two modes of one model; a threshold relative to the median fits any model.
    """
    norms = ops.norm(ops.cast(tokens, "float32"), axis=-1)
    middle = ops.median(norms, axis=-1, keepdims=True)
    deviation = ops.median(ops.abs(norms - middle), axis=-1, keepdims=True)
    return norms > middle + threshold * deviation


def normalise(maps):
    """Scales each map to [0, 1] by its minimum and maximum.

    Args:
        maps: float (b, ...), one map per item.

    Returns:
        float32 of the same shape, each map from 0 to 1. A map that is constant (up to float32 rounding) or not
        finite becomes zeros.

    Example:
        >>> ops.convert_to_numpy(normalise(ops.array([[1.0, 2.0, 5.0], [7.0, 7.0, 7.0]]))).tolist()
        [[0.0, 0.25, 1.0], [0.0, 0.0, 0.0]]
    """
    maps = ops.cast(maps, "float32")
    axes = tuple(range(1, len(maps.shape)))
    low = ops.min(maps, axis=axes, keepdims=True)
    high = ops.max(maps, axis=axes, keepdims=True)
    span = high - low
    # Comparisons with NaN and of infinity with infinity are false, so non-finite maps become zeros too.
    shows = span > _ROUNDING * ops.maximum(ops.abs(low), ops.abs(high))
    return ops.where(shows, (maps - low) / ops.where(shows, span, 1.0), 0.0)


def _mix_rows(row, matrices):
    """Returns the weighted sum of rows, (b, k), of matrices (b, q, k) with weights (q,) or (b, q)."""
    return ops.squeeze(ops.matmul(ops.expand_dims(row, -2), matrices), -2)


def _discard_smallest(attention, ratio):
    flat = ops.reshape(attention, (-1, attention.shape[1] * attention.shape[2]))  # (b, n * n)
    smallest_kept = ops.quantile(flat, ratio, axis=-1, method="higher")
    return ops.where(attention >= smallest_kept[:, None, None], attention, 0.0)


def _check_index(name, index, count):
    if not -count <= index < count:
        raise ValueError(f"{name} must be in [{-count}, {count}). Received: {name}={index}")
