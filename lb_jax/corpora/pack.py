"""Packs any corpus into shards that hold the encoded media themselves.

Shard k holds what can be read of rows k * n to (k + 1) * n - 1, in their order, so it depends on no
other shard: it is written under another name, renamed, and noted in `progress.jsonl`. Killed at any
moment, the same command writes the shards that are not noted. `index.json` comes last and means
that the corpus is whole; a shard that has gone or has another size since is written again.
"""

import collections
import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python import array_record_module

from lb_jax.core import errors, locks, logging
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import reading, record
from lb_jax.corpora.rows import Row, Source

# What the index tells of a shard.
_OF_A_SHARD = ("name", "rows", "bytes", "content_bytes", "media", "carriers", "texts")
INDEX, PROGRESS, QUARANTINE = "index.json", "progress.jsonl", "quarantine.jsonl"
FORMAT, VERSION = "lb_jax rows", 1
ROWS_PER_SHARD = 1024
# One record a chunk, or a single row could not be read without its neighbours. Media are mostly
# compressed already; depth maps as the original wrote them are not (LanguageBind spec 8.3).
WRITER_OPTIONS = "group_size:1,zstd:1"

_SAMPLED_ROWS = 64


@dataclasses.dataclass(frozen=True)
class Format:
    """How rows are laid down.

    Attributes:
      name: what `index.json` calls it.
      shard: name of a shard, with {shard} and {shards}.
      encode: a row with its media as bytes -> a record.
      finish: given the folder and its shards, writes what other readers want to find.
    """

    name: str
    shard: str
    encode: Callable[[Row], bytes]
    finish: Callable[[Path, Sequence[Mapping[str, Any]]], None] = lambda folder, shards: None


ARRAY_RECORD = Format(FORMAT, "rows-{shard:05d}-of-{shards:05d}.array_record", record.encode)


@dataclasses.dataclass(frozen=True)
class Packed:
    """What a folder holds.

    Attributes:
      rows: number of rows packed.
      left_out: number of rows in `quarantine.jsonl`.
      shards: number of shards.
      written: how many of them were written now, not found.
      media: modality -> number of rows that carry it.
      texts: caption kind -> number of rows that carry it.
    """

    rows: int
    left_out: int
    shards: int
    written: int
    media: Mapping[str, int]
    texts: Mapping[str, int]


def pack(
    source: Source,
    folder: str | Path,
    *,
    to: Format = ARRAY_RECORD,
    rows_per_shard: int = ROWS_PER_SHARD,
    only: Iterable[str] | None = None,
    max_bad_rate: float = reading.MAX_BAD_RATE,
    threads: int = reading.THREADS,
) -> Packed:
    """Packs a corpus, or writes the shards that an earlier one lacks; a whole one is left alone.

    The same source and options give the same shards, bit for bit.

    Args:
      source: the corpus; its rows are read by several threads.
      folder: new, empty, or of an earlier call.
      to: how rows are laid down.
      rows_per_shard: rows of the source that a shard covers.
      only: modalities to pack; None takes all that rows may carry.
      max_bad_rate: share of the rows that may be left out because a file is missing, empty or cut
        off; they are listed in `quarantine.jsonl`.
      threads: rows read at a time.

    Raises:
      errors.ConfigError: an argument is wrong, or `folder` holds something else or is being packed.
      errors.DataError: too many rows are bad, no row is good, or the disk does not take it; shards
        written so far stay and the same call goes on from them.
    """
    folder, wanted = Path(folder), reading.chosen(source, only)
    if rows_per_shard < 1 or threads < 1:
        raise errors.ConfigError(
            f"rows per shard is {rows_per_shard} and threads {threads}; both are at least 1."
        )
    made_from = _made_from(source, to.name, rows_per_shard, wanted)
    read = reading.Reading(source, wanted, max_bad_rate=max_bad_rate, threads=threads)
    with _alone(folder):
        if (folder / INDEX).exists():
            index = read_json(folder / INDEX)
            _same(folder, index.get("made_from"), made_from)
            if _is_whole(folder, index, _names(to, made_from)):
                (folder / PROGRESS).unlink(missing_ok=True)  # of a kill just before the end
                return _packed(index, written=0)
            _reopen(folder, index, made_from)
        found = _resume(folder, made_from)
        done = _write_shards(read, folder, to, made_from, found)
        written = len(done) - len(found)
        index = _index(made_from, done)
        _replace(folder / QUARANTINE, _lines(bad for entry in done for bad in entry["bad"]))
        if not index["rows"]:
            raise errors.DataError(source.where, "has no row that can be packed")
        to.finish(folder, done)
        _replace(folder / INDEX, json.dumps(index, indent=1, ensure_ascii=False) + "\n")
        (folder / PROGRESS).unlink()
    return _packed(index, written=written)


