"""A packed corpus as a source: random access to rows whose media are bytes."""

import bisect
import collections
import itertools
import os
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python import array_record_module

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora import captions, pack, record
from lb_jax.corpora.rows import Row

SUFFIX = ".array_record"
# Far below the usual limit of 1,024 open files; opening a shard again takes a tenth of a
# millisecond.
OPEN_SHARDS = 128
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # reads only what is asked for
_FIELDS = {"rows": int, "media": dict, "texts": dict, "shards": list}
_SHARD_FIELDS = {"name": str, "rows": int, "bytes": int, "media": dict, "carriers": dict}
_KINDS = {str: "a string", int: "a whole number", dict: "an object", list: "a list"}
_EXPECTED = "expected a folder written by `lb-jax data convert SRC DST`"


def is_packed(path: Path) -> bool:
    """Whether a path is, or seems to be, a packed corpus or a shard of one."""
    if path.suffix == SUFFIX:
        return True
    if not path.is_dir():
        return False
    with os.scandir(path) as entries:
        return any(one.name.endswith(SUFFIX) or one.name == pack.PROGRESS for one in entries)


class Records:
    """The rows of a packed corpus; shards are opened when a row of theirs is first read.

    Args:
      path: the folder.

    Raises:
      errors.DataError: no index, an unfinished, foreign or damaged one, a shard that is missing or
        of another length.
    """

    def __init__(self, path: str | Path):
        self.where, self._folder = str(path), Path(path)
        index = _read_index(self._folder)
        self.modalities, self.text_kinds = tuple(index["media"]), tuple(index["texts"])
        self._rows_with = index["texts"]
        self._shards = index["shards"]
        self._names = [shard["name"] for shard in index["shards"]]
        self._ends = list(itertools.accumulate(shard["rows"] for shard in index["shards"]))
        self._readers: collections.OrderedDict[int, Any] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self):
        return type(self), (self._folder,)

    def __len__(self) -> int:
        return self._ends[-1]

    def having(self, modality: str) -> np.ndarray:
        """Numbers of the rows that carry a modality, int64, rising, as the index says."""
        found, start = [np.zeros(0, np.int64)], 0
        for shard in self._shards:
            if modality in shard["carriers"]:
                found.append(start + _places(shard["carriers"][modality]))
            elif shard["media"].get(modality):
                found.append(start + np.arange(shard["rows"]))
            start += shard["rows"]
        return np.concatenate(found)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`, by the counts of the index."""
        everywhere = {kind for kind, rows in self._rows_with.items() if rows == len(self)}
        if lacking := lacking_kinds(kinds, everywhere):
            counts = ", ".join(
                f"{kind} ({self._rows_with.get(kind, 0)} of {counted(len(self), 'row')})"
                for kind in dict.fromkeys((*lacking, *self._rows_with))
            )
            raise errors.DataError(
                self.where, f"lacks {', '.join(lacking)}: {counts}. Train on another kind"
            )

    def __getitem__(self, index: int) -> Row:
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        place = index - (self._ends[shard - 1] if shard else 0)
        name = f"{self._folder / self._names[shard]}: record {place}"
        try:
            (content,) = self._reader(shard).read([place])
        except RuntimeError as e:
            raise errors.DataError(
                name, f"is damaged ({e}); copy the shard again or pack the corpus again"
            ) from e
        return record.decode(content, name)

    def _reader(self, shard: int) -> Any:
        """An open shard. One that falls out of the table closes when its last reading ends."""
        with self._lock:
            if shard in self._readers:
                self._readers.move_to_end(shard)
                return self._readers[shard]
            path, rows = self._folder / self._names[shard], self._rows(shard)
            reader = array_record_module.ArrayRecordReader(
                str(path), _READER_OPTIONS, file_reader_buffer_size=1 << 15
            )
            if not reader.ok():
                raise errors.DataError(
                    path, "is damaged or cannot be opened; copy it again or pack the corpus again"
                )
            if reader.num_records() != rows:
                raise errors.DataError(
                    path,
                    f"holds {reader.num_records()} records, {rows} by the index; copy it again",
                )
            self._readers[shard] = reader
            if len(self._readers) > OPEN_SHARDS:
                self._readers.popitem(last=False)
            return reader

    def _rows(self, shard: int) -> int:
        return self._ends[shard] - (self._ends[shard - 1] if shard else 0)


def lacking_kinds(asked: Iterable[str], held: Collection[str]) -> list[str]:
    """Stored kinds that the kinds asked for read and `held` does not offer.

    Raises:
      errors.ConfigError: unknown kind.
    """
    frames = all(kind in held for kind in captions.FRAME_KINDS)
    return [
        stored
        for kind in asked
        for stored in captions.require_kinds([kind])
        if not (kind in held or stored in held or (stored == "ofa" and frames))
    ]


def _read_index(folder: Path) -> dict[str, Any]:
    if folder.is_file():
        raise errors.DataError(folder, f"is one shard; {_EXPECTED}, and its name")
    if not (folder / pack.INDEX).exists():
        unfinished = (folder / pack.PROGRESS).exists()
        raise errors.DataError(
            folder,
            "was not packed to the end; run the command that packs it again"
            if unfinished
            else f"has no {pack.INDEX}; {_EXPECTED}",
        )
    path = folder / pack.INDEX
    index = pack.read_json(path)
    found = index.get("format"), index.get("version")
    if found != (pack.FORMAT, pack.VERSION):
        raise errors.DataError(
            path, f"is of format {found}, expected {(pack.FORMAT, pack.VERSION)}; pack it again"
        )
    if problem := _problem(index):
        raise errors.DataError(path, f"{problem}; pack the corpus again into a new folder")
    for shard in index["shards"]:
        _check_shard(folder, shard)
    return index


def _problem(index: dict[str, Any]) -> str:
    """What an index has wrong; empty where nothing is."""
    if problem := _mistyped(index, _FIELDS):
        return problem
    for number, shard in enumerate(index["shards"]):
        if problem := _problem_of_shard(shard):
            return f"shard {number} of it {problem}"
    if problem := _miscounted(index["texts"], record.TEXT_NAMES, index["rows"]):
        return f"texts {problem}"
    media = collections.Counter()
    for shard in index["shards"]:
        media.update(shard["media"])
    for field, found, expected in (
        ("rows", index["rows"], sum(shard["rows"] for shard in index["shards"])),
        ("media", index["media"], dict(media)),
    ):
        if found != expected:
            return f"has {found} as {field}, its shards {expected}"
    return "" if index["rows"] else "holds no rows; expected some"


def _problem_of_shard(shard: object) -> str:
    if not isinstance(shard, dict):
        return f"is {shard!r}; expected an object"
    if problem := _mistyped(shard, _SHARD_FIELDS):
        return problem
    rows, media, carriers = shard["rows"], shard["media"], shard["carriers"]
    if rows < 0:
        return f"has {counted(rows, 'row')}; expected 0 or more"
    if problem := _miscounted(media, MODALITIES, rows):
        return f"media {problem}"
    if unknown := set(carriers) - set(media):
        return f"has carriers of {', '.join(sorted(unknown))}, which its media lack"
    for name, count in media.items():
        if name not in carriers:
            if count != rows:
                return (
                    f"lacks the carriers of {name}, which {count} of {counted(rows, 'row')} carry"
                )
            continue
        try:
            places, size = _places(carriers[name]), len(bytes.fromhex(carriers[name]))
        except (TypeError, ValueError):
            return f"has {carriers[name]!r} as carriers of {name}; expected hexadecimal digits"
        if size != -(-rows // 8) or len(places) != count or (count and places[-1] >= rows):
            return (
                f"has carriers of {name} that tell {counted(len(places), 'row')} in "
                f"{counted(size, 'byte')}; expected {count} in {-(-rows // 8)}"
            )
    return ""


def _mistyped(fields: dict[str, Any], types: dict[str, type]) -> str:
    """Which fields are not there, or what the first of another type is."""
    if lacking := [field for field in types if field not in fields]:
        return f"lacks {', '.join(lacking)}"
    for field, kind in types.items():
        if type(fields[field]) is not kind:
            return f"has {fields[field]!r:.40} as {field}; expected {_KINDS[kind]}"
    return ""


def _miscounted(counts: dict[str, Any], names: Collection[str], rows: int) -> str:
    """What is wrong with name -> number of rows."""
    for name, count in counts.items():
        if name not in names:
            return f"names {name!r}; expected some of {', '.join(names)}"
        if type(count) is not int or not 0 < count <= rows:
            return f"gives {count!r} rows with {name}; expected 1 to {rows}"
    return ""


def _places(carriers: str) -> np.ndarray:
    """Numbers of the records of which the bit is set, see `pack`."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(bytes.fromhex(carriers), np.uint8)))


def _check_shard(folder: Path, shard: dict[str, Any]) -> None:
    name, expected = shard["name"], shard["bytes"]
    if Path(name).name != name:
        raise errors.DataError(folder, f"its index names the shard {name!r}, outside of it")
    try:
        found = (folder / name).stat().st_size
    except OSError as e:
        raise errors.DataError(
            folder / name, f"cannot be opened ({e.strerror}); copy it from where it was packed"
        ) from e
    if found != expected:
        raise errors.DataError(
            folder / name, f"has {found} bytes, {expected} by the index; copy it again"
        )
