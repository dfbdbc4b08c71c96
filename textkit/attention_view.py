"""Views of explanations: attention as lines between words, in a figure or an HTML page; relevance as colours or bars."""

import base64
import math
import pathlib

import numpy as np

from textkit import alignment

_MOST_WEIGHTS = 12_000_000  # on a page, of two bytes each
_LEVELS = 65535  # quantization of weights on a page
_ROW, _LINES, _CHARACTER, _MARGIN = 0.24, 2.2, 0.105, 0.2  # inches
_INK, _FAINT = "#084594", "#5a6068"
_BAR = 10  # columns of a terminal
_LEAST = 0.005  # smaller weights are shown as 0.00
_LONGEST = 40  # characters of a word; longer ones are shortened


def between_words(explanation, layer=None, head=None):
    """The attention between words, of a layer and a head or the mean of several.

    Args:
        explanation: a `textkit.explanation.Explanation`.
        layer: int in [-l, l); `None` for the mean of all.
        head: int in [-h, h); `None` for the mean of all.

    Returns:
        float32 (w, w); the rest of a row to 1 is attention to special tokens.

    Raises:
        ValueError: a layer or head out of range.
    """
    weights = explanation.word_attention
    for name, index in (("layer", layer), ("head", head)):
        count = len(weights)  # the first axis, which is reduced below
        if index is not None and not -count <= index < count:
            raise ValueError(f"{name} must be in [{-count}, {count}). Received: {name}={index}")
        weights = weights.mean(0) if index is None else weights[index]
    return weights


def figure(explanation, word=None, layer=None, head=None):
    """Draws the words in two columns, with lines between them whose opacity is the attention.

    Args:
        explanation: a `textkit.explanation.Explanation`.
        word: int, the word whose lines are drawn; `None` for all words.
        layer: int, see `between_words`.
        head: int, see `between_words`.

    Returns:
        A `matplotlib.figure.Figure`, for `textkit.alignment.save`.

    Raises:
        ValueError: a layer or head out of range.
    """
    import matplotlib
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    weights = between_words(explanation, layer, head)
    drawn = range(len(weights)) if word is None else [word]
    title = _chosen(layer, head)
    words = _words(explanation)
    side = _MARGIN + _CHARACTER * max(map(alignment.display_width, words))
    size = 2 * side + _LINES, _ROW * (len(weights) + 1) + 2 * _MARGIN
    with matplotlib.rc_context({"font.family": alignment.font_families("".join(words)), "font.size": 10}):
        page = Figure(size, dpi=alignment.resolution(size))
        axes = page.add_axes((0, 0, 1, 1), xlim=(0, size[0]), ylim=(size[1], 0))
        axes.axis("off")
        axes.text(size[0] / 2, _MARGIN, title, ha="center", va="center", color=_FAINT, fontsize=8)
        rows = _MARGIN + _ROW * (np.arange(len(weights)) + 1.5)
        for index, (text, row) in enumerate(zip(words, rows, strict=True)):
            ink = "black" if index in drawn else _FAINT
            weight = "bold" if index == word else "normal"
            axes.text(side - 0.08, row, text, ha="right", va="center", color=ink, weight=weight)
            axes.text(size[0] - side + 0.08, row, text, ha="left", va="center")
        ends = [(index, other) for index in drawn for other in range(len(weights)) if weights[index, other] >= _LEAST]
        strength = np.array([weights[end] for end in ends])
        axes.add_collection(
            LineCollection(
                [((side, rows[index]), (size[0] - side, rows[other])) for index, other in ends],
                colors=_INK,
                alpha=strength / strength.max() if ends else None,
                linewidths=1 + 2 * strength / strength.max() if ends else None,
            )
        )
    return page


def page(explanations, title="Attention"):
    """Renders explanations as a self-contained HTML page: relevance as colour, attention as lines, by layer and head.

    Args:
        explanations: list of `textkit.explanation.Explanation`.
        title: str, the title of the page.

    Returns:
        str of HTML, for `textkit.alignment.save`.

    Raises:
        ValueError: more attention weights than a browser can handle.
    """
    import jinja2

    weights = sum(len(each.words) ** 2 * each.attention.shape[0] * each.attention.shape[1] for each in explanations)
    if weights > _MOST_WEIGHTS:
        words = [len(each.words) for each in explanations]
        raise ValueError(
            f"Expected texts with at most {_MOST_WEIGHTS} attention weights between words for a page. "
            f"Received: {weights} weights, for texts of {', '.join(map(str, words))} words"
        )
    template = pathlib.Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(explanations=[_set_out(each) for each in explanations], title=title)


