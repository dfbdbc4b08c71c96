"""Explanations for the eye: pages tried in a browser, pictures and tables against the numbers that they show."""

import html
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.browser import headless
from tests.textkit.explanations import make
from textkit import alignment, attention_view

TEXT = "The animal was too tired"
EVIL = "<script>alert(1)</script>"


def loops(explanation, layers, heads):
    """The mean attention of words to words, token by token."""
    count = len(explanation.words)
    found = np.zeros((count, count))
    for word, other in np.ndindex(count, count):
        rows = [at for at, each in enumerate(explanation.word_of_token) if each == word]
        columns = [at for at, each in enumerate(explanation.word_of_token) if each == other]
        sums = [
            sum(explanation.attention[layer, head, row, column] for column in columns)
            for layer in layers
            for head in heads
            for row in rows
        ]
        found[word, other] = np.mean(sums)
    return found


@pytest.mark.parametrize(
    ("asked", "layers", "heads"),
    [
        ({}, [0, 1], [0, 1, 2]),
        ({"layer": 1}, [1], [0, 1, 2]),
        ({"head": 2}, [0, 1], [2]),
        ({"layer": -2, "head": -1}, [0], [2]),
    ],
)
def test_attention_between_words_is_that_of_their_tokens(asked, layers, heads):
    explanation = make(TEXT)
    found = attention_view.between_words(explanation, **asked)
    np.testing.assert_allclose(found, loops(explanation, layers, heads), rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"layer": 2}, r"layer must be in \[-2, 2\)\. Received: layer=2"),
        ({"layer": 0, "head": -4}, r"head must be in \[-3, 3\)\. Received: head=-4"),
    ],
)
def test_refuses_a_layer_or_a_head_that_is_not_there(asked, message):
    with pytest.raises(ValueError, match=message):
        attention_view.between_words(make(TEXT), **asked)


