"""Puts a bird into a place: the picture and the exact mask of one example."""

import numpy as np

from vitkit.datasets.birds.drawing import draw_bird
from vitkit.datasets.birds.places import draw_place
from vitkit.datasets.birds.props import draw_perch, scatter


def draw_scene(
    species: str, place: str, size: int, bird_rng: np.random.Generator, place_rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one example.

    The bird, its light and the sensor's noise depend only on `bird_rng`: with another place or another
    `place_rng`, every pixel that the bird covers fully stays the same.

    Args:
        species: a key of `SPECIES`.
        place: a key of `PLACES`.
        size: height and width in pixels.
        bird_rng: source of randomness of bird, light and noise.
        place_rng: source of randomness of everything behind the bird.

    Returns:
        The picture (size, size, 3) uint8 and the mask (size, size) uint8, 1 where the bird covers half of the
        pixel or more.
    """
    bird = draw_bird(species, size, bird_rng)
    canvas = draw_place(place, 2 * size, place_rng)
    scatter(canvas, place_rng)
    if bird.feet is not None:
        draw_perch(canvas, place, 2 * bird.feet, 2 * bird.length, place_rng)
    behind = np.asarray(canvas.reduce(2), np.float32)
    picture = behind * (1 - bird.cover[..., None]) + bird.colour
    light = bird_rng.uniform(0.75, 1.12) * bird_rng.normal(1, 0.03, 3)
    noise = bird_rng.standard_normal(picture.shape, dtype=np.float32) * bird_rng.uniform(1, 5)
    picture = np.clip(picture * light + noise, 0, 255)
    return picture.astype(np.uint8), (bird.cover >= 0.5).astype(np.uint8)
