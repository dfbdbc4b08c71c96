"""Alignments for the eye: a matrix of what each token of an answer attended to."""

import warnings

import numpy as np

from shared_layers.runtime import write_aside

_CELL, _CHARACTER, _MARGIN, _MOST_PIXELS = 0.26, 0.09, 0.25, 8000  # inches; pixels along a side
_DPI = 150
_SPACE = "␣"
_PLACEHOLDERS = "Last Resort"  # a font that comes with matplotlib and has a box for every character


def matrix(alignment, source, target, title=None):
    """Draws an alignment: the source across, the target down, dark where much of the attention lies.

    Characters that no font of this machine has are named in a warning.

    Args:
        alignment: float (t, s) in [0, 1].
        source: list of s str, what stands above the columns.
        target: list of t str, what stands left of the rows.
        title: str, or `None`.

    Returns:
        A `matplotlib.figure.Figure`, for `save`.

    Raises:
        ValueError: nothing to draw, or as many labels as there are not rows and columns.
    """
    import matplotlib
    from matplotlib.figure import Figure

    alignment = np.asarray(alignment, "float32")
    if alignment.size == 0 or alignment.shape != (len(target), len(source)):
        raise ValueError(
            "Expected an alignment of at least one token of the target with one of the source. "
            f"Received: alignment.shape={alignment.shape}, len(target)={len(target)}, len(source)={len(source)}"
        )
    source, target = ([_SPACE if label.isspace() else label for label in labels] for labels in (source, target))
    left, top = (_MARGIN + _CHARACTER * max(map(len, labels)) for labels in (target, source))
    width, height = _CELL * len(source), _CELL * len(target)
    foot = 2 * _MARGIN if title else _MARGIN
    page = left + width + _MARGIN, top + height + foot
    fonts = _fonts("".join([*source, *target, title or ""]))
    with matplotlib.rc_context({"font.family": fonts, "font.size": 9}):
        figure = Figure(page, dpi=min(_DPI, _MOST_PIXELS / max(page)))
        axes = figure.add_axes((left / page[0], foot / page[1], width / page[0], height / page[1]))
        axes.imshow(alignment, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(source)), source, rotation=90 if max(map(len, source)) > 2 else 0)
        axes.set_yticks(range(len(target)), target)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        # Lines between the cells, so that the eye finds its way to the labels.
        axes.set_xticks(np.arange(len(source) - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(len(target) - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
        if title:
            figure.text(0.5, _MARGIN / page[1], title, ha="center", va="center")
    return figure


def save(path, figure):
    """Writes a figure as PNG; the file is whole or absent.

    Args:
        path: str or path-like.
        figure: `matplotlib.figure.Figure`.
    """
    with write_aside(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # `matrix` has said so
        figure.savefig(temporary, format="png")


def _fonts(text):
    """Families that together have the characters of a text, the usual one first."""
    from matplotlib import font_manager

    usual = font_manager.FontProperties().get_family()
    families = list(usual)
    missing = {character for character in text if not character.isspace()}
    missing -= _characters(font_manager.findfont(font_manager.FontProperties()))
    if missing:  # rarely, since every font there is has to be opened
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


def _characters(path):
    from matplotlib import font_manager

    return set(map(chr, font_manager.get_font(path).get_charmap()))
