"""The heads: what each reads, by hand; masks, options, other classes, and what they refuse."""

import keras
import numpy as np
import pytest

from tests.checks import assert_close, check_model, numpy
from tests.textkit.encoders import KINDS, TINY, make_ids, spread
from textkit import (
    CausalLM,
    MaskedLanguageModel,
    SentenceEncoder,
    SpanClassifier,
    TextClassifier,
    TextEncoder,
    TokenClassifier,
)
from textkit.text_model import TextModel

HEADS = {
    "text": (TextClassifier, {"num_classes": 5, "class_names": list("abcde")}),
    "numbers": (TextClassifier, {"num_classes": 1, "problem": "regression", "use_pooler": False, "head_dropout": 0.0}),
    "mean": (TextClassifier, {"num_classes": 5, "pooling": "mean"}),
    "tokens": (TokenClassifier, {"num_classes": 5}),
    "span": (SpanClassifier, {}),
    "sentence": (SentenceEncoder, {}),
    "first token": (SentenceEncoder, {"pooling": "token", "normalize": False}),
    "masked": (MaskedLanguageModel, {}),
    "masked, factorised": (MaskedLanguageModel, KINDS["albert"]),
}


def make(name, **options):
    cls, config = HEADS[name]
    return spread(cls(**{**TINY, **config, **options}))


def pooled(model, ids):
    return {name: numpy(value) for name, value in model.encoder(ids).items()}


@pytest.mark.parametrize("name", ["text", "span", "sentence", "masked"])
def test_contracts(name):
    cls, config = HEADS[name]
    ids = make_ids(lengths=(7, 7) if name == "span" else (7, 4, 1))  # a masked logit has no loss that can be learned
    if name == "masked":
        ids["mask_positions"] = np.array([[1, 3], [2, 0], [0, 0]], "int32")
    check_model(cls, {**TINY, **config, "num_layers": 1}, ids, make(name, num_layers=1))


def test_a_text_s_classes_are_read_from_the_pooler():
    model, ids = make("text"), make_ids()
    kernel, bias = model.head.get_weights()
    assert_close(model(ids), pooled(model, ids)["pooled_output"] @ kernel + bias)
    assert model.class_names == list("abcde")


def test_without_a_pooler_they_are_read_from_the_first_token():
    model, ids = make("numbers"), make_ids()
    kernel, bias = model.head.get_weights()
    seen = pooled(model, ids)
    assert "pooled_output" not in seen
    assert_close(model(ids), seen["sequence_output"][:, 0] @ kernel + bias)


def test_or_from_the_mean_of_the_tokens():
    model, ids = make("mean"), make_ids()
    kernel, bias = model.head.get_weights()
    states = pooled(model, ids)["sequence_output"]
    expected = np.stack([row[:length].mean(0) for row, length in zip(states, (7, 4, 1), strict=True)])
    assert_close(model(ids), expected @ kernel + bias)
    # of weights with a pooler, which nothing would train, all but that are kept
    adopted = make("text").override(pooling="mean")
    assert adopted.encoder.pooler is None
    assert adopted.class_names == list("abcde")


def test_every_token_gets_classes():
    model, ids = make("tokens"), make_ids()
    kernel, bias = model.head.get_weights()
    assert_close(model(ids), pooled(model, ids)["sequence_output"] @ kernel + bias)


def test_a_span_has_a_start_and_an_end_and_never_in_padding():
    model, ids = make("span"), make_ids()
    kernel, bias = model.head.get_weights()
    expected, real = pooled(model, ids)["sequence_output"] @ kernel + bias, ids["token_ids"] != 0
    seen = numpy(model(ids))
    for place, name in enumerate(("start_logits", "end_logits")):
        assert_close(seen[name][real], expected[..., place][real])
        assert (seen[name][~real] == -1e9).all()
        assert numpy(keras.ops.softmax(seen[name]))[~real].max() == 0


@pytest.mark.parametrize("normalize", [True, False])
def test_a_sentence_is_the_mean_of_its_tokens(normalize):
    model, ids = make("sentence", normalize=normalize), make_ids()
    states = pooled(model, ids)["sequence_output"]
    expected = np.stack([row[:length].mean(0) for row, length in zip(states, (7, 4, 1), strict=True)])
    if normalize:
        expected /= np.sqrt((expected**2).sum(-1, keepdims=True))
    assert_close(model(ids), expected)


def test_a_sentence_may_be_its_first_token():
    model, ids = make("first token"), make_ids()
    assert_close(model(ids), pooled(model, ids)["sequence_output"][:, 0])


@pytest.mark.parametrize("name", ["masked", "masked, factorised"])
def test_masked_words_are_products_with_the_embeddings(name):
    from scipy.special import erf

    model, ids = make(name), make_ids()
    head, states = model.head, pooled(model, ids)["sequence_output"]
    x = states @ numpy(head.transform.kernel) + numpy(head.transform.bias)
    if name == "masked":
        x = x * (1 + erf(x / np.sqrt(2))) / 2
    else:
        x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True) * numpy(head.norm.gamma) + numpy(head.norm.beta)
    expected = x @ numpy(model.encoder.token_embedding.embeddings).T + numpy(head.bias)
    assert_close(model(ids), expected, 1e-4)
    places = np.array([[6, 1], [0, 3], [0, 0]])
    some = model({**ids, "mask_positions": places})
    assert_close(some, np.stack([expected[row, places[row]] for row in range(3)]), 1e-4)
    assert sum(23 in weight.shape and len(weight.shape) == 2 for weight in model.weights) == 1  # one table, not two


