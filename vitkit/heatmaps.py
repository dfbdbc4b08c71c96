"""Heatmaps: which part of a picture is evidence for a class, or gets the model's attention.

`vitkit.evidence` computes the evidence at each patch; this file resizes it to heatmaps. Both need the TensorFlow
backend.
"""

import dataclasses
import functools
import inspect
import weakref

import numpy as np
import tensorflow as tf

from shared_layers import relevance
from shared_layers.runtime import require_tensorflow, unknown_name
from vitkit.evidence import CLASS_AGNOSTIC, METHODS, backbone_of, has_head
from vitkit.preprocessing import prepare, to_picture

# The options of `prepare` that determine which part of a picture the model sees.
_GEOMETRY = ("resize", "crop_fraction")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Predictions and heatmaps, as returned by `explain`.

    Attributes:
        logits: float32 (b, c), or `None` if the model has no head.
        target: int32 (b,), the class that each heatmap explains, or `None` if the method is class-agnostic.
        heatmap: float32 (b, H, W) in [0, 1], at the size of the given pictures.
        evidence: float32 (b, rows, columns), the method's value at each patch, not normalised.
        method: str, the method that was used.
    """

    logits: np.ndarray | None
    target: np.ndarray | None
    heatmap: np.ndarray
    evidence: np.ndarray
    method: str


def explain(model, images, method="auto", target=None, batch_size=16, **options):
    """Computes a heatmap for each picture that shows where the evidence for a class is.

    The methods and their options (the functions of these names in `vitkit.evidence` cite the papers):

    - `raw` (layer=-1, head=None, skip_outliers=False): one layer's attention.
    - `rollout` (fusion="mean", discard_ratio=0.0): attention through all layers.
    - `tscam`: class map of the patches times attention; costs hardly more than a prediction.
    - `gradcam` (layer=-2): features weighted by their gradients.
    - `gradient_rollout`: attention weighted by its gradients, through all layers.
    - `legrad`: gradients with respect to the attention of each layer.
    - `integrated_gradients` (steps=16): gradients on the path from the mean colour to the picture.
    - `occlusion` (window=2, stride=1, in patches): decrease of the logit when patches are covered.

    `raw` and `rollout` are class-agnostic; the other methods explain one class.

    Attention is read from the class token or, in a model without one, averaged over the patches. Class,
    distillation and register tokens are part of the computation but not of the heatmap.

    Args:
        model: `ViTClassifier`; or `ViTBackbone`, for the class-agnostic methods.
        images: uint8 (b, H, W, 3), pictures of any size, which are preprocessed with `model.preprocessing`;
            or float (b, H, W, 3), already preprocessed, with sides that are multiples of the patch size.
        method: str, one of the above, or "auto": `gradient_rollout` for a classifier, `raw` with `skip_outliers=True`
            for a bare backbone.
        target: int or int (b,), the class to explain, in [0, c); `None` for the predicted class. Class-agnostic
            methods ignore it.
        batch_size: int, pictures per batch.
        **options: options of the method.

    Returns:
        An `Explanation` of NumPy arrays.

    Raises:
        ValueError: an unknown method, option or class, a method that needs a head for a bare backbone, or `images`
            of another shape or dtype.
    """
    require_tensorflow("explain")
    method, options = _resolve_method(model, method, options)
    images = _as_batch(images)
    targets = _as_targets(model, target, len(images))
    spec = (None, None, None, 3) if images.dtype == np.uint8 else (None, *images.shape[1:])
    graph = _graph(model, method, tuple(sorted(options.items())), spec, images.dtype.name)
    batches = []
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        batches.append(graph(tf.constant(images[batch]), tf.constant(targets[batch])))
    seen = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return Explanation(seen.get("logits"), seen.get("target"), seen["heatmap"], seen["evidence"], method)


def explain_tensors(model, images, target, method="auto", **options):
    """As `explain`, but tensors in and tensors out, for use in a graph.

    Args:
        model: a `ViTClassifier` or a `ViTBackbone`.
        images: uint8 tensor (b, H, W, 3), where b, H and W may be unknown; or preprocessed floats, where b may be
            unknown.
        target: int32 tensor (b,), the class to explain; -1 for the predicted class. Ignored by class-agnostic methods.
        method: str, see `explain`.
        **options: see `explain`.

    Returns:
        A dict of tensors: "heatmap" float32 (b, H, W), "evidence" float32 (b, rows, columns); if the model
        has a head, "logits" float32 (b, c); if the method explains a class, "target" int32 (b,).

    Raises:
        ValueError: an unknown method or option, or a method that needs a head for a bare backbone.
    """
    method, options = _resolve_method(model, method, options)
    prepared = prepare(images, **model.preprocessing)
    outputs = METHODS[method](model, prepared, target, **options)
    rows, columns = backbone_of(model).grid(prepared)
    evidence = tf.reshape(tf.cast(outputs["evidence"], tf.float32), (-1, rows, columns))
    heatmap = relevance.normalise(tf.image.resize(evidence[..., None], prepared.shape[1:3])[..., 0])
    if images.dtype == tf.uint8:
        geometry = {name: value for name, value in model.preprocessing.items() if name in _GEOMETRY}
        heatmap = relevance.normalise(to_picture(heatmap, tf.shape(images)[1:3], **geometry))
    return {**outputs, "evidence": evidence, "heatmap": heatmap}


def _auto(model):
    """Returns the default method of a model, and options that differ from the method's defaults."""
    return ("gradient_rollout", {}) if has_head(model) else ("raw", {"skip_outliers": True})


