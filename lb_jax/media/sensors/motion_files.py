"""Recordings of motion as stored in files: CSV, Parquet, NPZ, NPY, told by the first bytes.

Tables have a column to each channel (`motion_columns`), and perhaps one of times. NPZ may hold
arrays [n, 3] of either sensor, or one [n, 6], and beside them `rate`, `accel_unit`, `gyro_unit`;
Parquet has these in its metadata, CSV in lines before its header: `# rate_hz: 400`.
"""

import csv
import dataclasses
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.media import given
from lb_jax.media.sensors import depth_files, maps, motion_columns, motion_units

ACCEPTED = (
    "an array [n, 6] of accelerometer x, y, z and gyroscope x, y, z, or a tuple (such an array, "
    "rate in Hz)"
)
MAX_SAMPLES = 20_000_000  # 14 hours at 400 Hz
MAX_RATE_HZ = 1_000_000
MAX_BYTES = 4 << 30
SEPARATORS = ",\t;|"
_NOTE = re.compile(r"#\s*([\w ]+?)\s*[:=]\s*(.+?)\s*$")


@dataclasses.dataclass(frozen=True)
class Recording:
    """What a file says of motion.

    Attributes:
      values: float64 [n, 6] in its own units; NaN where nothing was read.
      times: float64 [n] from the first on, in `time_unit`; None without.
      time_unit: a key of `motion_columns.TIME_UNITS`; None where the file does not say.
      rate_hz: that the file says; None without.
      units: "accelerometer" and "gyroscope" -> unit, of those that the file says.
    """

    values: np.ndarray
    times: np.ndarray | None = None
    time_unit: str | None = None
    rate_hz: float | None = None
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read(media: given.Media, columns: str = "") -> Recording:
    """Reads a recording.

    Args:
      media: path or bytes of a file, an array [n, 6], or a tuple (such an array, rate in Hz).
      columns: names of the columns, as `motion_columns.choose` takes them.

    Raises:
      DataError: damaged, too large, of another form, or of columns that are not told.
    """
    name = given.describe(media)
    match media:
        case np.ndarray():
            return Recording(_six(media, name))
        case (np.ndarray() as array, int() | float() | np.number() as rate_hz):
            return _told(Recording(_six(array, name)), {"rate": rate_hz}, name)
    with given.stream(media, ACCEPTED) as file:
        head = file.read(6)
        file.seek(0)
        reader = next((one for magic, one in FORMATS.items() if head.startswith(magic)), _csv)
        return reader(file, name, columns)


def columns_of(file: BinaryIO) -> list[str] | None:
    """Names of the columns of a table or an archive of arrays, without reading it; None if none."""
    head = file.read(6)
    file.seek(0)
    try:
        if head.startswith(b"PAR1"):
            return pa.parquet.ParquetFile(file, pre_buffer=False).schema_arrow.names
        if head.startswith(b"PK"):
            with zipfile.ZipFile(file) as opened:
                return [one.removesuffix(".npy") for one in opened.namelist()]
        return _header(file.read(1 << 16), "").names
    except (pa.ArrowException, OSError, ValueError, errors.DataError, zipfile.BadZipFile):
        return None


def is_motion(names: Sequence[str]) -> bool:
    """Whether columns or arrays of these names are plainly accelerometer and gyroscope."""
    try:
        motion_columns.choose(names)
    except motion_columns.UnclearError:
        return {motion_columns.kind_of(name) for name in names} >= set(motion_columns.KINDS)
    return True


def _npy(file: BinaryIO, name: str, columns: str) -> Recording:
    del columns
    content = io.BytesIO(file.read())
    with maps.told("NPY", name, depth_files.NPY_ERRORS):
        array = np.load(content, allow_pickle=False)
    return Recording(_six(array, name))


def _npz(file: BinaryIO, name: str, columns: str) -> Recording:
    with maps.told("NPZ", name, depth_files.NPY_ERRORS), zipfile.ZipFile(file) as opened:
        members = [one for one in opened.infolist() if one.filename.endswith(".npy")]
        if sum(one.file_size for one in members) > MAX_BYTES:
            raise errors.DataError(name, "holds more than 4 GiB; split the recording")
        arrays = {
            one.filename.removesuffix(".npy"): np.load(
                io.BytesIO(opened.read(one)), allow_pickle=False
            )
            for one in members
        }
    told = {key: array.item() for key, array in arrays.items() if array.size == 1}
    series = {key: array for key, array in arrays.items() if array.size != 1}
    flat = {key: array for key, array in series.items() if array.ndim == 1}
    kinds = {motion_columns.kind_of(key): key for key in series if key not in flat}
    if set(kinds) >= set(motion_columns.KINDS):
        keys = [kinds[kind] for kind in motion_columns.KINDS]
        three = [_three(series[key], key, name) for key in keys]
        _require_equal({key: len(one) for key, one in zip(keys, three, strict=True)}, name)
        return _told(_timed(np.concatenate(three, axis=1), flat, name), told, name)
    others = [key for key in series if series[key].ndim == 2]
    if len(others) == 1:
        return _told(_timed(_six(series[others[0]], name), flat, name), told, name)
    if flat and not others:
        _require_equal({key: len(array) for key, array in flat.items()}, name)
        return _told(_table(list(flat), flat, columns, name), told, name)
    found = ", ".join(f"{maps.printable(key)} {list(array.shape)}" for key, array in arrays.items())
    raise errors.DataError(
        name,
        f"holds {found or 'no array'}; expected accel and gyro, [n, 3] each, or one array [n, 6]",
    )


