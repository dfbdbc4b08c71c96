"""`textkit.explain`: from text to what its words are worth, and what is refused."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import textkit
from tests.textkit.encoders import KINDS, TINY, spread
from textkit import evidence
from textkit.explanation import find_word
from textkit.tokenizer import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "was", "bor", "##ing", "not", "good", "!", "片", "好"]
SIZES = {**TINY, "max_sequence_length": 13}
FEW = {"integrated_gradients": {"steps": 2}}


def tokenizer():
    return Tokenizer("wordpiece", PIECES + [f"[unused{index}]" for index in range(23 - len(PIECES))], lower_case=True)


def make(head, kind="bert", **options):
    return spread(head(**{**SIZES, **KINDS[kind], **options}, tokenizer=tokenizer()), seed=5)


@pytest.fixture(scope="module")
def classifier():
    return make(textkit.TextClassifier, num_classes=3, class_names=["bad", "good", "odd"])


@pytest.fixture(scope="module")
def encoder():
    return make(textkit.TextEncoder)


def test_words_are_those_of_the_text(classifier):
    seen = textkit.explain(classifier, "The  film was BORING!", "好片, Xyz")
    assert seen.tokens[:7] == ["[CLS]", "the", "film", "was", "bor", "##ing", "!"]
    assert seen.words == ["The", "film", "was", "BORING", "!", "好", "片", ",", "Xyz"]
    assert seen.offsets == [(0, 3), (5, 9), (10, 13), (14, 20), (20, 21), (0, 1), (1, 2), (2, 3), (4, 7)]
    assert seen.num_first == 5
    assert seen.word_of_token == [-1, 0, 1, 2, 3, 3, 4, -1, 5, 6, 7, 8, -1]
    assert seen.attention.shape == (2, 2, 13, 13)
    np.testing.assert_allclose(seen.attention.sum(-1), 1, rtol=1e-5)
    assert seen.word_attention.shape == (2, 2, 9, 9)
    mean = seen.attention[1, 1][4:6].mean(0)
    np.testing.assert_allclose(seen.word_attention[1, 1, 3, 3], mean[4:6].sum(), rtol=1e-5)


def test_words_of_bytes_have_no_spaces():
    names = Tokenizer.learn(["the film was good, the film was bad"], "bytes", 280)
    model = textkit.TextEncoder(**{**SIZES, "vocabulary_size": names.size, "max_sequence_length": 40}, tokenizer=names)
    seen = textkit.explain(model, "the  film 好é", "bad")
    assert seen.words == ["the", "film", "好é", "bad"]
    assert seen.num_first == 3
    assert seen.offsets == [(0, 3), (5, 9), (10, 12), (0, 3)]


@pytest.mark.parametrize("method", sorted(evidence.METHODS))
def test_a_words_relevance_is_that_of_its_tokens(classifier, method):
    text = "film boring good"
    seen = textkit.explain(classifier, text, method=method, target="odd", **FEW.get(method, {}))
    inputs = classifier.encoder.tokenizer.encode([text])
    logits = classifier(inputs).numpy()[0]
    np.testing.assert_allclose(seen.logits, logits, rtol=1e-5)
    np.testing.assert_allclose(seen.probabilities, np.exp(logits) / np.exp(logits).sum(), rtol=1e-5)
    assert seen.answer.startswith(["bad", "good", "odd"][logits.argmax()])
    agnostic = method in ("raw", "rollout")
    assert (seen.target, seen.explained) == ((None, "what [CLS] attends to") if agnostic else (2, "relevance for odd"))
    assert seen.signed == (method in ("integrated_gradients", "occlusion"))
    question = evidence.Question(
        tf.one_hot([0], 6), tf.constant([[0.0, 0.0, 1.0]]), tf.constant([[-1, 0, 1, 1, 2, -1]]), PIECES.index("[MASK]")
    )
    tokens = evidence.METHODS[method](classifier, inputs, question, **FEW.get(method, {})).numpy()[0]
    np.testing.assert_allclose(seen.relevance, [tokens[1], tokens[2] + tokens[3], tokens[4]], rtol=1e-4, atol=1e-6)
    assert seen.relevance.any()


def test_attributions_sum_to_the_difference_of_logits(classifier):
    seen = textkit.explain(classifier, "the film was not good", "not boring!", method="integrated_gradients")
    inputs = dict(classifier.encoder.tokenizer.encode(["the film was not good"], ["not boring!"]))
    blank = np.where(np.array(seen.word_of_token) < 0, inputs["token_ids"], PIECES.index("[MASK]"))
    gain = (seen.logits - classifier({**inputs, "token_ids": blank}).numpy()[0])[seen.target]
    assert abs(gain) > 0.05
    assert seen.relevance.sum() == pytest.approx(gain, abs=1e-2)


def test_occlusion_is_what_is_missed_when_a_word_is_masked(classifier):
    seen = textkit.explain(classifier, "boring film", method="occlusion", target=0)
    masked = classifier({"token_ids": np.array([[2, 4, 4, 6, 3]])}).numpy()[0, 0]
    assert seen.relevance[0] == pytest.approx(seen.logits[0] - masked, abs=1e-5)


class TestAuto:
    def test_explains_what_a_classifier_says(self, classifier):
        seen = textkit.explain(classifier, "good film")
        assert (seen.method, seen.target) == ("gradient_rollout", seen.logits.argmax())

    def test_follows_the_attention_of_a_word(self, classifier):
        seen = textkit.explain(classifier, "good boring film", word="boring")
        assert (seen.method, seen.word, seen.target) == ("raw", 1, None)
        assert seen.explained == "what 'boring' attends to"
        np.testing.assert_allclose(seen.relevance, seen.word_attention.mean((0, 1))[1], rtol=1e-5)

    def test_of_an_encoder_follows_the_first_token(self, encoder):
        seen = textkit.explain(encoder, "good boring film")
        assert (seen.method, seen.explained, seen.logits, seen.answer) == ("raw", "what [CLS] attends to", None, None)
        first = seen.attention.mean((0, 1))[0]
        np.testing.assert_allclose(seen.relevance, [first[1], first[2] + first[3], first[4]], rtol=1e-5)

    def test_of_a_mean_follows_all_tokens(self):
        seen = textkit.explain(make(textkit.SentenceEncoder), "good film")
        assert seen.explained == "what the words attend to, on average"
        np.testing.assert_allclose(seen.relevance, seen.attention.mean((0, 1, 2))[1:3], rtol=1e-5)

    def test_explains_the_label_of_a_word(self):
        seen = textkit.explain(make(textkit.TokenClassifier, "modern", num_classes=4), "good boring film", word=1)
        assert (seen.method, seen.target) == ("gradient_rollout", seen.logits[2].argmax())
        assert seen.explained == f"relevance for {seen.target} of 'boring'"

    def test_explains_an_answer(self):
        model = make(textkit.SpanClassifier)
        seen = textkit.explain(model, "good?", "the film was  boring", target=(2, 3))
        assert seen.explained == "relevance for the answer 'the film'"
        assert seen.target == (2, 3)
        assert seen.logits.shape == (len(seen.tokens), 2)


def test_one_layer_and_head_are_read(encoder):
    seen = textkit.explain(encoder, "good film", method="raw", layer=1, head=0, word=0)
    np.testing.assert_allclose(seen.relevance, seen.word_attention[1, 0, 0], rtol=1e-5)


def test_models_loaded_from_disk_explain_alike(classifier, tmp_path):
    classifier.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    seen, again = (textkit.explain(model, "good film!") for model in (classifier, loaded))
    assert again.words == seen.words
    np.testing.assert_allclose(again.relevance, seen.relevance, rtol=1e-4, atol=1e-6)
    json.dumps(again.words + again.tokens)


def test_a_tokenizer_without_a_mask_blanks_with_the_unknown(encoder):
    pieces = [piece for piece in PIECES if piece != "[MASK]"]
    names = Tokenizer("wordpiece", pieces + [f"[unused{index}]" for index in range(23 - len(pieces))])
    model = spread(textkit.TextClassifier(2, **SIZES, tokenizer=names))
    seen = textkit.explain(model, "good film", method="occlusion", target=0)
    masked = model({"token_ids": np.array([[2, 1, 5, 3]])}).numpy()[0, 0]
    assert seen.relevance[0] == pytest.approx(seen.logits[0] - masked, abs=1e-5)


@pytest.mark.parametrize(("word", "place"), [("was", 1), (0, 0), ("2", 2), (2, 2)])
def test_finds_a_word_or_its_number(word, place):
    assert find_word(["it", "was", "it"], word) == place


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("it", r"one of the words 0, 2, by its number\. Received: word='it' among 0 it, 1 was, 2 it"),
        ("It", r"a word of the text\. Received: word='It'"),
        (3, r"a word of the text\. Received: word=3"),
        (-1, r"a word of the text\. Received: word=-1"),
    ],
)
def test_refuses_a_word_that_is_not_there(word, message):
    with pytest.raises(ValueError, match=message):
        find_word(["it", "was", "it"], word)


ERRORS = {
    "a method": ({"method": "roll"}, r"Unknown method; did you mean 'rollout'"),
    "an option": ({"method": "raw", "steps": 3}, r"Unknown option; .*Received: option='steps'"),
    "a class": ({"target": "god"}, r"Unknown target; did you mean 'good'"),
    "a word": ({"word": "man"}, r"Expected a word of the text\. Received: word='man'"),
    "a word of a class": (
        {"word": 0, "method": "legrad"},
        r"or a token classifier, for a word\. Received: method='legrad', word=0",
    ),
}


@pytest.mark.parametrize(("options", "message"), ERRORS.values(), ids=ERRORS)
def test_refuses_what_does_not_exist(classifier, options, message):
    with pytest.raises(ValueError, match=message):
        textkit.explain(classifier, "good film", **options)


@pytest.mark.parametrize("text", ["", " \t\n", "\u200b"])
def test_refuses_a_text_without_a_word(classifier, text):
    with pytest.raises(ValueError, match=r"Expected a text with a word in it\. Received: text="):
        textkit.explain(classifier, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("good " * 20, r"^Expected a text of at most 13 tokens\. Received: 22 tokens$"),
        ("good \ud800", r"Received: .*ud800"),
    ],
    ids=["beyond the positions", "surrogate"],
)
def test_refuses_texts_that_cannot_be_read(classifier, text, message):
    with pytest.raises(ValueError, match=message):
        textkit.explain(classifier, text)


def test_an_encoder_has_no_answers(encoder):
    with pytest.raises(ValueError, match=r"has only 'raw' and 'rollout'\. Received: method='legrad'"):
        textkit.explain(encoder, "good film", method="legrad")
    with pytest.raises(ValueError, match=r"a model with a head for a target\. Received: target=1"):
        textkit.explain(encoder, "good film", target=1)


def test_refuses_models_that_read_no_text():
    with pytest.raises(ValueError, match=r"Expected a model that was made with a tokenizer\. Received: tokenizer=None"):
        textkit.explain(textkit.TextEncoder(**TINY), "good film")
    with pytest.raises(ValueError, match=r"Expected a TextEncoder, or a model on one\. Received: model=RecurrentSeq2Seq"):
        textkit.explain(textkit.RecurrentSeq2Seq(5, 5, hidden_dim=4), "good film")
