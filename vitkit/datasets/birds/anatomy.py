"""Poses a species: turns its proportions and plumage into polygons, from back to front.

Everything is in trunk lengths with y pointing down; `species` names the frames.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vitkit.datasets.birds.shapes import Colour, shade, smooth, stroke
from vitkit.datasets.birds.species import Species

_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 20, endpoint=False)) for f in (np.cos, np.sin)], axis=1)
_EYE, _GLINT = (14, 12, 12), (250, 250, 250)
_FAR = 0.75  # brightness of the leg and the wing on the side turned away

# Roots and tips of the feathers in the body frame, from the innermost (w = 0) to the outermost (w = 1).
_SHOULDER = np.array((0.25, -0.06))
_FOLDED = np.array(
    (
        ((0.16, -0.20), (0.24, -0.12), (0.27, -0.02), (0.26, 0.06)),
        ((-0.20, -0.20), (-0.36, -0.13), (-0.52, -0.05), (-0.66, 0.0)),
    )
)
_SPREAD = np.array(
    (
        ((0.14, 0.02), (0.25, -0.40), (0.16, -0.80), (-0.08, -1.14)),
        ((-0.30, 0.02), (-0.33, -0.48), (-0.34, -0.92), (-0.30, -1.36)),
    )
)


@dataclass(frozen=True)
class Pose:
    """How a bird holds itself.

    Attributes:
        pitch: degrees by which the trunk rises toward the breast.
        nod: degrees by which the bill rises; the neck follows.
        stretch: neck length over the species' own.
        tail: degrees by which the tail is lifted from where the species holds it.
        facing: x scale; negative faces left, an absolute value below 1 is a bird turned a little away.
        flap: None for folded wings, else how high they are spread: 1 straight up, negative below the back.
    """

    pitch: float
    nod: float
    stretch: float
    tail: float
    facing: float
    flap: float | None


@dataclass(frozen=True)
class Shape:
    """A filled polygon (n, 2): `body` makes it part of trunk and head, `inside` hides what is off these."""

    points: np.ndarray
    colour: Colour
    body: bool = False
    inside: bool = False


@dataclass(frozen=True)
class Frame:
    """Where a part of the body is."""

    origin: np.ndarray
    axes: np.ndarray

    def __call__(self, points) -> np.ndarray:
        """Returns points (..., 2) of the part as points of the bird."""
        return self.origin + np.asarray(points, float) @ self.axes.T


def random_pose(species: Species, rng: np.random.Generator) -> Pose:
    """Returns a random pose: half of the birds stand, a fifth bend down to feed, the others fly."""
    kind = rng.choice(("standing", "feeding", "flying"), p=(0.5, 0.2, 0.3))
    pitch, nod, flap = species.pitch + rng.normal(0, 6), rng.uniform(-14, 12), None
    if kind == "feeding":
        pitch, nod = pitch - rng.uniform(15, 30), rng.uniform(-45, -20)
    elif kind == "flying":
        pitch, nod = rng.uniform(-4, 24), rng.uniform(-20, 0)
        flap = rng.uniform(0.6, 1.0) if rng.random() < 0.6 else rng.uniform(-0.8, -0.5)
    return Pose(
        pitch=pitch,
        nod=nod,
        stretch=rng.uniform(0.9, 1.12),
        tail=rng.uniform(-4, 12),
        facing=rng.uniform(0.84, 1.0) * rng.choice((-1, 1)),
        flap=flap,
    )


def anatomy(species: Species, pose: Pose) -> tuple[list[Shape], np.ndarray | None]:
    """Poses a species.

    Args:
        species: proportions and plumage.
        pose: how the bird holds itself.

    Returns:
        The shapes from back to front, and the (x, y) of the feet, None in flight; all in trunk lengths.
    """
    mirror = np.array((pose.facing, 1.0))
    body = Frame(np.zeros(2), mirror[:, None] * _rotation(pose.pitch))
    trunk = np.array(species.trunk)
    root, *_, breast = trunk[:, :2] @ _rotation(pose.pitch).T
    neck_length, neck_angle = species.neck
    to_head = _rotation(neck_angle + pose.nod)[:, 0] * neck_length * pose.stretch
    across = np.array((-to_head[1], to_head[0]))
    neck = Frame(mirror * (breast + to_head / 2), mirror[:, None] * np.stack([to_head, across], axis=1) / 2)
    head = Frame(mirror * (breast + to_head), mirror[:, None] * _rotation(0.6 * pose.nod) * species.head)
    lift = pose.pitch - species.tail_angle - pose.tail
    tail = Frame(mirror * root, mirror[:, None] * _rotation(lift))
    frames = {"body": body, "neck": neck, "head": head}
    colours = species.colours

    def patches(*names):
        return [
            Shape(frames[patch.frame](_outline(patch.outline)), patch.colour, inside=True)
            for patch in species.patches
            if patch.frame in names
        ]

    feet = None
    shapes = _tail(species, tail)
    if pose.flap is None:
        feet = body((0.0, 0.18)) + (0.0, species.legs[0])
        shapes += _legs(species, body, feet[1])
    else:
        far_side = Frame(body((0.10, -0.04)), body.axes * 0.95)
        shapes = _wing(species, far_side, pose.flap, _FAR) + shapes
    spine = np.vstack([trunk, (*np.linalg.solve(body.axes, head.origin), species.head)])
    for x, y, radius in smooth(spine, steps=4, closed=False):
        shapes.append(Shape(body((x, y) + radius * _CIRCLE), colours["trunk"], body=True))
    if species.crest:
        shapes.append(Shape(head(_outline(species.crest)), colours["trunk"], body=True))
    shapes += patches("body", "neck")
    shapes += _wing(species, body, pose.flap)
    upper, lower = species.bill
    shapes += [Shape(head(lower), colours["lower_bill"]), Shape(head(upper), colours["upper_bill"])]
    shapes += patches("head")
    x, y, radius = species.eye
    if species.ring:
        shapes.append(Shape(head((x, y) + 1.35 * radius * _CIRCLE), species.ring))
    shapes.append(Shape(head((x, y) + radius * _CIRCLE), _EYE))
    shapes.append(Shape(head((x + 0.3 * radius, y - 0.35 * radius) + 0.32 * radius * _CIRCLE), _GLINT))
    return shapes, feet


def _rotation(degrees: float) -> np.ndarray:
    """Returns the matrix that turns the x axis up; y points down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(((c, s), (-s, c)))


