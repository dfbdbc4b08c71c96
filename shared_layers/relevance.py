"""Relevance maths: attention scores and gradients in, one number a token out.

Pure functions on arrays with `keras.ops`, so they run eagerly, in a `tf.function` and on JAX. They know
neither pictures nor words: which rows of the attention matter, and which tokens are shown, is the caller's
to say.

`row` is everywhere the weight of each query token in what is explained, (q,) or (b, q): one-hot for "what
does the class token look at", 1/n at each of n tokens for a model that pools them. Only this row is carried
through a product of attention matrices, so a product over l layers costs O(l n^2) and multiplies no matrix
by a matrix.
"""

from keras import ops

from shared_layers.runtime import unknown_name

_FUSIONS = {"mean": ops.mean, "max": ops.max, "min": ops.min}
# Below this share of the largest magnitude, a spread of float32 values is rounding and shows nothing.
_ROUNDING = 1e-6


def raw(scores, row, layer=-1, head=None):
    """Reads what one row attends to in one layer.

    Args:
        scores: list of l arrays (b, h, q, k), softmax probabilities, first layer first.
        row: float (q,) or (b, q), weights of the query tokens.
        layer: int in [-l, l), the layer that is read.
        head: int in [-h, h), the head that is read. `None` reads the mean over heads.

    Returns:
        float (b, k), the attention that each key token gets.

    Raises:
        ValueError: If there is no such layer or head.

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
    """Follows attention through all layers, residual connections included.

    A layer passes on rownorm(A + I), with A the heads' fusion and I the residual connection; the row of the
    product of all layers says how much of each input token arrives.

    Args:
        scores: list of l arrays (b, h, n, n), softmax probabilities, first layer first.
        row: float (n,) or (b, n), weights of the output tokens.
        fusion: "mean", "max" or "min" over heads.
        discard_ratio: float in [0, 1), share of each fused matrix, its smallest entries, that is set to zero.
            Entries equal to the smallest one kept are kept.

    Returns:
        float (b, n), what of each input token arrives; sums to the sum of `row`.

    Raises:
        ValueError: If `fusion` is unknown or `discard_ratio` is out of range.

    Reference:
        Abnar & Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3 (mean fusion, no
        discarding). Other fusions and discarding are those of Gildenblat's vit-explain; unlike there, every
        item of a batch is treated alike and rows sum to one again after discarding.

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
    """Follows class-specific attention through all layers: the generic attention explainability of Chefer.

    A layer passes on I + mean over heads of (gradient * A)+, unlike `rollout` without normalising the rows.

    Args:
        scores: list of l arrays (b, h, n, n), softmax probabilities, first layer first.
        gradients: list of l arrays (b, h, n, n), the gradient of the explained class with respect to each of
            `scores`.
        row: float (n,) or (b, n), weights of the output tokens.

    Returns:
        float (b, n), the relevance of each input token. Contains `row` itself, the path of residual
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
    """Averages the positive gradients with respect to attention over layers, heads and query tokens.

    Args:
        gradients: list of l arrays (b, h, q, k): of the class's logit read from the output of layer l
            alone, with respect to the softmax probabilities of layer l.

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
    """Weighs the features of each token by their mean gradients, and keeps what speaks for the class.

    Args:
        features: float (b, n, d), one layer's output at the tokens that are shown.
        gradients: float (b, n, d), the gradient of the explained class's logit with respect to `features`.

    Returns:
        float (b, n), at least zero.

    Reference:
        Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
        ICCV 2017, equations 1 and 2, with tokens in the place of pixels.

    Example:
        >>> features = ops.array([[[1.0, 2.0], [3.0, -9.0]]])
        >>> gradients = ops.array([[[1.0, 0.0], [1.0, 2.0]]])
        >>> ops.convert_to_numpy(gradcam(features, gradients)).tolist()
        [[3.0, 0.0]]
    """
    weights = ops.mean(gradients, axis=1, keepdims=True)  # (b, 1, d)
    return ops.relu(ops.sum(weights * features, axis=-1))


