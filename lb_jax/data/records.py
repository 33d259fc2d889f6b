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
from lb_jax.data import captions, pack, record
from lb_jax.data.rows import Row

SUFFIX = ".array_record"
# Far below the usual limit of 1,024 open files; opening a shard again takes a tenth of a
# millisecond.
OPEN_SHARDS = 128
_READER_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"  # reads only what is asked for
_FIELDS = {"rows": int, "media": dict, "texts": dict, "shards": list}
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
      errors.DataError: no index, an unfinished or foreign one, a shard that is missing or of
        another length.
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
        found, start = [np.zeros(0, np.int64)], 0
        for shard in self._shards:
            if modality in shard["carriers"]:
                bits = np.frombuffer(bytes.fromhex(shard["carriers"][modality]), np.uint8)
                found.append(start + np.flatnonzero(np.unpackbits(bits)))
            elif shard["media"].get(modality):
                found.append(start + np.arange(shard["rows"]))
            start += shard["rows"]
        return np.concatenate(found)

    def require(self, kinds: Iterable[str]) -> None:
        everywhere = {kind for kind, rows in self._rows_with.items() if rows == len(self)}
        if lacking := lacking_kinds(kinds, everywhere):
            counts = ", ".join(
                f"{kind} ({self._rows_with.get(kind, 0)} of {len(self)} rows)"
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
    if lacking := [field for field in _FIELDS if not isinstance(index.get(field), _FIELDS[field])]:
        raise errors.DataError(path, f"lacks {', '.join(lacking)}; pack the corpus again")
    for shard in index["shards"]:
        _check_shard(folder, shard)
    return index


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
