"""What both models share: contracts, steps, padding, the future, alignments, generation, the loss, and that they learn."""

import keras
import numpy as np
import pytest

from tests.checks import assert_close, numpy
from tests.textkit.models import MODELS, check_seq2seq, check_steps, make, make_ids
from textkit.seq2seq import TokenCrossEntropy

EVERY = pytest.mark.parametrize("name", MODELS)
SOFT = [name for name in MODELS if name not in ("fixed", "hard")]


@pytest.mark.parametrize("name", ["deep", "pre_norm"])
def test_contracts(name):
    check_seq2seq(name)


@EVERY
def test_step_by_step_equals_all_at_once(name):
    check_steps(make(name))


@EVERY
def test_padding_of_the_source_changes_nothing(name):
    model, ids = make(name), make_ids()
    expected = numpy(model(ids, return_attention_scores=True))
    longer = {**ids, "source_ids": np.pad(ids["source_ids"], ((0, 0), (0, 2)))}
    padded = numpy(model(longer, return_attention_scores=True))
    assert_close(padded["logits"], expected["logits"])
    assert_close(padded["alignment"][..., :5], expected["alignment"])
    assert not padded["alignment"][..., 5:].any()
    # and alone, without any padding, also where there is one token
    for row, (s, t) in enumerate([(5, 7), (3, 4), (1, 2)]):
        alone = {"source_ids": ids["source_ids"][row : row + 1, :s], "target_ids": ids["target_ids"][row : row + 1, :t]}
        assert_close(numpy(model(alone))[0], expected["logits"][row, :t])


@EVERY
def test_nothing_leaks_from_the_future(name):
    model, ids = make(name), make_ids((5, 5), (7, 7))
    before = numpy(model(ids))
    for start in range(1, 7):
        other = ids["target_ids"].copy()
        other[:, start:] = 21 - other[:, start:]
        after = numpy(model({**ids, "target_ids": other}))
        assert_close(after[:, :start], before[:, :start])
        assert np.abs(after[:, start] - before[:, start]).max() > 1e-3


@EVERY
def test_the_first_token_of_the_source_reaches_the_last_logits(name):
    model, ids = make(name), make_ids((5, 5), (7, 7))
    other = ids["source_ids"].copy()
    other[:, 0] = np.where(other[:, 0] > 10, 4, 16)
    assert np.abs(numpy(model({**ids, "source_ids": other})) - numpy(model(ids)))[:, -1].max() > 1e-4


@pytest.mark.parametrize("name", SOFT)
def test_soft_alignments_sum_to_one_over_real_tokens(name):
    ids = make_ids()
    alignment = numpy(make(name)(ids, return_attention_scores=True)["alignment"])
    assert alignment.dtype == "float32"
    assert alignment.shape == (3, 7, 5)
    assert_close(alignment.sum(-1), np.ones((3, 7)))
    assert not alignment[np.broadcast_to(ids["source_ids"][:, None] == 0, alignment.shape)].any()
    assert (alignment[0] > 0).all()


@EVERY
def test_a_source_of_nothing_but_padding_stays_finite(name):
    ids = make_ids()
    ids["source_ids"][1] = 0
    seen = numpy(make(name)(ids, return_attention_scores=True))
    assert np.isfinite(seen["logits"]).all()
    assert not seen["alignment"][1].any()


@EVERY
def test_mixed_precision_steps(name):
    model = make(name, dtype="mixed_float16")
    ids = make_ids()
    seen = model(ids, return_attention_scores=True)
    assert keras.backend.standardize_dtype(seen["logits"].dtype) == "float32"
    written = model.generate(ids["source_ids"], max_length=3)
    assert written["ids"].shape == (3, 3)
    full = make(name)(ids)
    assert np.abs(numpy(seen["logits"]) - numpy(full)).max() < 0.2 * np.abs(numpy(full)).max()


@pytest.mark.parametrize("name", ["fixed", "additive", "deep", "pre_norm"])
def test_greedy_generation_takes_the_most_probable_token(name):
    model, ids = make(name), make_ids()
    written = model.generate(ids["source_ids"], max_length=6)
    assert set(written) == {"ids", "lengths", "scores", "alignment"}
    target = np.concatenate([np.full((3, 1), 2), written["ids"][:, :-1]], axis=1)
    seen = numpy(model({**ids, "target_ids": target.astype("int32")}, return_attention_scores=True))
    for row, length in enumerate(written["lengths"]):
        assert (written["ids"][row, :length] == seen["logits"][row, :length].argmax(-1)).all()
        assert_close(written["alignment"][row, :length], seen["alignment"][row, :length])
        assert not written["ids"][row, length:].any()


