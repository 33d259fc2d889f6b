"""Answers of language models, kept by the content of what was asked, in one file of SQLite.

An answer is there as a whole or not at all, whenever the process is killed and however many write.
Of two answers to one content the first stays, so that all processes go on with the same.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from lb_jax.builder.store import FULL, FULL_DISK
from lb_jax.core import errors, folders

FILE, FOLDER = "answers.sqlite", "answers"
VERSION = 1  # of the table, `user_version` of the file
BUSY_S = 60.0  # that one process waits for another to finish its commit
TABLE = "CREATE TABLE IF NOT EXISTS answers (content TEXT PRIMARY KEY, answer TEXT, finish TEXT)"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server answered.

    Attributes:
      text: as it was given.
      finish: why it ended there, such as "stop" or "length"; empty where the server did not say.
    """

    text: str
    finish: str = ""


def content_of(url: str, asked: Mapping[str, Any]) -> str:
    """What an answer is kept by: a hash of the place and of all that is asked."""
    told = json.dumps([url, asked], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()


class Answers:
    """The answers that are there; threads may share it.

    Args:
      folder: of the file; None is one in the user's cache.

    Raises:
      DataError: the file cannot be made, or holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None):
        self.path = Path(folder or folders.user_cache(FOLDER)) / FILE
        self._lock = threading.Lock()
        with self._told(), contextlib.ExitStack() as undone:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The usual journal, which file systems that are shared by machines can do too.
            self._open = sqlite3.connect(
                self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            undone.callback(self._open.close)
            version = self._open.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise errors.DataError(
                    self.path, f"is of version {version}, expected {VERSION}; name another folder"
                )
            self._open.execute(TABLE)
            self._open.execute(f"PRAGMA user_version = {VERSION}")
            undone.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._open.close()

    def __len__(self) -> int:
        with self._lock, self._told():
            return self._open.execute("SELECT count(*) FROM answers").fetchone()[0]

    def get(self, content: str) -> Answer | None:
        """The answer to a content, if there is one."""
        with self._lock, self._told():
            return self._read(content)

    def put(self, content: str, answer: Answer) -> Answer:
        """Keeps an answer; returns the one that counts, which may be that of another process."""
        with self._lock, self._told():
            row = content, answer.text, answer.finish
            self._open.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", row)
            return self._read(content) or answer

    def _read(self, content: str) -> Answer | None:
        row = self._open.execute(
            "SELECT answer, finish FROM answers WHERE content = ?", (content,)
        ).fetchone()
        return None if row is None else Answer(*row)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            if any(one in str(error).lower() for one in (*FULL, "disk is full")):
                raise errors.DataError(self.path, FULL_DISK) from error
            raise errors.DataError(
                self.path,
                f"cannot be used for answers ({error}); name another folder, or move the file away",
            ) from error
