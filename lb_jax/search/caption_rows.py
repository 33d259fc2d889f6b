"""Captions of files in JSON lines: a row for each file, by one model with one set of options.

Rows are appended whole, in the order of the files. A last line that a kill cut off is dropped, and
of several rows of a path the last one counts; once all files are through, the file is put in order
where rows came out of it: first those of paths that this run has not, then in the order of its
files. So it holds the same bytes after any number of kills.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lb_jax.core import errors, locks, names

START = b'{"path": "'  # of every row
SHOWN = 60  # characters of a line that a message shows


@dataclasses.dataclass(frozen=True)
class Row:
    """The caption of a file.

    Attributes:
      path: of the file, absolute, with slashes.
      group: what it was written from: "tva" sight and sound, "tv" or "ta".
      caption: the text.
      sha256: of the file's bytes.
      size: of the file in bytes.
      mtime_ns: when the file was changed last.
      writer: model and options, see `writers.line_of`.
    """

    path: str
    group: str
    caption: str
    sha256: str
    size: int
    mtime_ns: int
    writer: str

    @property
    def line(self) -> bytes:
        """The row as it stands in the file."""
        return (json.dumps(dataclasses.asdict(self), ensure_ascii=False) + "\n").encode()


FIELDS = {field.name: field.type for field in dataclasses.fields(Row)}


class Rows:
    """An open file of captions, see `opened`.

    Attributes:
      path: of the file.
      rows: path of a captioned file -> its row, in the order of the file.
    """

    def __init__(self, path: Path, rows: Sequence[Row], handle: int):
        self.path, self.rows = path, {}
        for row in rows:
            self.rows.pop(row.path, None)
            self.rows[row.path] = row
        self._lines, self._handle = len(rows), handle

    def append(self, row: Row) -> None:
        """Writes a row behind the others; it takes the place of an earlier one of its path.

        Raises:
          DataError: it cannot be written; what was there is whole.
        """
        self.rows.pop(row.path, None)
        self.rows[row.path] = row
        self._lines += 1
        end = os.fstat(self._handle).st_size
        try:
            _write(self._handle, row.line)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, end)
            raise _unwritten(self.path, error) from error

    def forget(self, paths: Iterable[str]) -> None:
        """Rows of these paths no longer hold; `put_in_order` takes them out of the file."""
        for path in paths:
            self.rows.pop(path, None)

    def put_in_order(self, paths: Sequence[str]) -> None:
        """Writes the file anew where its rows are not in order.

        Args:
          paths: of this run's files, in order.

        Raises:
          DataError: it cannot be written; what was there is whole.
        """
        mine = set(paths)
        others = [row for path, row in self.rows.items() if path not in mine]
        wanted = [*others, *(self.rows[path] for path in paths if path in self.rows)]
        if self._lines == len(wanted) and [*self.rows.values()] == wanted:
            return
        partial = self.path.with_name(f".{self.path.name}.partial")
        try:
            with partial.open("wb") as file:
                file.writelines(row.line for row in wanted)
            partial.replace(self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _unwritten(self.path, error) from error
        self.rows, self._lines = {row.path: row for row in wanted}, len(wanted)


@contextlib.contextmanager
def opened(path: Path, writer: str) -> Iterator[Rows]:
    """Opens or makes a file of captions; one that stays empty is gone afterwards.

    Args:
      path: of the file.
      writer: of the rows that come; those that are there are of the same.

    Raises:
      DataError: it holds something else or captions of another writer, or cannot be written.
      ConfigError: another run writes into it.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise _unwritten(path, error) from error
    with contextlib.ExitStack() as at_end:
        at_end.callback(os.close, handle)
        busy = f"{path}: another run writes captions into it; wait for it or give another -o."
        locks.take(handle, path, lambda: busy, "give an -o on another one")
        at_end.callback(_drop_empty, path)
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        rest = content[len(whole) :]
        if rest and not (rest.startswith(START) or START.startswith(rest)):
            raise _strange(path, whole.count(b"\n") + 1, rest)
        rows = [_row(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]
        _require_same(path, rows, writer)
        if rest:
            os.ftruncate(handle, len(whole))  # a kill cut it off
        yield Rows(path, rows, handle)


def _drop_empty(path: Path) -> None:
    if path.exists() and not path.stat().st_size:
        path.unlink()


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    fits = isinstance(found, dict) and found.keys() == FIELDS.keys()
    if not fits or any(type(found[name]) is not kind for name, kind in FIELDS.items()):
        raise _strange(path, number, line)
    return Row(**found)


def _require_same(path: Path, rows: Sequence[Row], writer: str) -> None:
    """Refuses rows of another writer, told by what differs.

    Raises:
      DataError: naming it.
    """
    other = next((row.writer for row in rows if row.writer != writer), None)
    if other is None:
        return
    held, given = _told(other), _told(writer)
    differ = [name for name in {**held, **given} if held.get(name) != given.get(name)]
    told = ", ".join(f"{name} {held.get(name)}, not {given.get(name)}" for name in differ)
    raise errors.DataError(
        path,
        f"holds captions written with {told}; they are not mixed. Give another -o, or the options "
        "it was written with.",
    )


def _told(writer: str) -> dict[str, str]:
    """Name -> value of a writer's text."""
    pairs = (part.partition("=") for part in writer.split(" "))
    return {name: value for name, _, value in pairs}


def _strange(path: Path, number: int, line: bytes) -> errors.DataError:
    text = names.shown(line[:SHOWN].decode("utf-8", "replace").strip())
    return errors.DataError(
        path, f"line {number} is {text!r}, no row of `lb-jax caption`; give another -o"
    )


def _unwritten(path: Path, error: OSError) -> errors.DataError:
    return errors.DataError(
        path,
        f"cannot be written ({error.strerror or error}); what was there is as it was. Make room "
        "or give another -o, and run the same command again.",
    )


def _write(handle: int, content: bytes) -> None:
    written = 0
    while written < len(content):
        written += os.write(handle, content[written:])