@pytest.mark.parametrize("name", ["additive", "post_norm"])
def test_a_beam_of_one_is_greedy_and_a_beam_finds_no_worse(name):
    model, source_ids = make(name), make_ids()["source_ids"]
    greedy = model.generate(source_ids, max_length=5)
    one = model.generate(source_ids, "beam", max_length=5, beam_width=1)
    assert (one["ids"] == greedy["ids"]).all()
    wide = model.generate(source_ids, "beam", max_length=5, beam_width=19, length_penalty=0.0)
    assert (wide["scores"] >= greedy["scores"] - 1e-5).all()
    options = {"max_length": 5, "beam_width": 19, "length_penalty": 0.0}
    alone = [model.generate(source_ids[row : row + 1], "beam", **options) for row in range(3)]
    assert (np.concatenate([row["ids"] for row in alone]) == wide["ids"]).all()


@pytest.mark.parametrize("name", ["additive", "post_norm"])
def test_xla_writes_the_same(name):
    model, source_ids = make(name), make_ids()["source_ids"]
    plain, compiled = (model.generate(source_ids, "beam", max_length=5, jit_compile=xla) for xla in (False, True))
    assert (plain["ids"] == compiled["ids"]).all()
    assert_close(compiled["alignment"], plain["alignment"])


def test_generation_follows_the_weights_and_the_seed():
    model, source_ids = make("additive"), make_ids()["source_ids"]
    options = {"method": "sample", "max_length": 11}
    first, second = model.generate(source_ids, seed=5, **options), model.generate(source_ids, **options)
    assert (first["ids"] != second["ids"]).any()
    assert (model.generate(source_ids, seed=5, **options)["ids"] == first["ids"]).all()
    greedy = model.generate(source_ids, max_length=4)
    model.head.bias.assign(100.0 * (np.arange(19) == 13))
    assert (greedy["ids"] != 13).any()
    assert (model.generate(source_ids, max_length=4)["ids"] == 13).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_against_a_loop(smoothing):
    random = np.random.RandomState(0)
    labels, logits = np.array([[4, 1, 3], [2, 0, 0]]), random.normal(size=(2, 3, 5)).astype("float32")
    weights = np.array([[1.0, 0.5, 1.0], [2.0, 7.0, 7.0]], "float32")
    total, norm = 0.0, 0.0
    for row, column in [(0, 0), (0, 1), (0, 2), (1, 0)]:
        log = logits[row, column] - np.log(np.exp(logits[row, column]).sum())
        wanted = np.full(5, smoothing / 5)
        wanted[labels[row, column]] += 1 - smoothing
        total -= weights[row, column] * (wanted * log).sum()
        norm += weights[row, column]
    loss = TokenCrossEntropy(smoothing)
    assert_close(loss(labels, logits, weights), np.float32(total / norm))
    assert_close(loss(labels, logits, np.array([3.0, 3.0])), numpy(loss(labels, logits)))
    rebuilt = keras.losses.deserialize(keras.losses.serialize(loss))
    assert_close(rebuilt(labels, logits, weights), np.float32(total / norm))


def test_loss_refuses_a_share_of_more_than_all():
    with pytest.raises(ValueError, match=r"`label_smoothing` should be in \[0, 1\). Received: label_smoothing=1"):
        TokenCrossEntropy(1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("additive", {"hidden_dim": 32, "embedding_dim": 32, "attention_dim": 32}),
        ("post_norm", {"hidden_dim": 32, "intermediate_dim": 64, "num_layers": 2, "dropout": 0.0}),
    ],
    ids=["recurrent", "transformer"],
)
def test_reversing_is_learnt_and_seen_in_the_alignment(name, options):
    keras.utils.set_random_seed(1)
    random = np.random.RandomState(1)
    symbols = random.randint(4, 17, (64 * 40, 5)).astype("int32")
    ids = {
        "source_ids": np.pad(symbols, ((0, 0), (0, 1)), constant_values=3),
        "target_ids": np.pad(symbols[:, ::-1], ((0, 0), (1, 0)), constant_values=2),
    }
    labels = np.pad(symbols[:, ::-1], ((0, 0), (0, 1)), constant_values=3)
    model_class, config = MODELS[name]
    model = model_class(**{**config, **options})
    model.compile(keras.optimizers.Adam(0.005), TokenCrossEntropy(), jit_compile=False)
    model.fit(ids, labels, epochs=8, batch_size=64, verbose=0)
    fresh = random.randint(4, 17, (100, 5)).astype("int32")
    written = model.generate(np.pad(fresh, ((0, 0), (0, 1)), constant_values=3), max_length=6)
    exact = (written["ids"][:, :5] == fresh[:, ::-1]).all(axis=1) & (written["ids"][:, 5] == 3)
    assert exact.mean() > 0.9
    if name == "additive":  # each token looks at the one it copies, from the other end
        assert (written["alignment"][:, :5].argmax(-1) == [4, 3, 2, 1, 0]).mean() > 0.8


@EVERY
def test_gradients_reach_every_weight(name):
    model, ids = make(name), make_ids((5, 4), (7, 6))
    before = [numpy(weight) for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), TokenCrossEntropy(), jit_compile=False)
    labels = np.random.RandomState(2).randint(4, 19, ids["target_ids"].shape)
    model.train_on_batch(ids, labels)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        if not weight.path.endswith("key/bias"):  # adds the same to all scores of a query: a softmax takes it out again
            assert np.abs(numpy(weight) - old).max() > 0, weight.path
