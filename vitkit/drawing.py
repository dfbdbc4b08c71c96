"""Drawing of heatmaps: overlays, and figures with outlines, captions and a colour bar."""

import pathlib

import numpy as np

from shared_layers.runtime import unknown_name, write_aside

_INK, _WRONG = "#222222", "#c1121f"
_MOST_PIXELS = 1000  # along a side, about twice what a panel shows
_WIDTH, _LARGEST_CELL, _GAP, _LINE, _CHARACTER, _FOOT = 10.0, 2.9, 0.06, 0.17, 0.07, 0.45  # inches


def overlay(picture, heatmap, alpha=0.75, colormap="inferno"):
    """Overlays a heatmap on a picture, which turns grey (so that colour means heat) and darker where the heatmap is low.

    Args:
        picture: uint8 (..., H, W, 3).
        heatmap: float (..., H, W) in [0, 1].
        alpha: float in [0, 1], opacity of the heatmap's colour where the heatmap is 1; elsewhere proportional to it.
        colormap: str, name of a matplotlib colour map. The default is perceptually uniform.

    Returns:
        uint8 (..., H, W, 3).

    Raises:
        ValueError: the shapes differ, or the colour map is unknown.

    Example:

    >>> overlay(np.full((2, 3, 3), 200, "uint8"), np.zeros((2, 3)))[0, 0]
    array([140, 140, 140], dtype=uint8)
    """
    import matplotlib

    picture, heatmap = np.asarray(picture), np.asarray(heatmap, "float32")
    if picture.shape != (*heatmap.shape, 3):
        raise ValueError(
            "Expected a picture (..., height, width, 3) and a heatmap of the same height and width. "
            f"Received: picture.shape={picture.shape}, heatmap.shape={heatmap.shape}"
        )
    if colormap not in matplotlib.colormaps:
        raise unknown_name("colormap", colormap, list(matplotlib.colormaps))
    heat = heatmap[..., None]
    colour = 255 * matplotlib.colormaps[colormap](heatmap)[..., :3]
    luminance = picture @ np.array([0.299, 0.587, 0.114], "float32")
    base = (0.7 + 0.3 * heat) * (0.15 * picture + 0.85 * luminance[..., None])
    return np.rint(base + alpha * heat * (colour - base)).astype("uint8")


