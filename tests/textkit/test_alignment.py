"""Drawn alignments: dark where the attention lies, labels where they belong, and a hint where a font lacks them."""

import html.parser
import io
import re
import types
import warnings

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from textkit import alignment

SCORES = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], "float32")


def test_cells_are_as_dark_as_their_scores_and_labels_stand_beside_them(tmp_path):
    figure = alignment.matrix(SCORES, ["a", " ", "c"], ["K", "AE"], title="one")
    alignment.save(tmp_path / "drawn" / "one.png", figure)
    with Image.open(tmp_path / "drawn" / "one.png") as image:
        pixels = np.asarray(image.convert("L")).astype(int)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "␣", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["K", "AE"]
    box = axes.get_position()
    height, width = pixels.shape
    shades = np.empty(SCORES.shape)
    for row, column in np.ndindex(SCORES.shape):
        x = box.x0 + (column + 0.5) / 3 * box.width
        y = 1 - box.y1 + (row + 0.5) / 2 * box.height
        shades[row, column] = pixels[int(y * height), int(x * width)]
    assert shades[0, 1] < 80
    assert (shades[SCORES == 0] > 240).all()
    assert (np.abs(shades[1, [0, 2]] - 150) < 40).all()


def test_a_long_text_stays_within_what_can_be_drawn(tmp_path):
    scores = np.full((11, 997), 1 / 997, "float32")
    alignment.save(tmp_path / "long.png", alignment.matrix(scores, ["x"] * 997, ["word"] * 11))
    with Image.open(tmp_path / "long.png") as image:
        assert max(image.size) <= 8001


def test_several_stand_side_by_side_and_then_below(tmp_path):
    narrow, wide = (SCORES, ["a", "b", "c"], ["K", "AE"], "one"), (np.eye(31), ["x"] * 31, ["y"] * 31, None)
    figure = alignment.grid([narrow, narrow, wide, narrow])
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[0].y0 == boxes[1].y0
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[2].x0 < boxes[1].x0
    assert boxes[2].y1 < boxes[1].y0
    assert boxes[3].y1 < boxes[2].y0
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    assert [text.get_text() for text in figure.texts] == ["one", "one", "", "one"]


@pytest.mark.parametrize(
    ("title", "shown"), [("x" * 30, "x" * 30), ("x" * 31, "x" * 29 + "…"), ("☔" * 16, "☔" * 14 + "…")]
)
def test_titles_are_cut_to_what_they_stand_below(title, shown):
    assert alignment.matrix(SCORES, ["a", "b", "c"], ["K", "AE"], title).texts[0].get_text() == shown
    assert alignment.matrix(np.eye(31), ["x"] * 31, ["y"] * 31, title).texts[0].get_text() == title


def test_wide_characters_get_more_room():
    narrow, wide = (alignment.matrix(SCORES, ["a", "b", "c"], labels) for labels in (["ab", "cd"], ["☔⚡", "⚡☔"]))
    assert wide.get_size_inches()[0] > narrow.get_size_inches()[0]


def test_characters_without_a_font_are_named_once(tmp_path):
    with pytest.warns(UserWarning, match=r"No installed font has '.+'; install one, such as Noto Sans CJK"):
        figure = alignment.matrix(SCORES, ["a", "b", "\U000f1234"], ["K", "AE"])
    alignment.save(tmp_path / "boxes.png", figure)  # where a warning is an error
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alignment.matrix(SCORES, list("aé▁"), ["K", "Ж"])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((0, 3)), r"Received: alignment.shape=\(0, 3\), len\(target\)=2, len\(source\)=3"),
        (SCORES.T, r"Received: alignment.shape=\(3, 2\), len\(target\)=2, len\(source\)=3"),
    ],
)
def test_refuses(scores, message):
    with pytest.raises(ValueError, match=message):
        alignment.matrix(scores, ["a", "b", "c"], ["K", "AE"])


def translation(alignment, source, target, text):
    found = {"source": "".join(source), "text": text, "source_tokens": source, "tokens": target}
    return types.SimpleNamespace(alignment=np.asarray(alignment, "float32"), **found)


class Page(html.parser.HTMLParser):
    """The tables of a page, as rows of texts, and every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_data(self, data):
        if self.tables and self.tables[-1] and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += data.strip()

    def handle_endtag(self, tag):
        if tag == "table":
            self.tables[-1].append([])  # what follows is in no cell


def test_a_page_has_each_text_with_its_tokens_and_weights(tmp_path):
    found = [
        translation(SCORES, ["a", " ", "c"], ["K", "AE"], "K AE"),
        translation([[0.996, 0.004]], ["注", "意"], ["x"], "x"),
    ]
    alignment.save(tmp_path / "page.html", alignment.page(found))
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.tables == [
        [["", "a", "␣", "c"], ["K", "", "1.00", ""], ["AE", "0.50", "", "0.50"], []],
        [["", "注", "意"], ["x", "1.00", ""], []],
    ]
    shades = [
        attributes.get("style") for tag, attributes in page.tags if tag == "td" and attributes.get("class") != "corner"
    ]
    assert shades[:6] == [None, "--weight:1.00", None, "--weight:0.50", None, "--weight:0.50"]
    headings = [attributes for tag, attributes in page.tags if tag == "th"]
    assert all(attributes["tabindex"] == "0" for attributes in headings)


def test_columns_run_as_the_source_is_read():
    sources = ["1 a", "1 א", "ع b", "12"]
    page = Page(alignment.page([translation([[1.0]], [source], ["x"], "x") for source in sources]))
    assert [attributes["dir"] for tag, attributes in page.tags if tag == "table"] == ["ltr", "rtl", "rtl", "ltr"]


def test_a_page_needs_nothing_but_itself_and_runs_nothing_of_the_texts():
    token = "<script>alert(1)</script>"
    text = alignment.page([translation([[1.0]], [token], ['"><b>'], "&amp;")], title="<i>")
    page = Page(text)
    assert page.tables[0][:2] == [["", token], ['"><b>', "1.00"]]
    assert [tag for tag, _ in page.tags if tag in ("script", "b", "i")] == ["script"]
    assert "<bdi>&amp;amp;</bdi>" in text
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not {"src", "href"} & {name for _, attributes in page.tags for name in attributes}


def test_the_terminal_gets_the_largest_weights_of_each_token():
    found = translation([[0.2, 0.7, 0.1], [0.0, 0.0, 1.0]], ["[a]", " ", "c"], ["K", "[/]"], "K")
    console = Console(width=60, file=io.StringIO())
    console.print(alignment.table(found, most=2))
    lines = [line.split() for line in console.file.getvalue().splitlines() if line.strip()]
    assert lines == [["token", "attended", "to"], lines[1], ["K", "␣", "0.70", "[a]", "0.20"], ["[/]", "c", "1.00"]]