def _parquet(file: BinaryIO, name: str, columns: str) -> Recording:
    try:
        opened = pa.parquet.ParquetFile(file, pre_buffer=False)
        _require_count(opened.metadata.num_rows, name)
        names = opened.schema_arrow.names
        chosen = _chosen(names, columns, name)
        wanted = [names[place] for place in (*chosen.channels, *_of(chosen.time))]
        table = opened.read(columns=list(dict.fromkeys(wanted)), use_threads=False)
        notes = {
            key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
            for key, value in (opened.schema_arrow.metadata or {}).items()
        }
    except (pa.ArrowException, OSError, ValueError) as e:  # names may be no UTF-8
        raise errors.DataError(
            name, f"is no Parquet file that can be read ({maps.short(e)}); write it again"
        ) from e
    arrays = {key: _numbers(table.column(key), key, name) for key in dict.fromkeys(wanted)}
    return _told(_table(names, arrays, columns, name), notes, name)


@dataclasses.dataclass(frozen=True)
class _Header:
    """Where a table begins, and what stands before it."""

    names: list[str]
    separator: str
    skipped: int
    is_named: bool
    notes: dict[str, str]


def _csv(file: BinaryIO, name: str, columns: str) -> Recording:
    content = file.read()
    header = _header(content[: 1 << 16], name)
    chosen = _chosen(header.names, columns, name)
    wanted = [header.names[place] for place in (*chosen.channels, *_of(chosen.time))]
    types = {header.names[place]: pa.float64() for place in chosen.channels}
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(content),
            read_options=pa.csv.ReadOptions(
                skip_rows=header.skipped + header.is_named,
                column_names=header.names,
                use_threads=False,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=header.separator),
            convert_options=pa.csv.ConvertOptions(
                include_columns=list(dict.fromkeys(wanted)),
                column_types=types,
                decimal_point=_decimal(content, header),
            ),
        )
    except (pa.ArrowException, OSError, ValueError) as e:  # names may be no UTF-8
        raise errors.DataError(
            name, f"is no table of numbers that can be read ({maps.short(e)}); mend it"
        ) from e
    _require_count(table.num_rows, name)
    arrays = {key: _numbers(table.column(key), key, name) for key in dict.fromkeys(wanted)}
    return _told(_table(header.names, arrays, columns, name), header.notes, name)


def _header(head: bytes, name: str) -> _Header:
    """Reads the first lines of a table: notes behind `#`, then names, or numbers at once."""
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < 1 << 16 else "ignore")
    except UnicodeDecodeError as e:
        raise errors.DataError(
            name, f"is no CSV, Parquet, NPZ or NPY of motion (no UTF-8 at byte {e.start})"
        ) from e
    notes, skipped = {}, 0
    lines = text.splitlines()
    for line in lines:
        if line.strip() and not line.startswith("#"):
            break
        if note := _NOTE.match(line):
            notes[note[1]] = note[2]
        skipped += 1
    if skipped == len(lines):
        raise errors.DataError(name, "is empty; expected a header and rows of numbers")
    first = lines[skipped]
    separator = max(SEPARATORS, key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=separator))]
    is_named = not all(_is_number(cell) for cell in cells)
    names = cells if is_named else [str(place) for place in range(1, len(cells) + 1)]
    if twice := [one for one in names if names.count(one) > 1]:
        raise errors.DataError(name, f"has two columns {twice[0]!r}; rename one of them")
    return _Header(names, separator, skipped, is_named, notes)


def _decimal(content: bytes, header: _Header) -> str:
    """What stands before decimals: of cells between semicolons it may be a comma."""
    if header.separator != ";":
        return "."
    lines = content[: 1 << 16].splitlines()[header.skipped + header.is_named :]
    return "," if lines and b"," in lines[0] and b"." not in lines[0] else "."


def _chosen(names: Sequence[str], columns: str, name: str) -> motion_columns.Columns:
    try:
        return motion_columns.choose(names, columns)
    except motion_columns.UnclearError as e:
        nameless = "has no names of columns, so they are called by their numbers: it "
        reason = (nameless if set("".join(names)) <= set("0123456789") else "") + str(e)
        raise errors.DataError(name, reason) from e