class Page(html.parser.HTMLParser):
    """Every tag of a page with its attributes, and the texts inside of those of one kind."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def within(self, tag):
        return [text for inside, text in self.texts if inside == tag and text.strip()]

    def attributes(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def test_a_page_needs_nothing_but_itself_and_runs_nothing_of_the_texts():
    text = attention_view.page([make(EVIL, f'"{EVIL}&amp;', explained=EVIL, answer=EVIL)], title=EVIL)
    page = Page(text)
    assert [tag for tag, _ in page.tags].count("script") == 2  # the weights, and what reads them
    assert "<script>alert" not in text
    assert page.within("h1") == [EVIL]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("http://www.w3.org/2000/svg", ""))
    assert not {"src", "href"} & {name for _, attributes in page.tags for name in attributes}


def test_words_are_coloured_by_their_relevance_where_they_stand():
    explanation = make("A  b,\tc", "d <é")
    text = attention_view.page([explanation])
    paragraphs = re.findall(r'(?s)<p class="text".*?</p>', text)
    assert [html.unescape(re.sub("(?s)<rt.*?</rt>|<.*?>", "", each)) for each in paragraphs] == ["A  b,\tc", "d <é"]
    page = Page(text)
    assert page.within("mark") == explanation.words
    assert page.within("rt") == [f"{value:+.2f}" for value in explanation.relevance]
    most = np.abs(explanation.relevance).max()
    for attributes, value in zip(page.attributes("mark"), explanation.relevance, strict=True):
        assert attributes["style"] == f"--share:{abs(value) / most:.3f}"
        assert ("class" in attributes) == (value < 0)
    seconds = [attributes.get("class") == "second" for attributes in page.attributes("li")]
    assert seconds == [*[False] * 4, True, False, False, *[False] * 4, True, False, False, False]


def test_relevance_without_a_sign_is_shown_as_shares():
    explanation = make(TEXT, method="legrad")
    shares = np.rint(100 * explanation.relevance / explanation.relevance.sum()).astype(int)
    assert Page(attention_view.page([explanation])).within("rt") == [f"{share}%" for share in shares]


def test_refuses_more_weights_than_a_browser_holds():
    explanation = make("a " * 1001, layers=4)
    with pytest.raises(
        ValueError, match=r"at most 12000000 attention weights .* Received: 12024012 weights, for texts of 1001 words"
    ):
        attention_view.page([explanation])


@pytest.fixture(scope="module")
def browser():
    with headless() as browser:
        yield browser
        assert browser.complaints == []


LINES = "[...document.querySelectorAll('line')].map(({dataset}) => [dataset.from, dataset.to, dataset.weight].map(Number))"


def lines(browser):
    """The lines of a page with one text: {(from, to): weight}."""
    return {(start, end): weight for start, end, weight in browser.read(LINES)}


def numbers(browser, side):
    """What stands beside the words of a column."""
    return browser.read(f"[...document.querySelectorAll('.{side} output')].map((output) => output.textContent)")


def expected_lines(weights):
    found = {place: weight for place, weight in np.ndenumerate(weights) if weight >= max(0.005, 0.03 * weights.max())}
    return {place: pytest.approx(weight, abs=6e-4) for place, weight in found.items()}


def written(weights):
    return [f"{weight:.2f}" if weight >= 0.005 else "" for weight in weights]


@pytest.fixture
def opened(browser, tmp_path):
    def show(*explanations, **options):
        alignment.save(tmp_path / "page.html", attention_view.page(explanations))
        browser.open(tmp_path / "page.html", **options)
        return browser

    return show


def test_a_layer_and_a_head_are_chosen_with_the_mouse(opened):
    explanation = make(TEXT)
    browser = opened(explanation)
    assert lines(browser) == expected_lines(loops(explanation, [0, 1], [0, 1, 2]))
    browser.click(".head label", 2)  # the first is the mean
    assert lines(browser) == expected_lines(loops(explanation, [0, 1], [1]))
    browser.click(".layer label", 1)
    weights = loops(explanation, [0], [1])
    assert lines(browser) == expected_lines(weights)

    browser.point(".from li", 1)
    alone = np.where(np.arange(5)[:, None] == 1, weights, 0)
    assert lines(browser) == expected_lines(alone)
    assert numbers(browser, "to") == written([*weights[1], 1 - weights[1].sum()])
    assert not any(numbers(browser, "from"))
    browser.point(".to li", 3)
    assert {end for _, end in lines(browser)} == {3}
    assert numbers(browser, "from") == written(weights[:, 3])
    browser.leave()
    assert lines(browser) == expected_lines(weights)
    assert not any(numbers(browser, "to") + numbers(browser, "from"))


def test_the_lines_of_the_word_in_question_are_shown_first(opened):
    explanation = make(TEXT, word=2)
    weights = loops(explanation, [0, 1], [0, 1, 2])
    browser = opened(explanation, make(TEXT, word=1))
    assert numbers(browser, "to")[:5] == written(weights[2])
    browser.click(".head label", 2)  # the first is the mean
    assert numbers(browser, "to")[:5] == written(loops(explanation, [0, 1], [1])[2])
    assert any(numbers(browser, "to")[6:])
    browser.click("h1", 0)
    assert not any(numbers(browser, "to"))


def test_what_was_clicked_stays_and_the_strongest_line_is_darkest(opened):
    explanation = make(TEXT)
    browser = opened(explanation)
    browser.click(".from li", 2)
    browser.leave()
    weights = loops(explanation, [0, 1], [0, 1, 2])[2]
    assert numbers(browser, "to")[:5] == written(weights)
    darkness = "[...document.querySelectorAll('line')].map((line) => Number(getComputedStyle(line).strokeOpacity))"
    drawn = browser.read(darkness)
    assert drawn == sorted(drawn)
    assert drawn[-1] == 1
    assert list(lines(browser))[-1] == (2, weights.argmax())


@pytest.mark.parametrize(("text", "from_is_right"), [("فيلم جميل جدا", True), ("这部电影很好", False)])
def test_lines_end_at_their_words_in_any_script(opened, text, from_is_right):
    explanation = make(text)
    browser = opened(explanation)
    browser.click(".layer label", 1)
    browser.click(".head label", 1)
    boxes = "[...document.querySelectorAll('{}')].map((each) => each.getBoundingClientRect()).map((box) => [{}])"
    middles = {
        side: browser.read(boxes.format(f".{side} bdi", "(box.left + box.right) / 2, (box.top + box.bottom) / 2"))
        for side in ("from", "to")
    }
    assert (middles["from"][0][0] > middles["to"][0][0]) == from_is_right
    tops = browser.read(boxes.format("line", "box.top, box.bottom"))
    for (start, end), ends in zip(lines(browser), tops, strict=True):
        height = sorted([middles["from"][start][1], middles["to"][end][1]])
        assert ends == pytest.approx(height, abs=2)


def test_several_texts_are_chosen_for_one_by_one(opened):
    first, second = make(TEXT), make("fine", seed=1)
    browser = opened(first, second)
    browser.click("figure:nth-of-type(2) .head label", 1)
    found = browser.read(LINES.replace("'line'", "'figure:nth-of-type(2) line'"))
    assert found == [[0, 0, pytest.approx(loops(second, [0, 1], [0])[0, 0], abs=6e-4)]]
    found = browser.read(LINES.replace("'line'", "'figure:nth-of-type(1) line'"))
    assert len(found) == len(expected_lines(loops(first, [0, 1], [0, 1, 2])))


def test_texts_that_are_programs_are_shown(opened):
    browser = opened(make(EVIL, explained=EVIL, answer=EVIL))
    assert browser.read("document.querySelector('.text').textContent").startswith("<")
    shown = browser.read("[...document.querySelectorAll('.from bdi')].map((each) => each.textContent)")
    assert "".join(shown) == EVIL
    assert browser.read("document.querySelector('figcaption').textContent") == f"→ {EVIL}"


def test_a_picture_has_the_lines_of_the_words_asked_for(tmp_path):
    explanation = make(TEXT)
    figure = attention_view.figure(explanation, 1, layer=0, head=2)
    [collection] = figure.axes[0].collections
    weights = loops(explanation, [0], [2])[1]
    kept = weights >= 0.005
    assert len(collection.get_segments()) == kept.sum()
    np.testing.assert_allclose(collection.get_alpha(), weights[kept] / weights.max(), rtol=1e-5)
    [title, *labels] = figure.axes[0].texts
    assert title.get_text() == "layer 0, head 2"
    assert attention_view.figure(explanation, layer=1).axes[0].texts[0].get_text() == "layer 1"
    assert [label.get_text() for label in labels] == [word for word in explanation.words for _ in ("left", "right")]
    assert [label.get_text() for label in labels if label.get_weight() == "bold"] == ["animal"]
    for (_, begin), (_, end) in collection.get_segments():
        assert begin == labels[2].get_position()[1]
        assert end in {label.get_position()[1] for label in labels}
    alignment.save(tmp_path / "lines.png", figure)
    with Image.open(tmp_path / "lines.png") as image:
        assert min(image.size) > 100
    assert len(attention_view.figure(explanation).axes[0].collections[0].get_segments()) > len(weights)


def printed(table):
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines() if line.strip()]


def test_the_terminal_gets_what_words_attend_to_most():
    explanation = make("[b] tired")
    rows = printed(attention_view.attention_table(explanation, layer=1, most=2))
    for row, word, weights in zip(rows[2:], explanation.words, loops(explanation, [1], [0, 1, 2]), strict=True):
        largest = [
            text for place in np.argsort(-weights)[:2] for text in (explanation.words[place], f"{weights[place]:.2f}")
        ]
        assert row == [word, *largest, f"{1 - weights.sum():.2f}"]


def test_the_terminal_gets_what_one_word_attends_to_and_in_which_head():
    explanation = make("[b] tired")
    weights = loops(explanation, [0, 1], [0, 1, 2])[1]
    heads = {(layer, head): loops(explanation, [layer], [head])[1] for layer in (0, 1) for head in (0, 1, 2)}
    rows = printed(attention_view.word_table(explanation, 1, most=3))
    assert " ".join(rows[0]) == "'b' attends to mean of all heads most"
    for row, place in zip(rows[2:5], np.argsort(-weights), strict=False):
        layer, head = max(heads, key=lambda each: heads[each][place])
        most = f"{heads[layer, head][place]:.2f} layer {layer} head {head}"
        assert row[:2] == [explanation.words[place], f"{weights[place]:.2f}"]
        assert " ".join(row[2:]).strip("█ ") == most
    assert rows[5][:3] == ["special", "tokens", f"{1 - weights.sum():.2f}"]


def test_the_terminal_gets_relevance_as_numbers_and_bars():
    explanation = make(TEXT)
    rows = printed(attention_view.relevance_table(explanation))
    assert rows[0] == ["word", "relevance", "for", "positive"]
    most = np.abs(explanation.relevance).max()
    for (word, number, *bar), expected, value in zip(rows[2:], explanation.words, explanation.relevance, strict=True):
        assert (word, number) == (expected, f"{value:+.2f}")
        assert len("".join(bar)) == round(10 * abs(value) / most)


def test_small_relevance_keeps_two_digits():
    explanation = make("good film")
    explanation.relevance[:] = 0.0034, -0.0007
    assert [row[1] for row in printed(attention_view.relevance_table(explanation))[2:]] == ["+0.0034", "-0.0007"]


def test_a_very_long_word_is_shortened():
    explanation = make(f"good {'x' * 1000}")
    short = "x" * 39 + "…"
    assert printed(attention_view.relevance_table(explanation))[3][0] == short
    assert repr(short) in str(printed(attention_view.word_table(explanation, 1)))
    assert max(attention_view.figure(explanation).get_size_inches()) < 12
