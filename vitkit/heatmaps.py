"""Heatmaps: which part of a picture speaks for a class, or draws the model's attention.

`vitkit.evidence` finds what speaks for a class at each patch; here it becomes a picture. Like it, this file
needs the TensorFlow backend.
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

# The options of `prepare` that say which part of a picture the model sees.
_GEOMETRY = ("resize", "crop_fraction")


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a model said of pictures, and where it looked.

    Attributes:
        logits: float32 (b, c), or `None` if the model has no head.
        target: int (b,), the class that each heatmap explains, or `None` if the method knows no classes.
        heatmap: float32 (b, H, W) in [0, 1], at the size of the pictures that were given.
        evidence: float32 (b, rows, columns), what the method found at each patch, in its own unit.
        method: str, the method that was used.
    """

    logits: np.ndarray | None
    target: np.ndarray | None
    heatmap: np.ndarray
    evidence: np.ndarray
    method: str


def explain(model, images, method="auto", target=None, batch_size=16, **options):
    """Draws a heatmap of what a model sees in each picture.

    The methods and their options; the functions of these names in `vitkit.evidence` cite the papers:

    - `raw` (layer=-1, head=None, skip_outliers=False): one layer's attention.
    - `rollout` (fusion="mean", discard_ratio=0.0): attention through all layers.
    - `tscam`: class map of the patches times attention; costs hardly more than a prediction.
    - `gradcam` (layer=-2): features weighed by their gradients.
    - `gradient_rollout`: attention weighed by its gradients, through all layers.
    - `legrad`: gradients with respect to the attention of each layer.
    - `integrated_gradients` (steps=16): gradients at the pixels on the way from the mean colour.
    - `occlusion` (window=2, stride=1, in patches): what is missed when it is covered.

    All but `raw` and `rollout` explain one class.

    Attention is read at the class token, or, in a model without one, averaged over the patches. Class,
    distillation and register tokens take part in every product and are not shown.

    Args:
        model: a `ViTClassifier`, or a `ViTBackbone` for the methods that know no classes.
        images: uint8 (b, H, W, 3), pictures of any size, resized and normalised as `model.preprocessing`
            says; or float (b, H, W, 3), prepared already, of a size that the patch divides.
        method: str, one of the above, or "auto": `gradient_rollout`, or `raw` without the outliers where there is
            no head.
        target: int or int (b,), the class to explain, in [0, c). `None` explains the predicted class.
            Methods that know no classes draw the same whatever it is.
        batch_size: int, how many pictures are explained at a time.
        **options: the method's own.

    Returns:
        An `Explanation`, arrays of NumPy.

    Raises:
        ValueError: If the method, an option or a class does not exist, if the method needs a head that the
            model does not have, or if `images` is neither of the two forms.
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
    """Does what `explain` does, tensors in and tensors out, for use in a graph.

    Args:
        model: a `ViTClassifier` or a `ViTBackbone`.
        images: uint8 tensor (b, H, W, 3), all but the 3 may be unknown, or prepared floats, where b may be
            unknown.
        target: int32 tensor (b,), the class to explain; -1 for the predicted one. Read only by methods that
            know classes.
        method: str, see `explain`.
        **options: see `explain`.

    Returns:
        A dict of tensors: "heatmap" float32 (b, H, W), "evidence" float32 (b, rows, columns); if the model
        has a head, "logits" float32 (b, c); if the method knows classes, "target" int32 (b,).

    Raises:
        ValueError: As `explain`, for the method and its options.
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
    """The method for a model, with the options that differ from the method's own."""
    return ("gradient_rollout", {}) if has_head(model) else ("raw", {"skip_outliers": True})


def _resolve_method(model, method, options):
    defaults = {}
    if method == "auto":
        method, defaults = _auto(model)
    if method not in METHODS:
        raise unknown_name("method", method, ("auto", *METHODS))
    if not has_head(model) and method not in CLASS_AGNOSTIC:
        raise ValueError(
            "The method explains a class, which takes a classifier; a bare backbone is served by "
            f"{' and '.join(map(repr, CLASS_AGNOSTIC))}. Received: method={method!r}"
        )
    known = list(inspect.signature(METHODS[method]).parameters)[3:]
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    return method, {**defaults, **options}


def _as_batch(images):
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[3] != 3 or not len(images):
        raise ValueError(f"images must be (b, H, W, 3), b at least 1. Received: images.shape={images.shape}")
    return images.astype("float32") if np.issubdtype(images.dtype, np.floating) else images


def _as_targets(model, target, count):
    if target is None:
        return np.full(count, -1, "int32")
    if not has_head(model):
        raise ValueError(f"A bare backbone knows no classes to explain. Received: target={target}")
    targets = np.asarray(target)
    if targets.shape not in ((), (count,)) or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(f"target must be an int or {count} ints, one a picture. Received: target={target}")
    if targets.min() < 0 or targets.max() >= model.num_classes:
        raise ValueError(f"target must be in [0, {model.num_classes}). Received: target={target}")
    return np.broadcast_to(targets, count).astype("int32")


_graphs = weakref.WeakKeyDictionary()


def _graph(model, *key):
    """The compiled explanation, made once for a model, a method, its options and a kind of picture.

    The batch size is left open, so that the last and smaller batch traces nothing anew. A graph knows its
    model weakly: as a value of this dictionary it would else keep its own key alive.
    """
    if model not in _graphs:
        _graphs[model] = functools.lru_cache(maxsize=16)(functools.partial(_compile, weakref.ref(model)))
    return _graphs[model](*key)


def _compile(model, method, options, shape, dtype):
    @tf.function(autograph=False)
    def graph(images, target):
        return explain_tensors(model(), images, target, method, **dict(options))

    return graph.get_concrete_function(tf.TensorSpec(shape, dtype), tf.TensorSpec((None,), "int32"))
