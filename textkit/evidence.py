"""What speaks for an answer, token by token: the methods of `textkit.explain`, tensors in and tensors out.

Each takes a model, its inputs and a `Question`, and gives float32 (b, n), to be summed over the tokens of each word. This
file needs the TensorFlow backend, for gradients with respect to attention; the maths that it rests on,
`shared_layers.relevance`, needs none.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from shared_layers import relevance

_STEPS_AT_ONCE = 8  # of integrated gradients: a short text leaves a processor idle, many long ones fill the memory


@dataclasses.dataclass(frozen=True)
class Question:
    """What is explained.

    Attributes:
        row: float32 (b, n), weights of the tokens that the answer is read from, or whose attention is asked for.
        chosen: float32, the shape of the logits: the weights of each in what is explained; `None` for the class-agnostic
            methods.
        words: int32 (b, n), the word that each token is of, -1 for special tokens.
        blank_id: int, the id of the token that says nothing, see `textkit.Tokenizer`.
    """

    row: tf.Tensor
    chosen: tf.Tensor | None
    words: tf.Tensor
    blank_id: int


def raw(model, inputs, question, layer=None, head=None):
    """What the tokens asked about attend to: in a layer and a head, or the mean of all.

    Reference:
        Clark et al., "What Does BERT Look At?", BlackboxNLP 2019, section 4.1 (attention to a word is the sum over its
        tokens).
    """
    scores = _scores(model, inputs)
    if layer is None:
        scores, layer = [tf.reduce_mean(scores, axis=0)], 0
    return relevance.raw(scores, question.row, layer, head)


def rollout(model, inputs, question, fusion="mean", discard_ratio=0.0):
    """What arrives, through all layers, in the tokens asked about.

    Reference:
        Abnar & Zuidema, see `relevance.rollout`.
    """
    return relevance.rollout(_scores(model, inputs), question.row, fusion, discard_ratio)


def gradient_rollout(model, inputs, question):
    """Attention times its gradient, through all layers, to the tokens that the answer is read from.

    Reference:
        Chefer, Gur & Wolf, see `relevance.gradient_rollout`; without what the residual connections carry from each token
        to itself, next to which all else would be little where an answer is read from a word's own token.
    """
    state, mask = _embed(model, inputs)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(state)
        seen = encoder_of(model).encode(state, mask, training=False, return_attention_scores=True)
        score = _score(model, seen, inputs, question)
    scores = seen["attention_scores"]
    return relevance.gradient_rollout(scores, tape.gradient(score, scores), question.row) - question.row


def legrad(model, inputs, question):
    """The positive gradients with respect to the attention of each layer, of the answer read from its output.

    Reference:
        Bousselham et al., see `relevance.legrad`.
    """
    encoder = encoder_of(model)
    state, mask = _embed(model, inputs)
    steps = []
    for depth in range(encoder.config["num_layers"]):
        layer = encoder.encoder_layers[depth % len(encoder.encoder_layers)]  # of shared weights there is one
        # A tape a layer: each gradient stays within its layer, and all together cost one backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state)
            state, scores = layer(state, padding_mask=mask, training=False, return_attention_scores=True)
            score = _score(model, encoder.finish(state), inputs, question)
        steps.append((tape, score, scores))
    evidence = relevance.legrad([tape.gradient(score, scores) for tape, score, scores in steps])
    real = tf.cast(mask, tf.float32)  # padding may not be attended to, and no mean counts it
    return evidence * real / tf.reduce_mean(real, axis=1, keepdims=True)


def integrated_gradients(model, inputs, question, steps=32):
    """Gradients at the embeddings on the way from a text of blanks to the text; signed.

    The evidence of all tokens sums to what the text adds to the logit over one in which every word is blank. Special tokens
    are the same in both, so that all of it lies on words.

    Reference:
        Sundararajan, Taly & Yan, see `relevance.integrated_gradients`. The steps are those of Gauss and Legendre, of which
        fewer do.
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
    shares_and_weights = np.pad([(places + 1) / 2, weights / 2], [(0, 0), (0, -steps % at_once)])  # of those added, 0
    schedule = tuple(shares_and_weights.astype("float32").reshape(2, -1, at_once))
    mean_gradient = tf.foldl(add_gradients, schedule, tf.zeros_like(state), parallel_iterations=1)
    return relevance.integrated_gradients(state, baseline, mean_gradient)


def occlusion(model, inputs, question):
    """How much the logit falls when a word becomes blank, all of its tokens at once; signed.

    Reference:
        Li, Monroe & Jurafsky, "Understanding Neural Networks through Representation Erasure", arXiv 1612.08220, 2016,
        section 3, with the logit in the place of the log-likelihood.
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
    """The encoder of a model with a head, or the model itself where it is one."""
    return getattr(model, "encoder", model)


def logits_of(model, seen, inputs):
    """The logits of a model with a head, of its encoder's outputs: (b, c), (b, n, c), or those of spans (b, n, 2)."""
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
    """The logit that is explained, or the weighed sum of several: (b,)."""
    weighed = logits_of(model, seen, inputs) * question.chosen
    return tf.reduce_sum(weighed, axis=list(range(1, weighed.shape.rank)))


def _blank(inputs, question, covered):
    """The inputs with other ids where `covered`."""
    return {**inputs, "token_ids": tf.where(covered, question.blank_id, inputs["token_ids"])}
