"""Draws the textures of the places where birds are: sky, water, sand, leaves, bark, grass, snow and rock.

Each texture is a function of (rng, size) to a picture of (size, size, 3) numbers in 0..255. Each has several
colourings, so that no place can be recognised by colour.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vitkit.datasets.birds.shapes import leaf_outlines, shade


def draw_place(name: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Draws a place.

    Args:
        name: a key of `PLACES`.
        size: height and width of the picture in pixels.
        rng: source of randomness; the same state gives the same place.

    Returns:
        An RGB picture, more or less out of focus.
    """
    texture = np.clip(PLACES[name](rng, size), 0, 255).astype(np.uint8)
    return Image.fromarray(texture).filter(ImageFilter.BoxBlur(rng.uniform(0, 0.018) * size))


def fractal(rng, size: int, cells: tuple[int, int], octaves: int, roughness: float = 0.55) -> np.ndarray:
    """Returns fractal noise.

    Args:
        rng: source of randomness.
        size: height and width of the result.
        cells: rows and columns of the coarsest grid; fewer columns than rows give horizontal streaks.
        octaves: number of grids, each twice as fine as the one before.
        roughness: amplitude of a grid over the one before.

    Returns:
        (size, size) float32, mean about 0, deviation about 1.
    """
    noise = rng.standard_normal(cells, dtype=np.float32)
    power = 1.0
    for octave in range(1, octaves):
        rows, columns = (min(size, n * 2**octave) for n in cells)
        finer = Image.fromarray(noise).resize((columns, rows), Image.Resampling.BICUBIC)
        amplitude = roughness**octave
        noise = np.asarray(finer) + amplitude * rng.standard_normal((rows, columns), dtype=np.float32)
        power += amplitude**2
    noise = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    left = 0.85  # of the deviation, after interpolation
    return np.asarray(noise) / np.float32(left * power**0.5)


def ramp(values: np.ndarray, colours) -> np.ndarray:
    """Returns uint8 colours (..., 3) of values in [0, 1], interpolated along evenly spaced colours (n, 3)."""
    stops, tones = np.linspace(0, 1, len(colours)), np.linspace(0, 1, 256)
    table = np.stack([np.interp(tones, stops, channel) for channel in np.transpose(colours)], axis=1)
    return table.astype(np.uint8).take(np.clip(values * 255, 0, 255).astype(np.uint8), axis=0)


def _relief(height: np.ndarray, side: float = 0.0) -> np.ndarray:
    """Returns the slope of a height field (size, size) toward a light from above, and from `side` in [-1, 1].

    The slope is per 1/128 of the picture, so that it does not depend on the size.
    """
    slope = np.zeros_like(height)
    slope[1:] = np.diff(height, axis=0)
    slope[:, 1:] += side * np.diff(height, axis=1)
    return slope * (len(height) / 128)


def _colouring(rng, options):
    return options[rng.integers(len(options))]


def _sky(rng, size):
    colourings = (
        ((70, 130, 210), (170, 205, 235), (245, 245, 245)),
        ((120, 150, 180), (190, 200, 208), (228, 229, 231)),
        ((80, 90, 150), (245, 180, 130), (250, 205, 180)),
        ((130, 180, 225), (215, 230, 240), (255, 255, 255)),
    )
    top, low, cloud = np.array(_colouring(rng, colourings), np.float32)
    height = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    noise = fractal(rng, size, (3, 2), 5, 0.6)
    cover = np.clip((noise - rng.uniform(-0.3, 0.9)) * 0.9, 0, 1)[..., None]
    shadow = np.clip(1 + 0.25 * _relief(noise), 0.85, 1.05)[..., None]
    return (top + (low - top) * height) * (1 - cover) + cloud * shadow * cover


def _water(rng, size):
    colourings = (
        ((22, 70, 110), (58, 118, 158), (180, 214, 230)),
        ((24, 74, 70), (66, 124, 108), (190, 216, 196)),
        ((60, 66, 90), (140, 120, 130), (246, 206, 170)),
        ((70, 92, 108), (120, 144, 158), (214, 222, 226)),
    )
    deep, middle, crest = _colouring(rng, colourings)
    ripples = fractal(rng, size, (16, 3), 3, 0.7)
    # Ripples look smaller toward the horizon: the upper rows are taken from farther and farther apart.
    height = np.linspace(0, 1, size)
    ripples = ripples[(height ** rng.uniform(0.45, 0.8) * (size - 1)).astype(int)]
    return ramp(0.42 + 0.2 * ripples + 0.15 * (0.5 - height)[:, None], (deep, middle, middle, crest))


def _sand(rng, size):
    colourings = (
        ((176, 142, 98), (232, 206, 160)),
        ((150, 138, 122), (214, 204, 188)),
        ((186, 124, 80), (236, 184, 132)),
    )
    bends = fractal(rng, size, (3, 3), 3)
    rows = np.linspace(0, rng.uniform(5, 12), size, dtype=np.float32)[:, None]
    columns = np.linspace(0, rng.uniform(-4, 4), size, dtype=np.float32)
    dunes = np.sin(2 * np.pi * (rows + columns + 0.35 * bends)) * rng.uniform(0.05, 0.18)
    grains = rng.standard_normal((size, size), dtype=np.float32)
    return ramp(0.5 + dunes + 0.12 * bends + 0.09 * grains, _colouring(rng, colourings))