@pytest.mark.parametrize("name", HEADS)
def test_scores_come_with_the_outputs(name):
    model, ids = make(name), make_ids()
    seen, outputs = model(ids, return_attention_scores=[0, -1], return_hidden_states=True), model(ids)
    expected = model.encoder(ids, return_attention_scores=[0, 1], return_hidden_states=True)
    outputs = outputs if isinstance(outputs, dict) else {(set(seen) - set(expected)).pop(): outputs}
    assert_close({key: value for key, value in seen.items() if key in outputs}, outputs)
    assert_close({key: value for key, value in seen.items() if key not in outputs}, expected)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", HEADS)
def test_outputs_are_float32(name, dtype):
    cls, config = HEADS[name]
    model = cls(**{**TINY, **config, "dtype": dtype})
    assert model.encoder.compute_dtype == dtype.removeprefix("mixed_")
    for output in keras.tree.flatten(model(make_ids())):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"


def test_another_number_of_classes_begins_a_new_head_only_when_asked_for(tmp_path):
    model, ids = make("text"), make_ids()
    model.save_to_preset(tmp_path / "preset")
    assert_close(TextClassifier.from_preset(tmp_path / "preset")(ids), model(ids))
    other = TextClassifier.from_preset(tmp_path / "preset", num_classes=3)
    assert other(ids).shape == (3, 3)
    assert other.class_names is None
    assert_close(pooled(other, ids), pooled(model, ids))


@pytest.mark.parametrize("source", ["masked", "text", "encoder"])
def test_a_head_takes_over_the_encoder_of_another_model(tmp_path, source):
    model = spread(TextEncoder(**TINY)) if source == "encoder" else make(source)
    model.save_to_preset(tmp_path / "preset")
    ids = make_ids()
    expected = (model if source == "encoder" else model.encoder)(ids)["sequence_output"]
    for cls, options in [(TokenClassifier, {"num_classes": 3}), (TextEncoder, {}), (SentenceEncoder, {"pooling": "token"})]:
        found = cls.from_preset(tmp_path / "preset", max_sequence_length=7, **options)
        assert type(found) is cls
        assert_close((found if cls is TextEncoder else found.encoder)(ids)["sequence_output"], expected)
    fresh = TokenClassifier.from_preset(tmp_path / "preset", load_weights=False, num_classes=3)
    assert np.abs(pooled(fresh, ids)["sequence_output"] - expected).max() > 1e-3
    classifier = TextClassifier.from_preset(tmp_path / "preset", num_classes=3)
    assert classifier(ids).shape == (3, 3)
    assert type(TextModel.from_preset(tmp_path / "preset")) is type(model)


def test_a_causal_model_has_no_encoder_to_take_over(tmp_path):
    sizes = {"vocabulary_size": 23, "num_layers": 1, "num_heads": 2, "hidden_dim": 12, "intermediate_dim": 11}
    CausalLM(**sizes).save_to_preset(tmp_path / "preset")
    for cls in (TextEncoder, SpanClassifier):
        with pytest.raises(ValueError, match=rf"Expected a {cls.__name__}\. Received: .* holds a textkit>CausalLM"):
            cls.from_preset(tmp_path / "preset")


def test_a_new_head_is_said_or_asked_for(tmp_path):
    make("tokens").save_to_preset(tmp_path / "preset")
    for cls in (SpanClassifier, MaskedLanguageModel):
        with pytest.warns(UserWarning, match=f"The new head of {cls.__name__} is untrained") as caught:
            cls.from_preset(tmp_path / "preset")
        assert [warning.filename for warning in caught if warning.category is UserWarning] == [__file__]
        cls.from_preset(tmp_path / "preset", load_weights=False)  # nobody expects a trained one
    with pytest.raises(ValueError, match=r"weights with a head, or num_classes= for a new head\. Received: \{'problem'"):
        TextClassifier.from_preset(tmp_path / "preset", problem="multi")


@pytest.mark.parametrize(
    ("cls", "options", "error", "message"),
    [
        (
            TextClassifier,
            {"num_classes": 0},
            ValueError,
            r"`num_classes` should be a positive int\. Received: num_classes=0",
        ),
        (
            TextClassifier,
            {"class_names": ["a"]},
            ValueError,
            r"`class_names` should be num_classes=5 names\. Received: 1 na",
        ),
        (TextClassifier, {"problem": "multiple"}, ValueError, r"Unknown problem; did you mean 'multi'\? Received: problem="),
        (TextClassifier, {"pooling": "max"}, ValueError, r"Unknown pooling; .* Received: pooling='max'"),
        (SentenceEncoder, {"pooling": "max"}, ValueError, r"Unknown pooling; .* Received: pooling='max'"),
        (SpanClassifier, {"layers": 5}, TypeError, r"an argument of SpanClassifier or TextEncoder\. Received: layers=5"),
    ],
    ids=["classes", "names", "problem", "pooling", "pooling of sentences", "argument"],
)
def test_refuses(cls, options, error, message):
    classes = {"num_classes": 5} if cls is TextClassifier else {}
    with pytest.raises(error, match=message):
        cls(**{**TINY, **classes, **options})
