"""MiniLM's real weights: against KerasHub's reader of the same folder, and against transformers where it is."""

import os
import pathlib

import numpy as np
import pytest

from tests.checks import numpy
from textkit import SentenceEncoder, TextEncoder
from textkit.prediction import Predictor

TEXTS = [
    "The animal didn't cross the street because it was too tired.",
    "The animal didn't cross the street because it was too wide.",
    "A nuthatch climbs down the trunk head first.",
    "Interest rates rose again in March.",
    "Rates of interest went up once more in spring.",
    "!",
]


@pytest.fixture(scope="module")
def folder():
    folder = pathlib.Path(os.environ.get("REAL_DATA", ".")) / "minilm"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("REAL_DATA names no folder with minilm in it")
    return folder


@pytest.fixture(scope="module")
def inputs(folder):
    keras_hub = pytest.importorskip("keras_hub", reason="the tokenizer of the comparison is KerasHub's")
    tokenizer = keras_hub.models.BertTokenizer.from_preset(str(folder))
    packer = keras_hub.layers.MultiSegmentPacker(
        32, tokenizer.cls_token_id, tokenizer.sep_token_id, pad_value=tokenizer.pad_token_id
    )
    token_ids, segment_ids = packer(tokenizer(TEXTS))
    token_ids = np.asarray(token_ids)
    return {"token_ids": token_ids, "segment_ids": np.asarray(segment_ids), "padding_mask": token_ids != 0}


def test_last_hidden_state_equals_kerashub_s(folder, inputs):
    import keras_hub

    theirs = keras_hub.models.BertBackbone.from_preset(str(folder)).predict(inputs, verbose=0)
    # theirs has the approximate GELU, whatever the folder says
    ours = TextEncoder.from_preset(folder, activation="gelu_approximate").predict(inputs, verbose=0)
    real = inputs["padding_mask"]
    np.testing.assert_allclose(ours["sequence_output"][real], theirs["sequence_output"][real], atol=2e-5)
    np.testing.assert_allclose(ours["pooled_output"], theirs["pooled_output"], atol=2e-5)


def test_last_hidden_state_equals_that_of_transformers(folder, inputs):
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's")
    transformers = pytest.importorskip("transformers", reason="the reference is its own")
    theirs = transformers.BertModel.from_pretrained(folder).eval()
    names = {"token_ids": "input_ids", "segment_ids": "token_type_ids", "padding_mask": "attention_mask"}
    with torch.no_grad():
        expected = theirs(**{names[name]: torch.tensor(array).long() for name, array in inputs.items()})
    ours = TextEncoder.from_preset(folder).predict(inputs, verbose=0)
    real = inputs["padding_mask"]
    np.testing.assert_allclose(ours["sequence_output"][real], expected.last_hidden_state.numpy()[real], atol=2e-5)


def test_vectors_of_sentences_equal_those_of_transformers(folder):
    torch = pytest.importorskip("torch", reason="the reference is PyTorch's")
    transformers = pytest.importorskip("transformers", reason="the reference is its own")
    reviews = folder.parent / "movie_reviews" / "reviews.tsv"
    if not reviews.is_file():
        pytest.skip("REAL_DATA names no folder with movie_reviews in it")
    sentences = [line.split("\t")[0] for line in reviews.read_text("utf-8").splitlines()[:200]]
    given = transformers.AutoTokenizer.from_pretrained(folder)(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = transformers.BertModel.from_pretrained(folder).eval()(**given).last_hidden_state
    mask = given["attention_mask"][..., None]
    expected = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    model = SentenceEncoder.from_preset(folder)
    ids = model.tokenizer.encode(sentences)
    np.testing.assert_array_equal(ids["token_ids"], given["input_ids"].numpy())
    found = Predictor(model)(sentences)
    print("largest difference", np.abs(found - expected).max())
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_texts_of_like_meaning_lie_close(folder, inputs):
    model = SentenceEncoder.from_preset(folder)
    assert (model.pooling, model.normalize) == ("mean", True)
    vectors = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-5)
    cosines = vectors @ vectors.T - 2 * np.eye(len(TEXTS))
    assert [cosines[row].argmax() for row in (0, 1, 3, 4)] == [1, 0, 4, 3]
    assert cosines[3, 4] - cosines[3, 2] > 0.5


def test_scores_of_every_layer(folder, inputs):
    encoder = TextEncoder.from_preset(folder)
    scores = numpy(encoder(inputs, return_attention_scores=True)["attention_scores"])
    assert [layer.shape for layer in scores] == [(6, 12, 32, 32)] * 6
    padding = ~inputs["padding_mask"]
    assert max(layer.transpose(0, 3, 1, 2)[padding].max() for layer in scores) == 0
