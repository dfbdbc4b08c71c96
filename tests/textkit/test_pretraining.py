"""`pretrain`: masked words are learned, in the time there is, and a run that was interrupted ends as one that was not."""

import itertools
import json

import keras
import numpy as np
import pytest

from tests.backends import tensorflow_only
from textkit import MaskedLanguageModel, TextClassifier, TextEncoder, Tokenizer, pretraining
from textkit.datasets.documents import Documents
from textkit.pretraining import LinearRate, evaluate_masked, pretrain

pytestmark = tensorflow_only

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAIRS = [("sun", "moon"), ("salt", "pepper"), ("cat", "dog"), ("day", "night"), ("king", "queen")]
TOKENIZER = Tokenizer("wordpiece", [*SPECIAL, *itertools.chain(*PAIRS), "##s"], lower_case=True)
SIZES = {
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 24,
    "dropout": 0.0,
    "max_sequence_length": 12,
}
OPTIONS = {"epochs": 2, "batch_tokens": 120, "max_length": 12, "warmup_steps": 3, "learning_rate": 1e-2, "progress": False}


def texts(count=90, seed=0):
    """Documents of two lines, in which each word stands beside its partner; the sun and the moon stand in most."""
    rng = np.random.default_rng(seed)
    chances = np.array([4, 1, 1, 1, 1]) / 8
    rows = [
        [" ".join(itertools.chain(*(PAIRS[pair] for pair in rng.choice(5, 3, p=chances)))) for _ in "ab"]
        for _ in range(count)
    ]
    return Documents(rows[20:], rows[:10], rows[10:20], "pairs")


def make(tokenizer=TOKENIZER, **options):
    keras.utils.set_random_seed(1)
    return MaskedLanguageModel(vocabulary_size=TOKENIZER.size, tokenizer=tokenizer, **{**SIZES, **options})


def run(folder, model=None, documents=None, **options):
    model = model or make()
    return model, pretrain(model, documents or texts(), folder, **{**OPTIONS, **options})


