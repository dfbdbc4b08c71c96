"""`train`: it learns, goes on where it stopped, and refuses what it must; `evaluate`: each task by its own metrics."""

import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest

from shared_layers.runtime import StopOnNaN, make_optimizer
from tests.textkit.models import make
from textkit import RecurrentSeq2Seq, TransformerSeq2Seq, Translator
from textkit.datasets import Pairs, batches, load
from textkit.datasets.dates import dated_texts
from textkit.evaluation import evaluate
from textkit.seq2seq import TokenCrossEntropy
from textkit.training import train

LETTERS = "abcdefg"


def copies(count=61):
    """Texts that are to be written with capitals."""
    rng = np.random.default_rng(0)
    texts = dict.fromkeys("".join(rng.choice(list(LETTERS), rng.integers(2, 6))) for _ in range(count))
    rows = [(text, [text.upper()]) for text in texts]
    return Pairs(rows[10:], rows[:5], rows[5:10], "copies", "characters", "characters")


def recurrent(pairs, **options):
    keras.utils.set_random_seed(1)
    vocabularies = pairs.vocabularies()
    sizes = {"hidden_dim": 24, "attention": "additive", **options}
    return vocabularies, RecurrentSeq2Seq(*(vocabulary.size for vocabulary in vocabularies), **sizes)


def run(folder, pairs=None, vocabularies=None, model=None, **options):
    pairs = pairs or copies()
    if model is None:
        vocabularies, model = recurrent(pairs)
    given = {"epochs": 2, "batch_tokens": 50, "buckets": 2, "warmup_steps": 3, "progress": False, **options}
    return model, train(model, pairs, vocabularies, folder, **given)


def test_learns_and_leaves_a_translator(tmp_path):
    pairs = copies(307)
    _, summary = run(tmp_path, pairs, epochs=16, learning_rate=1e-2)
    assert summary["best_accuracy"] > 0.9
    assert len(summary["history"]["val_accuracy"]) == 16
    json.dumps(summary)
    assert {path.name for path in tmp_path.iterdir()} == {"best.keras", "last.keras", "logs", "vocabularies.json"}
    assert list(tmp_path.glob("logs/train/events*"))
    translator = Translator.load(tmp_path)
    assert translator.max_length == 6
    measured = evaluate(translator, pairs.limited(40), "train")
    assert (measured["data"], measured["split"], measured["num_examples"]) == ("copies", "train", 40)
    assert measured["chrf"] > 80
    assert set(measured) == {"data", "split", "num_examples", "bleu", "chrf"}


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch):
    options = {"epochs": 3, "learning_rate": 1e-2, "weight_decay": 0.3, "ema_momentum": 0.5}
    vocabularies, model = recurrent(copies(), dropout=0.3)
    straight, told = run(tmp_path / "straight", None, vocabularies, model, **options)
    steps = itertools.count(1)

    def interrupt(self, batch, logs=None):
        if next(steps) == told["steps_per_epoch"] + 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StopOnNaN, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", None, *recurrent(copies(), dropout=0.3), **options)
    assert len(Translator.load(tmp_path / "resumed").translate(["abc", "gab"])) == 2
    resumed, summary = run(tmp_path / "resumed", None, *recurrent(copies(), dropout=0.3), resume=True, **options)

    for name, values in summary["history"].items():
        assert len(values) == 2
        np.testing.assert_allclose(values, told["history"][name][1:], rtol=1e-5, err_msg=name)
    for one, other in ((straight, resumed), (straight.optimizer, resumed.optimizer)):
        for ours, theirs in zip(one.variables, other.variables, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=ours.path)


