"""Views of alignments: as a figure, as an HTML page and as a terminal table."""

import contextlib
import pathlib
import unicodedata
import warnings

import numpy as np

from shared_layers.runtime import write_aside

_CELL, _CHARACTER, _MARGIN, _PAGE, _TITLE = 0.26, 0.09, 0.25, 10.0, 2.7  # inches; the last is the least width of a title
_MOST_PIXELS = 8000  # along a side
_DPI = 150
_SPACE = "␣"
_PLACEHOLDERS = "Last Resort"  # a font of matplotlib that draws a box for every character
_SHORT = 2  # display width; longer labels above the cells are rotated
_LEAST = 0.005  # smaller weights would be shown as 0.00


def matrix(alignment, source, target, title=None):
    """Draws an alignment as a heatmap: source tokens as columns, target tokens as rows.

    A warning names characters that no installed font has.

    Args:
        alignment: float (t, s) in [0, 1].
        source: list of s str, the column labels.
        target: list of t str, the row labels.
        title: str, or `None`; truncated to the width of the figure.

    Returns:
        A `matplotlib.figure.Figure`, for `save`.

    Raises:
        ValueError: an empty alignment, or another number of labels than rows and columns.
    """
    return grid([(alignment, source, target, title)])


def grid(panels):
    """Draws several alignments side by side, in as many rows as needed.

    Args:
        panels: list of (alignment, source, target, title), see `matrix`.

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
    """Renders alignments as a self-contained HTML page that shows the weights of a token on hover.

    Args:
        translations: list of `textkit.translator.Translation`; each becomes a heatmap like that of `matrix`, with columns in
            the reading direction of the source.
        title: str, the title of the page.

    Returns:
        str of HTML, for `save`.
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
    """Makes a terminal table of the source tokens that each target token attended to most.

    Args:
        translation: a `textkit.translator.Translation`.
        most: int, the number of source tokens for each target token.

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
    """Writes a figure as PNG, or a page as HTML; the file is complete or absent.

    Args:
        path: str or path-like.
        content: `matplotlib.figure.Figure`, or str of HTML.
    """
    with write_aside(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # `grid` has warned
        if isinstance(content, str):
            temporary.write_text(content, encoding="utf-8")
        else:
            content.savefig(temporary, format="png")


def resolution(size):
    """Chooses a resolution at which a figure does not exceed the pixels that can be drawn.

    Args:
        size: (width, height) in inches.

    Returns:
        float, dots per inch.
    """
    return min(_DPI, _MOST_PIXELS / max(size))


def display_width(text):
    """Computes the width of a text in terminal columns; Chinese characters take two.

    Args:
        text: str.

    Returns:
        int.
    """
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def direction(text):
    """Finds the reading direction of a text by its first letter.

    Args:
        text: str.

    Returns:
        "ltr", or "rtl" for scripts such as Arabic and Hebrew.
    """
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next(({"L": "ltr", "R": "rtl", "AL": "rtl"}[kind] for kind in kinds if kind in ("L", "R", "AL")), "ltr")


def font_families(text):
    """Finds font families that together have the characters of a text; warns if there are none.

    Args:
        text: str.

    Returns:
        list of str, matplotlib's default families first.
    """
    from matplotlib import font_manager

    usual = font_manager.FontProperties().get_family()
    families = list(usual)
    missing = {character for character in text if not character.isspace()}
    missing -= _characters(font_manager.findfont(font_manager.FontProperties()))
    if missing:  # only if needed, as this opens all fonts
        known = {entry.fname for entry in font_manager.fontManager.ttflist}
        for path in set(font_manager.findSystemFonts()) - known:  # not yet in matplotlib's cache
            with contextlib.suppress(OSError, RuntimeError):  # an unsupported format
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
        warnings.warn(f"No installed font has {named!r}; install one, such as Noto Sans CJK", stacklevel=3)
    return families


class _Panel:
    """A heatmap with its labels; `width` and `height` are in inches."""

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
        """Draws the panel with its upper left corner `left` and `top` inches from that of the figure."""
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
        # Grid lines between the cells.
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
