"""What a sensor on the object feels: accelerometer and gyroscope along the path that is filmed.

The film lies in the middle of a longer recording, in which the object sets off before it and comes
to rest behind it: between, at constant speed, an accelerometer feels no way. Beside its way an
object of each category sways and shakes in a manner of its own, as its sound is its own. Colour,
distance and temperature are not felt.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lb_jax.demo import scene

RATE_HZ = 100
LENGTH_S = 5.0
FILM_S = 1.5, 1.5 + (scene.FRAMES - 1) / scene.FRAME_RATE_HZ  # first and last frame
FRAME_M = 6.0  # width and height of what the camera sees
GRAVITY = 9.80665  # m/s2
START_S = 0.35, 0.6  # how long it takes to reach its speed, and to stop
# How the sensor is mounted, in radians. A turn about the upright axis is anything that leaves left
# and right apart: of a sensor that may look backwards nobody could tell them.
YAW, TILT = np.pi / 3, 0.2
# A usual sensor in a telephone: white noise and offset, in m/s2 and rad/s.
NOISE, OFFSET = (0.04, 0.004), (0.06, 0.01)


class Gait(NamedTuple):
    """How objects of a category sway and shake.

    Attributes:
      sway_hz: of the turning.
      sway: its angle about x, y and z, radians.
      shake_hz: of the shaking.
      shake: its acceleration upright, m/s2.
    """

    sway_hz: float
    sway: tuple[float, float, float]
    shake_hz: float
    shake: float


GAITS: Mapping[str, Gait] = {
    "clock": Gait(1.0, (0.22, 0.0, 0.0), 4.0, 0.3),
    "car": Gait(1.8, (0.03, 0.06, 0.0), 24.0, 0.8),
    "phone": Gait(0.8, (0.05, 0.0, 0.05), 33.0, 1.0),
    "plane": Gait(0.6, (0.16, 0.08, 0.0), 17.0, 0.4),
    "house": Gait(0.4, (0.02, 0.05, 0.0), 2.5, 0.3),
    "bird": Gait(6.0, (0.0, 0.14, 0.0), 6.0, 1.2),
    "gate": Gait(1.3, (0.0, 0.0, 0.35), 9.0, 0.3),
    "flag": Gait(3.2, (0.06, 0.0, 0.18), 12.0, 0.6),
}


def sense(path: np.ndarray, category: str, rng: np.random.Generator) -> np.ndarray:
    """Returns what the sensor reads: float64 [LENGTH_S * RATE_HZ, 6], m/s2 and rad/s.

    Args:
      path: float64 [FRAMES, 2], as `scene.draw_path` gives it: x to the right, y downwards.
      category: of the object.
      rng: generator of this item's sensor.
    """
    seconds = np.arange(round(LENGTH_S * RATE_HZ)) / RATE_HZ  # [n]
    way = path[-1] - path[0]
    speed = np.array([way[0], 0.0, -way[1]]) * FRAME_M / (FILM_S[1] - FILM_S[0])  # m/s
    begins, ends = (rng.uniform(*START_S) for _ in range(2))
    pushed = _pulse(seconds, FILM_S[0] - begins, begins) - _pulse(seconds, FILM_S[1], ends)
    gait = GAITS[category]
    acceleration = pushed[:, None] * speed  # [n, 3] in the room
    acceleration[:, 2] += GRAVITY + _wave(seconds, gait.shake_hz, gait.shake, rng)[0]

    mounted = np.append(rng.uniform(-TILT, TILT, 2), rng.uniform(-YAW, YAW))
    swayed = [_wave(seconds, gait.sway_hz, angle, rng) for angle in gait.sway]
    angles = np.stack([angle for angle, _ in swayed], axis=1) + mounted  # [n, 3] about x, y, z
    turning = np.stack([change for _, change in swayed], axis=1)
    felt = np.einsum("nji,nj->ni", rotations(angles), acceleration)  # the room, seen by the sensor
    readings = np.concatenate([felt, rates(angles, turning)], axis=1)
    scale = np.repeat([NOISE, OFFSET], 3, axis=1)  # [2, 6]
    offset = scale[1] * rng.standard_normal(6)
    return readings + offset + scale[0] * rng.standard_normal(readings.shape)


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotations from the sensor to the room, [n, 3, 3], about x, then y, then z by [n, 3]."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def rates(angles: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """What a gyroscope reads while the angles change so fast, [n, 3] of [n, 3] and [n, 3]."""
    (cx, cy, _), (sx, sy, _) = np.cos(angles).T, np.sin(angles).T
    x, y, z = changes.T
    return np.stack([x - sy * z, cx * y + sx * cy * z, cx * cy * z - sx * y], axis=1)


def _pulse(seconds: np.ndarray, start_s: float, length_s: float) -> np.ndarray:
    """Acceleration to a speed of 1 in so long a time, smooth at both ends: [n]."""
    done = np.clip((seconds - start_s) / length_s, 0, 1)
    return 6 * done * (1 - done) / length_s


def _wave(
    seconds: np.ndarray, hz: float, height: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A wave near a frequency and a height, and its change per second, [n] each."""
    turn = 2 * np.pi * hz * rng.uniform(0.92, 1.08)
    height, phase = height * rng.uniform(0.8, 1.2), rng.uniform(0, 2 * np.pi)
    return height * np.sin(turn * seconds + phase), height * turn * np.cos(turn * seconds + phase)