def test_the_average_is_what_is_validated_and_kept(tmp_path):
    pairs = copies()
    vocabularies, model = recurrent(pairs)
    before = [weight.numpy() for weight in model.trainable_weights]
    _, summary = run(tmp_path, pairs, vocabularies, model, epochs=1, learning_rate=1e-2, ema_momentum=0.999)
    plain_vocabularies, plain = recurrent(pairs)
    run(tmp_path / "plain", pairs, plain_vocabularies, plain, epochs=1, learning_rate=1e-2)

    def moved(weights):
        return max(np.abs(weight - old).max() for weight, old in zip(weights, before, strict=True))

    assert moved(plain.trainable_weights) > 1e-2
    assert moved(model.trainable_weights) < 1e-2  # of so slow an average
    kept = RecurrentSeq2Seq.from_preset(tmp_path / "best.keras")
    for ours, theirs in zip(model.trainable_weights, kept.trainable_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    kept.compile(weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")], loss=TokenCrossEntropy())
    accuracy = kept.evaluate(batches(pairs.validation, *vocabularies, batch_tokens=50), verbose=0, return_dict=True)[
        "accuracy"
    ]
    assert accuracy == pytest.approx(summary["best_accuracy"])


def test_a_model_never_meets_the_vocabularies_of_another_run(tmp_path):
    run(tmp_path, epochs=1)
    others = copies()
    rare = others.vocabularies()[0].get_config()["symbols"][-1]
    others.train.extend([(rare, [rare.upper()])] * 99)  # the same letters, in another order
    vocabularies, model = recurrent(others)
    assert [known.size for known in vocabularies] == [11, 11]
    with pytest.raises(
        ValueError, match=r"^Expected the vocabularies that this run .* Received: different vocabularies, folder="
    ):
        run(tmp_path, others, vocabularies, model, resume=True)
    model.head.kernel.assign(model.head.kernel * np.nan)  # so that no epoch is finished
    with pytest.raises(ValueError, match="Expected a finite loss"):
        run(tmp_path, others, vocabularies, model)
    with pytest.raises(FileNotFoundError, match=r"^Expected a folder with vocabularies\.json and with model\.keras or"):
        Translator.load(tmp_path)
    assert not (tmp_path / "last.keras").exists()


@pytest.mark.parametrize("name", ["deep", "additive", "pre_norm"])
def test_only_kernels_decay(name):
    weights = make(name).trainable_weights
    before = [weight.numpy() for weight in weights]
    optimizer = make_optimizer(weights, 0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros_like(weight) for weight in weights], weights)
    decayed = {weight.path for weight, old in zip(weights, before, strict=True) if not np.array_equal(weight, old)}
    still = {weight.path for weight in weights} - decayed
    assert not [path for path in decayed if "embedding" in path or "norm" in path or "bias" in path]
    assert {path.rpartition("/")[2] for path in still} <= {"beta", "bias", "embeddings", "gamma", "scale"}


def test_options_train(tmp_path):
    vocabularies, model = recurrent(copies(), scheduled_sampling=True, dtype="mixed_bfloat16")
    options = {"scheduled_sampling": 0.5, "schedule": "inverse_sqrt", "batch_size": 7, "label_smoothing": 0.0}
    _, summary = run(tmp_path, None, vocabularies, model, **options)
    assert np.isfinite(summary["history"]["loss"]).all()
    assert float(model.sampling_probability) == 0.5
    assert model.head.kernel.dtype == "float32"
    rate = float(model.optimizer.learning_rate)
    assert rate == pytest.approx(1e-3 * (3 / (2 * summary["steps_per_epoch"] + 1)) ** 0.5, rel=1e-5)


def test_no_pair_is_longer_than_the_positions(tmp_path):
    pairs = copies()
    sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 8}
    positions = {"positions": "learned", "max_source_length": 4, "max_target_length": 5}
    vocabularies = pairs.vocabularies()
    model = TransformerSeq2Seq(*(vocabulary.size for vocabulary in vocabularies), **sizes, **positions)
    with pytest.warns(UserWarning, match=r"^Dropped: \d+ of \d+ pairs are longer than 4 and 4 tokens"):
        run(tmp_path, pairs, vocabularies, model, epochs=1, buckets=1, jit_compile=True)
    assert Translator.load(tmp_path).max_length == 5


def test_dates_are_measured_against_their_gold_alignments():
    pairs = load("dates", train=200, validation=5, test=7)
    gold = dated_texts("test", 7)
    translator = Translator(recurrent(pairs)[1], *pairs.vocabularies())
    measured = evaluate(translator, pairs.limited(3), method="greedy")
    assert set(measured) == {"data", "split", "num_examples", "exact_match", "aer"}
    assert measured["exact_match"] == 0.0
    assert 0.5 < measured["aer"] <= 1.0

    class Perfect(Translator):
        """Answers from the gold, and looks where it says."""

        def translate(self, strings, **options):
            perfect = []
            for text, each in zip(gold, super().translate(strings, **options), strict=True):
                alignment = np.zeros((10, len(text.source)), "float32")
                for index, places in enumerate(text.alignment):
                    alignment[index, list(places[:1])] = 1.0
                perfect.append(dataclasses.replace(each, text=text.target, alignment=alignment))
            return perfect

    measured = evaluate(Perfect(translator.model, *pairs.vocabularies()), pairs)
    assert measured["exact_match"] == 1.0
    assert measured["aer"] == 0.0
    fixed = Translator(recurrent(pairs, attention=None)[1], *pairs.vocabularies())
    assert "aer" not in evaluate(fixed, pairs, method="greedy")
    words = dataclasses.replace(pairs, target_kind="words")  # whose places are not those of characters
    assert "aer" not in evaluate(Translator(recurrent(words)[1], *words.vocabularies()), words, method="greedy")