def _table(
    names: Sequence[str], arrays: Mapping[str, np.ndarray], columns: str, name: str
) -> Recording:
    chosen = _chosen(names, columns, name)
    values = np.stack([arrays[names[place]] for place in chosen.channels], axis=1)
    _require_count(len(values), name)
    if chosen.time is None:
        return Recording(values.astype(np.float64), units=chosen.units)
    told = arrays[names[chosen.time]]
    unit = "ns" if told.dtype.kind == "M" else chosen.time_unit
    times = _from_first(told)
    return Recording(values.astype(np.float64), times, unit, None, chosen.units)


def _timed(values: np.ndarray, flat: Mapping[str, np.ndarray], name: str) -> Recording:
    """An array with the times beside it, if there are any."""
    times = [key for key in flat if motion_columns.is_time(key)]
    if not times:
        return Recording(values)
    _require_equal({"the readings": len(values), times[0]: len(flat[times[0]])}, name)
    chosen = motion_columns.choose([times[0], *motion_columns.CHANNELS])
    return Recording(values, _from_first(flat[times[0]]), chosen.time_unit)


def _told(found: Recording, notes: Mapping[str, Any], name: str) -> Recording:
    """A recording with rate and units that stand beside it."""
    rate_hz, units = found.rate_hz, dict(found.units)
    for key, value in notes.items():
        if motion_columns.is_rate(key):
            rate_hz = _rate(value, name)
        elif kind := motion_columns.unit_of(key):
            unit = motion_units.named(str(value), motion_columns.UNITS[kind])
            if unit is None:
                known = ", ".join(motion_columns.UNITS[kind])
                raise errors.DataError(
                    name, f"gives its {kind} the unit {value!r}; expected one of {known}"
                )
            if units.setdefault(kind, unit) != unit:
                raise errors.DataError(
                    name,
                    f"gives its {kind} the units {units[kind]} and {unit}; leave the right one",
                )
    return dataclasses.replace(found, rate_hz=rate_hz, units=units)


def _rate(value: Any, name: str) -> float:
    text = re.sub(r"\s*hz$", "", str(value).lower())
    if not _is_number(text) or not 0 < float(text) < MAX_RATE_HZ:
        raise errors.DataError(
            name, f"has the rate {value!r}; expected readings per second, up to {MAX_RATE_HZ:,}"
        )
    return float(text)


def _six(array: np.ndarray, name: str) -> np.ndarray:
    """An array of readings as float64 [n, 6]."""
    shape = list(array.shape)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or 0 in shape:
        raise errors.DataError(name, f"holds {array.dtype} {shape}; accepted are {ACCEPTED}")
    if shape[1] != 6:
        if shape[0] == 6:
            told = (
                f"is {shape}, a row to each channel; expected [n, 6], time first: give its "
                "transpose (array.T), not a reshape, which would mix the channels"
            )
        else:
            told = f"is {shape}; expected [n, 6]: accelerometer x, y, z, then gyroscope x, y, z"
        raise errors.DataError(name, told)
    _require_count(len(array), name)
    return array.astype(np.float64)


def _three(array: np.ndarray, key: str, name: str) -> np.ndarray:
    shape = list(array.shape)
    if array.dtype.kind not in "fiu" or array.ndim != 2 or shape[1] != 3 or not shape[0]:
        turned = "; give its transpose" if array.ndim == 2 and shape[0] == 3 else ""
        raise errors.DataError(
            name, f"holds {maps.printable(key)} {array.dtype} {shape}; expected [n, 3]{turned}"
        )
    return array.astype(np.float64)


def _numbers(column: pa.ChunkedArray, key: str, name: str) -> np.ndarray:
    """A column as float64, NaN for what is missing; times of a calendar as such."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("ns")).to_numpy().astype("datetime64[ns]")
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise errors.DataError(
            name, f"column {maps.printable(key)!r} holds {kind}, expected numbers"
        )
    array = column.to_numpy()
    return array if array.dtype.kind in "iu" else array.astype(np.float64)


def _from_first(times: np.ndarray) -> np.ndarray:
    """Times counted from the first one: nanoseconds since 1970 are too many for a float."""
    if times.dtype.kind == "M":
        times = times.view(np.int64)
    if times.dtype.kind not in "iuf" or not len(times):
        return np.full(len(times), np.nan)
    with np.errstate(invalid="ignore", over="ignore"):  # `motion_clock` refuses what that gives
        return (times - times[0]).astype(np.float64)


def _require_count(count: int, name: str) -> None:
    if not count:
        raise errors.DataError(name, "holds no reading; leave the file out")
    if count > MAX_SAMPLES:
        raise errors.DataError(
            name, f"holds {counted(count, 'reading')}, more than {MAX_SAMPLES}; split the recording"
        )


def _require_equal(lengths: Mapping[str, int], name: str) -> None:
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{maps.printable(key)} {count}" for key, count in lengths.items())
        raise errors.DataError(name, f"has arrays of other lengths ({found}); expected one length")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _of(place: int | None) -> tuple[int, ...]:
    return () if place is None else (place,)


# first bytes -> reader; anything else is a table of text
FORMATS = {b"\x93NUMPY": _npy, b"PK\3\4": _npz, b"PAR1": _parquet}
