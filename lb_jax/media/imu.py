"""Motion: accelerometer and gyroscope, evenly spaced (ImageBind spec 5.7).

How files are read is in `sensors.motion_files`, how columns are named in `motion_columns`, when
readings were taken in `motion_clock`, which unit they have in `motion_units`. What is not said and
not plain is asked for; nothing is guessed in silence.
"""

import math
import warnings
from collections.abc import Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.media import given, specs
from lb_jax.media.sensors import motion_clock, motion_columns, motion_files, motion_units

CHANNELS = motion_columns.CHANNELS
SINC_ZEROS = 6  # zero crossings of the kernel to each side
BLOCK = 8192  # samples that are computed together
SHORT = 0.01  # of a window: so much less than one is made up by the last reading
KINDS = ("accelerometer", "gyroscope")
STEADY = 0.3  # share by which gravity varies at most, where it stands in the wrong columns


def decode(
    media: given.Media,
    spec: specs.ImuSpec,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> np.ndarray:
    """Reads a recording of motion and brings it to the rate of the spec.

    Args:
      media: path or bytes of a CSV, Parquet, NPZ or NPY file (docs/media.md); an array [n, 6]; or a
        tuple (such an array, rate in Hz).
      spec: window and rate; rate_hz, units, columns and interpolate_s where the file does not say
        them.
      start_s: what is read then or later, and before `end_s`, is the recording, in seconds from its
        first reading.
      end_s: None is the end of the file.

    Returns:
      float32 [n, 6], `spec.samples / spec.window_s` a second: accelerometer x, y, z in m/s2,
      gyroscope x, y, z in rad/s; at least a window of it.

    Raises:
      errors.DataError: undecodable, of columns, shape, rate or units that are not plain or
        contradict each other, with gaps, or less than a window and the spec does not say what then.

    Warns:
      errors.DataWarning: units were told by the readings alone, or no gravity is seen.
    """
    name = given.describe(media)
    return stretch(read(media, spec), spec, name, start_s, end_s)


def read(media: given.Media, spec: specs.ImuSpec) -> motion_clock.Even:
    """Reads a recording at its own rate, in m/s2 and rad/s.

    Raises:
      errors.DataError: as `decode`, but for its length.
    """
    name = given.describe(media)
    found = motion_files.read(media, spec.columns)
    recording = motion_clock.even(found, name, spec.rate_hz, spec.interpolate_s)
    accel, gyro = recording.values[:, :3], recording.values[:, 3:]
    accel_unit, gyro_unit = _units(accel, gyro, recording.rate_hz, found.units, spec, name)
    scaled = np.concatenate(
        [accel * motion_units.ACCEL[accel_unit], gyro * motion_units.GYRO[gyro_unit]], axis=1
    )
    return motion_clock.Even(scaled, recording.rate_hz)


def duration_s(recording: motion_clock.Even) -> float:
    """How long a recording lasts; each reading stands until the next."""
    return len(recording.values) / recording.rate_hz


def stretch(
    recording: motion_clock.Even,
    spec: specs.ImuSpec,
    name: str,
    start_s: float = 0.0,
    end_s: float | None = None,
) -> np.ndarray:
    """A stretch of a recording at the rate of the spec; arguments and errors as `decode`."""
    length_s = duration_s(recording)
    stop_s = length_s if end_s is None else min(end_s, length_s)
    count = math.floor(max(stop_s - start_s, 0) * spec.grid_hz + 1e-6)
    if count < 1:
        raise errors.DataError(
            name,
            f"has no motion {given.window(start_s, end_s)}, it lasts {length_s:.3f} s; correct the "
            "window or leave the item out",
        )
    if count > motion_files.MAX_SAMPLES:
        raise errors.DataError(
            name, f"lasts {stop_s - start_s:.0f} s, too long to be one item; take it in windows"
        )
    wanted, missing = count, spec.samples - count
    slack = max(SHORT * spec.samples, spec.grid_hz / recording.rate_hz)
    if 0 < missing <= slack or (missing > 0 and spec.short == "hold"):
        wanted = spec.samples  # what lies beyond is the last reading
    elif missing > 0 and spec.short == "refuse":
        whole = "" if end_s is None and not start_s else f" {given.window(start_s, end_s)}"
        raise errors.DataError(
            name,
            f"lasts {count / spec.grid_hz:.2f} s{whole}, the model takes {spec.window_s:g} s of "
            "motion; give a longer recording or window, or say how it is filled up (--imu-short "
            "hold or repeat, imu_short)",
        )
    places_s = start_s + np.arange(wanted) / spec.grid_hz
    last_s = start_s + (count - 1) / spec.grid_hz  # behind it the last one stands
    values = resample(recording.values, recording.rate_hz, np.minimum(places_s, last_s), spec)
    if wanted < spec.samples:
        values = np.tile(values, (-(-spec.samples // wanted), 1))[: spec.samples]
    return values


def transform(
    decoded: np.ndarray, spec: specs.ImuSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Takes a window: the middle one, or a drawn one in training.

    Args:
      decoded: float32 [n, 6] as `decode` gives it.
      spec: samples and train_crop.
      rng: draws the place, always one draw; None takes the middle.

    Returns:
      float32 [samples, 6].
    """
    places = len(decoded) - spec.samples + 1
    draw = None if rng is None else float(rng.random())
    start = (places - 1) // 2
    if draw is not None and spec.train_crop == "random":
        start = int(draw * places)
    return np.ascontiguousarray(decoded[start : start + spec.samples])


def warn_of_cut(decoded: np.ndarray, spec: specs.ImuSpec, name: str) -> None:
    """Warns of a recording of which a window shows but a part."""
    if len(decoded) > spec.samples * (1 + SHORT):
        reason = (
            f"lasts {len(decoded) / spec.grid_hz:.1f} s, of which the model takes the "
            f"{spec.window_s:g} s in the middle; for all of it use windows (embed_long, `lb-jax "
            "index build`)"
        )
        warnings.warn(errors.DataWarning(name, reason), stacklevel=3)


def resample(
    values: np.ndarray, rate_hz: float, places_s: np.ndarray, spec: specs.ImuSpec
) -> np.ndarray:
    """Readings between readings, by a Hann-windowed sinc whose weights sum to 1.

    Gravity is a constant, so that any other sum would show. Beyond the ends their readings stand.
    Where the spec's rate is lower, what it cannot show is filtered out.

    Args:
      values: float64 [n, 6].
      rate_hz: of them.
      places_s: where, seconds from the first one, [m].
      spec: its rate.

    Returns:
      float32 [m, 6].
    """
    cutoff = min(1.0, spec.grid_hz / rate_hz)
    reach = math.ceil(SINC_ZEROS / cutoff)
    taps = np.arange(-reach + 1, reach + 1)
    out = np.empty((len(places_s), values.shape[1]), np.float32)
    for first in range(0, len(places_s), BLOCK):
        places = places_s[first : first + BLOCK] * rate_hz  # in readings
        base = np.floor(places + 1e-9)
        t = (base[:, None] + taps - places[:, None]) * cutoff  # [m, taps]
        window = np.cos(np.clip(t / SINC_ZEROS, -1, 1) * (np.pi / 2)) ** 2
        weights = np.sinc(t) * window
        weights /= weights.sum(axis=1, keepdims=True)
        inside = np.clip(base[:, None].astype(np.int64) + taps, 0, len(values) - 1)
        out[first : first + BLOCK] = np.einsum("mt,mtc->mc", weights, values[inside])
    return out


def _units(
    accel: np.ndarray,
    gyro: np.ndarray,
    rate_hz: float,
    told: Mapping[str, str],
    spec: specs.ImuSpec,
    name: str,
) -> tuple[str, str]:
    """Units of both sensors: what is said, where the readings do not contradict it."""
    given_ = dict(zip(KINDS, (spec.accel_unit, spec.gyro_unit), strict=True))
    said: dict[str, str | None] = {}
    for kind in KINDS:
        own, other = told.get(kind), given_[kind]
        if own and other not in (motion_units.AUTO, own):
            raise errors.DataError(
                name,
                f"says that its {kind} is in {own}, and {other} was given (--imu-units, "
                "imu_units); leave out what is wrong",
            )
        said[kind] = own or (None if other == motion_units.AUTO else other)
    accel_unit = _accel_unit(accel, gyro, rate_hz, said["accelerometer"], name)
    seen = motion_units.rotation(accel, gyro, rate_hz)
    gyro_unit = said["gyroscope"]
    if gyro_unit is None:
        if seen is None:
            raise errors.DataError(
                name,
                f"does not say the unit of its gyroscope, and readings up to "
                f"{np.abs(gyro).max():.3g} may be deg/s or rad/s; give it (--imu-units "
                f"{accel_unit},deg/s or {accel_unit},rad/s, imu_units)",
            )
        _remark(name, f"gyroscope taken as {seen.unit}: its readings {seen.why}")
        return accel_unit, seen.unit
    if seen is not None and seen.unit != gyro_unit:
        if seen.is_sure:
            raise errors.DataError(
                name,
                f"has a gyroscope said to be in {gyro_unit}, and its readings {seen.why}: they are "
                f"{seen.unit}; correct the unit (--imu-units, imu_units, or the header)",
            )
        _remark(
            name,
            f"gyroscope is said to be in {gyro_unit}, but its readings {seen.why}, as {seen.unit}",
        )
    return accel_unit, gyro_unit


def _accel_unit(
    accel: np.ndarray, gyro: np.ndarray, rate_hz: float, said: str | None, name: str
) -> str:
    steady = motion_units.strength(accel, rate_hz)
    seen = motion_units.gravity_in(steady)
    if seen is None or motion_units.unrest(accel, rate_hz) > STEADY:
        _require_in_place(gyro, rate_hz, steady, name)
    if said is None and seen is None:
        raise errors.DataError(
            name,
            f"does not say the unit of its accelerometer, whose steady part is {steady:.3g}: "
            f"gravity would be {motion_units.GRAVITY:.2f} m/s2 or 1 g; give the unit (--imu-units, "
            "imu_units), or readings with gravity",
        )
    if said is None:
        assert seen is not None
        _remark(name, f"accelerometer taken as {seen}: its steady part of {steady:.3g} is gravity")
        return seen
    if seen is None:
        _remark(
            name,
            f"accelerometer shows no gravity: its steady part is {steady:.3g} {said}; the model "
            "was trained with it",
        )
    elif seen != said:
        raise errors.DataError(
            name,
            f"has an accelerometer said to be in {said}, and its steady part of {steady:.3g} is "
            f"gravity in {seen}; correct the unit (--imu-units, imu_units, or the header)",
        )
    return said


def _require_in_place(gyro: np.ndarray, rate_hz: float, steady: float, name: str) -> None:
    """Refuses gravity in the columns of the gyroscope."""
    turning = motion_units.strength(gyro, rate_hz)
    unit = motion_units.gravity_in(turning)
    if unit is not None and motion_units.unrest(gyro, rate_hz) < STEADY:
        raise errors.DataError(
            name,
            f"has gravity in the columns of its gyroscope (steady part {turning:.3g}, as {unit}) "
            f"and not in those of its accelerometer ({steady:.3g}); the columns are swapped, name "
            "them in their order (--imu-columns, imu_columns)",
        )


def _remark(name: str, reason: str) -> None:
    warnings.warn(errors.DataWarning(name, reason), stacklevel=4)
