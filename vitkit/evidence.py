"""Evidence for a class at each patch: the methods of `vitkit.explain`, tensors in and tensors out.

Each takes a model, prepared images float32 (b, H, W, 3) and the target int32 (b,), where -1 is the predicted
class. It returns a dict of tensors: "evidence", float32 (b, rows * columns) or (b, rows, columns), and, if
available, "logits" float32 (b, c) and "target" int32 (b,). This file needs the TensorFlow backend, for gradients
with respect to attention; the underlying maths, `shared_layers.relevance`, runs on every backend.
"""

import numpy as np
import tensorflow as tf

from shared_layers import relevance


def raw(model, images, target, layer=-1, head=None, skip_outliers=False):
    """Attention of one layer's class token to each patch; without a class token, the mean over all patches' attention.

    With `skip_outliers`, patches with an outlier norm in the last layer's output get zero evidence.

    Reference:
        Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, section 4.2.2;
        outliers as in Darcet et al., "Vision Transformers Need Registers", ICLR 2024.
    """
    outputs, scores, row = _look(model, images, return_hidden_states=skip_outliers)
    evidence = _patches(model, relevance.raw(scores, row, layer, head))
    if skip_outliers:
        outliers = relevance.outlier_tokens(_patches(model, outputs["hidden_states"][-1]))
        evidence = tf.where(outliers, 0.0, evidence)
    return _with_logits(outputs, evidence=evidence)


def rollout(model, images, target, fusion="mean", discard_ratio=0.0):
    """Attention rollout through all layers to the class token; without one, to the mean over patches.

    Reference:
        Abnar & Zuidema, see `relevance.rollout`.
    """
    outputs = model(images, training=False, return_attention_scores=True)
    scores = outputs["attention_scores"]
    evidence = relevance.rollout(scores, _look_row(model, scores), fusion, discard_ratio)
    return _with_logits(outputs, evidence=_patches(model, evidence))


def tscam(model, images, target):
    """The class logit at each patch times the class token's attention, summed over layers.

    Needs one forward pass and one row of the scores. The class map is only meaningful if the head was trained
    on patches (pooling "mean" or "token_mean").

    Reference:
        Gao et al., see `relevance.class_row_coupling`.
    """
    outputs, scores, row = _look(model, images)
    target = _resolve(target, outputs["logits"])
    class_map = model.patch_logits(outputs["sequence_output"])  # (b, n, c)
    class_map = tf.gather(class_map, target, axis=2, batch_dims=1)
    rows = [_patches(model, relevance.raw(scores, row, layer)) for layer in range(len(scores))]
    evidence = relevance.class_row_coupling(class_map, rows)
    return _with_logits(outputs, evidence=evidence, target=target)


def gradcam(model, images, target, layer=-2):
    """Grad-CAM: the output of one layer, weighted by the mean gradient of the class logit with respect to it.

    The default is the last but one layer: after the last layer's attention, a head that reads the class token
    has no gradient at the patches.

    Reference:
        Selvaraju et al., see `relevance.gradcam`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        outputs = model(images, training=False, return_hidden_states=True)
        states = outputs["hidden_states"]
        if not -len(states) <= layer < len(states):
            raise ValueError(f"layer must be in [{-len(states)}, {len(states)}). Received: layer={layer}")
        target = _resolve(target, outputs["logits"])
        score = _score(outputs["logits"], target)
    gradient = tape.gradient(score, states[layer])
    evidence = relevance.gradcam(_patches(model, states[layer]), _patches(model, gradient))
    return _with_logits(outputs, evidence=evidence, target=target)


def gradient_rollout(model, images, target):
    """Rollout of attention times its gradient through all layers, to the tokens that the head reads.

    Reference:
        Chefer, Gur & Wolf, see `relevance.gradient_rollout`.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        outputs = model(images, training=False, return_attention_scores=True)
        scores = outputs["attention_scores"]
        target = _resolve(target, outputs["logits"])
        score = _score(outputs["logits"], target)
    gradients = tape.gradient(score, scores)
    evidence = relevance.gradient_rollout(scores, gradients, _read_row(model, scores))
    return _with_logits(outputs, evidence=_patches(model, evidence), target=target)


def legrad(model, images, target):
    """LeGrad: positive gradients of the class logit, computed from each layer's output, with respect to its attention.

    Reference:
        Bousselham et al., see `relevance.legrad`. Here the logit is computed from the tokens that the head was
        trained on; the authors' code averages all tokens.
    """
    backbone = model.backbone
    state = backbone.embed(images)
    steps = []
    for layer in backbone.encoder_layers:
        # One tape per layer: each gradient stays within its layer, and together they cost one backward pass.
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state)
            state, scores = layer(state, training=False, return_attention_scores=True)
            logits = model.classify(backbone.final_norm(state))
        steps.append((tape, logits, scores))
    target = _resolve(target, logits)
    chosen = tf.one_hot(target, logits.shape[-1])
    gradients = [tape.gradient(logits, scores, output_gradients=chosen) for tape, logits, scores in steps]
    evidence = _patches(model, relevance.legrad(gradients))
    return {"logits": logits, "target": target, "evidence": evidence}