_outline = functools.cache(smooth)


def _feather_outline(w0: float, w1: float, s0: float, s1: float) -> np.ndarray:
    """Returns the outline (11, 2) of one feather in wing coordinates, pointed at its tip."""
    along = np.linspace(s0, s1 - 0.07, 5)
    sides = [np.stack([np.full(5, w), along], axis=1) for w in (w0, w1)]
    return np.concatenate([sides[0], [((w0 + w1) / 2, s1)], sides[1][::-1]])


def _feathers(count: int = 8):
    """Yields (colour name, tone, outline) of flight feathers, then coverts, outermost first, darker edges."""
    for name, root, tip in (("flight", 0.2, 1.0), ("coverts", -0.04, 0.46)):
        for feather in reversed(range(count)):
            w0, w1 = feather / count, (feather + 1) / count
            tone = 1.06 - 0.05 * (feather % 3)
            yield name, 0.72 * tone, _feather_outline(w0, w1 + 0.02, root, tip)
            yield name, tone, _feather_outline(w0 + 0.02, w1, root, tip - 0.01)


_FEATHER_NAMES, _FEATHER_TONES, _FEATHER_OUTLINES = zip(*_feathers(), strict=True)


def _wing_surface(species: Species, flap: float | None) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function from wing coordinates (..., 2) to the body frame."""
    length, depth = species.wing
    if flap is None:
        roots, tips = _SHOULDER + (_FOLDED - _SHOULDER) * (length, depth)
        sag = 0.13 * depth
    else:
        roots, tips = _SPREAD * (1, flap * length)
        sag = 0.0
    grid = np.linspace(0, 1, len(roots))

    def surface(coordinates):
        w, s = coordinates[..., 0], coordinates[..., 1]
        root = np.stack([np.interp(w, grid, roots[:, axis]) for axis in (0, 1)], axis=-1)
        tip = np.stack([np.interp(w, grid, tips[:, axis]) for axis in (0, 1)], axis=-1)
        points = root + (tip - root) * s[..., None]
        points[..., 1] += sag * w * np.sin(np.pi * np.clip(s, 0, 1))
        return points

    return surface


def _wing(species: Species, place: Frame, flap: float | None, light: float = 1.0) -> list[Shape]:
    """Returns one wing, feather by feather, and its patches."""
    surface = _wing_surface(species, flap)
    outlines = place(surface(np.stack(_FEATHER_OUTLINES)))
    shapes = [
        Shape(outline, shade(species.colours[name], tone * light))
        for name, tone, outline in zip(_FEATHER_NAMES, _FEATHER_TONES, outlines, strict=True)
    ]
    for patch in species.wing_patches:
        w = np.linspace(*patch.w, 6)
        ends = [np.stack([w, np.full(6, s)], axis=1) for s in patch.s]
        outline = place(surface(np.concatenate([ends[0], ends[1][::-1]])))
        shapes.append(Shape(outline, shade(patch.colour, light)))
    return shapes


def _tail(species: Species, place: Frame) -> list[Shape]:
    """Returns five tail feathers, the middle one on top."""
    length, root, end, outer = species.tail
    half = 0.26 * end
    shapes = []
    for spread in (-1.0, 1.0, -0.5, 0.5, 0.0):
        reach = -length * (1 + (outer - 1) * abs(spread))
        near, far = spread * root * 0.4, spread * (end - half) * 0.9
        outline = (
            (0.1, near - root / 3),
            (0.9 * reach, far - half),
            (reach, far),
            (0.9 * reach, far + half),
            (0.1, near + root / 3),
        )
        colour = species.colours["outer_tail" if abs(spread) == 1 else "tail"]
        shapes.append(Shape(place(outline), shade(colour, 1.06 - 0.16 * abs(spread))))
    return shapes


def _legs(species: Species, body: Frame, ground: float) -> list[Shape]:
    """Returns two legs from the belly straight down to the ground, with three toes forward and one back."""
    _, width = species.legs
    forward = np.sign(body.axes[0, 0])
    shapes = []
    for hip, tone in ((0.06, _FAR), (-0.06, 1.0)):
        colour = shade(species.colours["legs"], tone)
        top = body((hip, 0.18))
        foot = np.array((top[0], ground))
        shapes.append(Shape(stroke(top, foot, width), colour))
        for toe in ((0.11, 0.03), (0.12, 0.0), (0.10, -0.02), (-0.07, 0.01)):
            shapes.append(Shape(stroke(foot, foot + (forward * toe[0], toe[1]), width, width / 2), colour))
    return shapes
