"""Which columns of a table are accelerometer, gyroscope and time, by the names that people use.

| what | names, in any capitals and marks |
|---|---|
| accelerometer | ax, acc_x, AccX, accel.x, Accelerometer X (m/s2), linear_acceleration.x, accl_x |
| gyroscope | gx, gyro_x, GyrX, Gyroscope X (deg/s), angular_velocity.x, rotation_rate_x, wx |
| time | t, time, timestamp, ts, seconds_elapsed; with a unit: time_ms, timestamp (ns) |

Axes are x, y, z, or 0, 1, 2, or 1, 2, 3. A unit may stand in brackets, or behind the name:
`acc_x_g`, `gyro_x_dps`.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence

from lb_jax.media.sensors import motion_units

KINDS = {
    "accelerometer": (
        *("linearacceleration", "accelerometer", "acceleration", "accel", "accl", "acc", "a"),
    ),
    "gyroscope": (
        *("angularvelocity", "angularrate", "rotationrate", "gyroscope", "rotation", "gyro"),
        *("gyr", "omega", "w", "g"),
    ),
}
UNITS = {"accelerometer": motion_units.ACCEL, "gyroscope": motion_units.GYRO}
CHANNELS = tuple(f"{kind} {axis}" for kind in KINDS for axis in "xyz")
EXPECTED = "accelerometer x, y, z and gyroscope x, y, z, such as ax, ay, az, gx, gy, gz"
TIMES = {
    *("t", "ts", "time", "times", "timestamp", "timestamps", "seconds", "elapsed", "epoch"),
    *("datetime", "secondselapsed", "elapsedtime", "elapsedseconds", "canonicaltimestamp"),
    *("sensortimestamp", "componenttimestamp", "devicetime", "loggingtime"),
}
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_TIME_WORDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "micros", "microseconds", "µs", "μs"), "us"),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanoseconds"), "ns"),
}
_BRACKETS = re.compile(r"[(\[{<](.*?)[)\]}>]")
_BEFORE = "|".join(("imu", "raw", "sensor", "device", "phone", "watch", "body", "data", "motion"))
_BEHIND = "|".join(sorted(motion_units.WRITTEN, key=len, reverse=True)).replace("^", r"\^")
_CHANNEL = {
    kind: re.compile(
        rf"(?:{_BEFORE})*(?:(?:{'|'.join(words)})(?P<axis>[xyz0123])|"
        rf"(?P<first>[xyz])(?:{'|'.join(words)}))(?P<unit>{_BEHIND})?"
    )
    for kind, words in KINDS.items()
}


class UnclearError(ValueError):
    """Why columns could not be told, and what to do, in one line."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns are what.

    Attributes:
      channels: places of accelerometer x, y, z and gyroscope x, y, z.
      time: place of the times; None without.
      time_unit: a key of `TIME_UNITS`; None where the name does not say.
      units: "accelerometer" and "gyroscope" -> unit, of those whose names say it.
    """

    channels: tuple[int, ...]
    time: int | None = None
    time_unit: str | None = None
    units: dict[str, str] = dataclasses.field(default_factory=dict)


def choose(names: Sequence[str], said: str = "") -> Columns:
    """Tells the columns of a table.

    Args:
      names: of all columns.
      said: six names separated by commas, or seven with that of the times first; empty goes by
        this module's tables.

    Raises:
      UnclearError: a name that is not there, a channel that is missing or there twice, or two units
        for one sensor.
    """
    times = [place for place, name in enumerate(names) if _time_unit(name) is not None]
    if wanted := [one.strip() for one in said.split(",") if one.strip()]:
        if lacking := [one for one in wanted if one not in names]:
            raise UnclearError(f"has no column {lacking[0]!r}; it has {_listed(names)}")
        places = [list(names).index(one) for one in wanted]
        channels, time = places[-6:], places[0] if len(places) == 7 else None
        time = times[0] if time is None and times and times[0] not in channels else time
    else:
        channels, time = _by_name(names), times[0] if times else None
    found: dict[str, str] = {}
    for kind, three in zip(KINDS, (channels[:3], channels[3:]), strict=True):
        units = {unit for place in three if (unit := _unit(names[place], kind))}
        if len(units) > 1:
            raise UnclearError(
                f"gives its {kind} the units {' and '.join(sorted(units))}; expected one for all "
                "three axes, mend the header"
            )
        if units:
            found[kind] = units.pop()
    unit = None if time is None else _time_unit(names[time])
    return Columns(tuple(channels), time, unit or None, found)


def kind_of(name: str) -> str | None:
    """The sensor that an array of three axes is of, by its name: `accel`, `gyro_data`."""
    plain = re.sub(rf"^(?:{_BEFORE})+(?=.)|(?:data|xyz|values|{_BEFORE})$", "", _squeezed(name))
    return next((kind for kind, words in KINDS.items() if plain in words), None)


def unit_of(name: str) -> str | None:
    """The sensor whose unit a field tells: `accel_unit`, `gyroscope_units`."""
    plain = _squeezed(name)
    return kind_of(plain.removesuffix("s").removesuffix("unit")) if "unit" in plain else None


def is_rate(name: str) -> bool:
    """Whether a field tells samples per second: `rate`, `rate_hz`, `fs`, `sampling_rate`."""
    plain = _squeezed(name).removesuffix("hz")
    return plain in ("", "fs", "rate", "samplerate", "samplingrate", "frequency", "freq") or (
        plain in ("samplingfrequency", "imurate", "odr")
    )


def is_time(name: str) -> bool:
    """Whether a name is one of times."""
    return _time_unit(name) is not None


def _by_name(names: Sequence[str]) -> list[int]:
    found: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
    matches = [(place, *_match(name)) for place, name in enumerate(names)]
    for kind in KINDS:
        axes = {axis for _, other, axis in matches if other == kind}
        digits = "012" if "0" in axes else "123"
        for place, other, axis in matches:
            if other == kind:
                letter = axis if axis in "xyz" else "xyz"[digits.index(axis)]
                found[f"{kind} {letter}"].append(place)
    several = [(channel, places) for channel, places in found.items() if len(places) > 1]
    if several:
        channel, places = several[0]
        twice = " and ".join(repr(names[place]) for place in places)
        raise UnclearError(
            f"has {twice} for {channel}; say which six columns are meant (--imu-columns, "
            "imu_columns)"
        )
    if missing := [channel for channel, places in found.items() if not places]:
        raise UnclearError(
            f"has no column for {', '.join(missing)}; it has {_listed(names)}. Expected "
            f"{EXPECTED}; name the six columns with --imu-columns (imu_columns)"
        )
    return [places[0] for places in found.values()]


def _match(name: str) -> tuple[str | None, str]:
    """Sensor and axis of a column; None and nothing for others."""
    plain = _squeezed(name)
    for kind, expression in _CHANNEL.items():
        if match := expression.fullmatch(plain):
            return kind, match["axis"] or match["first"]
    return None, ""


def _unit(name: str, kind: str) -> str | None:
    for inside in _BRACKETS.findall(name):
        if unit := motion_units.named(inside, UNITS[kind]):
            return unit
    match = _CHANNEL[kind].fullmatch(_squeezed(name))
    return motion_units.named(match["unit"], UNITS[kind]) if match and match["unit"] else None


def _time_unit(name: str) -> str | None:
    """The unit of times, empty where the name has none; None for what is no time."""
    inside = [word.strip().lower() for word in _BRACKETS.findall(name)]
    words = re.findall(r"[a-zµμ]+", _BRACKETS.sub(" ", name).lower())
    if len(words) == 1 or not words:
        parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", _BRACKETS.sub(" ", name))
        words = [part.lower() for part in parts]
    units = [_TIME_WORDS[word] for word in inside if word in _TIME_WORDS]
    if len(words) > 1 and words[-1] in _TIME_WORDS:
        units.append(_TIME_WORDS[words[-1]])
        words = words[:-1]
    if "".join(words) not in TIMES:
        return None
    if not units and "seconds" in "".join(words):
        units = ["s"]
    return units[0] if units else ""


def _squeezed(name: str) -> str:
    plain = _BRACKETS.sub(" ", name).lower().replace("²", "2").replace("°", "deg")
    return re.sub(r"[^a-z0-9]", "", plain)


def _listed(names: Sequence[str]) -> str:
    shown = [name if name.isprintable() else ascii(name) for name in itertools.islice(names, 12)]
    return ", ".join(one[:40] for one in shown) + (", ..." if len(names) > 12 else "")
