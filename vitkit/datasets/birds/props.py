"""Draws distractors that resemble birds, and what a bird stands on.

Independent of the species: distractors take their colours from all plumages.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vitkit.datasets.birds.shapes import leaf_outlines, shade, smooth, stroke
from vitkit.datasets.birds.species import SPECIES

PLUMAGE = sorted(
    {colour for bird in SPECIES.values() for colour in bird.colours.values()}
    | {patch.colour for bird in SPECIES.values() for patch in bird.patches + bird.wing_patches}
)
_STONES = ((128, 124, 120), (96, 92, 88), (164, 150, 132), (112, 90, 76), (188, 184, 178))
_WOOD = ((92, 66, 44), (70, 54, 40), (120, 100, 80), (96, 92, 86))
_GREENS = ((58, 112, 40), (96, 140, 60), (150, 120, 50), (176, 96, 34))


def scatter(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Draws three to seven distractors anywhere on a square RGB picture."""
    brush = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(3, 8)):
        centre = rng.uniform(0.03, 0.97, 2) * canvas.width
        reach = rng.uniform(0.02, 0.07) * canvas.width
        _DISTRACTORS[rng.integers(len(_DISTRACTORS))](brush, centre, reach, rng)


def draw_perch(canvas: Image.Image, place: str, feet, length: float, rng: np.random.Generator) -> None:
    """Draws what a standing bird stands on: a branch, a stone in water, or its shadow on the ground.

    Args:
        canvas: square RGB picture, drawn on.
        place: a key of `PLACES`.
        feet: (x, y) in pixels of the canvas.
        length: the bird's trunk length in pixels of the canvas.
        rng: source of randomness.
    """
    if place in ("sky", "leaves", "bark"):
        _branch(canvas, feet, rng)
    elif place == "water":
        reach = length * rng.uniform(0.4, 0.8)
        _stone(ImageDraw.Draw(canvas), feet + (0, 0.45 * reach), reach, rng)
    else:
        _shadow(canvas, feet, length * rng.uniform(0.5, 0.7))


def _branch(canvas, feet, rng):
    brush = ImageDraw.Draw(canvas)
    wood = _any(_WOOD, rng)
    width = rng.uniform(0.025, 0.06) * canvas.width
    slope = rng.uniform(-0.3, 0.3)
    middle = feet + (0, 0.4 * width)
    ends = [middle + np.array((run, run * slope)) for run in (-canvas.width, canvas.width)]
    for tone, thickness, lift in ((0.65, 1.0, 0.0), (1.0, 0.7, -0.15), (1.25, 0.25, -0.25)):
        start, end = (point + (0, lift * width) for point in ends)
        outline = stroke(start, end, thickness * width, 0.5 * thickness * width)
        brush.polygon(outline.ravel().tolist(), fill=shade(wood, tone))


def _shadow(canvas, feet, reach):
    half = np.array((1.4 * reach, 0.6 * reach))
    mask = Image.new("L", tuple((2 * half).astype(int).tolist()))
    _ellipse(ImageDraw.Draw(mask), half, (reach, 0.22 * reach), 110)
    corner = tuple((feet - half).astype(int).tolist())
    canvas.paste((20, 20, 30), corner, mask.filter(ImageFilter.GaussianBlur(0.12 * reach)))


def _stone(brush, centre, reach, rng):
    colour = _any(_STONES, rng)
    spread = np.array((1.0, rng.uniform(0.55, 0.8)))
    corners = smooth(_ring(7) * rng.uniform(0.85, 1.1, (7, 1))) * spread
    for tone, size, lift in ((0.55, 1.0, 0.0), (0.85, 0.92, 0.07), (1.1, 0.6, 0.3)):
        outline = centre + reach * (size * corners - (0, lift * spread[1]))
        brush.polygon(outline.ravel().tolist(), fill=shade(colour, tone))


def _twig(brush, centre, reach, rng):
    along = _heading(rng) * 2 * reach
    outline = stroke(centre - along, centre + along, 0.3 * reach, 0.15 * reach)
    brush.polygon(outline.ravel().tolist(), fill=_any(_WOOD, rng))


def _flower(brush, centre, reach, rng):
    petal, heart = _any(PLUMAGE, rng), _any(PLUMAGE, rng)
    for direction in _ring(rng.integers(5, 8)):
        _ellipse(brush, centre + 0.6 * reach * direction, (0.4 * reach,) * 2, petal)
    _ellipse(brush, centre, (0.35 * reach,) * 2, heart)


def _leaf(brush, centre, reach, rng):
    _blade(brush, centre, 1.6 * reach, _any(_GREENS, rng), rng)


def _feather(brush, centre, reach, rng):
    _blade(brush, centre, 1.4 * reach, _any(PLUMAGE, rng), rng)


def _blade(brush, centre, reach, colour, rng):
    outline = leaf_outlines(centre[None], np.array([reach]), rng)[0]
    brush.polygon(outline.ravel().tolist(), fill=colour)
    brush.line(outline[[0, 4]].ravel().tolist(), fill=shade(colour, 0.7), width=max(1, int(reach / 10)))


def _berries(brush, centre, reach, rng):
    colour = _any(PLUMAGE, rng)
    for offset in rng.normal(0, 0.7, (rng.integers(2, 6), 2)):
        berry = centre + reach * offset
        _ellipse(brush, berry, (0.4 * reach,) * 2, colour)
        _ellipse(brush, berry - 0.12 * reach, (0.12 * reach,) * 2, shade(colour, 1.4))


def _blob(brush, centre, reach, rng):
    """Two touching plumage colours, the strongest temptation for a model that only counts colours."""
    for colour, offset in ((_any(PLUMAGE, rng), 0), (_any(PLUMAGE, rng), 0.6 * reach * _heading(rng))):
        outline = centre + offset + reach * smooth(_ring(6) * rng.uniform(0.6, 1.2, (6, 1)))
        brush.polygon(outline.ravel().tolist(), fill=colour)


_DISTRACTORS = (_stone, _twig, _flower, _leaf, _feather, _berries, _blob)


def _any(colours, rng):
    return shade(colours[rng.integers(len(colours))], rng.uniform(0.85, 1.15))


def _heading(rng) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array((np.cos(angle), np.sin(angle)))


def _ring(count: int) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _ellipse(brush, centre, radii, fill) -> None:
    brush.ellipse((*(centre - np.array(radii)), *(centre + np.array(radii))), fill=fill)