def integrated_gradients(model, images, target, steps=16):
    """Integrated gradients from the mean colour to the picture, summed over each patch; signed.

    The evidence of all patches sums to the class logit of the picture minus that of a picture of the mean colour.

    Reference:
        Sundararajan, Taly & Yan, see `relevance.integrated_gradients`. The baseline is the mean colour,
        since with black no black pixel could get evidence; gradients are taken at the middle of each step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1. Received: steps={steps}")
    logits = model(images, training=False)
    target = _resolve(target, logits)

    def add_gradient(total, share):
        point = share * images  # the baseline, the mean colour, is zero after normalisation
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            score = _score(model(point, training=False), target)
        return total + tape.gradient(score, point)

    middles = (np.arange(steps, dtype="float32") + 0.5) / steps
    total = tf.foldl(add_gradient, middles, tf.zeros_like(images), parallel_iterations=1)
    pixels = relevance.integrated_gradients(images, 0.0, total / steps)  # (b, H, W)
    rows, columns = model.backbone.grid(images)
    patches = tf.reshape(pixels, (-1, rows, images.shape[1] // rows, columns, images.shape[2] // columns))
    return {"logits": logits, "target": target, "evidence": tf.reduce_sum(patches, axis=(2, 4))}


def occlusion(model, images, target, window=2, stride=1):
    """Decrease of the class logit when a window of patches is covered with the mean colour; mean over windows.

    Reference:
        Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2, with
        the logit instead of the probability.
    """
    rows, columns = model.backbone.grid(images)
    windows = _windows(rows, columns, window, stride)  # (w, rows, columns)
    logits = model(images, training=False)
    target = _resolve(target, logits)
    score = _score(logits, target)

    def add_fall(total, covered):
        pixels = tf.repeat(covered, images.shape[1] // rows, axis=0)
        pixels = tf.repeat(pixels, images.shape[2] // columns, axis=1)[..., None]  # (H, W, 1)
        left = _score(model(images * (1.0 - pixels), training=False), target)
        return total + (score - left)[:, None, None] * covered

    nothing = tf.zeros((tf.shape(images)[0], rows, columns))
    total = tf.foldl(add_fall, windows, nothing, parallel_iterations=1)
    return {"logits": logits, "target": target, "evidence": total / windows.sum(axis=0)}


METHODS = {
    "raw": raw,
    "rollout": rollout,
    "tscam": tscam,
    "gradcam": gradcam,
    "gradient_rollout": gradient_rollout,
    "legrad": legrad,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
}
CLASS_AGNOSTIC = ("raw", "rollout")


def has_head(model):
    """Returns whether a model is a classifier, not a bare backbone."""
    return hasattr(model, "backbone")


def backbone_of(model):
    """Returns the backbone of a classifier; a bare backbone is returned as it is."""
    return model.backbone if has_head(model) else model


def _patches(model, tokens):
    """Drops class, distillation and register tokens: (b, prefix + n, ...) -> (b, n, ...)."""
    return tokens[:, backbone_of(model).num_prefix_tokens :]


def _look(model, images, **asks):
    """Returns outputs, attention scores of the rows to explain, and the weights of these rows.

    With a class token only its row is computed, which costs next to nothing.
    """
    rows = 1 if backbone_of(model).use_class_token else None
    outputs = model(images, training=False, return_attention_scores=True, num_score_rows=rows, **asks)
    scores = outputs["attention_scores"]
    return outputs, scores, _look_row(model, scores)


def _look_row(model, scores):
    """Returns weights (q,) of the rows to explain: the class token or, without one, the mean over patches."""
    backbone, row = backbone_of(model), np.zeros(scores[0].shape[2], "float32")
    if backbone.use_class_token:
        row[0] = 1.0
    else:
        row[backbone.num_prefix_tokens :] = 1.0
    return row / row.sum()


def _read_row(model, scores):
    """Returns uniform weights (q,) over the tokens that the head reads."""
    row = np.zeros(scores[0].shape[2], "float32")
    if "token" in model.pooling:
        row[: 1 + model.distilled] = 1.0
    if "mean" in model.pooling:
        row[model.backbone.num_prefix_tokens :] = 1.0
    return row / row.sum()


def _with_logits(outputs, **results):
    return {"logits": outputs["logits"], **results} if "logits" in outputs else results


def _resolve(target, logits):
    return tf.where(target < 0, tf.argmax(logits, axis=-1, output_type=tf.int32), target)


def _score(logits, target):
    return tf.gather(logits, target, batch_dims=1)  # (b, c), (b,) -> (b,)


def _windows(rows, columns, window, stride):
    """Returns masks of all positions of a square window on the grid, both edges included: float32 (w, rows, columns)."""
    if not 1 <= window <= min(rows, columns):
        raise ValueError(f"window must be in [1, {min(rows, columns)}]. Received: window={window}")
    if not 1 <= stride <= window:
        raise ValueError(f"stride must be in [1, window={window}]. Received: stride={stride}")
    places = []
    for top in {*range(0, rows - window, stride), rows - window}:
        for left in {*range(0, columns - window, stride), columns - window}:
            place = np.zeros((rows, columns), "float32")
            place[top : top + window, left : left + window] = 1.0
            places.append(place)
    return np.stack(places)
