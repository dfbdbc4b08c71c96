"""SavedModels of models on an encoder, served where only TensorFlow can be imported, against the models themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import textkit
from tests.backends import tensorflow_only
from tests.checks import assert_close
from tests.served import ALONE, serve
from tests.textkit.encoders import spread
from textkit import (
    CausalLM,
    MaskedLanguageModel,
    SentenceEncoder,
    SpanClassifier,
    TextClassifier,
    TextEncoder,
    TokenClassifier,
    Tokenizer,
)
from textkit.tasks.spans import find_answers
from textkit.tokenizers.byte_pairs import byte_letters

pytestmark = tensorflow_only

WORDPIECE = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "bird", "##s", "sing", "sat", "on", "a", "tree", "鳥", "."]
TEXTS = [
    "The birds sing.",
    "鳥 sat",
    "a bird sat on the tree . the birds sing . the bird sat on a tree",
    "",
    "nothing known",
]
PAIRS = ["the birds sat on a tree.", "The 鳥 sing", "a tree", "birds", ""]
SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 12, "intermediate_dim": 11, "max_sequence_length": 13}


def tokenizer(kind="wordpiece"):
    if kind == "wordpiece":
        return Tokenizer("wordpiece", WORDPIECE, lower_case=True)
    return Tokenizer(
        "bytes", ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_letters(), "Ġt", "he"], ["Ġ t", "h e"], "roberta"
    )


def make(model_class, kind="wordpiece", **options):
    keras.utils.set_random_seed(3)
    made = tokenizer(kind)
    return spread(model_class(vocabulary_size=made.size, tokenizer=made, pad_id=made.pad_id, **{**SIZES, **options}))


def encoded(model, text, pair=None):
    return model.tokenizer.encode([text], None if pair is None else [pair], SIZES["max_sequence_length"])


def softmax(logits):
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_a_classifier_answers_as_the_model(tmp_path):
    model = make(TextClassifier, num_classes=3, class_names=["bad", "fair", "good"], num_layers=2)
    logits = np.concatenate([model(encoded(model, text)) for text in TEXTS])
    model.head.bias.assign(model.head.bias - logits.mean(0))  # so that not all texts are of one class
    textkit.export(model, tmp_path / "saved_model")
    targets = [-1, 2, 0, -1, 1]
    found = serve(
        tmp_path,
        {
            "serving_default": {"texts": TEXTS},
            "serving_default#one": {"texts": TEXTS[2:3]},
            "serving_default#none": {"texts": []},
            "serving_pairs": {"texts": TEXTS, "pairs": PAIRS},
            "embed": {"texts": TEXTS},
            "explain": {"texts": TEXTS, "target": targets},
            "explain_pairs": {"texts": TEXTS, "pairs": PAIRS, "target": [-1] * 5},
        },
    )
    assert found["serving_default/class_names"].tolist() == ["bad", "fair", "good"]
    assert found["serving_default#none/probabilities"].shape == (0, 3)
    for row, (text, pair, target) in enumerate(zip(TEXTS, PAIRS, targets, strict=True)):
        for name, second in (("serving_default", None), ("serving_pairs", pair)):
            expected = softmax(model(encoded(model, text, second)).numpy())[0]
            assert_close(found[f"{name}/probabilities"][row], expected)
            assert found[f"{name}/label"][row] == model.class_names[expected.argmax()]
        assert_close(found["explain/probabilities"][row], found["serving_default/probabilities"][row])
        assert_close(found["embed/embedding"][row], model.encoder(encoded(model, text))["pooled_output"][0])
        check_relevance(model, found, row, text, None, None if target < 0 else target)
        check_relevance(model, found, row, text, pair, None, "explain_pairs")
    assert_close(found["serving_default#one/probabilities"][0], found["serving_default/probabilities"][2])
    assert len(set(found["serving_default/label"])) > 1
    explain = tf.saved_model.load(tmp_path / "saved_model").signatures["explain"]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"a target of at most 2, or -1"):
        explain(texts=tf.constant(TEXTS[:1]), target=tf.constant([3]))


def check_relevance(model, found, row, text, pair, target, name="explain", method="auto"):
    """The tokens are the text's, and their attributions those that `textkit.explain` sums over words."""
    whole = model.tokenizer.tokens(text, pair)
    encoded = model.tokenizer.encode(
        [text], None if pair is None else [pair], SIZES["max_sequence_length"], return_offsets=True
    )
    offsets = encoded["offsets"].numpy()[0]
    count = len(offsets)
    tokens = [token.decode() for token in model.tokenizer.to_tokens(encoded["token_ids"][0]).numpy()]
    assert found[f"{name}/tokens"][row].tolist() == [*tokens, *[""] * (found[f"{name}/tokens"].shape[1] - count)]
    assert found[f"{name}/offsets"][row, :count].tolist() == offsets.tolist()
    assert (found[f"{name}/offsets"][row, count:] == -1).all()
    attributions = found[f"{name}/attributions"][row]
    assert (attributions[count:] == 0).all()
    if not any(token.word >= 0 for token in whole) or len(whole) > count:
        return  # nothing to explain, or cut
    seen = textkit.explain(model, text, pair, method=method, target=target)
    sums = np.array([sum(attributions[:count][np.array(seen.word_of_token) == word]) for word in range(len(seen.words))])
    np.testing.assert_allclose(sums, seen.relevance, rtol=1e-3, atol=1e-5)
    assert np.abs(sums).max() > 3e-5


