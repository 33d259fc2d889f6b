"""What has been done of many small things: key -> state and what is known, in one SQLite file.

Every write is a transaction: a process may be killed at any moment, and what was written is whole.
Threads of one process may share a ledger; one process has it at a time.
"""

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from lb_jax.builder.store import FULL, FULL_DISK
from lb_jax.core import errors


@dataclasses.dataclass(frozen=True)
class Entry:
    """A thing.

    Attributes:
      key: of it.
      state: a word of whoever keeps the ledger.
      value: what is known of it, as JSON has it.
    """

    key: str
    state: str
    value: Mapping[str, Any]


class Ledger:
    """A table of a file; several tables may lie in one file. Use as a context manager, or `close`.

    Args:
      path: of the file, which is made where there is none.
      table: its name, letters alone.

    Raises:
      DataError: the file is no ledger, is damaged or cannot be written. All methods raise it.
    """

    def __init__(self, path: str | os.PathLike[str], table: str = "things"):
        if not (table.isascii() and table.isalpha()):
            raise ValueError(f"{table!r} is no name of a table")
        self._path, self._table, self._lock = Path(path), table, threading.Lock()
        with self._told():
            self._file = sqlite3.connect(self._path, timeout=60, check_same_thread=False)
            with self._file:
                self._file.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} "
                    "(key TEXT PRIMARY KEY, state TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID"
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def get(self, key: str) -> Entry | None:
        """What is known of a key; None where nothing is."""
        rows = self._read("WHERE key = ?", (key,))
        return rows[0] if rows else None

    def put(self, key: str, state: str, value: Mapping[str, Any]) -> None:
        """Says what a thing is now, in the place of what was said of it."""
        self._write("INSERT OR REPLACE", [Entry(key, state, value)])

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds things, all or none; of those that are there already nothing changes."""
        self._write("INSERT OR IGNORE", entries)

    def entries(self, state: str | None = None) -> list[Entry]:
        """All things, or those of a state, in the order of their keys."""
        where = "" if state is None else "WHERE state = ?"
        return self._read(f"{where} ORDER BY key", () if state is None else (state,))

    def counts(self) -> dict[str, int]:
        """State -> number of things."""
        with self._lock, self._told():
            rows = self._file.execute(
                f"SELECT state, COUNT(*) FROM {self._table} GROUP BY state ORDER BY state"
            )
            return dict(rows.fetchall())

    def _read(self, where: str, given: tuple[str, ...]) -> list[Entry]:
        with self._lock, self._told():
            rows = self._file.execute(
                f"SELECT key, state, value FROM {self._table} {where}", given
            ).fetchall()
        return [Entry(key, state, json.loads(value)) for key, state, value in rows]

    def _write(self, how: str, entries: Iterable[Entry]) -> None:
        rows = [
            (one.key, one.state, json.dumps(dict(one.value), ensure_ascii=False, sort_keys=True))
            for one in entries
        ]
        with self._lock, self._told(), self._file:
            self._file.executemany(f"{how} INTO {self._table} VALUES (?, ?, ?)", rows)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if any(one in str(error).lower() for one in (*FULL, "disk is full")):
                raise errors.DataError(self._path, FULL_DISK) from error
            raise errors.DataError(
                self._path,
                f"cannot be used as a ledger ({error}); if it is damaged, move it away, and what "
                "it knew is done again",
            ) from error
