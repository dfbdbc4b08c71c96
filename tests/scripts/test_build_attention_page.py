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
from textkit.datasets.pairs import Pairs

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


class Forgetful:
    """In place of a translator: spells the last two words of a phrase, and of the others says only that they are there."""

    def translate(self, phrases):
        words = [phrase.split() for phrase in phrases]
        return [" _ ".join(["X"] * (len(each) - 2) + [" ".join(word.upper()) for word in each[-2:]]) for each in words]


class Mute:
    """In place of a translator: answers nothing."""

    def translate(self, phrases):
        return [""] * len(phrases)


def test_words_are_counted_by_length_and_place():
    examples = [(phrase, [" _ ".join(" ".join(word.upper()) for word in phrase.split())]) for phrase in ("ab", "cde fg")]
    examples += [("ab cd ef", ["A B _ C D _ E F"])] * 7 + [("ab cde fgh ijkl", ["A B _ C D E _ F G H _ I J K L"])]
    measured = lengths.measure({"forgetful": Forgetful(), "mute": Mute()}, examples)
    assert (measured["threshold"], measured["share"]) == (15, 1 / 10)
    assert (measured["words"], measured["longest_phrases"]) == ([1, 2, 21, 4], 1)
    scores = measured["models"]["forgetful"]
    assert scores["by_length"] == [1, 1, 2 / 3, 1 / 2]
    assert scores["by_place"] == [0, 0, 1, 1]
    assert (scores["longest"], scores["others"]) == (1 / 2, 17 / 24)
    assert measured["models"]["mute"]["by_length"] == [0, 0, 0, 0]


def test_phrases_are_of_words_of_one_pronunciation_and_one_split():
    words = Pairs(
        train=[("cat", ["K AE T"]), ("the", ["DH AH", "DH IY"]), ("dog", ["D AO G"])],
        validation=[("a", ["AH"])],
        test=[("it", ["IH T"])],
        name="words",
        source_kind="characters",
        target_kind="words",
        metric="per",
    )
    made = lengths.phrases(words, {"train": 8, "validation": 1, "test": 2})
    assert made == lengths.phrases(words, {"train": 8, "validation": 1, "test": 2})
    assert made.validation == [("a", ["AH"])]
    assert made.test == [("it", ["IH T"]), ("it it", ["IH T _ IH T"])]
    assert [len(phrase.split()) for phrase, _ in made.train] == [1, 2, 3, 4, 5, 6, 1, 2]
    sounds = {"cat": "K AE T", "dog": "D AO G"}
    assert all(right == [" _ ".join(sounds[word] for word in phrase.split())] for phrase, right in made.train)


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