@pytest.mark.parametrize(
    ("method", "pooling"), [("gradient_rollout", "mean"), ("legrad", "token"), ("integrated_gradients", "token")]
)
def test_methods_are_those_of_explain(tmp_path, method, pooling):
    model = make(TextClassifier, num_classes=3, pooling=pooling)
    textkit.export(model, tmp_path / "saved_model", method)
    found = serve(tmp_path, {"explain": {"texts": TEXTS[:2], "target": [1, -1]}})
    for row, target in enumerate((1, None)):
        check_relevance(model, found, row, TEXTS[row], None, target, method=method)


@pytest.mark.parametrize("problem", ["multi", "regression"])
def test_several_classes_and_numbers(tmp_path, problem):
    model = make(TextClassifier, num_classes=2, problem=problem)
    textkit.export(model, tmp_path / "saved_model")
    found = serve(tmp_path, {"serving_default": {"texts": TEXTS}, "explain": {"texts": TEXTS, "target": [-1] * 5}})
    assert "serving_default/label" not in found
    for row, text in enumerate(TEXTS):
        logits = model(encoded(model, text)).numpy()[0]
        if problem == "multi":
            assert_close(found["serving_default/probabilities"][row], 1 / (1 + np.exp(-logits)))
        else:
            assert_close(found["serving_default/values"][row], logits)


def test_a_token_classifier_labels_tokens_of_bytes_with_tensorflow_alone(tmp_path):
    model = make(TokenClassifier, "bytes", num_classes=4, class_names=["O", "B", "I", "E"], max_sequence_length=80)
    textkit.export(model, tmp_path / "saved_model")
    targets = [-1, 3, 1, -1, -1]
    calls = {"serving_default": {"texts": TEXTS}, "embed": {"texts": TEXTS}, "explain": {"texts": TEXTS, "target": targets}}
    found = serve(tmp_path, calls, ALONE)
    for row, text in enumerate(TEXTS):
        tokens = model.tokenizer.tokens(text)
        inputs = model.tokenizer.encode([text])
        probabilities = softmax(model(inputs).numpy())[0]
        real = np.array([token.word >= 0 for token in tokens])
        assert_close(found["serving_default/probabilities"][row, : len(tokens)][real], probabilities[real])
        assert (found["serving_default/probabilities"][row, len(tokens) :] == 0).all()
        labels = np.where(real, np.array(model.class_names)[probabilities.argmax(-1)], "")
        assert found["serving_default/labels"][row].tolist() == [
            *labels.tolist(),
            *[""] * (found["serving_default/labels"].shape[1] - len(tokens)),
        ]
        states = model.encoder(inputs)["sequence_output"].numpy()[0]
        assert_close(found["embed/embedding"][row], states.mean(0), 1e-4)
        for token in np.flatnonzero(real):
            begin, end = found["serving_default/offsets"][row, token]
            assert (begin, end) == (tokens[token].begin, tokens[token].end)
            assert 0 <= begin <= end <= len(text)  # a space by itself is of no length
        seen = model.tokenizer.tokens(text)
        if targets[row] < 0 and len(text) < 20 and any(token.word >= 0 for token in seen):
            assert np.abs(found["explain/attributions"][row]).max() > 1e-5
    # of one token that is asked about, the gradient is that of its label alone
    calls = {"explain": {"texts": TEXTS[:1] * 3, "target": [-1, 2, 3]}}
    every, one, other = serve(tmp_path, calls, ALONE)["explain/attributions"]
    assert min(np.abs(one - other).max(), np.abs(one - every).max()) > 1e-5


