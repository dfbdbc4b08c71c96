"""Alignments for the eye: what each token of an answer attended to, as a picture, as a page to explore, in the terminal."""

import contextlib
import pathlib
import unicodedata
import warnings

import numpy as np

from shared_layers.runtime import write_aside

_CELL, _CHARACTER, _MARGIN, _PAGE, _TITLE = 0.26, 0.09, 0.25, 10.0, 2.7  # inches; titles are as wide as the cells, or this
_MOST_PIXELS = 8000  # along a side
_DPI = 150
_SPACE = "␣"
_PLACEHOLDERS = "Last Resort"  # a font that comes with matplotlib and has a box for every character
_SHORT = 2  # columns of a terminal: labels that stand upright above narrow cells
_LEAST = 0.005  # smaller weights are 0.00


def matrix(alignment, source, target, title=None):
    """Draws an alignment: the source across, the target down, dark where much of the attention lies.

    Characters that no font of this machine has are named in a warning.

    Args:
        alignment: float (t, s) in [0, 1].
        source: list of s str, what stands above the columns.
        target: list of t str, what stands left of the rows.
        title: str, or `None`; cut to the width of the cells, if these are not narrow.

    Returns:
        A `matplotlib.figure.Figure`, for `save`.

    Raises:
        ValueError: nothing to draw, or as many labels as there are not rows and columns.
    """
    return grid([(alignment, source, target, title)])


def grid(panels):
    """Draws several alignments, side by side as far as the page is wide, then below.

    Args:
        panels: list of (alignment, source, target, title), each as `matrix` takes them.

    Returns:
        A `matplotlib.figure.Figure`, for `save`.

    Raises:
        ValueError: see `matrix`.
    """
    import matplotlib
    from matplotlib.figure import Figure

    panels = [_Panel(*panel) for panel in panels]
    places, left, top, bottom = [], 0.0, 0.0, 0.0
    for panel in panels:
        if left and left + panel.width > _PAGE:
            left, top = 0.0, bottom
        places.append((left, top))
        left, bottom = left + panel.width, max(bottom, top + panel.height)
    page = max(left + panel.width for panel, (left, _) in zip(panels, places, strict=True)), bottom
    fonts = font_families("".join(text for panel in panels for text in (*panel.source, *panel.target, panel.title)))
    with matplotlib.rc_context({"font.family": fonts, "font.size": 9}):
        figure = Figure(page, dpi=resolution(page))
        for panel, place in zip(panels, places, strict=True):
            panel.draw(figure, *place)
    return figure


def page(translations, title="Attention"):
    """Sets alignments out as an HTML page of its own, where a token that is pointed at shows its weights as numbers.

    Args:
        translations: list of `textkit.translator.Translation`; each becomes a matrix, as that of `matrix`, whose columns run
            as its source is read.
        title: str.

    Returns:
        str, for `save`. The page needs nothing but itself.
    """
    import jinja2

    shown = [
        {
            "source": each.source,
            "text": each.text,
            "source_tokens": _visible(each.source_tokens),
            "rows": list(zip(_visible(each.tokens), each.alignment.tolist(), strict=True)),
            "direction": direction(each.source),
            "long": _longest(each.source_tokens) > _SHORT,
        }
        for each in translations
    ]
    template = pathlib.Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(translations=shown, title=title)


def table(translation, most=3):
    """Sets an alignment out for the terminal: each token of the answer with what it attended to most.

    Args:
        translation: a `textkit.translator.Translation`.
        most: int, source tokens of each.

    Returns:
        A `rich.table.Table`.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = Table("token", "attended to", *[""] * (most - 1), box=box.SIMPLE_HEAD)
    source = _visible(translation.source_tokens)
    for token, weights in zip(_visible(translation.tokens), translation.alignment, strict=True):
        largest = [index for index in np.argsort(-weights, kind="stable")[:most] if weights[index] >= _LEAST]
        rows.add_row(*(Text(text) for text in [token, *(f"{source[index]} {weights[index]:.2f}" for index in largest)]))
    return rows


def save(path, content):
    """Writes a figure as PNG, or a page; the file is whole or absent.

    Args:
        path: str or path-like.
        content: `matplotlib.figure.Figure`, or str.
    """
    with write_aside(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # `grid` has said so
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            content.savefig(temporary, format="png")


def resolution(size):
    """Dots per inch at which a figure of a size (width, height) in inches has no more pixels than can be drawn."""
    return min(_DPI, _MOST_PIXELS / max(size))


def display_width(text):
    """How wide a text is in a terminal: Chinese characters take two columns."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def direction(text):
    """Where a text's first letter says that it runs: to the left in Arabic and Hebrew."""
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next(({"L": "ltr", "R": "rtl", "AL": "rtl"}[kind] for kind in kinds if kind in ("L", "R", "AL")), "ltr")


