"""The birds of `bird_focus`, as data: proportions, outlines and plumage of eight species.

Each part of a bird is drawn facing right, with y pointing down, in a frame of its own:

- body: origin in the middle of the trunk, unit = trunk length, x toward the breast;
- head: origin in the middle of the head, unit = head radius, x toward the bill;
- neck: origin halfway from breast to head, unit = half of that distance, x toward the head;
- wing: (w, s), w = 0 the innermost to 1 the outermost feather, s = 0 the root to 1 the tip of a feather, so
  that a wing bar is one rectangle whether the wing is folded or spread.
"""

from dataclasses import dataclass

from vitkit.datasets.birds.shapes import Colour

Points = tuple[tuple[float, float], ...]


def path(text: str) -> Points:
    """Reads points written in hundredths.

    Example:
        >>> path("0,-50 120,7")
        ((0.0, -0.5), (1.2, 0.07))
    """
    return tuple((int(x) / 100, int(y) / 100) for x, y in (pair.split(",") for pair in text.split()))


@dataclass(frozen=True)
class Patch:
    """A region of plumage: a smooth closed outline in one frame, visible where it lies on trunk or head."""

    frame: str
    outline: Points
    colour: Colour


@dataclass(frozen=True)
class WingPatch:
    """A rectangle of one colour in wing coordinates."""

    w: tuple[float, float]
    s: tuple[float, float]
    colour: Colour


@dataclass(frozen=True)
class Species:
    """Proportions and plumage of one species; lengths in trunk lengths unless a frame is named.

    Attributes:
        pitch: degrees by which the trunk rises toward the breast when the bird stands.
        trunk: (x, y, radius) of discs from the root of the tail to the breast, body frame.
        neck: (length from breast to head centre, degrees above the horizon).
        head: head radius.
        bill: upper and lower mandible, head frame.
        tail: (length, width at the root, width at the end, outermost feathers' length over the middle one's).
        wing: (length, depth) as multiples of a songbird's.
        legs: (length, thickness).
        colours: of the parts, by name.
        tail_angle: degrees by which the tail is held above the trunk's axis.
        eye: (x, y, radius), head frame.
        ring: colour of the ring round the eye.
        crest: outline, head frame.
        patches: plumage of trunk and head, the later over the earlier.
        wing_patches: plumage of the wings.
    """

    pitch: float
    trunk: tuple[tuple[float, float, float], ...]
    neck: tuple[float, float]
    head: float
    bill: tuple[Points, Points]
    tail: tuple[float, float, float, float]
    wing: tuple[float, float]
    legs: tuple[float, float]
    colours: dict[str, Colour]
    tail_angle: float = 0.0
    eye: tuple[float, float, float] = (0.38, -0.16, 0.17)
    ring: Colour | None = None
    crest: Points = ()
    patches: tuple[Patch, ...] = ()
    wing_patches: tuple[WingPatch, ...] = ()


BLACK, WHITE = (24, 24, 30), (240, 240, 236)

SONGBIRD_TRUNK = ((-0.50, -0.05, 0.06), (-0.28, -0.03, 0.18), (0.0, 0.02, 0.28), (0.22, 0.0, 0.25))
LONG_TRUNK = ((-0.52, -0.05, 0.06), (-0.28, -0.03, 0.15), (0.0, 0.01, 0.22), (0.24, -0.01, 0.20))

THIN_BILL = (path("80,-16 120,-8 162,8 85,6"), path("85,4 155,9 80,18"))
CONE_BILL = (path("72,-34 110,-26 150,12 80,8"), path("75,6 140,14 105,32 72,34"))

