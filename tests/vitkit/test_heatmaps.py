"""`explain`: pictures in, heatmaps at their size out, whatever the model and the batch."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.vitkit.test_evidence import CLASSES, COLUMNS, HEADS, ROWS, SIZES, with_random_weights
from vitkit import heatmaps
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier
from vitkit.evidence import CLASS_AGNOSTIC, METHODS
from vitkit.heatmaps import explain, explain_tensors
from vitkit.preprocessing import prepare

FEW = {"integrated_gradients": {"steps": 2}, "occlusion": {"window": 3, "stride": 3}}
METHODS_AND_HEADS = {(method, "class token and patch mean") for method in METHODS} | {("tscam", head) for head in HEADS}


def classifier(head="class token", **options):
    return with_random_weights(ViTClassifier(CLASSES, **SIZES, **{**HEADS[head], **options}))


@pytest.fixture(scope="module")
def models():
    return {head: classifier(head) for head in HEADS}


@pytest.fixture(scope="module")
def backbone():
    return with_random_weights(ViTBackbone(**SIZES, num_register_tokens=2))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(2).integers(0, 256, size=(5, 19, 31, 3), dtype="uint8")


@pytest.mark.parametrize(("method", "head"), sorted(METHODS_AND_HEADS))
def test_explains_every_head(models, pictures, method, head):
    seen = explain(models[head], pictures, method, batch_size=3, **FEW.get(method, {}))
    assert seen.method == method
    assert seen.heatmap.shape == (5, 19, 31)
    assert seen.heatmap.dtype == seen.evidence.dtype == seen.logits.dtype == np.float32
    assert seen.evidence.shape == (5, ROWS, COLUMNS)
    np.testing.assert_array_equal(seen.heatmap.min((1, 2)), 0.0)
    shows = np.ptp(seen.evidence, axis=(1, 2)) > 0  # Grad-CAM may find nothing that speaks for a class
    assert shows.any()
    np.testing.assert_array_equal(seen.heatmap.max((1, 2)), shows)
    logits = models[head](prepare(pictures, **models[head].preprocessing)).numpy()
    np.testing.assert_allclose(seen.logits, logits, atol=1e-4)
    if method in CLASS_AGNOSTIC:
        assert seen.target is None
    else:
        np.testing.assert_array_equal(seen.target, logits.argmax(-1))


@pytest.mark.parametrize("method", METHODS)
def test_graph_equals_eager_and_a_batch_its_items(models, pictures, method):
    model, options = models["class token and patch mean"], FEW.get(method, {})
    target = np.arange(5)
    together = explain(model, pictures, method, target, **options)
    alone = explain(model, pictures, method, target, batch_size=1, **options)
    eager = explain_tensors(model, tf.constant(pictures), tf.constant(target, "int32"), method, **options)
    for name in ("heatmap", "evidence", "logits"):
        expected = getattr(together, name)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(getattr(alone, name) / scale, expected / scale, atol=1e-4)
        np.testing.assert_allclose(eager[name] / scale, expected / scale, atol=1e-4)


def test_auto_suits_a_classifier(models, pictures):
    seen = explain(models["patch mean"], pictures)
    assert seen.method == "gradient_rollout"
    np.testing.assert_array_equal(seen.evidence, explain(models["patch mean"], pictures, "gradient_rollout").evidence)


def test_auto_suits_a_backbone(backbone, pictures):
    seen = explain(backbone, pictures)
    assert (seen.method, seen.logits, seen.target) == ("raw", None, None)
    np.testing.assert_array_equal(seen.evidence, explain(backbone, pictures, "raw", skip_outliers=True).evidence)


def test_evidence_lands_where_it_was_found(models, pictures):
    seen = explain(models["patch mean"], pictures)
    for heatmap, evidence in zip(seen.heatmap, seen.evidence, strict=True):
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        found = (int((row + 0.5) * ROWS / 19), int((column + 0.5) * COLUMNS / 31))
        assert found == np.unravel_index(evidence.argmax(), evidence.shape)


def test_prepared_pictures_of_any_size_the_patch_divides(models):
    images = np.random.default_rng(3).normal(size=(2, 20, 10, 3))
    seen = explain(models["class token"], images)
    assert seen.evidence.shape == (2, 4, 2)
    assert seen.heatmap.shape == (2, 20, 10)
    np.testing.assert_allclose(seen.logits, models["class token"](images), atol=1e-4)


def test_one_target_serves_all_pictures(models, pictures):
    one = explain(models["patch mean"], pictures, "tscam", target=4)
    each = explain(models["patch mean"], pictures, "tscam", target=[4] * 5)
    np.testing.assert_array_equal(one.target, [4] * 5)
    np.testing.assert_array_equal(one.heatmap, each.heatmap)


def test_half_precision(pictures):
    model = classifier("class token and patch mean", dtype="mixed_float16")
    for method in ("rollout", "gradcam", "gradient_rollout", "legrad"):
        seen = explain(model, pictures, method)
        assert seen.heatmap.dtype == np.float32
        assert np.isfinite(seen.heatmap).all()
        assert seen.heatmap.max() == 1.0


def test_compiles_once_for_all_batch_sizes(pictures, monkeypatch):
    traces = []

    def count(*args, **kwargs):
        traces.append(args)
        return explain_tensors(*args, **kwargs)

    monkeypatch.setattr(heatmaps, "explain_tensors", count)
    model = classifier()
    for batch_size in (5, 3, 1):
        explain(model, pictures, "raw", batch_size=batch_size)
    explain(model, pictures[:, :11, :17], "raw")
    assert len(traces) == 1
    explain(model, pictures, "raw", layer=0)
    assert len(traces) == 2


def test_sees_new_weights(pictures):
    model = classifier()
    before = explain(model, pictures).logits
    with_random_weights(model, scale=0.3)
    assert np.abs(explain(model, pictures).logits - before).max() > 0.01


def test_keeps_no_model_alive(pictures):
    model = classifier()
    explain(model, pictures, "raw")
    explain(model, pictures, "legrad")
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ({"method": "rolout"}, "Unknown method; did you mean 'rollout'"),
        ({"method": "raw", "layers": 1}, r"Unknown option; did you mean 'layer'\? Received: option='layers'"),
        ({"method": "raw", "layer": 2}, r"layer must be in \[-2, 2\)\. Received: layer=2"),
        ({"target": CLASSES}, r"target must be in \[0, 11\)\. Received: target=11"),
        ({"target": -1}, r"target must be in \[0, 11\)\. Received: target=-1"),
        ({"target": [1, 2]}, r"target must be an int or 5 ints, one per picture\. Received: target=\[1, 2\]"),
        ({"target": 1.5}, r"target must be an int or 5 ints, one per picture\. Received: target=1\.5"),
    ],
)
def test_refuses_what_does_not_exist(models, pictures, asks, message):
    with pytest.raises(ValueError, match=message):
        explain(models["class token"], pictures, **asks)


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(CLASS_AGNOSTIC)))
def test_a_backbone_explains_no_class(backbone, pictures, method):
    with pytest.raises(ValueError, match=f"for a bare backbone use 'raw' or 'rollout'.*'{method}'"):
        explain(backbone, pictures, method)


def test_a_backbone_takes_no_target(backbone, pictures):
    with pytest.raises(ValueError, match=r"A bare backbone has no classes.* Received: target=3"):
        explain(backbone, pictures, target=3)


@pytest.mark.parametrize("shape", [(19, 31, 3), (0, 19, 31, 3), (2, 19, 31, 1)])
def test_refuses_other_shapes(models, shape):
    pictures = np.zeros(shape, "uint8")
    with pytest.raises(ValueError, match=r"\(b, H, W, 3\) with b >= 1\. Received: images\.shape="):
        explain(models["class token"], pictures)


def test_refuses_other_integers(models):
    with pytest.raises(ValueError, match=r"uint8, or float.* dtype int32"):
        explain(models["class token"], np.zeros((2, 19, 31, 3), "int32"))


def test_refuses_other_backends(models, pictures, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"explain needs Keras's TensorFlow backend\. Received: KERAS_BACKEND=jax"):
        explain(models["class token"], pictures)
