"""`fine_tune`: every kind of model learns, goes on where it stopped, and refuses what it must."""

import itertools
import json

import keras
import numpy as np
import pytest

from shared_layers.runtime import StopOnNaN
from tests.textkit import labels
from tests.textkit.labels import make_model
from textkit import MaskedLanguageModel, TextClassifier
from textkit.fine_tuning import fine_tune, freeze_layers, rate_multipliers
from textkit.label_evaluation import evaluate_labels
from textkit.text_head import TextHead


def run(folder, kind="classify", data=None, model=None, **options):
    model = model or make_model(kind)
    given = {"epochs": 1, "batch_size": 16, "buckets": 2, "learning_rate": 1e-2, "progress": False}
    return model, fine_tune(model, data or labels.DATA[kind](), folder, **given | options)


@pytest.mark.parametrize(
    ("kind", "options", "data", "metric", "least"),
    [
        ("classify", {}, {}, "accuracy", 0.9),
        ("classify", {}, {"pair": True}, "accuracy", 0.9),
        ("classify", {"problem": "multi"}, {"problem": "multi"}, "accuracy", 0.8),  # all classes of a text right
        ("classify", {"problem": "regression", "num_classes": 1}, {"problem": "regression"}, "pearson", 0.9),
        ("tag", {}, {}, "f1", 0.9),
        ("qa", {}, {}, "exact_match", 0.8),
    ],
)
def test_learns_and_is_measured_beside_a_baseline(tmp_path, kind, options, data, metric, least):
    data = labels.DATA[kind](470, **data)
    _, summary = run(tmp_path, kind, data, make_model(kind, **options), epochs=12 if kind == "qa" else 5)
    json.dumps(summary)
    assert {path.name for path in tmp_path.iterdir()} == {"best.keras", "last.keras", "logs"}
    best = TextHead.from_preset(tmp_path / "best.keras")  # in which the vocabulary is
    report = evaluate_labels(best, data, "test", batch_size=7)
    json.dumps(report)
    assert (report["data"], report["split"], report["num_examples"]) == ("small", "test", 30)
    assert report[metric] > least
    assert report["baseline"].keys() < report.keys()
    assert report["baseline"][metric] < 0.8
    if kind != "qa" and data.class_names:
        assert best.class_names == list(data.class_names)


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch):
    options = {"epochs": 3, "weight_decay": 0.3, "ema_momentum": 0.5, "layer_decay": 0.7, "class_weights": "balanced"}
    straight, told = run(tmp_path / "straight", "tag", model=make_model("tag", dropout=0.3), **options)
    steps = itertools.count(1)

    def interrupt(self, batch, logs=None):
        step = next(steps)
        if step == 1:
            assert not list((tmp_path / "resumed").glob("*.*"))
        if step == told["steps_per_epoch"] + 2:
            raise KeyboardInterrupt

    (tmp_path / "resumed").mkdir()
    for name in ("last.keras", "report.json"):  # of an earlier run
        (tmp_path / "resumed" / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", "tag", model=make_model("tag", dropout=0.3), **options)
    resumed, summary = run(tmp_path / "resumed", "tag", model=make_model("tag", seed=7, dropout=0.3), resume=True, **options)
    for name, values in summary["history"].items():
        assert len(values) == 2
        np.testing.assert_allclose(values, told["history"][name][1:], rtol=1e-5, err_msg=name)
    for ours, theirs in zip(straight.variables, resumed.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=ours.path)


def test_a_run_does_not_go_on_as_another_model(tmp_path):
    run(tmp_path, data=labels.reviews(100), model=make_model("classify", use_pooler=False))
    other = make_model("classify", class_names=["good", "bad"], use_pooler=False)
    with pytest.raises(ValueError, match=r"^Expected the class_names that this run .* Received: a different class_names, "):
        run(tmp_path, data=labels.reviews(100), model=other, resume=True, epochs=2)
    other = make_model("classify", pooling="mean")  # of the same weights
    with pytest.raises(ValueError, match=r"^Expected the pooling that this run .* Received: a different pooling, folder="):
        run(tmp_path, data=labels.reviews(100), model=other, resume=True, epochs=2)


def test_patience_ends_training(tmp_path):
    data = labels.reviews(100)
    _, summary = run(tmp_path, data=data, epochs=9, patience=2, learning_rate=1e-9)  # which changes nothing
    assert summary["epochs"] == len(summary["history"]["loss"]) == 3
    _, again = run(tmp_path, data=data, epochs=9, patience=2, learning_rate=1e-9, resume=True)
    assert again["epochs"] == 3
    assert not again["history"].get("loss")


def test_rates_decay_layer_by_layer():
    model = make_model("classify", num_layers=2)
    found = rate_multipliers(model, 0.5)
    expected = {"_embedding/": 0.125, "embedding_norm/": 0.125, "encoder_layer_0/": 0.25, "encoder_layer_1/": 0.5}
    for variable in model.trainable_variables:
        rate = next((rate for part, rate in expected.items() if part in variable.path), 1.0)
        assert found.get(variable.path, 1.0) == rate, variable.path
    assert {path.partition("/")[0] for path in found} == {
        "token_embedding",
        "segment_embedding",
        "position_embedding",
        "embedding_norm",
        "encoder_layer_0",
        "encoder_layer_1",
    }
    assert rate_multipliers(model, 1.0) == {}
    shared = rate_multipliers(make_model("classify", num_layers=2, share_layers=True, embedding_dim=4), 0.5)
    assert {rate for path, rate in shared.items() if "encoder_layer_0" in path} == {0.5}
    assert {rate for path, rate in shared.items() if "embedding" in path} == {0.25}


def test_lower_layers_move_less(tmp_path):
    model = make_model("classify", num_layers=2)
    before = {variable.path: variable.numpy() for variable in model.trainable_variables}
    run(tmp_path, data=labels.reviews(100), model=model, layer_decay=1e-3, weight_decay=0.0)

    def moved(part):
        paths = [variable for variable in model.trainable_variables if part in variable.path]
        return max(np.abs(variable.numpy() - before[variable.path]).max() for variable in paths)

    assert moved("token_embedding") < moved("encoder_layer_0") < moved("encoder_layer_1") < moved("head")
    assert moved("token_embedding") < 1e-8 < 1e-3 < moved("head")


def test_frozen_layers_stay(tmp_path):
    model = make_model("classify", num_layers=2)
    before = {variable.path: variable.numpy() for variable in model.variables}
    run(tmp_path, data=labels.reviews(100), model=model, freeze=1)
    still = {weight.path for weight in model.weights if np.array_equal(weight.numpy(), before[weight.path])}
    assert still == {
        path for path in before if "embedding_norm" in path or "_embedding/" in path or "encoder_layer_0" in path
    }
    with pytest.raises(ValueError, match=r"^Expected at most 2 layers to freeze\. Received: freeze=3$"):
        freeze_layers(model, 3)


def test_classes_are_matched_by_name(tmp_path):
    turned = make_model("classify", class_names=["good", "bad"])
    data = labels.reviews()
    run(tmp_path, data=data, model=turned, epochs=8)
    assert turned.class_names == ["good", "bad"]
    report = evaluate_labels(turned, data)
    assert report["accuracy"] > 0.9
    assert report["confusion"]["classes"] == ["good", "bad"]
    counts = np.bincount(data.labels("test"))[::-1]
    np.testing.assert_array_equal(np.sum(report["confusion"]["counts"], axis=1), counts)
    assert [scores["count"] for scores in report["classes"].values()] == counts.tolist()


def test_mixed_precision_and_xla_train(tmp_path):
    for dtype in ("mixed_bfloat16", "mixed_float16"):
        options = {"model": make_model("classify", dtype=dtype), "buckets": 1, "jit_compile": dtype == "mixed_bfloat16"}
        model, summary = run(tmp_path / dtype, data=labels.reviews(100), **options)
        assert np.isfinite(summary["history"]["loss"]).all()
        assert model.head.kernel.dtype == "float32"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("learning_rate", float("nan")),
        ("layer_decay", 0.0),
        ("warmup", 0.6),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("patience", 0),
        ("ema_momentum", 1.0),
    ],
)
def test_refuses_numbers_out_of_range(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"^Expected a number .*\. Received: {name}={value}$"):
        run(tmp_path / "run", **{name: value})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "model", "data", "options", "message"),
    [
        (
            "classify",
            {},
            labels.tagged,
            {},
            r"^Expected ClassifiedTexts for a TextClassifier\. Received: TaggedTexts 'small'",
        ),
        ("tag", {}, labels.asked, {}, r"^Expected TaggedTexts for a TokenClassifier\. Received: Questions 'small'"),
        (
            "classify",
            {"problem": "multi"},
            None,
            {},
            r"the model's problem, 'multi'\. Received: 'small' with problem='single'",
        ),
        (
            "classify",
            {"num_classes": 3},
            None,
            {},
            r"^Expected data with the model's 3 classes, .*\. Received: 'small' with 2 cl",
        ),
        (
            "classify",
            {"num_classes": 3, "class_names": ["bad", "good", "so so"]},
            None,
            {},
            r"^Expected data with the model's 3 classes, .*\. Received: 'small' with 2 classes",
        ),
        (
            "classify",
            {"class_names": ["bad", "goo"]},
            None,
            {},
            r"^Unknown label; did you mean 'goo'\? Received: label='good'",
        ),
        (
            "classify",
            {"tokenizer": None},
            None,
            {},
            r"^Expected a model that was made with a tokenizer\. Rec.* tokenizer=None",
        ),
        (
            "classify",
            {"vocabulary_size": 9},
            None,
            {},
            r"^Expected a tokenizer of at most the model's 9 ids\. Received: a tokenizer of \d+ ids",
        ),
        ("classify", {}, None, {"max_length": 25}, r"^Expected at most the model's 24 positions\. Received: max_length=25$"),
        ("classify", {}, None, {"stride": 5}, r"^A TextClassifier does not take stride\. Received: stride=5$"),
        ("tag", {}, None, {"stride": 5}, r"^A TokenClassifier does not take stride\. Received: stride=5$"),
        ("qa", {}, None, {"class_weights": "balanced"}, r"^A SpanClassifier does not take class_weights\. Rec"),
        (
            "classify",
            {},
            None,
            {"class_weights": "balance"},
            r"^Expected 'balanced', a dict or None.*class_weights='balance'",
        ),
        ("classify", {}, None, {"class_weights": {"goood": 2.0}}, r"^Unknown class; did you mean 'good'"),
        (
            "qa",
            {},
            None,
            {"max_length": 4},
            r"^Expected max_length above 4, and stride above 0\. Received: max_length=4, stride=",
        ),
        (
            "qa",
            {},
            None,
            {"stride": 0},
            r"^Expected max_length above 4, and stride above 0\. Received: max_length=24, stride=0",
        ),
    ],
)
def test_refuses_what_does_not_fit(tmp_path, kind, model, data, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", kind, (data or labels.DATA[kind])(), make_model(kind, **model), **options)
    assert not any(tmp_path.iterdir())


def test_refuses_a_regression_of_several_numbers_and_its_weights(tmp_path):
    data = labels.reviews(100, "regression")
    with pytest.raises(ValueError, match=r"^Expected num_classes=1 for a regression\. Received: num_classes=2$"):
        run(tmp_path, data=data, model=make_model("classify", problem="regression"))
    with pytest.raises(ValueError, match=r"^A TextClassifier with problem='\w+' does not take class_weights\."):
        run(tmp_path, data=data, model=make_model("classify", problem="regression", num_classes=1), class_weights="balanced")


def test_refuses_a_model_without_classes(tmp_path):
    sizes = labels.SIZES
    with pytest.raises(
        ValueError, match=r"^Expected a model with a head: TextClassifier, .*\. Received: model of MaskedLang"
    ):
        run(tmp_path / "run", model=MaskedLanguageModel(**sizes))
    with pytest.raises(ValueError, match=r"^Unknown split; did you mean 'test'"):
        evaluate_labels(make_model("classify"), labels.reviews(100), "tset")
    with pytest.raises(ValueError, match=r"^Expected at least 0\. Received: num_errors=-1$"):
        evaluate_labels(make_model("classify"), labels.reviews(100), num_errors=-1)


def test_weights_of_classes_are_those_of_the_loss(tmp_path):
    """The first loss that `fit` tells is the weighted mean by hand."""
    data = labels.reviews(100)
    model = make_model("classify", head_dropout=0.0)
    weights = {"bad": 3.0, "good": 0.5}
    texts, kinds = zip(*((row[0][0], row[1]) for row in data.train), strict=True)
    logits = np.asarray(model(model.tokenizer.encode(list(texts))))
    each = np.array([weights[data.class_names[kind]] for kind in kinds])
    loss = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(kinds)), kinds]
    _, summary = run(tmp_path, data=data, model=model, class_weights=weights, batch_size=30, buckets=1, learning_rate=1e-12)
    assert summary["steps_per_epoch"] == 1
    np.testing.assert_allclose(summary["history"]["loss"], [(each * loss).sum() / each.sum()], rtol=1e-5)
    assert isinstance(model, TextClassifier)
    assert isinstance(model.loss, keras.losses.SparseCategoricalCrossentropy)
