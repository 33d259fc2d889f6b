"""The eight silhouettes, as polygons, and their antialiased masks.

They are chosen to differ in what a few 8 x 8 patches can tell: ring, low and wide on wheels,
upright frame, cross, solid block with a roof, thin wide V, upright bars, level stripes. RGB, depth
and thermal all see the same mask.
"""

import dataclasses

import cv2
import numpy as np

SIDE = 48  # pixels, all pictures are square; what the demo's towers take
SUPERSAMPLE = 4
# Longer side of the object's bounding box, as a fraction of the frame; a larger object would have
# no room to move.
SIZE = (0.40, 0.55)
ANGLE_DEG = (-10.0, 10.0)


@dataclasses.dataclass(frozen=True)
class Silhouette:
    """An object in its pose.

    Centred on the origin by its bounding box, in fractions of the frame, y downwards.

    Attributes:
      filled: polygons float64 [points, 2] whose union is the object.
      cut: polygons taken out of that union.
    """

    filled: tuple[np.ndarray, ...]
    cut: tuple[np.ndarray, ...]

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the bounding box."""
        width, height = np.ptp(np.concatenate(self.filled), axis=0)
        return float(width), float(height)


def draw_pose(category: str, rng: np.random.Generator) -> Silhouette:
    """Returns the category's silhouette in a drawn pose.

    Size and angle are drawn, both blind to every attribute.
    """
    size, angle = rng.uniform(*SIZE), np.deg2rad(rng.uniform(*ANGLE_DEG))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    filled, cut = ([polygon @ rotation for polygon in polygons] for polygons in SHAPES[category])
    points = np.concatenate(filled)
    middle, scale = (
        (points.min(axis=0) + points.max(axis=0)) / 2,
        size / np.ptp(points, axis=0).max(),
    )
    return Silhouette(
        *(tuple((polygon - middle) * scale for polygon in polygons) for polygons in (filled, cut))
    )


def masks(silhouette: Silhouette, centres: np.ndarray) -> np.ndarray:
    """Returns the share of each pixel the object covers, float32 [t, SIDE, SIDE].

    Centres are [t, 2] (x, y).
    """
    return np.stack([_draw(silhouette, centre) for centre in centres])


def _draw(silhouette: Silhouette, centre: np.ndarray) -> np.ndarray:
    side = SIDE * SUPERSAMPLE
    canvas = np.zeros((side, side), np.float32)
    for polygons, value in ((silhouette.filled, 1.0), (silhouette.cut, 0.0)):
        for polygon in polygons:
            cv2.fillPoly(canvas, [np.round((polygon + centre) * side).astype(np.int32)], value)
    return cv2.resize(canvas, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _polygon(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _arc(
    x: float, y: float, radius: float, start_deg: float = 0.0, stop_deg: float = 360.0
) -> np.ndarray:
    angles = np.deg2rad(np.linspace(start_deg, stop_deg, 40))
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


# category -> (filled polygons, polygons cut out afterwards); x to the right, y downwards, any unit.
SHAPES = {
    "clock": (
        [_arc(0, 0, 1.0)],
        [_arc(0, 0, 0.55)],
    ),
    "car": (
        [
            _polygon(
                (-1, 0.3),
                (-1, -0.12),
                (-0.62, -0.16),
                (-0.4, -0.6),
                (0.4, -0.6),
                (0.66, -0.14),
                (1, -0.06),
                (1, 0.3),
            ),
            _arc(-0.55, 0.3, 0.28),
            _arc(0.55, 0.3, 0.28),
        ],
        [],
    ),
    "phone": (
        [_box(-0.45, -1, 0.45, 1)],
        [_box(-0.24, -0.78, 0.24, 0.5)],
    ),
    "plane": (
        [_box(-0.15, -1, 0.15, 1), _box(-0.85, -0.42, 0.85, -0.12), _box(-0.5, 0.74, 0.5, 1)],
        [],
    ),
    "house": (
        [_polygon((-1, -0.1), (0, -1), (1, -0.1)), _box(-0.8, -0.15, 0.8, 0.85)],
        [],
    ),
    "bird": (
        [
            _polygon(
                (-1, -0.75),
                (-0.45, -0.6),
                (0, -0.05),
                (0.45, -0.6),
                (1, -0.75),
                (0.55, -0.2),
                (0, 0.6),
                (-0.55, -0.2),
            )
        ],
        [],
    ),
    "gate": (
        [_box(x - 0.13, -0.85, x + 0.13, 0.85) for x in (-0.87, -0.29, 0.29, 0.87)]
        + [_box(-1, -0.62, 1, -0.38), _box(-1, 0.38, 1, 0.62)],
        [],
    ),
    "flag": (
        [_box(-0.8, -1, -0.62, 1), *(_box(-0.7, y, 0.8, y + 0.24) for y in (-0.98, -0.5, -0.02))],
        [],
    ),
}