def test_a_span_classifier_finds_what_a_search_by_hand_finds(tmp_path):
    model = make(SpanClassifier, max_sequence_length=40)
    textkit.export(model, tmp_path / "saved_model", max_length=40)
    questions = ["birds", "a 鳥", "the", "sing", ""]
    contexts = ["the birds sat on a tree.", "The  鳥 sing on the tree", "a tree", "", "birds sing ."]
    found = serve(tmp_path, {name: {"texts": questions, "pairs": contexts} for name in ("serving_default", "explain")})
    expected = [best[0] for best in find_answers(model, questions, contexts, max_length=40)]
    assert any(each.text for each in expected)
    for row, each in enumerate(expected):
        for name in ("serving_default", "explain"):
            assert found[f"{name}/answer"][row] == each.text
            assert (found[f"{name}/begin"][row], found[f"{name}/end"][row]) == (each.begin, each.end)
            assert_close(found[f"{name}/score"][row], each.score)
        assert np.abs(found["explain/attributions"][row]).max() > 1e-5


@pytest.mark.parametrize("model_class", [SentenceEncoder, MaskedLanguageModel])
def test_what_has_no_answer_gives_vectors(tmp_path, model_class):
    model = make(model_class)
    textkit.export(model, tmp_path / "saved_model")
    found = serve(tmp_path, {name: {"texts": TEXTS} for name in ("serving_default", "embed", "explain")})
    for row, text in enumerate(TEXTS):
        inputs = encoded(model, text)
        if model_class is SentenceEncoder:
            expected = model(inputs).numpy()[0]
        else:
            expected = model.encoder(inputs)["sequence_output"].numpy()[0].mean(0)
        for name in ("serving_default", "embed", "explain"):
            assert_close(found[f"{name}/embedding"][row], expected, 1e-4)
        check_relevance(model, found, row, text, None, None)


def test_word_pieces_need_tensorflow_text(tmp_path):
    textkit.export(make(SentenceEncoder), tmp_path / "saved_model")
    with pytest.raises(RuntimeError, match=r"Op type not registered '\w*Wordpiece\w*'"):
        serve(tmp_path, {}, ALONE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "legard"}, r"Unknown method; did you mean 'legrad'"),
        ({"method": "legrad"}, r"Expected 'raw' or 'rollout' without a head\. Received: method='legrad'$"),
        ({"max_length": 14}, r"at most the model's 13 positions\. Received: max_length=14$"),
    ],
)
def test_a_wrong_option_leaves_nothing_behind(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        textkit.export(make(TextEncoder), tmp_path / "saved_model", **options)
    assert not any(tmp_path.iterdir())


def test_refuses_other_models(tmp_path):
    other = CausalLM(vocabulary_size=9, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8)
    with pytest.raises(ValueError, match=r"^Expected a TextEncoder, or a model on one\. Received: model=CausalLM$"):
        textkit.export(other, tmp_path / "saved_model")
    model = TextEncoder(vocabulary_size=9, **SIZES)
    with pytest.raises(ValueError, match=r"^Expected a model that was made with a tokenizer\. Received: tokenizer=None$"):
        textkit.export(model, tmp_path / "saved_model")