def grid(
    pictures,
    heatmaps,
    masks=None,
    labels=None,
    predictions=None,
    per_row=8,
    alpha=0.75,
    colormap="inferno",
):
    """Draws pictures next to their heatmaps, with the object's outline, the maximum of the heatmap and a colour bar.

    Pictures are placed side by side with their heatmaps below. If there are fewer pictures than panels per picture
    (itself and its heatmaps), they are placed below each other, with their heatmaps to the right.

    Args:
        pictures: sequence of n uint8 (H, W, 3), of one size or several.
        heatmaps: dict, title (such as the method's name) -> sequence of n float (H, W) in [0, 1].
        masks: sequence of n bool (H, W), True = object; or `None`.
        labels: n str, the true classes; or `None`.
        predictions: n str, the predicted classes; or `None`. One that differs from its label is printed in red.
        per_row: int, the maximum number of pictures side by side.
        alpha: float, see `overlay`.
        colormap: str, see `overlay`.

    Returns:
        A `matplotlib.figure.Figure`, for `save`.

    Raises:
        ValueError: no pictures, or masks, labels, predictions or heatmaps that are not n.
    """
    from matplotlib.figure import Figure

    count = len(pictures)
    _check_lengths(count, {"masks": masks, "labels": labels, "predictions": predictions, **heatmaps})
    titles = ["picture", *heatmaps]
    side_by_side = count >= len(titles)
    columns, rows = (min(per_row, count), len(titles)) if side_by_side else (len(titles), 1)
    blocks = -(-count // columns) if side_by_side else count

    margin = _LINE + 2 * _GAP if side_by_side else _GAP
    width = min(_LARGEST_CELL, (_WIDTH - margin) / columns - _GAP)
    height = width * max(np.shape(picture)[0] / np.shape(picture)[1] for picture in pictures)
    nothing = [""] * count
    captions = [
        _caption(label, prediction, room=int(width / _CHARACTER))
        for label, prediction in zip(labels or nothing, predictions or nothing, strict=True)
    ]
    header = _LINE * (1 + any("\n" in text for text, _ in captions)) + _GAP
    block_height = header + rows * (height + _GAP)
    page = np.array([margin + columns * (width + _GAP), blocks * block_height + _FOOT])
    figure = Figure(figsize=page, dpi=160, facecolor="white")

    for index in range(count):
        # Subsampled, since an overlay takes fifty times the picture's memory.
        thin = (slice(None, None, -(-max(np.shape(pictures[index])) // _MOST_PIXELS)),) * 2
        picture = np.asarray(pictures[index])[thin]
        for panel, title in enumerate(titles):
            if side_by_side:
                (block, column), row = divmod(index, columns), panel
            else:
                block, column, row = index, panel, 0
            left, top = (
                margin + column * (width + _GAP),
                block * block_height + header + row * (height + _GAP),
            )
            axes = _axes(figure, left, top, width, height)
            axes.axis("off")
            if panel == 0:
                axes.imshow(picture, interpolation="bicubic")
                _write(axes, *captions[index], (0.5, 1.0), (0, 4), ha="center", va="bottom")
            else:
                heatmap = np.asarray(heatmaps[title][index])[thin]
                axes.imshow(overlay(picture, heatmap, alpha, colormap), interpolation="bicubic")
                _mark_hottest(axes, heatmap)
                if not side_by_side:
                    _write(axes, title, _INK, (0.5, 1.0), (0, 4), ha="center", va="bottom")
            if side_by_side and column == 0:
                _write(axes, title, _INK, (0.0, 0.5), (-5, 0), ha="right", va="center", rotation=90)
            if masks is not None:
                _outline(axes, np.asarray(masks[index])[thin])

    signs = ["+  hottest place"]
    if masks is not None:
        signs.append("outline: the object")
    if any(ink == _WRONG for _, ink in captions):
        signs.append("red: label → wrong answer")
    _foot(figure, page, "     ".join(signs), alpha, colormap)
    return figure


def save(path, content):
    """Writes a figure or a picture as PNG, or an array as NPY, atomically.

    Args:
        path: str or path-like that ends in .png or .npy.
        content: for PNG a `matplotlib.figure.Figure` or uint8 (H, W, 3); for NPY any array.

    Raises:
        ValueError: another suffix.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in (".png", ".npy"):
        raise ValueError(f"Expected a path that ends in .png or .npy. Received: path={str(path)!r}")
    with write_aside(path) as temporary:
        if suffix == ".npy":
            with open(temporary, "wb") as file:  # given a name with .NPY, np.save would append .npy
                np.save(file, content)
        elif isinstance(content, Figure):
            content.savefig(temporary, format="png")
        else:
            Image.fromarray(np.asarray(content)).save(temporary, format="png")


def _check_lengths(count, given):
    lengths = {name: len(values) for name, values in given.items() if values is not None}
    if count == 0 or any(length != count for length in lengths.values()):
        received = ", ".join(f"len({name})={length}" for name, length in {"pictures": count, **lengths}.items())
        raise ValueError(f"Expected at least one picture, and the same number of everything else. Received: {received}")


def _caption(label, prediction, room):
    label, prediction = (name if len(name) <= room else name[: room - 1] + "…" for name in (label, prediction))
    if label and prediction and label != prediction:
        return f"{label}\n→ {prediction}", _WRONG
    return label or prediction, _INK


def _axes(figure, left, top, width, height):
    """Returns axes at a position in inches, from the upper left corner of the page."""
    page_width, page_height = figure.get_size_inches()
    bottom = page_height - top - height
    return figure.add_axes((left / page_width, bottom / page_height, width / page_width, height / page_height))


def _write(axes, text, ink, place, offset, **alignment):
    """Writes text next to axes: at a position in axes fractions, plus an offset in points."""
    axes.annotate(text, place, offset, "axes fraction", "offset points", fontsize=8, color=ink, **alignment)


def _outline(axes, mask):
    mask = np.pad(np.asarray(mask, bool), 1)  # so that the outline is closed at the picture's border
    if mask.any():
        limits = {"xlim": axes.get_xlim(), "ylim": axes.get_ylim()}
        rows, columns = (np.arange(-1, length - 1) for length in mask.shape)
        for colour, line in (("black", 1.8), ("white", 0.9)):
            axes.contour(columns, rows, mask, levels=[0.5], colors=colour, linewidths=line)
        axes.set(**limits)


def _mark_hottest(axes, heatmap):
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    for colour, line, size in (("black", 2.4, 7), ("white", 1.1, 6)):
        axes.plot(column, row, "+", color=colour, markersize=size, markeredgewidth=line)


def _foot(figure, page, signs, alpha, colormap):
    """Draws the legend on the left and the colour bar, rendered like the overlays, on the right."""
    length = min(3.0, page[0] / 3)
    axes = _axes(figure, page[0] - length - _GAP, page[1] - _FOOT + 0.12, length, 0.11)
    ramp = np.linspace(0, 1, 256, dtype="float32")[None]
    axes.imshow(overlay(np.full((1, 256, 3), 160, "uint8"), ramp, alpha, colormap), aspect="auto")
    axes.spines[:].set_visible(False)
    axes.set(xticks=[0, 127.5, 255], xticklabels=["cold", "each map on its own scale", "hot"], yticks=[])
    axes.tick_params(length=0, labelsize=7, labelcolor=_INK, pad=2)
    for label, side in zip(axes.get_xticklabels(), ("left", "center", "right"), strict=True):
        label.set_horizontalalignment(side)
    figure.text(2 * _GAP / page[0], (_FOOT - 0.18) / page[1], signs, fontsize=7, color=_INK, va="center")
