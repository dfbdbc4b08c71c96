"""How the figures of the page look."""

import matplotlib
from matplotlib.figure import Figure

from textkit.alignment import save

BLUE, RED, GREY, INK = "#0072b2", "#d55e00", "#8a8a8a", "#222222"
_STYLE = {
    "font.size": 8,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.bottom": False,
    "ytick.minor.left": False,
    "lines.linewidth": 1.8,
}


def draw(path, count, height, fill):
    """Draws panels beside each other and writes them as PNG, 7.2 inches wide.

    Args:
        path: str or path-like.
        count: int, how many panels.
        height: float, inches.
        fill: callable that gets the list of `matplotlib.axes.Axes`.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure((7.2, height), dpi=130, layout="constrained")
        fill([figure.add_subplot(1, count, place) for place in range(1, count + 1)])
        save(path, figure)