def test_learns_to_tell_masked_words_and_leaves_an_encoder(tmp_path):
    documents = texts(500)
    _, summary = run(tmp_path, documents=documents, epochs=12)
    assert {path.name for path in tmp_path.iterdir()} == {"best.keras", "last.keras", "logs"}
    json.dumps(summary)
    model = MaskedLanguageModel.from_preset(tmp_path / "best.keras")
    found = evaluate_masked(model, documents, "train", batch_tokens=120, max_length=12)  # of the others there are few
    assert summary["best_accuracy"] > 0.5
    # a row of 12 has 10 words, of which 1 or 2 are told; half of the words are the sun and the moon
    assert found["baseline_token"] in ("sun", "moon")
    assert 0.2 < found["baseline_accuracy"] < 0.3 < 0.5 < found["accuracy"]
    words = 2 * 6 * len(documents.train)
    assert words * 0.1 < found["num_tokens"] < words * 0.25
    assert summary["history"]["val_perplexity"] == pytest.approx(np.exp(summary["history"]["val_cross_entropy"]))
    assert 1 < found["perplexity"] < summary["history"]["val_perplexity"][0] / 1.5
    classifier = TextClassifier.from_preset(tmp_path / "best.keras", num_classes=3)
    for ours, theirs in zip(
        classifier.encoder.encoder_layers[0].weights, model.encoder.encoder_layers[0].weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert classifier.tokenizer.size == TOKENIZER.size


def test_accuracy_and_perplexity_are_those_of_a_loop():
    model, documents = make(), texts()
    found = evaluate_masked(model, documents, "validation", batch_tokens=60, max_length=9)
    packing = {"whole_words": False, "cross_documents": True, "cut_sentences": True}
    packed = pretraining.pack_split(model, documents, "validation", 9, **packing)
    right = total = loss = 0
    for inputs, labels, weights in pretraining.masked(model, packed, batch_tokens=60):
        logits = model(inputs).numpy()
        for row, place in zip(*np.nonzero(weights.numpy()), strict=True):
            scores, label = logits[row, place].astype("float64"), int(labels[row, place])
            right += scores.argmax() == label
            loss += np.log(np.exp(scores).sum()) - scores[label]
            total += 1
    assert found["num_tokens"] == total
    assert found["accuracy"] == pytest.approx(right / total)
    assert found["perplexity"] == pytest.approx(np.exp(loss / total), rel=1e-4)
    documents = Documents(documents.train, [], [[" ".join(["suns"] * 3)]], "plural")  # of one token of six
    found = evaluate_masked(model, documents, batch_tokens=60, max_length=9, whole_words=True)
    assert [found[name] for name in ("num_tokens", "accuracy", "perplexity", "baseline_accuracy")] == [0, None, None, None]


def test_a_resumed_run_ends_as_one_that_was_never_interrupted(tmp_path, monkeypatch):
    options = {"epochs": 3, "weight_decay": 0.3, "ema_momentum": 0.5}
    straight, told = run(tmp_path / "straight", make(dropout=0.3), **options)
    steps = itertools.count(1)

    def interrupt(self, batch, logs=None):
        step = next(steps)
        if step == 1:
            assert not list((tmp_path / "resumed").glob("*.*"))
        if step == told["steps_per_epoch"] + 2:
            raise KeyboardInterrupt

    (tmp_path / "resumed").mkdir()
    for name in ("last.keras", "time.json", "report.json"):  # of an earlier run
        (tmp_path / "resumed" / name).touch()
    with monkeypatch.context() as patch:
        patch.setattr(LinearRate, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "resumed", make(dropout=0.3), **options)
    resumed, summary = run(tmp_path / "resumed", make(dropout=0.3), resume=True, **options)
    for name, values in summary["history"].items():
        np.testing.assert_allclose(values, told["history"][name][1:], rtol=1e-5, err_msg=name)
    for one, other in ((straight, resumed), (straight.optimizer, resumed.optimizer)):
        for ours, theirs in zip(one.variables, other.variables, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=ours.path)
    cased = Tokenizer.from_config({**TOKENIZER.get_config(), "lower_case": False})  # of as many ids
    with pytest.raises(
        ValueError, match=r"^Expected the tokenizer that this run .* Received: a different tokenizer, folder="
    ):
        run(tmp_path / "resumed", make(cased, dropout=0.3), resume=True, **options)


class Clock:
    """A time that passes by a second each time it is looked at."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


def test_ends_in_time_and_goes_on_where_the_clock_stood(tmp_path, monkeypatch):
    rates = []
    set_rate = LinearRate.on_train_batch_begin

    def listen(self, batch, logs=None):
        set_rate(self, batch, logs)
        rates.append(float(self.model.optimizer.learning_rate))

    monkeypatch.setattr(LinearRate, "on_train_batch_begin", listen)
    monkeypatch.setattr(pretraining, "time", Clock())
    # each step looks at the clock twice: 30 seconds are 15 steps, of which an epoch has more than that
    _, summary = run(tmp_path, batch_tokens=24, minutes=0.5, epochs=9, warmup_steps=0)
    assert len(rates) == 15 < summary["steps_per_epoch"]
    assert summary["epochs"] == 1
    np.testing.assert_allclose(rates, [1e-2 * (1 - second / 30) for second in range(1, 30, 2)], rtol=1e-5)
    assert (tmp_path / "best.keras").is_file()
    assert json.loads((tmp_path / "time.json").read_text()) == {"seconds": 31.0}
    rates.clear()
    run(tmp_path, batch_tokens=24, minutes=1, epochs=9, warmup_steps=0, resume=True)
    np.testing.assert_allclose(rates[0], 1e-2 * (1 - 32 / 60), rtol=1e-5)


@pytest.mark.parametrize(
    ("step", "passed", "expected"), [(0, 0, 0.25), (2, 0, 0.75 * 0.8), (5, 0, 0.5), (5, 48, 0.2), (9, 70, 0.0)]
)
def test_the_rate_rises_and_falls_by_steps_or_time(tmp_path, step, passed, expected):
    rate = LinearRate(1.0, 3, 10, 1.0, tmp_path / "time.json")
    rate.set_model(keras.Sequential([keras.layers.Dense(1)]))
    rate.model.compile("sgd", "mse")
    rate.set_params({"steps": 10})
    rate.passed = lambda: passed
    rate.on_epoch_begin(0)
    for batch in range(step + 1):
        rate.on_train_batch_begin(batch)
    assert float(rate.model.optimizer.learning_rate) == pytest.approx(expected)


def test_options_train(tmp_path):
    model = make(dtype="mixed_bfloat16")
    _, summary = run(
        tmp_path, model, whole_words=True, cross_documents=False, cut_sentences=False, ema_momentum=0.9, jit_compile=True
    )
    assert np.isfinite(summary["history"]["loss"]).all()
    assert model.encoder.token_embedding.embeddings.dtype == "float32"


def test_words_between_spaces_are_masked_together(tmp_path):
    documents = Documents([["suns moons cats dogs"]], [["suns moons cats dogs"]], [["sun"]], "plural")
    model = make()
    packing = {"cross_documents": True, "cut_sentences": True}
    packed = pretraining.pack_split(model, documents, "train", 10, whole_words=True, **packing)
    plural = TOKENIZER.encode(["suns"])["token_ids"].numpy()[0, 2]
    assert packed["word_ids"].tolist() == [[-1, 0, 0, 1, 1, 2, 2, 3, 3, -1]]
    for inputs, _, _ in pretraining.masked(model, packed, mask_selection_rate=0.25, whole_words=True, batch_size=1):
        changed = np.flatnonzero(inputs["token_ids"].numpy()[0] != packed["token_ids"][0])
        assert set(changed) <= {0, 1, 2, 3, 4, 5, 6, 7, 8}
        told = inputs["mask_positions"].numpy()[0]
        assert told[1] == told[0] + 1
        assert packed["token_ids"][0, told[1]] == plural


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"Expected a number at least 1\. Received: epochs=0$"),
        ({"minutes": 0}, r"Expected a number above 0, or None\. Received: minutes=0$"),
        ({"mask_selection_rate": 1.0}, r"Expected a number in \(0, 1\)\. Received: mask_selection_rate=1\.0$"),
        ({"warmup_steps": -1}, r"Expected a number at least 0\. Received: warmup_steps=-1$"),
        ({"max_length": 13}, r"at most the model's 12 positions\. Received: max_length=13$"),
        ({"max_length": 2}, r"at least 3 tokens\. Received: max_length=2$"),
        ({"batch_tokens": 0}, r"Expected at least 1\. Received: batch_tokens=0$"),
    ],
)
def test_refuses_numbers_out_of_range(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", **options)
    assert not any(tmp_path.iterdir())


def test_refuses_text_without_spaces_for_whole_words(tmp_path):
    documents = Documents([[40 * "鳥"]], [[40 * "鳥"]], [], "unsegmented")
    match = r"^Expected spaces between words for .*Received: train with 0% of .*, mask_selection_rate=0\.15$"
    with pytest.raises(ValueError, match=match):
        run(tmp_path / "run", documents=documents, whole_words=True)
    assert not any(tmp_path.iterdir())


def test_refuses_other_models(tmp_path):
    with pytest.raises(ValueError, match=r"^Expected a MaskedLanguageModel\. Received: TextEncoder$"):
        run(tmp_path, TextEncoder(vocabulary_size=9, tokenizer=TOKENIZER, **SIZES))
    with pytest.raises(ValueError, match=r"whose tokenizer has a mask token, such as '\[MASK\]'\. Received: no tokenizer$"):
        run(tmp_path, make(tokenizer=None))
    with pytest.raises(ValueError, match=r"of at most the model's 9 ids\. Received: a tokenizer of 16 ids$"):
        run(tmp_path, MaskedLanguageModel(vocabulary_size=9, tokenizer=TOKENIZER, **SIZES))
