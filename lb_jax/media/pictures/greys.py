"""Readings of any range as grey pictures of 8 bits, the form that thermal weights were trained on.

The published corpus is stretched from the least to the largest value, picture by picture. A real
sensor has pixels that are dead or always hot, and pictures have parts without a reading; those must
not decide the range.
"""

import dataclasses

import cv2
import numpy as np

from lb_jax.core import errors

TAIL = 5e-4  # share of the readings that may lie beyond each end of the range
# Floats below absolute zero in every unit, and what no thermometer shows: marks for "nothing".
LOWEST, HIGHEST = -460.0, 1e9
# What writers put where nothing was measured, if all readings lie far from it: GDAL's and DJI's.
MARKS = (0.0, -273.15, -9999.0)
FAR = 1.0  # from the readings: times their range


@dataclasses.dataclass(frozen=True)
class Scene:
    """Readings that are ready to be shown.

    Attributes:
      values: float64 [h, w], without dead and hot pixels.
      is_reading: bool [h, w].
      low, high: the range of the readings.
    """

    values: np.ndarray
    is_reading: np.ndarray
    low: float
    high: float

    def shown(self, values: np.ndarray, low: float, high: float) -> np.ndarray:
        """Values from `low` to `high` as 0 to 255.

        Args:
          values: [h, w]: those of this scene, on another scale perhaps.
          low, high: what lies beyond has the end's grey.

        Returns:
          uint8 [h, w], 0 where there is no reading.
        """
        grey = np.zeros(values.shape)
        if high > low:
            grey = np.clip((values - low) / (high - low), 0, 1) * 255
        return np.where(self.is_reading, np.rint(grey), 0).astype(np.uint8)

    def stretched(self) -> np.ndarray:
        """The range of the readings as 0 to 255: uint8 [h, w]."""
        return self.shown(self.values, self.low, self.high)


def scene(values: np.ndarray, name: str, is_missing: np.ndarray | None = None) -> Scene:
    """Finds the readings and their range.

    Pixels that stand out from their neighbours by more than the whole range, and single pixels
    without a reading, take the median of their neighbours. Then the range is from the least to the
    largest median, but for `TAIL` at each end.

    Args:
      values: [h, w], any real type.
      name: of the file, for errors.
      is_missing: bool [h, w] of pixels that are known to be no readings.

    Raises:
      errors.DataError: nothing is a reading.
    """
    found = _readings(values) if is_missing is None else _readings(values) & ~is_missing
    if not found.any():
        raise errors.DataError(name, "has no reading in it; leave it out")
    middle = float(np.median(values[found]))
    # relative to the middle, so that float32 keeps the small differences of large numbers
    filled = np.where(found, values, middle).astype(np.float64) - middle
    smooth = cv2.medianBlur(filled.astype(np.float32), 3).astype(np.float64)
    whole = cv2.medianBlur(found.astype(np.uint8), 3).astype(bool)
    low, high = np.quantile(smooth[found], (TAIL, 1 - TAIL))
    stands_out = np.abs(filled - smooth) > high - low
    mended = np.where(stands_out | (whole & ~found), smooth, filled)
    return Scene(mended + middle, found | whole, float(low) + middle, float(high) + middle)


def _readings(values: np.ndarray) -> np.ndarray:
    """Which numbers are readings: finite, possible, and none of the marks that lie far off."""
    marks = [*MARKS]
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # halves cannot be compared with the largest
    if np.issubdtype(values.dtype, np.integer):
        found = np.ones(values.shape, bool)
        marks += [np.iinfo(values.dtype).max, np.iinfo(values.dtype).min]
    else:
        with np.errstate(invalid="ignore"):
            found = np.isfinite(values) & (values >= LOWEST) & (values <= HIGHEST)
    for mark in dict.fromkeys(marks):
        is_mark = found & (np.abs(values - np.float64(mark)) < 0.01)
        others = found & ~is_mark
        if is_mark.any() and others.any():
            low, high = np.quantile(values[others], (TAIL, 1 - TAIL))
            if not low - FAR * (high - low) <= mark <= high + FAR * (high - low):
                found = others
    return found