def _snow(rng, size):
    colourings = (
        ((142, 166, 206), (214, 226, 242), (252, 253, 255)),
        ((160, 166, 178), (218, 221, 226), (250, 250, 250)),
        ((172, 160, 186), (232, 218, 218), (255, 248, 240)),
    )
    drifts = fractal(rng, size, (4, 2), 3, 0.4)
    sparkle = rng.standard_normal((size, size), dtype=np.float32)
    value = 0.62 + 1.3 * _relief(drifts, rng.uniform(-1, 1)) + 0.14 * drifts + 0.04 * sparkle
    return ramp(value, _colouring(rng, colourings))


def _rock(rng, size):
    colourings = (
        ((50, 50, 54), (122, 120, 118), (190, 186, 180)),
        ((70, 52, 44), (146, 116, 98), (206, 180, 156)),
        ((46, 54, 44), (112, 118, 96), (178, 180, 150)),
    )
    height = fractal(rng, size, (4, 4), 5, 0.65)
    cracks = np.clip(1 - np.abs(fractal(rng, size, (3, 3), 4, 0.5)) / 0.12, 0, 1)
    value = 0.5 + 0.35 * _relief(height, rng.uniform(-1, 1)) + 0.08 * height - 0.45 * cracks
    return ramp(value, _colouring(rng, colourings))


def _bark(rng, size):
    colourings = (
        ((42, 28, 20), (104, 76, 54), (160, 130, 100)),
        ((48, 46, 44), (112, 106, 98), (176, 168, 156)),
        ((58, 34, 24), (134, 84, 56), (186, 136, 100)),
    )
    ridges = fractal(rng, size, (3, 14), 4, 0.7)
    value = 0.5 + 0.3 * _relief(ridges, rng.choice((-1, 1))) - 0.22 * np.clip(-ridges, 0, 2) + 0.06 * ridges
    return ramp(value, _colouring(rng, colourings))


def _leaves(rng, size, count=70):
    colourings = (
        ((24, 58, 22), (58, 112, 40), (122, 172, 66)),
        ((34, 66, 44), (70, 128, 84), (140, 186, 120)),
        ((84, 44, 18), (176, 96, 34), (226, 168, 66)),
    )
    colouring = _colouring(rng, colourings)
    picture = Image.fromarray(ramp(0.2 + 0.1 * fractal(rng, size, (5, 5), 2), colouring))
    brush = ImageDraw.Draw(picture)
    tones = ramp(np.linspace(0.1, 0.9, count) + rng.normal(0, 0.1, count), colouring).tolist()
    outlines = leaf_outlines(rng.uniform(0, size, (count, 2)), rng.uniform(0.06, 0.14, count) * size, rng)
    for outline, tone in zip(outlines, tones, strict=True):
        brush.polygon(outline.ravel().tolist(), fill=tuple(tone))
        brush.line(outline[[0, 4]].ravel().tolist(), fill=shade(tone, 0.8), width=max(1, size // 160))
    return np.asarray(picture)


def _grass(rng, size, count=130):
    colourings = (
        ((22, 58, 18), (70, 128, 40), (150, 190, 80)),
        ((70, 66, 28), (150, 140, 66), (216, 204, 130)),
        ((18, 66, 40), (48, 130, 76), (130, 196, 110)),
    )
    colouring = _colouring(rng, colourings)
    picture = Image.fromarray(ramp(0.25 + 0.1 * fractal(rng, size, (4, 10), 3), colouring))
    brush = ImageDraw.Draw(picture)
    foot = np.stack([rng.uniform(-0.05, 1.05, count), np.linspace(0.2, 1.2, count)], axis=1) * size
    height = rng.uniform(0.15, 0.4, (count, 1)) * size
    lean = rng.normal(0, 0.3, (count, 1)) * height
    middle = foot + np.concatenate([0.35 * lean, -0.6 * height], axis=1)
    tip = foot + np.concatenate([lean, -height], axis=1)
    half = np.array((0.012 * size, 0))
    blades = np.concatenate([foot - half, middle - 0.7 * half, tip, middle + 0.7 * half, foot + half], axis=1)
    tones = ramp(np.linspace(0.15, 0.75, count) + rng.normal(0, 0.14, count), colouring).tolist()
    for blade, tone in zip(blades.tolist(), tones, strict=True):
        brush.polygon(blade, fill=tuple(tone))
    return np.asarray(picture)


PLACES = {
    "sky": _sky,
    "water": _water,
    "sand": _sand,
    "leaves": _leaves,
    "bark": _bark,
    "grass": _grass,
    "snow": _snow,
    "rock": _rock,
}