def read_json(path: Path) -> dict[str, Any]:
    """Reads an `index.json`.

    Raises:
      errors.DataError: unreadable, or no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise errors.DataError(
            path, f"cannot be read ({e.strerror}); expected the index of a packed corpus"
        ) from e
    except ValueError as e:
        raise errors.DataError(path, f"is no JSON ({e}); expected an index; pack again") from e
    if not isinstance(found, dict):
        raise errors.DataError(path, f"holds a {type(found).__name__}; expected an index")
    return found


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Writes an ArrayRecord file, which appears whole or not at all.

    Raises:
      errors.DataError: the disk does not take it.
    """
    partial = path.with_name(f".{path.name}.partial")
    writer = array_record_module.ArrayRecordWriter(str(partial), WRITER_OPTIONS)
    try:
        for one in records:
            with _disk(path):
                writer.write(one)
        with _disk(path):
            writer.close()
            _sync(partial)
            partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_shards(
    read: reading.Reading,
    folder: Path,
    to: Format,
    made_from: Mapping[str, Any],
    found: Mapping[str, dict[str, Any]],
) -> list[dict[str, Any]]:
    """Writes the shards that are not among those found; returns all in their order."""
    total, per_shard = made_from["rows"], made_from["rows_per_shard"]
    names, done = _names(to, made_from), dict(found)
    ends = [min((shard + 1) * per_shard, total) for shard in range(len(names))]
    there = sum(ends[i] - i * per_shard for i, name in enumerate(names) if name in done)
    read.bad.extend(bad for entry in done.values() for bad in entry["bad"])
    try:
        read.check()  # the share may have been lowered since
        with logging.Progress("pack", total, done=there, unit="row") as progress:
            lacking = (shard for shard, name in enumerate(names) if name not in found)
            for first, last in _runs(lacking):
                with contextlib.closing(read.rows(first * per_shard, ends[last])) as rows:
                    for shard in range(first, last + 1):
                        part = itertools.islice(rows, ends[shard] - shard * per_shard)
                        entry = _write_one(read, folder / names[shard], to, part, progress)
                        _append(folder / PROGRESS, entry)
                        done[names[shard]] = entry
    except errors.DataError:
        _replace(folder / QUARANTINE, _lines(sorted(read.bad, key=lambda bad: bad["row"])))
        raise
    return [done[name] for name in names]


def _write_one(
    read: reading.Reading,
    path: Path,
    to: Format,
    rows: Iterable[tuple[int, Row | None]],
    progress: logging.Progress,
) -> dict[str, Any]:
    """Writes a shard; returns what `progress.jsonl` notes of it."""
    bad_before, tally = len(read.bad), _Tally(read, to.encode, progress)
    write_shard(path, tally.records(rows))
    return {
        "name": path.name,
        "rows": tally.rows,
        "bytes": path.stat().st_size,
        "content_bytes": tally.bytes,
        "media": tally.media,
        "carriers": tally.carriers(),
        "texts": tally.texts,
        "bad": read.bad[bad_before:],
    }


