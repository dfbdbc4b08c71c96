"""The attribution methods of `textkit.explain`, tensors in and tensors out.

Each takes a model, its inputs and a `Question`, and returns the relevance of each token, float32 (b, n), to be summed over
the tokens of each word. This file needs the TensorFlow backend, for gradients with respect to attention;
`shared_layers.relevance`, which has the formulas, works on any backend.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from shared_layers import relevance

_STEPS_AT_ONCE = 8  # of integrated gradients: more use the hardware better, and take more memory


@dataclasses.dataclass(frozen=True)
class Question:
    """What is explained.

    Attributes:
        row: float32 (b, n), the weights of the tokens that the prediction is read from, or whose attention is shown.
        chosen: float32, of the shape of the logits: their weights in the explained score; `None` for the class-agnostic
            methods.
        words: int32 (b, n), the word index of each token, -1 for special tokens.
        blank_id: int, the id that blanks out a token, see `textkit.Tokenizer`.
    """

    row: tf.Tensor
    chosen: tf.Tensor | None
    words: tf.Tensor
    blank_id: int


def raw(model, inputs, question, layer=None, head=None):
    """Raw attention of the tokens in `question.row`: of one layer and head, or the mean of all.

    Args:
        model: a `TextEncoder`, or a model with a head on one.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.
        layer: int, or `None` for the mean of all layers.
        head: int, or `None` for the mean of all heads.

    Returns:
        float32 (b, n), the relevance of each token.

    Raises:
        ValueError: there is no such layer or head.

    Reference:
        Clark et al., "What Does BERT Look At?", BlackboxNLP 2019, section 4.1 (attention to a word is the sum over its
        tokens).
    """
    scores = _scores(model, inputs)
    if layer is None:
        scores, layer = [tf.reduce_mean(scores, axis=0)], 0
    return relevance.raw(scores, question.row, layer, head)


def rollout(model, inputs, question, fusion="mean", discard_ratio=0.0):
    """Attention rollout through all layers, for the tokens in `question.row`.

    Args:
        model: a `TextEncoder`, or a model with a head on one.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.
        fusion: str, how heads are combined, see `relevance.rollout`.
        discard_ratio: float in [0, 1), see `relevance.rollout`.

    Returns:
        float32 (b, n), the relevance of each token.

    Raises:
        ValueError: see `relevance.rollout`.

    Reference:
        Abnar & Zuidema, see `relevance.rollout`.
    """
    return relevance.rollout(_scores(model, inputs), question.row, fusion, discard_ratio)


def gradient_rollout(model, inputs, question):
    """Attention times its gradient, rolled out through all layers, for the tokens in `question.row`.

    Args:
        model: a model with a head on a `TextEncoder`.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.

    Returns:
        float32 (b, n), the relevance of each token.

    Reference:
        Chefer, Gur & Wolf, see `relevance.gradient_rollout`. We subtract the identity path of the residual connections,
        which would dominate if the prediction is read from a word's own token.
    """
    state, mask = _embed(model, inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(state)
        seen = encoder_of(model).encode(state, mask, training=False, return_attention_scores=True)
        score = _score(model, seen, inputs, question)
    scores = seen["attention_scores"]
    return relevance.gradient_rollout(scores, tape.gradient(score, scores), question.row) - question.row


def legrad(model, inputs, question):
    """LeGrad: the positive gradients of the score, read from each layer's output, with respect to that layer's attention.

    Args:
        model: a model with a head on a `TextEncoder`.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.

    Returns:
        float32 (b, n), the relevance of each token.

    Reference:
        Bousselham et al., see `relevance.legrad`.
    """
    encoder = encoder_of(model)
    state, mask = _embed(model, inputs)
    steps = []
    for depth in range(encoder.config["num_layers"]):
        layer = encoder.encoder_layers[depth % len(encoder.encoder_layers)]  # shared weights: only one layer
        # One tape for each layer: together the gradients cost one backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state)
            state, scores = layer(state, padding_mask=mask, training=False, return_attention_scores=True)
            score = _score(model, encoder.finish(state), inputs, question)
        steps.append((tape, score, scores))
    evidence = relevance.legrad([tape.gradient(score, scores) for tape, score, scores in steps])
    real = tf.cast(mask, tf.float32)  # the means are over real tokens only
    return evidence * real / tf.reduce_mean(real, axis=1, keepdims=True)


def integrated_gradients(model, inputs, question, steps=32):
    """Integrated gradients at the embeddings; the baseline is the text with all words blanked out; signed.

    The relevance of all tokens sums to the difference of the score between the text and the baseline. Special tokens are the
    same in both, so that only words have relevance.

    Args:
        model: a model with a head on a `TextEncoder`.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.
        steps: int, points of the numerical integration.

    Returns:
        float32 (b, n), the signed relevance of each token.

    Raises:
        ValueError: `steps` below 1.

    Reference:
        Sundararajan, Taly & Yan, see `relevance.integrated_gradients`. The integral is by Gauss-Legendre quadrature, which
        needs fewer steps.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Received: steps={steps}")
    state, mask = _embed(model, inputs)
    baseline, _ = _embed(model, _blank(inputs, question, question.words >= 0))
    at_once = min(steps, _STEPS_AT_ONCE)
    copies = {name: tf.repeat(values, at_once, axis=0) for name, values in inputs.items()}
    asked = dataclasses.replace(question, chosen=tf.repeat(question.chosen, at_once, axis=0))
    starts, ways, masks = (tf.repeat(each, at_once, axis=0) for each in (baseline, state - baseline, mask))

    def add_gradients(total, step):
        shares, weights = (tf.tile(each, tf.shape(state)[:1])[:, None, None] for each in step)
        points = starts + shares * ways
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(points)
            score = _score(model, encoder_of(model).encode(points, masks, training=False), copies, asked)
        gradients = weights * tape.gradient(score, points)
        return total + tf.reduce_sum(tf.reshape(gradients, (-1, at_once, *tf.unstack(tf.shape(state)[1:]))), axis=1)

    places, weights = np.polynomial.legendre.leggauss(steps)  # in [-1, 1], of sum 2
    shares_and_weights = np.pad([(places + 1) / 2, weights / 2], [(0, 0), (0, -steps % at_once)])  # padded with weight 0
    schedule = tuple(shares_and_weights.astype("float32").reshape(2, -1, at_once))
    mean_gradient = tf.foldl(add_gradients, schedule, tf.zeros_like(state), parallel_iterations=1)
    return relevance.integrated_gradients(state, baseline, mean_gradient)


