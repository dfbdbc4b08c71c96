"""CausalLM: against KerasHub's GPT-2, what it writes with its cache against what it says without, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.checks import assert_close, check_model, numpy
from tests.textkit.encoders import spread
from textkit import CausalLM

TINY = {
    "vocabulary_size": 23,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 12,
    "intermediate_dim": 11,
    "max_sequence_length": 13,
    "end_id": 1,
}
KINDS = {
    "learned": {},
    "rotary": {"positions": "rotary"},
    "sinusoidal": {"positions": "sinusoidal", "normalize_first": False, "activation": "relu"},
}
SEEDS = {"learned": 5, "rotary": 4, "sinusoidal": 4}  # of weights that write more than one token
PROMPTS = [[5, 9, 3, 17], [8, 2], [21]]


def make(kind="learned", **options):
    return spread(CausalLM(**{**TINY, **KINDS[kind], **options}), SEEDS[kind])


def padded(rows, first=False):
    length = max(map(len, rows))
    ids, mask = np.zeros((len(rows), length), "int32"), np.zeros((len(rows), length), bool)
    for row, tokens in enumerate(rows):
        places = slice(length - len(tokens), None) if first else slice(0, len(tokens))
        ids[row, places], mask[row, places] = tokens, True
    return {"token_ids": ids, "padding_mask": mask}


def log_probabilities(model, tokens):
    """Of what follows one text, without any cache."""
    return numpy(ops.log_softmax(model({"token_ids": np.array([tokens])})[0, -1]))


def write_by_hand(model, tokens, length):
    """The most probable tokens, each found from the whole text anew, and the sum of their log-probabilities."""
    written, score = [], 0.0
    while len(written) < length and 1 not in written:
        following = log_probabilities(model, tokens + written)
        written.append(int(following.argmax()))
        score += following.max()
    return written, score


@pytest.mark.parametrize("kind", ["learned", "rotary"])
def test_contracts(kind):
    check_model(CausalLM, {**TINY, **KINDS[kind]}, padded(PROMPTS), make(kind))


def test_equals_kerashub_s_gpt2():
    keras_hub = pytest.importorskip("keras_hub", reason="the model to compare with is KerasHub's")
    sizes = {name: value for name, value in TINY.items() if name != "end_id"}
    theirs = spread(keras_hub.models.GPT2Backbone(**sizes))
    ours = CausalLM(**TINY)
    ours.set_weights(theirs.get_weights())
    inputs = padded(PROMPTS)
    expected = numpy(theirs(inputs))
    seen = numpy(ours(inputs, return_hidden_states=True, return_attention_scores=True))
    real = inputs["padding_mask"]
    assert_close(seen["sequence_output"][real], expected[real], 1e-4)
    assert_close(seen["logits"][real], expected[real] @ numpy(ours.token_embedding.embeddings).T, 1e-4)
    assert_close(seen["logits"], ours(inputs))
    assert [state.shape for state in seen["hidden_states"]] == [(3, 4, 12)] * 3
    for scores in seen["attention_scores"]:
        assert scores.shape == (3, 2, 4, 4)
        assert np.triu(scores, 1).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_leaks_from_the_future(kind):
    model, ids = make(kind), np.array([[5, 9, 3, 17, 4]])
    before = numpy(model({"token_ids": ids}))
    for start in range(1, 5):
        after = numpy(model({"token_ids": np.where(np.arange(5) >= start, 7, ids)}))
        assert_close(after[:, :start], before[:, :start])
        assert np.abs(after[:, start] - before[:, start]).max() > 1e-3


@pytest.mark.parametrize("first", [False, True], ids=["padding last", "padding first"])
@pytest.mark.parametrize("kind", KINDS)
def test_with_the_cache_it_writes_what_it_says_without(kind, first):
    model = make(kind)
    result = model.generate(padded(PROMPTS, first), max_length=6)
    assert "alignment" not in result
    for row, tokens in enumerate(PROMPTS):
        written, score = write_by_hand(model, tokens, 6)
        assert result["ids"][row, : result["lengths"][row]].tolist() == written
        np.testing.assert_allclose(result["scores"][row], score, atol=1e-5, rtol=1e-5)


def test_the_end_is_kept():
    written, _ = write_by_hand(make(), PROMPTS[0], 6)
    end = next(token for token in written if token != written[0])
    kept = written[: written.index(end) + 1]
    result = make(end_id=end).generate(padded(PROMPTS[:1]), max_length=6)
    assert result["lengths"].tolist() == [len(kept)]
    assert result["ids"][0].tolist() == kept + [0] * (6 - len(kept))


def test_a_beam_scores_what_it_says_without_the_cache():
    model = make("rotary")
    result = model.generate(padded(PROMPTS), "beam", max_length=4, beam_width=3, num_best=3)
    assert result["ids"].shape == (3, 3, 4)
    for row, tokens in enumerate(PROMPTS):
        for ids, length, score in zip(*(result[name][row] for name in ("ids", "lengths", "scores")), strict=True):
            text, expected = list(tokens), 0.0
            for token in ids[:length]:
                expected += log_probabilities(model, text)[token]
                text.append(int(token))
            np.testing.assert_allclose(score, expected, atol=1e-5, rtol=1e-5)


def test_a_seed_draws_the_same_again():
    model, prompts = make(), padded(PROMPTS)
    one, two, other = (model.generate(prompts, "sample", max_length=8, seed=seed)["ids"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_one_token_alone_is_a_text_and_one_may_be_written():
    model = make()
    result = model.generate({"token_ids": np.array([[5]])}, max_length=1)
    assert result["ids"].tolist() == [write_by_hand(model, [5], 1)[0]]


def test_new_weights_are_written_with():
    model = make()
    before = model.generate(padded(PROMPTS), max_length=6)["ids"]
    spread(model, seed=4)
    after = model.generate(padded(PROMPTS), max_length=6)["ids"]
    assert (before != after).any()
    assert after[2, 0] == write_by_hand(model, PROMPTS[2], 1)[0][0]


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_logits_are_float32(dtype):
    model = CausalLM(**TINY, dtype=dtype)
    assert keras.backend.standardize_dtype(model(padded(PROMPTS)).dtype) == "float32"
    assert model.generate(padded(PROMPTS), max_length=2)["ids"].shape == (3, 2)


def test_a_preset_folder_holds_it(tmp_path):
    model = make()
    model.save_to_preset(tmp_path / "model")
    assert_close(CausalLM.from_preset(tmp_path / "model")(padded(PROMPTS)), model(padded(PROMPTS)))
    shorter = CausalLM.from_preset(tmp_path / "model", max_sequence_length=4)
    assert_close(shorter(padded(PROMPTS)), model(padded(PROMPTS)))


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"`num_layers` should be a positive int\. Received: num_layers=0"):
        CausalLM(**{**TINY, "num_layers": 0})
    with pytest.raises(ValueError, match=r"Unknown positions; did you mean 'learned'\? Received: positions='learnt'"):
        CausalLM(**TINY, positions="learnt")
    with pytest.raises(ValueError, match=r"at most 14 tokens\. Received: 4 tokens, max_length=11"):
        make().generate(padded(PROMPTS), max_length=11)
    assert make().generate(padded(PROMPTS), max_length=10)["ids"].shape == (3, 10)