def _resolve_method(model, method, options):
    defaults = {}
    if method == "auto":
        method, defaults = _auto(model)
    if method not in METHODS:
        raise unknown_name("method", method, ("auto", *METHODS))
    if not has_head(model) and method not in CLASS_AGNOSTIC:
        raise ValueError(
            f"This method needs a classifier; for a bare backbone use {' or '.join(map(repr, CLASS_AGNOSTIC))}. "
            f"Received: method={method!r}"
        )
    known = list(inspect.signature(METHODS[method]).parameters)[3:]
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    return method, {**defaults, **options}


def _as_batch(images):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(f"images must have shape (b, H, W, 3) with b >= 1. Received: images.shape={images.shape}")
    return images.astype("float32") if np.issubdtype(images.dtype, np.floating) else images


def _as_targets(model, target, count):
    if target is None:
        return np.full(count, -1, "int32")
    if not has_head(model):
        raise ValueError(f"A bare backbone has no classes: expected target=None. Received: target={target}")
    targets = np.asarray(target)
    if targets.shape not in ((), (count,)) or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(f"target must be an int or {count} ints, one per picture. Received: target={target}")
    if targets.min() < 0 or targets.max() >= model.num_classes:
        raise ValueError(f"target must be in [0, {model.num_classes}). Received: target={target}")
    return np.broadcast_to(targets, count).astype("int32")


_graphs = weakref.WeakKeyDictionary()


def _graph(model, *key):
    """Returns the concrete function for a model, method, options, shape and dtype; traced once and cached.

    The batch size is dynamic, so that a smaller last batch is not traced again. The function holds only a weak
    reference to its model: as a value of this dictionary it would otherwise keep its own key alive.
    """
    if model not in _graphs:
        _graphs[model] = functools.lru_cache(maxsize=16)(functools.partial(_compile, weakref.ref(model)))
    return _graphs[model](*key)


def _compile(model, method, options, shape, dtype):
    @tf.function(autograph=False)
    def graph(images, target):
        return explain_tensors(model(), images, target, method, **dict(options))

    return graph.get_concrete_function(tf.TensorSpec(shape, dtype), tf.TensorSpec((None,), "int32"))