def occlusion(model, inputs, question):
    """Occlusion: how much the score falls if all tokens of a word are blanked out; signed.

    Args:
        model: a model with a head on a `TextEncoder`.
        inputs: dict of "token_ids" and "segment_ids" int (b, n) and "padding_mask" bool (b, n).
        question: `Question`.

    Returns:
        float32 (b, n), the signed relevance of each word, shared equally by its tokens.

    Reference:
        Li, Monroe & Jurafsky, "Understanding Neural Networks through Representation Erasure", arXiv 1612.08220, 2016,
        section 3, with the logit in place of the log-likelihood.
    """

    def score(inputs):
        state, mask = _embed(model, inputs)
        return _score(model, encoder_of(model).encode(state, mask, training=False), inputs, question)

    whole = score(inputs)

    def add_fall(total, word):
        covered = tf.equal(question.words, word)
        fall = whole - score(_blank(inputs, question, covered))  # (b,)
        covered = tf.cast(covered, tf.float32)
        return total + fall[:, None] * tf.math.divide_no_nan(covered, tf.reduce_sum(covered, axis=1, keepdims=True))

    words = tf.range(tf.reduce_max(question.words) + 1)
    return tf.foldl(add_fall, words, tf.zeros_like(question.row), parallel_iterations=1)


METHODS = {
    "raw": raw,
    "rollout": rollout,
    "gradient_rollout": gradient_rollout,
    "legrad": legrad,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}
CLASS_AGNOSTIC = ("raw", "rollout")
SIGNED = ("integrated_gradients", "occlusion")


def encoder_of(model):
    """The encoder of a model.

    Args:
        model: a `TextEncoder`, or a model with a head on one.

    Returns:
        The model's `encoder`, or the model itself if it has none.
    """
    return getattr(model, "encoder", model)


def logits_of(model, seen, inputs):
    """Computes the logits of a model with a head from its encoder's outputs.

    Args:
        model: a model with a head on a `TextEncoder`.
        seen: dict of tensors, the outputs of the encoder.
        inputs: dict of tensors, the inputs of the model.

    Returns:
        float32 tensor (b, c), or (b, n, c) for a `TokenClassifier`, or (b, n, 2) for a `SpanClassifier` (start and end).
    """
    outputs = model.outputs(seen, inputs, training=False)
    if "logits" in outputs:
        return outputs["logits"]
    return tf.stack([outputs["start_logits"], outputs["end_logits"]], axis=-1)


def _embed(model, inputs):
    encoder = encoder_of(model)
    return tf.cast(encoder.embed(inputs, training=False), tf.float32), encoder.padding_mask(inputs)


def _scores(model, inputs):
    state, mask = _embed(model, inputs)
    return encoder_of(model).encode(state, mask, training=False, return_attention_scores=True)["attention_scores"]


def _score(model, seen, inputs, question):
    """The explained score (b,): the weighted sum of the logits."""
    weighed = logits_of(model, seen, inputs) * question.chosen
    return tf.reduce_sum(weighed, axis=list(range(1, weighed.shape.rank)))


def _blank(inputs, question, covered):
    """The inputs with `blank_id` where `covered`."""
    return {**inputs, "token_ids": tf.where(covered, question.blank_id, inputs["token_ids"])}