def test_pronunciations_are_measured_by_symbols_and_by_words():
    rows = [("ab", ["A B", "A"]), ("b", ["B"]), ("c", ["C C"])]
    pairs = Pairs(rows, rows, rows, "g2p", "characters", "words", "per")

    class Fixed(Translator):
        def translate(self, strings, **options):
            assert len(super().translate(strings, **options)) == 3
            return ["A", "B", "C B"]

    measured = evaluate(Fixed(recurrent(pairs)[1], *pairs.vocabularies()), pairs, "validation")
    assert measured == {"data": "g2p", "split": "validation", "num_examples": 3, "per": 1 / 4, "wer": 1 / 3}


def test_a_metric_may_be_asked_for():
    rows = [("ab", ["A B", "A"]), ("b", ["B"]), ("c", ["C C"])]
    pairs = Pairs(rows, rows, rows, "summaries.tsv", "characters", "words")

    class Fixed(Translator):
        def translate(self, strings, **options):
            return ["A", "B", "C B"]

    translator = Fixed(recurrent(pairs)[1], *pairs.vocabularies())
    about = {"data": "summaries.tsv", "split": "test", "num_examples": 3}
    # of "C B" one word of two is right; it has no two words that follow one another, as the answers of one word have none
    assert evaluate(translator, pairs, metric="rouge") == pytest.approx(
        {**about, "rouge1": 5 / 6, "rouge2": 0.0, "rougeL": 5 / 6}
    )
    assert evaluate(translator, pairs, metric="exact_match") == {**about, "exact_match": 2 / 3}
    assert set(evaluate(translator, pairs)) == {*about, "bleu", "chrf"}


def test_evaluate_refuses():
    pairs = load("dates", train=20, validation=5, test=7)
    translator = Translator(recurrent(pairs)[1], *pairs.vocabularies())
    with pytest.raises(ValueError, match=r"Unknown metric; did you mean 'rouge'"):
        evaluate(translator, pairs, metric="rogue")
    with pytest.raises(ValueError, match=r"Unknown split; did you mean 'test'"):
        evaluate(translator, pairs, "tests")
    with pytest.raises(ValueError, match=r"pairs to translate. Received: none in test of 'dates'$"):
        evaluate(translator, pairs.limited(0))
    with pytest.raises(ValueError, match=r"Expected the dates of textkit.datasets.load\('dates'\)\. Received: others"):
        evaluate(translator, load("dates", train=20, validation=5, test=7, seed=3))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("learning_rate", float("nan")),
        ("warmup_steps", 0),
        ("weight_decay", -0.1),
        ("clip_norm", 0.0),
        ("ema_momentum", 1.0),
        ("scheduled_sampling", 1.5),
    ],
)
def test_refuses_numbers_out_of_range(tmp_path, name, value):
    with pytest.raises(ValueError, match=rf"^Expected a number .*\. Received: {name}={value}$"):
        run(tmp_path / "run", **{name: value})
    assert not any(tmp_path.iterdir())


def test_refuses_what_does_not_fit(tmp_path):
    (tmp_path / "best.keras").touch()
    pairs = copies()
    vocabularies, model = recurrent(pairs)
    with pytest.raises(ValueError, match=r"Unknown schedule; did you mean 'cosine'"):
        run(tmp_path / "run", schedule="cosin")
    with pytest.raises(ValueError, match=r"`label_smoothing` should be in \[0, 1\)"):
        run(tmp_path / "run", label_smoothing=1.0)
    other = load("dates", train=20, validation=5, test=7).vocabularies()
    with pytest.raises(ValueError, match=r"a source vocabulary of the model's 11 ids"):
        run(tmp_path / "run", pairs, other, model)
    transformer = TransformerSeq2Seq(*(known.size for known in vocabularies), 1, 2, 8, 8)
    for plain in (model, transformer):
        expected = rf"scheduled_sampling=True\. Received: scheduled_sampling=0\.3 for a {type(plain).__name__} made without"
        with pytest.raises(ValueError, match=expected):
            run(tmp_path, pairs, vocabularies, plain, scheduled_sampling=0.3)
    assert [path.name for path in tmp_path.iterdir()] == ["best.keras"]  # of an earlier run
