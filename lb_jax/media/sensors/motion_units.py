"""Units of accelerometers and gyroscopes, and what tells them apart: gravity, and how it turns.

| kind | unit | in the unit of the arrays |
|---|---|---|
| accelerometer | m/s2, g, mg | m/s2; g is 9.80665 m/s2 |
| gyroscope | rad/s, deg/s | rad/s |

An accelerometer at rest shows gravity. While it turns, gravity turns against it, by just the angle
that its gyroscope tells: of the two units of rotation only one agrees.
"""

import dataclasses
import math
import re

import numpy as np

from lb_jax.core import errors

GRAVITY = 9.80665  # m/s2
AUTO = "auto"
# What a stored number is multiplied by.
ACCEL = {"m/s2": 1.0, "g": GRAVITY, "mg": GRAVITY / 1000}
GYRO = {"rad/s": 1.0, "deg/s": math.pi / 180}
# As people write them, without blanks, marks and capitals.
WRITTEN = {
    "ms2": "m/s2",
    "mps2": "m/s2",
    "mss": "m/s2",
    "ms^2": "m/s2",
    "ms-2": "m/s2",
    "meterspersecondsquared": "m/s2",
    "g": "g",
    "gs": "g",
    "gee": "g",
    "gravity": "g",
    "mg": "mg",
    "millig": "mg",
    "milli-g": "mg",
    "rads": "rad/s",
    "rad": "rad/s",
    "radps": "rad/s",
    "radsec": "rad/s",
    "rps": "rad/s",
    "rads-1": "rad/s",
    "radianspersecond": "rad/s",
    "degs": "deg/s",
    "deg": "deg/s",
    "dps": "deg/s",
    "degps": "deg/s",
    "degsec": "deg/s",
    "degs-1": "deg/s",
    "degreespersecond": "deg/s",
}

SLOW_S = 0.5  # over which shaking is averaged out
TURN_S = 0.2  # and over which turning is followed: people turn about once a second
NEAR = (0.8, 1.25)  # of gravity: what a scale that is off, and a body that moves, still show
# No sensor that people wear turns faster: the largest range that is sold is 4000 degrees a second.
FASTEST_RAD = 70.0
TURNED_RAD = 0.15  # of gravity, in all, from which on its turning tells the unit
AGREES = 0.8  # correlation of how gravity turned with how the gyroscope says it did
# Beyond this share of a second's readings, in deg/s or rad/s, motion of a body is plainly the one.
SHAKEN = 0.5  # m/s2 by which the strength of the acceleration varies in motion
SLOW_RAD, FAST_DEG = 8.0, 35.0


@dataclasses.dataclass(frozen=True)
class Seen:
    """What readings look like.

    Attributes:
      unit: that they have.
      why: in words, with numbers.
      is_sure: whether nothing else explains them.
    """

    unit: str
    why: str
    is_sure: bool = True


def named(given: str, units: dict[str, float]) -> str | None:
    """A unit as people write it -> as this module does, or None for what is none of `units`."""
    plain = re.sub(r"[\s/*·_.()\[\]]", "", given.lower())
    plain = plain.replace("²", "2").replace("^", "").replace("**", "").replace("°", "deg")
    found = given if given in units else WRITTEN.get(plain)
    return found if found in units else None


def parse(given: str) -> dict[str, str]:
    """Reads what a user writes for the units of both sensors, such as `g,deg/s`.

    Returns:
      Fields of `specs.ImuSpec`.

    Raises:
      ConfigError: anything else.
    """
    parts = [part.strip() for part in str(given).split(",")]
    kinds = (("accel_unit", ACCEL), ("gyro_unit", GYRO))
    if len(parts) == len(kinds):
        units = {
            field: AUTO if part == AUTO else named(part, known)
            for part, (field, known) in zip(parts, kinds, strict=True)
        }
        if None not in units.values():
            return {field: unit for field, unit in units.items() if unit is not None}
    raise errors.ConfigError(
        f"imu units are {given!r}; expected two with a comma: {', '.join((*ACCEL, AUTO))}, then "
        f"{', '.join((*GYRO, AUTO))}, such as g,deg/s."
    )