def font_families(text):
    """Families that together have the characters of a text, the usual one first."""
    from matplotlib import font_manager

    usual = font_manager.FontProperties().get_family()
    families = list(usual)
    missing = {character for character in text if not character.isspace()}
    missing -= _characters(font_manager.findfont(font_manager.FontProperties()))
    if missing:  # rarely, since every font there is has to be opened
        known = {entry.fname for entry in font_manager.fontManager.ttflist}
        for path in set(font_manager.findSystemFonts()) - known:  # installed since matplotlib last looked
            with contextlib.suppress(OSError, RuntimeError):  # of a kind that it cannot read
                font_manager.fontManager.addfont(path)
        for entry in font_manager.fontManager.ttflist:
            had = missing & _characters(entry.fname)
            if had and not entry.name.startswith(_PLACEHOLDERS):
                families.append(entry.name)
                missing -= had
            if not missing:
                break
    if missing:
        named = "".join(sorted(missing)[:10])
        warnings.warn(f"No font here has {named!r}; install one that does, such as Noto Sans CJK", stacklevel=3)
    return families


class _Panel:
    """A matrix with its labels: `width` and `height` in inches, and how to draw it at a place."""

    def __init__(self, alignment, source, target, title=None):
        self.alignment = np.asarray(alignment, "float32")
        if self.alignment.size == 0 or self.alignment.shape != (len(target), len(source)):
            raise ValueError(
                "Expected an alignment of at least one token of the target with one of the source. "
                f"Received: alignment.shape={self.alignment.shape}, len(target)={len(target)}, len(source)={len(source)}"
            )
        self.source, self.target = _visible(source), _visible(target)
        self.left, self.top = (_MARGIN + _CHARACTER * _longest(labels) for labels in (target, source))
        self.cells = _CELL * len(source), _CELL * len(target)
        self.title = _cut(title or "", int(max(self.cells[0], _TITLE) / _CHARACTER))
        self.width = self.left + max(self.cells[0], _CHARACTER * display_width(self.title)) + _MARGIN
        self.height = self.top + self.cells[1] + (2 * _MARGIN if title else _MARGIN)

    def draw(self, figure, left, top):
        """Draws the panel, its upper left corner so many inches from that of the figure."""
        page_width, page_height = figure.get_size_inches()
        left, bottom = left + self.left, page_height - top - self.top - self.cells[1]
        axes = figure.add_axes(
            (left / page_width, bottom / page_height, self.cells[0] / page_width, self.cells[1] / page_height)
        )
        axes.imshow(self.alignment, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(self.source)), self.source, rotation=90 if _longest(self.source) > _SHORT else 0)
        axes.set_yticks(range(len(self.target)), self.target)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        # Lines between the cells, so that the eye finds its way to the labels.
        axes.set_xticks(np.arange(len(self.source) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(self.target) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        figure.text(left / page_width, (bottom - _MARGIN / 2) / page_height, self.title, va="center")


def _visible(labels):
    return [_SPACE if label.isspace() else label for label in labels]


def _cut(text, columns):
    if display_width(text) <= columns:
        return text
    kept = text[: columns - 1]
    while display_width(kept) >= columns:
        kept = kept[:-1]
    return kept + "…"


def _longest(labels):
    return max(map(display_width, labels))


def _characters(path):
    from matplotlib import font_manager

    return set(map(chr, font_manager.get_font(path).get_charmap()))
