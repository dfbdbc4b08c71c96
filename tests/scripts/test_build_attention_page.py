"""The page on attention: small; and its measurements on cases done by hand."""

import doctest
import json
import pathlib
import re

import numpy as np
import pytest

from scripts.attention_page import arithmetic, lengths, rivals, seen
from scripts.build_attention_page import with_outputs
from textkit import TransformerSeq2Seq, Translator, Vocabulary

ROOT = pathlib.Path(__file__).parents[2]


def figures_of(page):
    return [page.parent / name for name in re.findall(r"!\[.+\]\((.+)\)", page.read_text(encoding="utf-8"))]


def test_the_page_is_built_of_what_was_measured(tmp_path, recipe):
    recipe("build_attention_page", "--smoke", tmp_path)
    page = tmp_path / "docs" / "attention.md"
    text = page.read_text(encoding="utf-8")
    assert "{{" not in text
    assert "{%" not in text
    assert len(figures_of(page)) == 6
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures_of(page))
    assert "[[0.88 0.12]]" in text
    speeds = json.loads((tmp_path / "attention" / "speeds.json").read_text())
    for name, label in (("fixed", "GRU, no attention"), ("transformer", "Transformer")):
        metrics = json.loads((tmp_path / "attention" / name / "metrics.json").read_text())
        [row] = re.findall(rf"\| {label} \|(.+)\|\n", text.partition("dates right")[2])
        right, aer, parameters, training, decoding = (cell.strip().replace(" ", "") for cell in row.split("|"))
        assert right == f"{100 * metrics['test']['exact_match']:.1f}%"
        assert aer == (f"{metrics['test']['aer']:.3f}" if "aer" in metrics["test"] else "")
        assert int(parameters) == metrics["training"]["parameters"]
        assert (int(training), int(decoding)) == (round(speeds[name]["training"]), round(speeds[name]["decoding"]))
    assert "aer" in metrics["test"]


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_a_page_that_stands_has_its_figures_and_its_examples_print_what_they_say(page):
    assert figures_of(page)
    assert all(figure.is_file() for figure in figures_of(page))
    failed, tried = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert failed == 0 < tried


def test_examples_get_what_they_print():
    text = "before\n\n```python\n>>> numbers = [\n...     1]\n>>> print(numbers)\n\n```\nafter {1}\n"
    assert with_outputs(text) == text.replace("print(numbers)\n", "print(numbers)\n[1]\n")


def test_what_was_measured_is_kept(tmp_path):
    path = tmp_path / "folder" / "speeds.json"
    assert rivals.kept(path, lambda: {"a": 1.5}) == {"a": 1.5}
    assert rivals.kept(path, lambda: {"a": 2.5}) == {"a": 1.5}


class Reader:
    """In place of a translator: spells words of up to seven letters."""

    def translate(self, words):
        return [" ".join(word.upper()) if len(word) < 8 else "A B C D" for word in words]


def test_accuracy_is_counted_by_length():
    words = ["a", "bcd", "ef", *["abcde"] * 12, "abcdefgh", "abcdefghabcdefgh", "abcdefghabcdefghabc"]
    examples = [(word, ["X", " ".join(word.upper())]) for word in words]
    measured = lengths.measure({"reader": Reader()}, examples)
    assert (measured["groups"], measured["words"]) == (["≤3", "5", "8", "≥14"], [3, 12, 1, 2])
    assert (measured["threshold"], measured["share"]) == (16, 2 / 18)
    scores = measured["models"]["reader"]
    assert scores["by_length"]["accuracy"] == [1, 1, 0, 0]
    # the nearest of what is right is X, of one sound, 4 edits from A B C D
    assert scores["longest"] == {"accuracy": 0, "per": 8 / 2}
    assert scores["others"]["accuracy"] == 15 / 16


def test_no_more_words_of_a_length_are_tried_than_allowed():
    measured = lengths.measure({"reader": Reader()}, [("abcd", ["A B C D"])] * 7 + [("abcde", ["A"])] * 2, limit=3)
    assert measured["words"] == [3, 2]
    assert measured["models"]["reader"]["by_length"]["accuracy"] == [1, 0]


def test_the_variance_of_a_dot_product_is_its_width():
    measured = arithmetic.scores_by_width([1, 64], queries=4000)
    assert measured["dot"]["variance"] == pytest.approx([1, 64], rel=0.05)
    assert measured["scaled_dot"]["variance"] == pytest.approx([1, 1], rel=0.05)
    assert measured["dot"]["entropy"][0] == measured["scaled_dot"]["entropy"][0]
    assert measured["dot"]["gradient"][1] < 0.5 * measured["scaled_dot"]["gradient"][1] < 0.5


def test_positions_are_alike_when_they_are_near(tmp_path):
    alike = arithmetic.draw_positions(tmp_path / "positions.png")
    frequencies = 10000.0 ** -(np.arange(0, 64, 2) / 64)
    assert alike[0] == pytest.approx(1, abs=1e-6)
    assert alike[5] == pytest.approx(np.cos(5 * frequencies).mean(), abs=1e-5)


@pytest.fixture(scope="module")
def translator():
    letters, sounds = Vocabulary.learn(["abcdefg"]), Vocabulary.learn(["K AE T S"], "words")
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 10, "intermediate_dim": 11, "dropout": 0.0}
    return Translator(TransformerSeq2Seq(letters.size, sounds.size, **sizes), letters, sounds)


def test_a_decoder_sees_no_future(translator):
    related = seen.attention_within(translator, "gabdce", "T AE S K")
    assert related["source"] == list("gabdce")
    assert related["target"] == ["<s>", "T", "AE", "S", "K"]
    assert related["encoder"].shape == (2, 2, 6, 6)
    assert related["decoder"].shape == (2, 2, 5, 5)
    assert not np.triu(related["decoder"], 1).any()
    assert related["before"] < 1e-5 < 1e-2 < related["at"]


def test_attention_to_neighbours_is_counted_head_by_head(translator):
    words = ["gabdc", "aabbc", "fedcb"]
    shares = seen.neighbours(translator, words)
    assert len(shares) == 2
    rows = [seen.attention_within(translator, word, "T AE")["encoder"][0] for word in words]
    for head, share in enumerate(shares):
        before, after = ([scores[head][place][place + step] for scores in rows for place in (1, 2, 3)] for step in (-1, 1))
        assert share["the letter before"] == pytest.approx(np.mean(before), rel=1e-5)
        assert share["the letter after"] == pytest.approx(np.mean(after), rel=1e-5)