def attention_table(explanation, layer=None, head=None, most=3):
    """Makes a terminal table of the words that each word attends to most.

    Args:
        explanation: a `textkit.explanation.Explanation`.
        layer: int, see `between_words`.
        head: int, see `between_words`.
        most: int, the number of words listed for each word.

    Returns:
        A `rich.table.Table`.

    Raises:
        ValueError: a layer or head out of range.
    """
    from rich.text import Text

    weights = between_words(explanation, layer, head)
    words = _words(explanation)
    rows = _table("word", "attends to", *[""] * (most - 1), "special tokens")
    for index, word in enumerate(words):
        largest = np.argsort(-weights[index], kind="stable")[:most]
        found = [f"{words[other]} {weights[index, other]:.2f}" for other in largest]
        found += [""] * (most - len(found))
        rest = f"{max(0.0, 1 - weights[index].sum()):.2f}"
        rows.add_row(*(Text(text) for text in [word, *found, rest]))
    return rows


def word_table(explanation, word, layer=None, head=None, most=5):
    """Makes a terminal table of the words that one word attends to most, each with its strongest head.

    Args:
        explanation: a `textkit.explanation.Explanation`.
        word: int, the index of the word.
        layer: int, see `between_words`.
        head: int, see `between_words`.
        most: int, the number of words listed.

    Returns:
        A `rich.table.Table`.

    Raises:
        ValueError: a layer or head out of range.
    """
    from rich.text import Text

    weights = between_words(explanation, layer, head)[word]
    of_heads = explanation.word_attention[:, :, word]  # (l, h, w)
    words = _words(explanation)
    rows = _table(f"{words[word]!r} attends to", _chosen(layer, head), "", "most")
    largest = np.argsort(-weights, kind="stable")[:most]
    rest = max(0.0, 1 - weights.sum())
    for other in largest:
        in_layer, in_head = np.unravel_index(of_heads[..., other].argmax(), of_heads.shape[:2])
        where = f"{of_heads[in_layer, in_head, other]:.2f} layer {in_layer} head {in_head}"
        rows.add_row(Text(words[other]), f"{weights[other]:.2f}", _bar(weights[other]), where)
    rows.add_row("special tokens", f"{rest:.2f}", _bar(rest), style="dim")
    return rows


def relevance_table(explanation):
    """Makes a terminal table of the relevance of each word, as a number and as a bar.

    Args:
        explanation: a `textkit.explanation.Explanation`.

    Returns:
        A `rich.table.Table`.
    """
    from rich.text import Text

    rows = _table("word", explanation.explained, "")
    for word, number, share in zip(_words(explanation), _numbers(explanation), _shares(explanation), strict=True):
        rows.add_row(Text(word), number, _bar(share))
    return rows


def _table(*headings):
    """A terminal table; headings are plain text without markup, as they can be user input."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=box.SIMPLE_HEAD)
    for heading in headings:
        rows.add_column(Text(heading))
    return rows


def _bar(share):
    from rich.text import Text

    return Text("█" * round(_BAR * abs(share)), style="blue" if share > 0 else "dark_orange")


def _set_out(explanation):
    """The template's variables for an explanation."""
    layers, heads = explanation.attention.shape[:2]
    weights = np.rint(explanation.word_attention * _LEVELS).astype("<u2")
    texts = [explanation.text, *([] if explanation.pair is None else [explanation.pair])]
    paragraphs, shown = [], zip(explanation.offsets, _numbers(explanation), _shares(explanation), strict=True)
    for text, count in zip(texts, (explanation.num_first, len(explanation.words) - explanation.num_first), strict=False):
        pieces, before = [], 0
        for _ in range(count):
            (begin, end), number, share = next(shown)
            pieces.append({"gap": text[before:begin], "word": text[begin:end], "number": number, "share": share})
            before = end
        paragraphs.append({"pieces": pieces, "rest": text[before:]})
    most = np.abs(explanation.relevance).max(initial=0.0)
    return {
        "paragraphs": paragraphs,
        "words": _words(explanation),
        "num_first": explanation.num_first,
        "answer": explanation.answer,
        "word": explanation.word,
        "explained": explanation.explained,
        "method": explanation.method.replace("_", " "),
        "signed": explanation.signed,
        "most": f"{most:.2f}",
        "direction": alignment.direction(explanation.text),
        "num_layers": layers,
        "num_heads": heads,
        "weights": base64.b64encode(weights.tobytes()).decode(),
    }


def _words(explanation):
    """The words, shortened to `_LONGEST` characters."""
    return [word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…" for word in explanation.words]


def _numbers(explanation):
    """Relevance as text: signed values with two digits of the largest; others as percentages of their sum."""
    if explanation.signed:
        most = np.abs(explanation.relevance).max(initial=0.0)
        digits = max(2, 1 - math.floor(math.log10(most))) if most else 2
        return [f"{value:+.{digits}f}" for value in explanation.relevance]
    return [f"{100 * value:.0f}%" for value in explanation.relevance / (explanation.relevance.sum() or 1.0)]


def _shares(explanation):
    """Relevance divided by its largest absolute value, in [-1, 1]."""
    return (explanation.relevance / (np.abs(explanation.relevance).max(initial=0.0) or 1.0)).tolist()


def _chosen(layer, head):
    chosen = [f"{name} {index}" for name, index in (("layer", layer), ("head", head)) if index is not None]
    return ", ".join(chosen) or "mean of all heads"