SPECIES: dict[str, Species] = {
    "robin": Species(
        pitch=36,
        trunk=SONGBIRD_TRUNK,
        neck=(0.27, 66),
        head=0.205,
        bill=THIN_BILL,
        tail=(0.46, 0.11, 0.15, 0.97),
        wing=(1.0, 1.0),
        legs=(0.34, 0.034),
        colours={
            "trunk": (122, 98, 66),
            "coverts": (112, 88, 58),
            "flight": (96, 74, 48),
            "tail": (104, 78, 48),
            "outer_tail": (92, 68, 42),
            "upper_bill": (52, 44, 40),
            "lower_bill": (70, 58, 50),
            "legs": (92, 62, 44),
        },
        eye=(0.40, -0.20, 0.19),
        patches=(
            Patch("body", path("-50,2 -20,10 10,10 35,2 52,-5 50,30 10,45 -35,30"), (226, 218, 200)),
            Patch("body", path("4,-2 20,-30 55,-35 60,5 34,24 14,18"), (226, 98, 30)),
            Patch("head", path("10,-50 75,-75 120,-20 110,60 50,140 -60,150 -35,50 2,10"), (226, 98, 30)),
        ),
    ),
    "blue_tit": Species(
        pitch=22,
        trunk=SONGBIRD_TRUNK,
        neck=(0.28, 56),
        head=0.225,
        bill=(path("85,-14 105,-12 132,6 88,4"), path("88,4 125,8 86,16")),
        tail=(0.42, 0.10, 0.14, 1.06),
        wing=(0.95, 1.0),
        legs=(0.26, 0.036),
        colours={
            "trunk": (120, 146, 90),
            "coverts": (58, 112, 196),
            "flight": (66, 108, 172),
            "tail": (56, 110, 190),
            "outer_tail": (84, 130, 196),
            "upper_bill": BLACK,
            "lower_bill": (50, 50, 58),
            "legs": (70, 84, 108),
        },
        eye=(0.42, -0.06, 0.15),
        patches=(
            Patch("body", path("-50,0 -20,4 10,2 25,-12 50,-20 55,20 10,45 -35,30"), (248, 212, 44)),
            Patch("neck", path("-15,-120 25,-120 22,120 -25,120"), (30, 42, 92)),
            Patch("head", path("-120,-90 0,-140 120,-90 120,90 50,102 -55,85 -100,40"), WHITE),
            Patch("head", path("-100,-42 -50,-45 45,-45 75,-55 50,-120 -30,-130 -120,-80"), (44, 108, 214)),
            Patch("head", path("-115,-12 -40,-16 40,-14 100,-6 100,8 30,10 -50,8 -115,14"), (26, 36, 84)),
            Patch("head", path("70,35 110,30 100,90 35,130 25,95"), (26, 36, 84)),
        ),
        wing_patches=(WingPatch((0.0, 0.9), (0.36, 0.45), WHITE),),
    ),
    "goldfinch": Species(
        pitch=30,
        trunk=SONGBIRD_TRUNK,
        neck=(0.27, 60),
        head=0.20,
        bill=CONE_BILL,
        tail=(0.44, 0.10, 0.17, 1.14),
        wing=(1.0, 0.95),
        legs=(0.26, 0.034),
        colours={
            "trunk": (252, 206, 20),
            "coverts": (30, 28, 28),
            "flight": (26, 26, 28),
            "tail": (26, 26, 28),
            "outer_tail": (60, 58, 56),
            "upper_bill": (238, 152, 92),
            "lower_bill": (232, 140, 84),
            "legs": (196, 140, 110),
        },
        patches=(
            Patch("body", path("-60,-2 -40,0 -28,10 -26,40 -55,25"), WHITE),
            Patch("head", path("95,-30 55,-42 -10,-62 -35,-120 60,-130 120,-80"), BLACK),
        ),
        wing_patches=(
            WingPatch((0.0, 1.0), (0.34, 0.43), WHITE),
            WingPatch((0.0, 0.55), (0.93, 1.0), (228, 224, 210)),
        ),
    ),
    "kingfisher": Species(
        pitch=50,
        trunk=((-0.46, -0.05, 0.08), (-0.26, -0.02, 0.19), (0.0, 0.02, 0.27), (0.20, 0.01, 0.25)),
        neck=(0.31, 72),
        head=0.25,
        bill=(path("78,-16 160,-10 275,14 85,10"), path("82,8 265,15 150,24 80,26")),
        tail=(0.24, 0.12, 0.14, 0.95),
        wing=(0.82, 0.95),
        legs=(0.16, 0.042),
        colours={
            "trunk": (22, 132, 206),
            "coverts": (10, 108, 168),
            "flight": (14, 92, 146),
            "tail": (20, 92, 190),
            "outer_tail": (16, 76, 160),
            "upper_bill": (28, 28, 34),
            "lower_bill": (70, 52, 46),
            "legs": (222, 76, 46),
        },
        eye=(0.40, -0.10, 0.16),
        patches=(
            Patch("body", path("-50,3 -20,2 10,-2 25,-20 60,-25 55,20 10,45 -35,30"), (236, 124, 40)),
            Patch("head", path("95,25 55,30 -35,45 -60,90 10,140 80,120"), WHITE),
            Patch("head", path("90,-22 40,0 -10,-10 -55,0 -55,35 -5,38 60,22 95,5"), (236, 124, 40)),
            Patch("head", path("-55,0 -95,-5 -110,35 -70,55 -50,36"), WHITE),
        ),
        wing_patches=tuple(
            WingPatch((w, w + 0.09), (s, s + 0.06), (120, 206, 232)) for w, s in path("10,12 45,14 25,28 60,30 80,16")
        ),
    ),
    "magpie": Species(
        pitch=20,
        trunk=LONG_TRUNK,
        neck=(0.27, 50),
        head=0.165,
        bill=(path("75,-28 125,-24 185,10 80,8"), path("80,6 175,12 120,24 75,28")),
        tail=(1.02, 0.10, 0.17, 0.55),
        tail_angle=4,
        wing=(0.92, 0.9),
        legs=(0.42, 0.036),
        colours={
            "trunk": BLACK,
            "coverts": (26, 28, 40),
            "flight": (22, 44, 104),
            "tail": (18, 52, 66),
            "outer_tail": (32, 36, 84),
            "upper_bill": (22, 22, 26),
            "lower_bill": (34, 34, 38),
            "legs": (36, 34, 36),
        },
        patches=(Patch("body", path("-36,4 -10,6 14,2 24,12 10,34 -20,34"), WHITE),),
        wing_patches=(WingPatch((0.0, 0.52), (-0.02, 0.36), WHITE),),
    ),
    "cardinal": Species(
        pitch=40,
        trunk=LONG_TRUNK,
        neck=(0.27, 64),
        head=0.19,
        bill=CONE_BILL,
        tail=(0.66, 0.10, 0.16, 0.96),
        wing=(0.88, 0.95),
        legs=(0.28, 0.036),
        colours={
            "trunk": (214, 30, 34),
            "coverts": (176, 32, 38),
            "flight": (146, 34, 40),
            "tail": (168, 30, 36),
            "outer_tail": (136, 26, 34),
            "upper_bill": (244, 128, 58),
            "lower_bill": (238, 114, 50),
            "legs": (116, 66, 58),
        },
        crest=path("62,-62 10,-125 -95,-185 -85,-110 -95,-20 0,-40"),
        patches=(Patch("head", path("60,-42 95,-62 120,-20 110,60 85,100 30,85 42,20"), BLACK),),
    ),
    "gull": Species(
        pitch=8,
        trunk=((-0.58, -0.06, 0.06), (-0.30, -0.02, 0.16), (0.02, 0.02, 0.225), (0.30, 0.0, 0.19)),
        neck=(0.28, 52),
        head=0.15,
        bill=(path("75,-28 150,-24 195,0 198,24 170,10 80,6"), path("80,6 172,10 150,32 75,30")),
        tail=(0.30, 0.12, 0.18, 0.97),
        wing=(1.28, 0.85),
        legs=(0.36, 0.042),
        colours={
            "trunk": (246, 246, 244),
            "coverts": (158, 170, 184),
            "flight": (148, 160, 176),
            "tail": (244, 244, 242),
            "outer_tail": (234, 234, 234),
            "upper_bill": (246, 200, 50),
            "lower_bill": (228, 120, 48),
            "legs": (232, 164, 150),
        },
        eye=(0.40, -0.18, 0.17),
        ring=(240, 206, 90),
        wing_patches=(
            WingPatch((0.62, 1.0), (0.66, 1.0), (28, 28, 32)),
            WingPatch((0.0, 0.5), (0.92, 1.0), WHITE),
        ),
    ),
    "mallard": Species(
        pitch=6,
        trunk=((-0.52, -0.10, 0.08), (-0.32, -0.02, 0.19), (0.0, 0.03, 0.25), (0.30, 0.02, 0.21)),
        neck=(0.42, 66),
        head=0.155,
        bill=(path("55,-42 95,-20 140,0 200,6 215,22 140,24 70,20"), path("70,18 190,24 140,38 70,36")),
        tail=(0.26, 0.14, 0.10, 0.75),
        tail_angle=10,
        wing=(0.92, 0.82),
        legs=(0.20, 0.05),
        colours={
            "trunk": (186, 184, 178),
            "coverts": (152, 142, 130),
            "flight": (126, 108, 92),
            "tail": (236, 234, 228),
            "outer_tail": (214, 210, 204),
            "upper_bill": (232, 206, 60),
            "lower_bill": (214, 180, 48),
            "legs": (244, 126, 40),
        },
        patches=(
            Patch("body", path("-70,-20 -42,-25 -36,0 -40,30 -62,20"), (34, 36, 40)),
            Patch("body", path("16,-40 36,-45 62,-20 62,20 30,36 18,14"), (112, 62, 38)),
            Patch("neck", path("-20,-100 120,-120 150,0 120,120 -20,100"), (12, 104, 62)),
            Patch("neck", path("-32,-100 -16,-100 -16,100 -32,100"), WHITE),
            Patch("head", path("-200,-200 200,-200 200,200 -60,160 -200,100"), (14, 112, 66)),
        ),
        wing_patches=(
            WingPatch((0.10, 0.62), (0.62, 0.66), WHITE),
            WingPatch((0.10, 0.62), (0.66, 0.80), (52, 62, 170)),
            WingPatch((0.10, 0.62), (0.80, 0.84), WHITE),
        ),
    ),
}
