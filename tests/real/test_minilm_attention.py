"""What "it" attends to in published weights: MiniLM's, of `fetch.py minilm`."""

import os
import pathlib

import numpy as np
import pytest

import textkit
from textkit import attention_view
from textkit.text_model import TextModel


@pytest.fixture
def folder():
    folder = pathlib.Path(os.environ.get("REAL_DATA", ".")) / "minilm"
    if not (folder / "model.safetensors").is_file():
        pytest.skip("REAL_DATA names no folder with minilm in it")
    return folder


def test_a_head_finds_what_it_stands_for(folder):
    model = TextModel.from_preset(folder)
    seen = textkit.explain(model, "The animal didn't cross the street because it was too tired", word="it")
    animal, street = seen.words.index("animal"), seen.words.index("street")
    of_heads = seen.word_attention[:, :, seen.word]
    assert of_heads[..., animal].max() > 0.6
    layer, head = np.unravel_index(of_heads[..., animal].argmax(), of_heads.shape[:2])
    weights = attention_view.between_words(seen, layer, head)[seen.word]
    assert weights.argmax() == animal
    assert weights[animal] > 10 * weights[street]
    assert seen.relevance[animal] > seen.relevance[street]  # the mean of all heads
