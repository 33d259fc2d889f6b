"""The three cameras: what RGB, depth and thermal see of the same scene, and nothing beyond it.

RGB sees category and colour, depth category and distance, thermal category and temperature.
Backgrounds, light, texture and noise are drawn for each sensor by itself and know nothing of the
attributes.
"""

import cv2
import numpy as np

from lb_jax.demo.silhouettes import SIDE

# all clearly brighter than the dim room, so that a silhouette has the same sign in every colour
COLOURS_RGB = {
    "red": (245, 55, 50),
    "yellow": (240, 220, 45),
    "green": (60, 215, 70),
    "turquoise": (55, 220, 220),
    "blue": (75, 95, 250),
    "pink": (245, 95, 210),
}
DISTANCES_M = {"near": (1.0, 2.0), "middle": (3.5, 5.0), "far": (6.5, 7.5)}
WALL_M = (8.7, 9.8)
TEMPERATURE_LEVELS = {
    "cold": 35.0,
    "warm": 165.0,
    "hot": 240.0,
}  # 8-bit grey, absolute: no picture is stretched
AMBIENT_LEVEL = 100.0


def rgb(masks: np.ndarray, colour: str, rng: np.random.Generator) -> np.ndarray:
    """Returns uint8 [t, SIDE, SIDE, 3] for masks float32 [t, SIDE, SIDE]."""
    background = _room(rng)  # [SIDE, SIDE, 3]
    paint = np.array(COLOURS_RGB[colour], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    body = paint * (1 + 0.12 * _ramp(rng))[..., None]  # [SIDE, SIDE, 3]
    light = np.float32(rng.uniform(0.8, 1.08))
    noise = rng.uniform(2, 5) * rng.standard_normal((*masks.shape, 3), np.float32)
    return _uint8(light * (background + masks[..., None] * (body - background)) + noise)


def depth(masks: np.ndarray, distance: str, rng: np.random.Generator) -> np.ndarray:
    """Returns uint16 [t, SIDE, SIDE] in millimetres for masks float32 [t, SIDE, SIDE]."""
    wall = rng.uniform(*WALL_M) + 0.15 * _ramp(rng)
    body = rng.uniform(*DISTANCES_M[distance]) + 0.05 * _ramp(rng)
    metres = np.where(
        masks > 0.5, body, wall
    )  # an edge pixel measures one surface or the other, never their mean
    metres = metres + 0.02 * rng.standard_normal(masks.shape, np.float32)
    return np.round(metres * 100).astype(np.uint16) * 10  # a sensor step of one centimetre


def thermal(masks: np.ndarray, temperature: str, rng: np.random.Generator) -> np.ndarray:
    """Returns uint8 [t, SIDE, SIDE, 3], all channels equal, for masks float32 [t, SIDE, SIDE]."""
    ambient = AMBIENT_LEVEL + rng.uniform(-8, 8) + 8 * _ramp(rng) + 8 * _texture(rng)
    body = TEMPERATURE_LEVELS[temperature] + rng.uniform(-10, 10) + 4 * _ramp(rng)
    noise = 3 * rng.standard_normal(masks.shape, np.float32)
    grey = _uint8(ambient + masks * (body - ambient) + noise)
    return np.repeat(grey[..., None], 3, axis=-1)


def _room(rng: np.random.Generator) -> np.ndarray:
    """A greyish background with gradient, texture and soft clutter: float32 [SIDE, SIDE, 3]."""
    clutter = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(3, 7)):
        x, y, wide, high = (int(v) for v in rng.integers((0, 0, 3, 3), (SIDE, SIDE, 16, 16)))
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(
            clutter, (x, y), (wide, high), turn, 0, 360, float(rng.uniform(-18, 18)), thickness=-1
        )
    clutter = cv2.GaussianBlur(clutter, (0, 0), 1.5)
    tint = rng.uniform(35, 75) + rng.uniform(-8, 8, 3).astype(np.float32)  # [3]
    return tint + (clutter + 15 * _ramp(rng) + 5 * _texture(rng))[..., None]


def _ramp(rng: np.random.Generator) -> np.ndarray:
    """A linear slope from -1 to 1 (at most) in a random direction: float32 [SIDE, SIDE]."""
    angle = rng.uniform(0, 2 * np.pi)
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    return ((np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]) / np.sqrt(2)).astype(
        np.float32
    )


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit variance at its nodes: float32 [SIDE, SIDE]."""
    return cv2.resize(
        rng.standard_normal((9, 9), np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
    )


def _uint8(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