def class_row_coupling(class_map, rows):
    """Couples a map of where the class is with a class-agnostic map of where the class token looks.

    Args:
        class_map: float (b, n), the explained class's logit at each token.
        rows: list of l arrays (b, n), the class row of each layer, mean over heads.

    Returns:
        float (b, n), the class map times the sum of the rows.

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
    """Shares the change of a score between a baseline and the inputs out among them.

    Args:
        inputs: float (b, ..., d).
        baseline: float, of a shape that broadcasts with `inputs`: the input that holds no evidence.
        mean_gradient: float (b, ..., d), the mean of the score's gradients at points evenly spread along the
            straight line from `baseline` to `inputs`.

    Returns:
        float (b, ...), signed: summed over the features d. All of one item sum to score(inputs) -
        score(baseline), as exactly as the points allow.

    Reference:
        Sundararajan, Taly & Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, section 3.

    Example:
        >>> inputs = ops.array([[[3.0, 1.0], [0.0, 2.0]]])
        >>> ops.convert_to_numpy(integrated_gradients(inputs, 0.0, 2.0 * ops.ones_like(inputs))).tolist()
        [[8.0, 4.0]]
    """
    return ops.sum((inputs - baseline) * mean_gradient, axis=-1)


def outlier_tokens(tokens, threshold=6.0):
    """Finds the tokens of high norm, in which Vision Transformers keep global notes instead of their patch.

    Args:
        tokens: float (b, n, d), a layer's output before the final norm, tokens of one kind only (patches).
        threshold: float, how many median absolute deviations above the median norm an ordinary token may lie.

    Returns:
        bool (b, n), `True` at outliers.

    Reference:
        Darcet et al., "Vision Transformers Need Registers", ICLR 2024, section 2.1, where a fixed norm
        divides the two modes of one model; the median makes it fit any model.
    """
    norms = ops.norm(ops.cast(tokens, "float32"), axis=-1)
    middle = ops.median(norms, axis=-1, keepdims=True)
    deviation = ops.median(ops.abs(norms - middle), axis=-1, keepdims=True)
    return norms > middle + threshold * deviation


def normalise(maps):
    """Stretches each map to [0, 1].

    Args:
        maps: float (b, ...), one map an item.

    Returns:
        float32 of the same shape, each map from 0 to 1. A map that is constant (to float32 rounding) or not
        finite shows nothing: zeros.

    Example:
        >>> ops.convert_to_numpy(normalise(ops.array([[1.0, 2.0, 5.0], [7.0, 7.0, 7.0]]))).tolist()
        [[0.0, 0.25, 1.0], [0.0, 0.0, 0.0]]
    """
    maps = ops.cast(maps, "float32")
    axes = tuple(range(1, len(maps.shape)))
    low = ops.min(maps, axis=axes, keepdims=True)
    high = ops.max(maps, axis=axes, keepdims=True)
    span = high - low
    # A comparison with NaN or of infinity with infinity is false, so what is not finite falls out here too.
    shows = span > _ROUNDING * ops.maximum(ops.abs(low), ops.abs(high))
    return ops.where(shows, (maps - low) / ops.where(shows, span, 1.0), 0.0)


def _mix_rows(row, matrices):
    """The rows of (b, q, k) matrices, mixed by the weights (q,) or (b, q): (b, k)."""
    return ops.squeeze(ops.matmul(ops.expand_dims(row, -2), matrices), -2)


def _discard_smallest(attention, ratio):
    flat = ops.reshape(attention, (-1, attention.shape[1] * attention.shape[2]))  # (b, n * n)
    smallest_kept = ops.quantile(flat, ratio, axis=-1, method="higher")
    return ops.where(attention >= smallest_kept[:, None, None], attention, 0.0)


def _check_index(name, index, count):
    if not -count <= index < count:
        raise ValueError(f"{name} must be in [{-count}, {count}). Received: {name}={index}")
