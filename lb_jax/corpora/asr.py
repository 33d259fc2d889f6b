"""Recognised speech of many films in one JSON, as HowTo100M's: id -> start, end and text of each.

    {"0a1b2c": {"start": [0.5, 3.2], "end": [3.0, 5.1], "text": ["cut the bread", "spread it"]}}

The published file has a million films and several gigabytes: it is looked through once for where
each film stands, and a film is read when it is asked for.
"""

import dataclasses
import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

from lb_jax.core import errors
from lb_jax.corpora import subtitles

EXPECTED = '{"ID": {"start": [0.5], "end": [3.0], "text": ["..."]}}'
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_OBJECT = rb'\{[^{}"]*+(?:' + _STRING + rb'[^{}"]*+)*+\}'
_ENTRY = re.compile(rb"\s*(" + _STRING + rb")\s*:\s*(" + _OBJECT + rb")\s*([,}])", re.DOTALL)
_BEGIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*\{")
_END = re.compile(rb"\s*\Z")


class Asr:
    """The narrations of a file by id.

    Args:
      path: the JSON.

    Raises:
      errors.DataError: unreadable, no such JSON (with the byte where it stops to be one), an id
        twice, no film.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._stamp = _stamp(self.path)
        self._places = _places(self.path)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._places

    def read(self, id_: str) -> subtitles.Narrations:
        """What is said in a film.

        Raises:
          errors.DataError: the file is another than it was, the entry has no lists of one length,
            something else than numbers and texts in them, times as of `subtitles.checked`.
        """
        if _stamp(self.path) != self._stamp:
            raise errors.DataError(
                self.path, "has changed since this run opened it; leave it and start again"
            )
        begin, end = self._places[id_]
        with self.path.open("rb") as file:
            file.seek(begin)
            content = file.read(end - begin)
        where = f"{self.path}: {id_}"
        try:
            entry = json.loads(content)
        except ValueError as e:
            raise errors.DataError(where, f"is no JSON ({e}); expected {EXPECTED}") from e
        lists = [entry.get(field) for field in ("start", "end", "text")]
        if not all(isinstance(one, list) for one in lists):
            found = ", ".join(entry) or "nothing"
            raise errors.DataError(
                where, f"has {found}; expected lists of start, end and text, as {EXPECTED}"
            )
        lengths = [len(one) for one in lists]
        if len(set(lengths)) > 1:
            raise errors.DataError(
                where,
                f"has {lengths[0]} of start, {lengths[1]} of end, {lengths[2]} of text; expected "
                "as many of each",
            )
        told = list(zip(*lists, strict=True))
        for number, one in enumerate(told):
            if not (_is_number(one[0]) and _is_number(one[1]) and isinstance(one[2], str)):
                raise errors.DataError(
                    f"{where}: narration {number}",
                    f"is {list(one)}; expected two numbers of seconds and a text",
                )
        return subtitles.checked(where, told)


@dataclasses.dataclass(frozen=True)
class Entry:
    """Where the narrations of one film stand in a file of many."""

    file: Asr
    id: str

    def read(self) -> subtitles.Narrations:
        """What is said in it; see `Asr.read`."""
        return self.file.read(self.id)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected {EXPECTED}") from e
    return status.st_size, status.st_mtime_ns


def _places(path: Path) -> dict[str, tuple[int, int]]:
    """Id -> where its object begins and ends in the file, bytes."""
    places: dict[str, tuple[int, int]] = {}
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
            begin = _BEGIN.match(held)
            at, last = (begin.end(), b",") if begin else (0, b"")
            while last == b",":
                entry = _ENTRY.match(held, at)
                if entry is None:
                    last = b""
                    break
                id_ = _id(path, entry[1], at)
                if id_ in places:
                    raise errors.DataError(path, f"has {id_!r} twice; keep one of them")
                places[id_] = entry.span(2)
                at, last = entry.end(), entry[3]
            if last != b"}" or not _END.match(held, at):
                raise errors.DataError(
                    path, f"is no JSON of narrations from byte {at} on; expected {EXPECTED}"
                )
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected {EXPECTED}") from e
    except ValueError as e:  # of mmap: nothing in it
        raise errors.DataError(path, f"is empty; expected {EXPECTED}") from e
    return places


def _id(path: Path, quoted: bytes, at: int) -> str:
    try:
        return json.loads(quoted)
    except ValueError as e:
        raise errors.DataError(path, f"has no id at byte {at} ({e}); mend the JSON there") from e
