"""Each method of `explain` against loops, against a model run by hand, and against what it promises."""

import numpy as np
import pytest
import tensorflow as tf

from vitkit import evidence
from vitkit.backbone import ViTBackbone
from vitkit.classifier import ViTClassifier

SIZES = {
    "image_shape": (15, 25, 3),
    "patch_size": 5,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 14,
    "intermediate_dim": 17,
}
ROWS, COLUMNS, PATCHES, CLASSES, BATCH = 3, 5, 15, 11, 2
HEADS = {
    "class token": {"pooling": "token"},
    "distillation": {"pooling": "token", "use_distillation_token": True},
    "registers": {"pooling": "token", "num_register_tokens": 4},
    "patch mean": {"pooling": "mean"},
    "patch mean, no class token": {"pooling": "mean", "use_class_token": False, "num_register_tokens": 1},
    "class token and patch mean": {"pooling": "token_mean", "num_register_tokens": 2},
}


def with_random_weights(model, scale=0.4):
    """Weights far from their start, so that attention is not uniform and no head is silent."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0.1, scale, weight.shape))
    return model


@pytest.fixture(params=HEADS, scope="module")
def model(request):
    return with_random_weights(ViTClassifier(CLASSES, **SIZES, **HEADS[request.param]))


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(1).normal(size=(BATCH, 15, 25, 3)).astype("float32"))


TARGET = tf.constant([7, 2])
FEW = {"integrated_gradients": {"steps": 2}, "occlusion": {"window": 3, "stride": 2}}


def evidence_of(method, model, images, target=TARGET, **options):
    found = evidence.METHODS[method](model, images, target, **options)["evidence"]
    return np.reshape(found, (len(images), ROWS, COLUMNS))


def prefix(model):
    return model.backbone.num_prefix_tokens


def chosen_logit(logits, target=TARGET):
    return tf.reduce_sum(logits * tf.one_hot(target, CLASSES))


def looking_rows(model):
    """The query tokens whose attention is shown."""
    return [0] if model.backbone.use_class_token else range(prefix(model), prefix(model) + PATCHES)


class TestRaw:
    def test_reads_a_head_of_a_layer(self, model, images):
        scores = model(images, return_attention_scores=True)["attention_scores"][1].numpy()
        expected = scores[:, 1, looking_rows(model), prefix(model) :].mean(1).reshape(BATCH, ROWS, COLUMNS)
        found = evidence_of("raw", model, images, layer=1, head=1)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_skips_outliers(self, images):
        model = with_random_weights(ViTBackbone(**{**SIZES, "num_layers": 3}, num_register_tokens=2), scale=0.2)
        glaring = images.numpy()
        glaring[1, 5:10, 15:20] *= 100.0
        everything = evidence_of("raw", model, glaring)
        found = evidence_of("raw", model, glaring, skip_outliers=True)
        skipped = np.argwhere(found != everything)
        assert skipped.tolist() == [[1, 1, 3]]
        assert found[1, 1, 3] == 0


def test_rollout_equals_the_product_of_matrices(model, images):
    scores = [layer.numpy() for layer in model(images, return_attention_scores=True)["attention_scores"]]
    product = np.eye(prefix(model) + PATCHES)
    for layer in scores:
        product = (layer.mean(1) + np.eye(len(product[0]))) / 2 @ product
    expected = product[:, looking_rows(model), prefix(model) :].mean(1).reshape(BATCH, ROWS, COLUMNS)
    np.testing.assert_allclose(evidence_of("rollout", model, images), expected, atol=1e-6)


def test_tscam_couples_patch_logits_with_attention(model, images):
    outputs = model(images, return_attention_scores=True)
    class_map = model.patch_logits(outputs["sequence_output"]).numpy()
    expected = np.zeros((BATCH, PATCHES))
    for item, patch in np.ndindex(BATCH, PATCHES):
        attention = sum(
            layer.numpy()[item, :, looking_rows(model), prefix(model) + patch].mean()
            for layer in outputs["attention_scores"]
        )
        expected[item, patch] = class_map[item, patch, TARGET[item]] * attention
    found = evidence_of("tscam", model, images)
    np.testing.assert_allclose(found.reshape(BATCH, PATCHES), expected, rtol=1e-4, atol=1e-6)


def test_gradcam_equals_the_rest_of_the_model_run_by_hand(model, images):
    state = model(images, return_hidden_states=True)["hidden_states"][-2]
    with tf.GradientTape() as tape:
        tape.watch(state)
        rest = model.backbone.encoder_layers[-1](state, training=False)
        score = chosen_logit(model.classify(model.backbone.final_norm(rest)))
    gradient = tape.gradient(score, state).numpy()[:, prefix(model) :]
    features = state.numpy()[:, prefix(model) :]
    expected = np.maximum(np.einsum("bnd,bd->bn", features, gradient.mean(1)), 0.0)
    assert expected.max() > 0
    found = evidence_of("gradcam", model, images).reshape(BATCH, PATCHES)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_gradient_rollout_equals_the_product_of_matrices(model, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images, return_attention_scores=True)
        score = chosen_logit(outputs["logits"])
    scores = outputs["attention_scores"]
    gradients = tape.gradient(score, scores)
    product = np.eye(prefix(model) + PATCHES)
    for layer, gradient in zip(scores, gradients, strict=True):
        product = product + np.maximum(layer.numpy() * gradient.numpy(), 0).mean(1) @ product
    tokens = range(1 + model.backbone.use_distillation_token)
    patches = range(prefix(model), prefix(model) + PATCHES)
    read = {"token": tokens, "mean": patches, "token_mean": [0, *patches]}[model.pooling]
    expected = product[:, read, prefix(model) :].mean(1).reshape(BATCH, ROWS, COLUMNS)
    found = evidence_of("gradient_rollout", model, images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_legrad_equals_gradients_through_the_whole_model(model, images):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        outputs = model(images, return_attention_scores=True, return_hidden_states=True)
        logits = [model.classify(model.backbone.final_norm(state)) for state in outputs["hidden_states"]]
        layer_scores = [chosen_logit(one) for one in logits]
    expected = 0.0
    for score, attention in zip(layer_scores, outputs["attention_scores"], strict=True):
        gradient = np.maximum(tape.gradient(score, attention), 0.0)
        expected += gradient.mean((1, 2))[:, prefix(model) :] / SIZES["num_layers"]
    found = evidence.legrad(model, images, TARGET)
    np.testing.assert_allclose(found["evidence"], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(found["logits"], outputs["logits"], atol=1e-4)


class TestIntegratedGradients:
    def test_sums_to_the_gain_over_the_baseline(self, model, images):
        gain = (model(images) - model(tf.zeros_like(images))).numpy()[range(BATCH), TARGET]
        graph = tf.function(evidence.integrated_gradients)
        found = graph(model, images, TARGET, steps=100)["evidence"].numpy().sum((1, 2))
        np.testing.assert_allclose(found, gain, rtol=0.02, atol=0.02)

    def test_equals_a_loop(self, model, images):
        pixels = 0.0
        for share in (1 / 6, 3 / 6, 5 / 6):
            point = tf.constant(share * images)
            with tf.GradientTape() as tape:
                tape.watch(point)
                score = chosen_logit(model(point))
            pixels += (images * tape.gradient(score, point)).numpy() / 3
        expected = np.zeros((BATCH, ROWS, COLUMNS))
        for item, row, column in np.ndindex(BATCH, 15, 25):
            expected[item, row // 5, column // 5] += pixels[item, row, column].sum()
        found = evidence_of("integrated_gradients", model, images, steps=3)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    def test_refuses_no_steps(self, model, images):
        with pytest.raises(ValueError, match=r"steps must be at least 1\. Received: steps=0"):
            evidence.integrated_gradients(model, images, TARGET, steps=0)


class TestOcclusion:
    @pytest.mark.parametrize(
        ("window", "stride", "tops", "lefts"),
        [(2, 1, (0, 1), (0, 1, 2, 3)), (3, 2, (0,), (0, 2)), (2, 2, (0, 1), (0, 2, 3))],
    )
    def test_equals_a_loop(self, images, window, stride, tops, lefts):
        model = with_random_weights(ViTClassifier(CLASSES, **SIZES))
        before = model(images).numpy()[range(BATCH), TARGET]
        falls = [[[[] for _ in range(COLUMNS)] for _ in range(ROWS)] for _ in range(BATCH)]
        for top in tops:
            for left in lefts:
                covered = images.numpy()
                covered[:, 5 * top : 5 * (top + window), 5 * left : 5 * (left + window)] = 0.0
                fall = before - model(covered).numpy()[range(BATCH), TARGET]
                for item, row, column in np.ndindex(BATCH, window, window):
                    falls[item][top + row][left + column].append(fall[item])
        expected = [[[np.mean(cell) for cell in row] for row in item] for item in falls]
        found = evidence_of("occlusion", model, images, window=window, stride=stride)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"window": 4}, r"window must be in \[1, 3\]\. Received: window=4"),
            ({"window": 0}, r"window must be in \[1, 3\]\. Received: window=0"),
            ({"stride": 3}, r"stride must be in \[1, window=2\]\. Received: stride=3"),
        ],
    )
    def test_refuses_windows_that_do_not_cover_the_grid(self, model, images, options, message):
        with pytest.raises(ValueError, match=message):
            evidence.occlusion(model, images, TARGET, **options)


def test_gradcam_refuses_a_layer_that_is_not_there(model, images):
    with pytest.raises(ValueError, match=r"layer must be in \[-2, 2\)\. Received: layer=2"):
        evidence.gradcam(model, images, TARGET, layer=2)


@pytest.mark.parametrize("method", sorted(set(evidence.METHODS) - set(evidence.CLASS_AGNOSTIC)))
@pytest.mark.parametrize("model", ["distillation", "class token and patch mean"], indirect=True)
class TestClasses:
    def test_explains_the_predicted_class_by_default(self, model, images, method):
        predicted = model(images).numpy().argmax(-1).astype("int32")
        found = evidence.METHODS[method](model, images, tf.constant([-1, -1]), **FEW.get(method, {}))
        np.testing.assert_array_equal(found["target"], predicted)
        np.testing.assert_allclose(found["logits"], model(images), atol=1e-4)
        asked = evidence_of(method, model, images, tf.constant(predicted), **FEW.get(method, {}))
        np.testing.assert_allclose(np.reshape(found["evidence"], asked.shape), asked, rtol=1e-4, atol=1e-6)

    def test_classes_differ(self, model, images, method):
        options = FEW.get(method, {})
        one = evidence_of(method, model, images, tf.constant([3] * BATCH), **options)
        other = evidence_of(method, model, images, tf.constant([5] * BATCH), **options)
        assert np.abs(one - other).max() > 0.01 * np.abs(one).max()

    def test_needs_no_trainable_weights(self, model, images, method):
        expected = evidence_of(method, model, images, **FEW.get(method, {}))
        model.trainable = False
        try:
            found = evidence_of(method, model, images, **FEW.get(method, {}))
        finally:
            model.trainable = True
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["tscam", "gradcam", "integrated_gradients", "occlusion"])
def test_points_at_the_class_it_explains(method):
    """A head fitted to tell red patches from blue ones: red is found where red is, blue where blue is."""
    model = with_random_weights(ViTClassifier(2, **SIZES, pooling="mean"), scale=0.15)
    picture = np.zeros((1, 15, 25, 3), "float32")
    picture[0, 0:5, 5:10, 0] = 2.0
    picture[0, 10:15, 20:25, 2] = 2.0
    tokens = model(picture, return_hidden_states=True)["sequence_output"].numpy()[0, 1:]
    wanted = np.zeros((PATCHES, 2))
    wanted[1, 0] = wanted[14, 1] = 1.0
    centre = tokens.mean(0)
    kernel = np.linalg.lstsq(tokens - centre, wanted - wanted.mean(0), rcond=None)[0]
    (weight,) = (weight for weight in model.weights if tuple(weight.shape) == (SIZES["hidden_dim"], 2))
    (bias,) = (weight for weight in model.weights if tuple(weight.shape) == (2,))
    weight.assign(kernel)
    bias.assign(wanted.mean(0) - centre @ kernel)
    options = {"layer": -1} if method == "gradcam" else {"window": 1} if method == "occlusion" else {}
    picture = tf.constant(picture)
    red = evidence_of(method, model, picture, tf.constant([0]), **options)[0]
    blue = evidence_of(method, model, picture, tf.constant([1]), **options)[0]
    assert np.unravel_index(red.argmax(), red.shape) == (0, 1)
    assert np.unravel_index(blue.argmax(), blue.shape) == (2, 4)
