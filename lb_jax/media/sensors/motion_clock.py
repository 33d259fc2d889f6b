"""When readings of motion were taken: their rate, and gaps between them.

Times that are evenly spaced but for their rounding are taken as even; others are brought to an even
grid by straight lines between neighbours. What is missing is a gap, and is filled in only where the
user says up to which length.
"""

import dataclasses

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.media.sensors import motion_columns
from lb_jax.media.sensors.motion_files import Recording

# A factor of 1000 apart, so that of the units of time only one is left.
RATES_HZ = (8.0, 8000.0)
SAME = 0.05  # share by which a said rate may be off: clocks of phones drift
MISSED = 1.75  # periods between two readings from which on one is missing
ROUNDED = 0.5  # periods by which times may be off and still be even
# From here on a number is no reading, whatever its unit; and no time in seconds, or the like.
NOWHERE, NEVER = 1e7, 1e25
SHOWN = 3  # gaps that an error names


@dataclasses.dataclass(frozen=True)
class Even:
    """Readings at even distances.

    Attributes:
      values: float64 [n, 6], finite.
      rate_hz: of them.
    """

    values: np.ndarray
    rate_hz: float


def even(found: Recording, name: str, rate_hz: float | None, interpolate_s: float) -> Even:
    """Checks times and gaps, and brings readings to even distances.

    Args:
      found: the recording.
      name: how errors call it.
      rate_hz: that the user said; None without.
      interpolate_s: the longest gap that is filled in.

    Raises:
      DataError: times that do not rise, a rate that is not known or contradicted, a gap.
    """
    values, times_s = found.values, _seconds(found, name)
    rate_hz = _rate(times_s, found.rate_hz, rate_hz, name)
    is_read = (np.abs(values) < NOWHERE).all(axis=1)  # nor is NaN
    if not is_read.any():
        raise errors.DataError(name, "holds no reading, all of it is NaN; leave the file out")
    if times_s is None:
        times_s = np.arange(len(values)) / rate_hz
    gaps = _gaps(times_s, is_read, rate_hz)
    unfilled = [gap for gap in gaps if gap[1] - gap[0] > interpolate_s + 1e-9 or gap[2]]
    if unfilled:
        raise errors.DataError(name, _told(unfilled, gaps, interpolate_s))
    count = len(values)
    is_even = np.abs(times_s - np.arange(count) / rate_hz).max() * rate_hz < ROUNDED
    if is_even and not gaps:
        return Even(values, rate_hz)
    grid_s = np.arange(int(times_s[-1] * rate_hz + 1 + 1e-6)) / rate_hz
    read_s, read = times_s[is_read], values[is_read]
    return Even(np.stack([np.interp(grid_s, read_s, one) for one in read.T], axis=1), rate_hz)


def _seconds(found: Recording, name: str) -> np.ndarray | None:
    """Times in seconds from the first one, float64 [n]; None without."""
    if found.times is None or len(found.times) < 2:
        return None
    is_time = np.abs(found.times) < NEVER
    if not is_time.all():
        where = int(np.flatnonzero(~is_time)[0]) + 1
        raise errors.DataError(name, f"has no time in row {where}; every reading needs one")
    steps = np.diff(found.times)
    if not (steps > 0).all():
        falling = np.flatnonzero(steps <= 0)
        raise errors.DataError(
            name,
            f"has times that do not rise in {counted(len(falling), 'place')}, the first in row "
            f"{int(falling[0]) + 2} of {len(found.times)}; sort the readings, and drop what comes "
            "twice",
        )
    middle = float(np.median(steps))
    if found.time_unit is not None:
        scale = motion_columns.TIME_UNITS[found.time_unit]
        if not 1 <= 1 / (middle * scale) <= 100 * RATES_HZ[1]:
            raise errors.DataError(
                name,
                f"has times in {found.time_unit} that are {middle:g} apart, which is "
                f"{1 / (middle * scale):.4g} readings per second; correct the unit in its header",
            )
        return found.times * scale
    for scale in motion_columns.TIME_UNITS.values():
        if RATES_HZ[0] <= 1 / (middle * scale) < RATES_HZ[1]:
            return found.times * scale
    raise errors.DataError(
        name,
        f"has times that are {middle:g} apart, in no unit a rate of {RATES_HZ[0]:g} to "
        f"{RATES_HZ[1]:g} readings per second; say the unit in the header, such as time_s",
    )


def _rate(
    times_s: np.ndarray | None, told_hz: float | None, said_hz: float | None, name: str
) -> float:
    """The rate of the readings, by their times where there are any."""
    seen = None
    if times_s is not None:
        steps = np.diff(times_s)
        steps = steps[steps <= 2 * np.median(steps)]
        seen = 1 / float(steps.mean())
    known = {
        "its times": seen,
        "the file's own rate": told_hz,
        "the rate that was given (--imu-rate, imu_rate)": said_hz,
    }
    rates = [(what, rate) for what, rate in known.items() if rate is not None]
    if not rates:
        raise errors.DataError(
            name,
            "says neither rate nor times of its readings; give the rate in Hz (--imu-rate, "
            "imu_rate), or a column of times",
        )
    (what, first), *others = rates
    for other, rate in others:
        if abs(rate / first - 1) > SAME:
            raise errors.DataError(
                name,
                f"has {first:.4g} readings per second by {what}, and {rate:.4g} by {other}; "
                "correct the wrong one",
            )
    return first


def _gaps(
    times_s: np.ndarray, is_read: np.ndarray, rate_hz: float
) -> list[tuple[float, float, bool]]:
    """What is missing: from and to in seconds, and whether it is at an end."""
    read = np.flatnonzero(is_read)
    between = np.diff(times_s[read])
    found = [
        (float(times_s[read[place]]), float(times_s[read[place + 1]]), False)
        for place in np.flatnonzero(between > MISSED / rate_hz)
    ]
    if read[0] > 0:
        found.insert(0, (0.0, float(times_s[read[0]]), True))
    if read[-1] < len(is_read) - 1:
        found.append((float(times_s[read[-1]]), float(times_s[-1]), True))
    return found


def _told(
    unfilled: list[tuple[float, float, bool]],
    gaps: list[tuple[float, float, bool]],
    interpolate_s: float,
) -> str:
    shown = ", ".join(f"{start:.3f} to {end:.3f} s" for start, end, _ in unfilled[:SHOWN])
    more = f" and {len(unfilled) - SHOWN} more" if len(unfilled) > SHOWN else ""
    longest = max(end - start for start, end, _ in unfilled)
    option = f"(--imu-interpolate {longest:.2g}, imu_interpolate)"
    if any(is_outer for *_, is_outer in unfilled):
        remedy = "cut off what is missing at its ends"
    elif interpolate_s:
        remedy = f"{interpolate_s:g} s are filled in; split the recording, or fill more {option}"
    else:
        remedy = f"split the recording there, or have it filled in by straight lines {option}"
    return (
        f"has {counted(len(gaps), 'gap')} without readings (NaN or missing): {shown}{more}, the "
        f"longest {longest:.3g} s; {remedy}"
    )
