"""What the numbers of a thermal picture are in kelvin.

| unit | kelvin of a stored number x |
|---|---|
| kelvin | x |
| decikelvin, centikelvin | 0.1 x, 0.01 x: FLIR TLinear of low and high resolution |
| celsius, fahrenheit | x + 273.15, (x - 32) / 1.8 + 273.15 |
| a number n | n x: 0.04 and 0.4 are FLIR TLinear of Vue, Duo and Tau, 0.015625 is 1/64 |
| counts | none: what a sensor gives without a calibration |
"""

import dataclasses
import math

import numpy as np

from lb_jax.core import errors

ZERO_CELSIUS_K = 273.15
AUTO, COUNTS = "auto", "counts"
UNITS: dict[str, tuple[float, float]] = {  # factor, summand
    "kelvin": (1.0, 0.0),
    "decikelvin": (0.1, 0.0),
    "centikelvin": (0.01, 0.0),
    "celsius": (1.0, ZERO_CELSIUS_K),
    "fahrenheit": (1 / 1.8, ZERO_CELSIUS_K - 32 / 1.8),
}
SHORT = {"K": "kelvin", "C": "celsius", "F": "fahrenheit", "cK": "centikelvin", "dK": "decikelvin"}

# A scene on Earth, in kelvin: -50 to 200 degrees Celsius. Centikelvin of it (22,315 to 47,315) lie
# above all that sensors of 14 bits count (16,383), so that they cannot be taken for counts.
SCENE_K = 223.15, 473.15
# Degrees that are taken for Celsius without asking: those above would be kelvin, or a furnace.
SCENE_C = -80.0, 150.0


@dataclasses.dataclass(frozen=True)
class Readings:
    """What a thermal file holds, one number to a pixel.

    Attributes:
      values: [h, w], of any real type.
      unit: of the file itself, a key of `UNITS` or `COUNTS`; `AUTO` where it does not say.
      is_missing: bool [h, w] of pixels without a reading that the numbers do not tell; or None.
    """

    values: np.ndarray
    unit: str = AUTO
    is_missing: np.ndarray | None = None


def is_unit(unit: str) -> bool:
    """Whether a unit is known, or is a number above 0."""
    return unit in (AUTO, COUNTS) or unit in UNITS or _number(unit) is not None


def named(unit: object) -> str:
    """A unit as people write it -> as this module does: "K" is "kelvin", 0.010 is "0.01"."""
    unit = SHORT.get(str(unit), str(unit))
    number = _number(unit)
    return unit.lower() if number is None else f"{number:g}"


def kelvin(values: np.ndarray, unit: str, name: str) -> np.ndarray:
    """Stored numbers in kelvin.

    Args:
      values: any real type, any shape.
      unit: as in this module's table.
      name: of the file, for errors.

    Returns:
      float64 of the same shape.

    Raises:
      errors.DataError: for counts, which no temperature belongs to.
    """
    if unit == COUNTS:
        raise errors.DataError(
            name,
            "holds a sensor's counts, not temperatures, so that no range in kelvin applies; leave "
            "out --thermal-range (thermal_range), or give --thermal-unit (thermal_unit) if the "
            "scale is known",
        )
    number = _number(unit)
    factor, summand = UNITS[unit] if number is None else (number, 0.0)
    return np.asarray(values, np.float64) * factor + summand


def guess(low: float, high: float, *, whole: bool, name: str) -> str:
    """The unit by the range of the numbers.

    Args:
      low, high: of the readings.
      whole: whether they are stored as integers.
      name: of the file, for errors.

    Raises:
      errors.DataError: where the numbers fit no unit, or several.
    """
    if whole and _within(low / 100, high / 100, SCENE_K):
        return "centikelvin"
    if not whole and _within(low, high, SCENE_K):
        return "kelvin"
    if not whole and _within(low, high, SCENE_C) and (high > 2 or low < 0):  # 0 to 1 is a share
        return "celsius"
    kind = "integers" if whole else "numbers"
    raise errors.DataError(
        name,
        f"holds {kind} from {low:.6g} to {high:.6g}, which do not tell their unit; give "
        f"--thermal-unit (thermal_unit), one of {', '.join(UNITS)}, or kelvin per count such as "
        "0.04; or leave out --thermal-range (thermal_range)",
    )


def _within(low: float, high: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= low and high <= bounds[1]


def _number(unit: str) -> float | None:
    try:
        value = float(unit)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None