def _names(to: Format, made_from: Mapping[str, Any]) -> list[str]:
    """What the shards are called, in their order."""
    shards = -(-made_from["rows"] // made_from["rows_per_shard"])
    return [to.shard.format(shard=shard, shards=shards) for shard in range(shards)]


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each stretch of numbers without a gap."""
    for _, run in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        stretch = [number for _, number in run]
        yield stretch[0], stretch[-1]


class _Tally:
    """Turns rows into records and counts what they carry."""

    def __init__(
        self,
        read: reading.Reading,
        encode: Callable[[Row], bytes],
        progress: logging.Progress,
    ):
        self._read, self._encode, self._progress = read, encode, progress
        self.rows = self.bytes = 0
        self.media, self.texts = collections.Counter(), collections.Counter()
        self._places: dict[str, list[int]] = collections.defaultdict(list)

    def carriers(self) -> dict[str, str]:
        """Modality -> which records carry it, a bit each, where not all do or none."""
        return {
            name: np.packbits(np.isin(np.arange(self.rows), places)).tobytes().hex()
            for name, places in self._places.items()
            if len(places) < self.rows
        }

    def records(self, rows: Iterable[tuple[int, Row | None]]) -> Iterator[bytes]:
        for number, row in rows:
            if row is not None and (encoded := self._encoded(number, row)) is not None:
                for name in row.media:
                    self._places[name].append(self.rows)
                self.rows += 1
                self.bytes += len(encoded)
                self.media.update(row.media.keys())
                self.texts.update(row.texts.keys())
                yield encoded
            bad = len(self._read.bad)
            self._progress.advance(note=f"{bad} left out" if bad else "")

    def _encoded(self, number: int, row: Row) -> bytes | None:
        try:
            return self._encode(row)
        except errors.DataError as e:
            bad = {"row": number, "id": row.id, "path": e.path, "reason": e.reason}
            self._read.bad.append(bad)
            self._read.check()
            return None


def _made_from(
    source: Source, to: str, rows_per_shard: int, wanted: Sequence[str]
) -> dict[str, Any]:
    """What the shards depend on; a few rows stand for the content of the source."""
    total = len(source)
    if not total:
        raise errors.DataError(source.where, "holds no rows; nothing can be packed")
    sample = hashlib.sha256()
    for number in sorted({i * (total - 1) // _SAMPLED_ROWS for i in range(_SAMPLED_ROWS + 1)}):
        try:
            row = source[number]
            told = [] if row.narrations is None else [row.narrations.read().texts]
            sample.update(json.dumps([number, row.id, dict(row.texts), *told]).encode())
        except errors.DataError as e:
            sample.update(json.dumps([number, e.path, e.reason]).encode())
    return {
        "to": to,
        "version": VERSION,
        "source": source.where,
        "rows": total,
        "sample": sample.hexdigest(),
        "rows_per_shard": rows_per_shard,
        "modalities": list(wanted),
    }


def _same(folder: Path, before: object, now: Mapping[str, Any]) -> None:
    """Refuses a folder that was made from something else."""
    if not isinstance(before, dict):
        raise errors.ConfigError(
            f"{folder}: its {INDEX} is of no packed corpus; give a new folder."
        )
    changed = [
        f"{name} {before.get(name)!r}, now {value!r}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    if changed:
        raise errors.ConfigError(
            f"{folder} was packed from another corpus or with other options: "
            f"{'; '.join(changed)}. Give a new folder, or the same as then."
        )


def _is_there(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Whether the shard has the size noted of it."""
    shard = folder / entry["name"]
    return shard.is_file() and shard.stat().st_size == entry["bytes"]


def _is_whole(folder: Path, index: Mapping[str, Any], names: Sequence[str]) -> bool:
    """Whether a finished folder has all of its shards, by name and size."""
    try:
        shards = index["shards"]
        _packed(index, written=0)
        return [one["name"] for one in shards] == list(names) and all(
            _is_there(folder, one) for one in shards
        )
    except (LookupError, TypeError):  # an index that somebody changed
        return False


def _reopen(folder: Path, index: Mapping[str, Any], made_from: Mapping[str, Any]) -> None:
    """Makes a finished folder one that was stopped, for `_resume` to find its good shards."""
    per_shard, lines = made_from["rows_per_shard"], []
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        # Without these files as they were written, no shard counts as done.
        bad = [json.loads(line) for line in (folder / QUARANTINE).read_bytes().splitlines()]
        if len(bad) == index["left_out"]:
            lines = [
                {field: shard[field] for field in _OF_A_SHARD}
                | {"bad": [one for one in bad if one["row"] // per_shard == number]}
                for number, shard in enumerate(index["shards"])
            ]
    _replace(folder / PROGRESS, _lines([made_from, *lines]))
    (folder / INDEX).unlink()


def _resume(folder: Path, made_from: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> shard that an earlier call of the same corpus finished and that is still there."""
    path = folder / PROGRESS
    if not path.exists():
        others = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
        if others:
            raise errors.ConfigError(
                f"{folder} holds {others[0]!r} and no packed corpus; give a new or empty folder."
            )
        _append(path, made_from)
        return {}
    # The line that a kill cut off has no end; its shard is written anew.
    whole = path.read_bytes()
    whole = whole[: whole.rfind(b"\n") + 1]
    os.truncate(path, len(whole))
    if not whole:
        _append(path, made_from)
        return {}
    try:
        before, *done = map(json.loads, whole.splitlines())
    except ValueError as e:
        raise errors.DataError(path, f"is damaged ({e}); give a new folder") from e
    _same(folder, before, made_from)
    there = {entry["name"]: entry for entry in done if _is_there(folder, entry)}
    if len(there) < len(done):
        _replace(path, _lines([before, *there.values()]))
    return there


def _index(made_from: Mapping[str, Any], shards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    carried = {field: collections.Counter() for field in ("media", "texts")}
    for field, counter in carried.items():
        for shard in shards:
            counter.update(shard[field])
    return {
        "format": made_from["to"],
        "version": VERSION,
        "rows": sum(shard["rows"] for shard in shards),
        "left_out": sum(len(shard["bad"]) for shard in shards),
        "media": {name: carried["media"][name] for name in MODALITIES if carried["media"][name]},
        "texts": {
            kind: carried["texts"][kind] for kind in record.TEXT_NAMES if carried["texts"][kind]
        },
        "made_from": dict(made_from),
        "shards": [{key: shard[key] for key in _OF_A_SHARD} for shard in shards],
    }


def _packed(index: Mapping[str, Any], *, written: int) -> Packed:
    return Packed(
        rows=index["rows"],
        left_out=index["left_out"],
        shards=len(index["shards"]),
        written=written,
        media=index["media"],
        texts=index["texts"],
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps a second process out of the folder; the lock ends with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise errors.ConfigError(
            f"{folder}: the folder cannot be made ({e.strerror}); give another."
        ) from e
    busy = f"{folder} is being packed by another process; wait for it or give another folder."
    with locks.of_folder(folder, busy, "pack onto another one"):
        yield


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What the disk refuses becomes an error that says so; ArrayRecord raises `RuntimeError`."""
    try:
        yield
    except (OSError, RuntimeError) as e:
        raise errors.DataError(
            path,
            f"cannot be written ({e}); finished shards are whole. Make room, and the same command "
            "goes on after them",
        ) from e


def _lines(entries: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def _append(path: Path, entry: Mapping[str, Any]) -> None:
    with _disk(path), path.open("a", encoding="utf-8") as file:
        file.write(_lines([entry]))
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with _disk(path):
        partial.write_text(text, encoding="utf-8")
        _sync(partial)
        partial.rename(path)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
