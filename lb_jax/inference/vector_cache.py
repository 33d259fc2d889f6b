"""Arrays by key in a folder that only grows, for results that take long to compute.

    <name>.npz    keys uint8 [n, 32], rows [n, ...]; written under another name, then renamed

A file is whole or not there: who is killed loses what was not flushed. Each has a name of its own,
so that any number of processes write to one folder; the same key in two files holds equal rows.
"""

import hashlib
import time
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted

# What a kill loses at most. Files are flushed after as many rows, or so many seconds.
FLUSH_ROWS = 1024
FLUSH_S = 30.0
KEY_BYTES = 32
DAMAGES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def key(*parts: object) -> bytes:
    """Hash of what a row depends on: numbers, texts and None, in their order."""
    told = "\0".join(map(repr, parts))
    return hashlib.sha256(told.encode("utf-8", "backslashreplace")).digest()


class VectorCache:
    """Key -> row. Keys are held in memory, 32 bytes each; rows stay on disk until asked for.

    Args:
      folder: made when something is first written; None keeps nothing.
      width: length of the last axis of every row.

    Raises:
      DataError: naming a damaged file.
    """

    def __init__(self, folder: Path | None, width: int):
        self.folder, self._width = None if folder is None else Path(folder), width
        self._files: list[Path] = []
        self._keys = np.zeros((0,), f"S{KEY_BYTES}")  # sorted
        self._places = np.zeros((0, 2), np.int64)  # number of the file, row in it
        self._waiting: list[tuple[bytes, np.ndarray]] = []
        self._flushed_s = time.monotonic()
        self.refresh()

    def refresh(self) -> None:
        """Takes note of what this and other processes have written since."""
        written = [] if self.folder is None else self.folder.glob("[!.]*.npz")
        new = sorted(set(written).difference(self._files))
        if not new:
            return
        keys, places = [self._keys], [self._places]
        for path in new:
            held = _read(path, "keys").view(f"S{KEY_BYTES}")[:, 0]
            numbers = np.full(len(held), len(self._files))
            keys.append(held)
            places.append(np.stack([numbers, np.arange(len(held))], axis=1))
            self._files.append(path)
        keys, places = np.concatenate(keys), np.concatenate(places)
        self._keys, first = np.unique(keys, return_index=True)
        self._places = places[first]

    def __contains__(self, key: bytes) -> bool:
        return bool(self._find([key])[1][0])

    def lookup(self, keys: Sequence[bytes | None]) -> tuple[np.ndarray, np.ndarray]:
        """Reads what is there of some keys.

        Args:
          keys: to look up; None is never there.

        Returns:
          int64 [m], the numbers of those found, rising; and their rows [m, ...], [0] without any.

        Raises:
          DataError: naming a damaged file.
        """
        asked = np.array([i for i, key in enumerate(keys) if key is not None], np.int64)
        places, known = self._find([keys[i] for i in asked])
        asked, found = asked[known], np.zeros(0)
        numbers, rows = self._places[places[known]].T
        order = np.argsort(numbers, kind="stable")  # file by file
        for here in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
            if not len(here):
                continue
            held = self._rows(self._files[numbers[here[0]]])
            if not len(found):
                found = np.empty((len(asked), *held.shape[1:]), held.dtype)
            found[here] = held[rows[here]]
        return asked, found

    def put(self, key: bytes, row: np.ndarray) -> None:
        """Adds a row; it is on disk after `FLUSH_ROWS` of them, `FLUSH_S` seconds or `flush`.

        Args:
          key: 32 bytes, see `key`.
          row: of the same shape and type as the others since the last `flush`.

        Raises:
          DataError: for a folder that cannot be written to.
        """
        if self.folder is None:
            return
        self._waiting.append((key, np.array(row)))
        late = time.monotonic() - self._flushed_s > FLUSH_S
        if late or len(self._waiting) >= FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what waits; `lookup` knows it after the next `refresh`.

        Raises:
          DataError: for a folder that cannot be written to.
        """
        waiting, self._waiting, self._flushed_s = self._waiting, [], time.monotonic()
        if not waiting or self.folder is None:
            return
        path = self.folder / f"{uuid.uuid4().hex}.npz"
        partial = path.with_name(f".{path.name}.partial")
        keys = np.frombuffer(b"".join(key for key, _ in waiting), np.uint8)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                rows = np.stack([row for _, row in waiting])
                np.savez(file, keys=keys.reshape(-1, KEY_BYTES), rows=rows)
            partial.replace(path)
        except OSError as error:
            raise errors.DataError(
                self.folder,
                f"cannot be written to ({error.strerror or error}); make room or give another "
                "folder, what was kept stays",
            ) from error

    def _rows(self, path: Path) -> np.ndarray:
        held, count = _read(path, "rows"), len(_read(path, "keys"))
        if len(held) != count or held.ndim < 2 or held.shape[-1] != self._width:
            raise _damaged(
                path,
                f"rows {list(held.shape)} for {counted(count, 'key')} of {self._width} numbers",
            )
        return held

    def _find(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Places among the sorted keys, and whether they are right."""
        wanted = np.frombuffer(b"".join(keys), self._keys.dtype)
        if not len(self._keys):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return places, self._keys[places] == wanted


def _read(path: Path, name: str) -> np.ndarray:
    """Reads one array of a file; the container's checksum tells damage."""
    try:
        with zipfile.ZipFile(path) as file, file.open(f"{name}.npy") as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            if name == "keys" and (array.dtype, array.shape[1:]) != (np.uint8, (KEY_BYTES,)):
                raise ValueError(f"keys are {array.dtype} {list(array.shape)}")
            return array
    except DAMAGES as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, found: str) -> errors.DataError:
    return errors.DataError(
        path, f"is damaged ({found}); remove it, and what it held is computed again"
    )
