"""Paints one bird with Pillow at a larger scale, then downsamples it to its place in the picture."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from vitkit.datasets.birds.anatomy import Shape, anatomy, random_pose
from vitkit.datasets.birds.species import SPECIES


@dataclass(frozen=True)
class Bird:
    """A bird cut out, at the size of the picture.

    Attributes:
        colour: (size, size, 3) float32 in 0..255, already multiplied by `cover`.
        cover: (size, size) float32 in [0, 1], the fraction of each pixel that the bird covers.
        feet: (x, y) in pixels, where it stands; or None if it flies.
        length: trunk length in pixels.
    """

    colour: np.ndarray
    cover: np.ndarray
    feet: np.ndarray | None
    length: float


def draw_bird(name: str, size: int, rng: np.random.Generator) -> Bird:
    """Draws one bird in a random pose, size, place and light.

    Args:
        name: a key of `SPECIES`.
        size: height and width of the picture in pixels.
        rng: source of randomness; the same state gives the same bird.

    Returns:
        The bird, fully inside the picture and mostly off centre, on 5 to 14 % of its area.
    """
    species = SPECIES[name]
    shapes, feet = anatomy(species, random_pose(species, rng))
    visible = np.concatenate([shape.points for shape in shapes if not shape.inside])
    low, high = visible.min(axis=0), visible.max(axis=0)

    # Painted once, at two to three times the largest size it can get, because its area is known only then.
    grain = max(72, 0.8 * size)
    margin = 6 * grain / size  # more than one pixel of the picture, however large the bird's own area is
    painting = paint(shapes, low - margin / grain, high + margin / grain, grain)
    area = np.asarray(painting.getchannel("A"), np.float32).sum() / 255 / grain**2
    scale = size * np.sqrt(rng.uniform(0.055, 0.135) / area)
    scale = float(min(scale, (size - 4) / (high - low).max()))
    # This beta distribution keeps to the edges, so that a map of the centre misses most birds.
    corner = 1 + (size - 2 - (high - low) * scale) * rng.beta(0.35, 0.35, size=2)
    first, last = np.floor(corner).astype(int), np.ceil(corner + (high - low) * scale).astype(int)
    box = np.concatenate([first - corner, last - corner]) / scale * grain + margin
    tile = painting.resize(tuple((last - first).tolist()), Image.Resampling.BOX, box=tuple(box.tolist()))
    tile = np.asarray(tile, np.float32)

    place = np.s_[first[1] : last[1], first[0] : last[0]]
    cover = np.zeros((size, size), np.float32)
    colour = np.zeros((size, size, 3), np.float32)
    cover[place] = tile[..., 3] / 255
    light = _relief(cover[place], 0.12 * scale, rng) + _feathering(cover[place].shape, scale, rng)
    tint = rng.normal(1, 0.03, 3) * rng.uniform(0.9, 1.1)
    colour[place] = np.clip(tile[..., :3] * light[..., None] * tint, 0, 255) * cover[place][..., None]
    return Bird(colour, cover, None if feet is None else corner + (feet - low) * scale, scale)


def paint(shapes: list[Shape], low, high, grain: float) -> Image.Image:
    """Paints shapes.

    Args:
        shapes: from back to front, in trunk lengths.
        low: (x, y) of the upper left corner in trunk lengths.
        high: (x, y) of the lower right corner.
        grain: pixels per trunk length.

    Returns:
        An RGBA picture, opaque where any shape is.
    """
    size = tuple(np.ceil((high - low) * grain).astype(int).tolist())
    picture, body = Image.new("RGBA", size), Image.new("L", size)
    brush, body_brush = ImageDraw.Draw(picture), ImageDraw.Draw(body)
    ends = 2 * np.cumsum([len(shape.points) for shape in shapes])
    numbers = ((np.concatenate([shape.points for shape in shapes]) - low) * grain).ravel().tolist()
    start = 0
    for shape, end in zip(shapes, ends.tolist(), strict=True):
        polygon, start = numbers[start:end], end
        if shape.inside:
            region = Image.new("L", size)
            ImageDraw.Draw(region).polygon(polygon, fill=255)
            picture.paste(shape.colour, mask=ImageChops.multiply(region, body))
        else:
            brush.polygon(polygon, fill=(*shape.colour, 255))
        if shape.body:
            body_brush.polygon(polygon, fill=255)
    return picture


def _relief(cover: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Returns brightness (h, w) about 1: the blurred outline taken as a height, lit from above."""
    blurred = Image.fromarray((cover * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    rows, columns = np.gradient(np.asarray(blurred, np.float32) / 255)
    slope = (0.9 * rows + rng.uniform(-0.5, 0.5) * columns) * radius
    return 1 + np.clip(1.1 * slope, -0.45, 0.3)


def _feathering(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Returns brightness (h, w) about 0: short streaks along the bird."""
    cells = [max(2, int(length / scale / cell)) for length, cell in zip(shape, (0.035, 0.09), strict=True)]
    noise = Image.fromarray(rng.standard_normal(cells, dtype=np.float32))
    return 0.07 * np.asarray(noise.resize(shape[::-1], Image.Resampling.BICUBIC))