def strength(accel: np.ndarray, rate_hz: float) -> float:
    """The steady part of an acceleration, in its own unit: gravity, where the sensor shows it.

    Args:
      accel: [n, 3].
      rate_hz: of the readings.
    """
    return float(np.median(np.linalg.norm(_slow(accel, rate_hz), axis=1)))


def unrest(values: np.ndarray, rate_hz: float) -> float:
    """By which share the strength of the steady part of readings [n, 3] varies."""
    lengths = np.linalg.norm(_slow(values, rate_hz), axis=1)
    return float(lengths.std() / max(lengths.mean(), 1e-12))


def gravity_in(steady: float) -> str | None:
    """The unit in which a steady acceleration is gravity; None for none."""
    for unit, scale in ACCEL.items():
        if NEAR[0] * GRAVITY <= steady * scale <= NEAR[1] * GRAVITY:
            return unit
    return None


def rotation(accel: np.ndarray, gyro: np.ndarray, rate_hz: float) -> Seen | None:
    """The unit of a gyroscope by its readings and by how gravity turns; None where it is open.

    Args:
      accel: [n, 3], in any unit, with gravity.
      gyro: [n, 3].
      rate_hz: of the readings.
    """
    speed = np.linalg.norm(gyro, axis=1)
    peak, usual = float(speed.max()), float(np.quantile(speed, 0.99))
    if peak > FASTEST_RAD:
        return Seen("deg/s", f"reach {peak:.4g}, which no sensor does in rad/s")
    if (seen := _by_gravity(accel, gyro, rate_hz)) is not None:
        return seen
    if usual > FAST_DEG:
        return Seen("deg/s", f"pass {usual:.3g} in one of a hundred", is_sure=False)
    scale = ACCEL.get(gravity_in(strength(accel, rate_hz)) or "", 1.0)
    shaken = float(np.linalg.norm(accel, axis=1).std()) * scale
    if shaken > SHAKEN and usual < SLOW_RAD:
        return Seen("rad/s", f"stay below {usual:.3g} in motion", is_sure=False)
    return None


def _by_gravity(accel: np.ndarray, gyro: np.ndarray, rate_hz: float) -> Seen | None:
    """Compares how the direction of gravity changed with how rotation changes it: -w x g."""
    block = max(int(TURN_S * rate_hz), 1)
    steady = _slow(accel, rate_hz, TURN_S)
    length = np.linalg.norm(steady, axis=1, keepdims=True)
    if len(steady) < 4 or length.min() <= 0:
        return None
    down = steady / length  # [blocks, 3]
    turn = _slow(gyro, rate_hz, TURN_S) * (block / rate_hz)
    between, middle = (turn[1:] + turn[:-1]) / 2, (down[1:] + down[:-1]) / 2
    changed, said = np.diff(down, axis=0), -np.cross(between, middle)
    if np.abs(changed).sum() < TURNED_RAD or not (said**2).sum() > 0:
        return None
    slope = float((changed * said).sum() / (said**2).sum())
    agreement = float((changed * said).sum() / math.sqrt((changed**2).sum() * (said**2).sum()))
    if agreement < AGREES:
        return None
    for unit, scale in GYRO.items():
        if 0.5 <= slope / scale <= 2.0:
            return Seen(unit, f"turn gravity as {unit} do (correlation {agreement:.2f})")
    return None


def _slow(values: np.ndarray, rate_hz: float, block_s: float = SLOW_S) -> np.ndarray:
    """Means of consecutive blocks, [blocks, 3]; one of all where it is shorter."""
    block = max(int(block_s * rate_hz), 1)
    count = len(values) // block
    if count == 0:
        return values.mean(axis=0, keepdims=True)
    return values[: count * block].reshape(count, block, -1).mean(axis=1)
