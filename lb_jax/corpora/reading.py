"""Rows of a corpus with the content of their files, read ahead by threads; bad rows are listed."""

import collections
import dataclasses
import itertools
from collections.abc import Generator, Iterable, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora.rows import Ref, Row, Source
from lb_jax.media import given
from lb_jax.media.sensors.depth_units import Measured

MAX_BAD_RATE, THREADS = 0.01, 8


class Reading:
    """One pass over a source.

    Args:
      source: the corpus.
      wanted: modalities to read.
      max_bad_rate: share of all rows that may be left out.
      threads: rows read at a time; at most twice as many are held.

    Attributes:
      bad: rows left out so far: number, id where known, path and reason.

    Raises:
      errors.ConfigError: the share is not one.
    """

    def __init__(self, source: Source, wanted: Sequence[str], *, max_bad_rate: float, threads: int):
        if not 0 <= max_bad_rate <= 1:
            raise errors.ConfigError(f"max bad rate is {max_bad_rate}; it is a share from 0 to 1.")
        self.source, self.wanted, self.threads = source, wanted, threads
        self.max_bad_rate, self.bad = max_bad_rate, []

    def rows(
        self, start: int = 0, stop: int | None = None
    ) -> Generator[tuple[int, Row | None], None, None]:
        """Yields the rows from `start` to before `stop` with their numbers, None if left out.

        Raises:
          errors.DataError: more rows are bad than may be.
        """
        numbers = iter(range(start, len(self.source) if stop is None else stop))
        with futures.ThreadPoolExecutor(self.threads) as pool:
            ahead = collections.deque()
            try:
                for number in itertools.islice(numbers, 2 * self.threads):
                    ahead.append((number, pool.submit(self._read, number)))
                while ahead:
                    number, future = ahead.popleft()
                    found = future.result()
                    if (following := next(numbers, None)) is not None:
                        ahead.append((following, pool.submit(self._read, following)))
                    if isinstance(found, Row):
                        yield number, found
                        continue
                    self.bad.append(found)
                    self.check()
                    yield number, None
            finally:
                pool.shutdown(cancel_futures=True)

    def check(self) -> None:
        """Refuses to go on once the share of bad rows is sure to be too large at the end."""
        total = len(self.source)
        if len(self.bad) > self.max_bad_rate * total:
            raise errors.DataError(
                self.source.where,
                f"{len(self.bad)} of its {counted(total, 'row')} cannot be read, more than the "
                f"share {self.max_bad_rate} that may be left out; the last is row "
                f"{self.bad[-1]['row']}: {self.bad[-1]['path']}: {self.bad[-1]['reason']}. "
                "Mend them, check the root, take only the modalities that are there, or raise the "
                "share",
            )

    def _read(self, number: int) -> Row | dict[str, Any]:
        """One row with its files' content, or why there is none."""
        row_id = None
        try:
            row = self.source[number]
            row_id = row.id
            files = {
                name: tuple(map(content, refs))
                for name, refs in row.media.items()
                if name in self.wanted
            }
            told = None if row.narrations is None else row.narrations.read()
            return dataclasses.replace(row, media=files, narrations=told)
        except errors.DataError as e:
            return {"row": number, "id": row_id, "path": e.path, "reason": e.reason}


def content(ref: Ref) -> bytes | tuple[bytes, ...] | Measured:
    """The bytes of a media file, or of each still picture of a clip; a unit stays with them.

    Raises:
      errors.DataError: missing, empty, unreadable or cut off.
    """
    if isinstance(ref, Measured):
        return Measured(content(ref.file), ref.unit)
    if isinstance(ref, tuple):
        return tuple(map(_bytes, ref))
    return _bytes(ref)


def _bytes(ref: Path | bytes) -> bytes:
    with given.stream(ref, "a path or bytes") as file:
        try:
            return file.read()
        except OSError as e:
            raise errors.DataError(
                given.describe(ref), f"cannot be read ({e.strerror}); {given.AGAIN}"
            ) from e


def chosen(source: Source, only: Iterable[str] | None) -> list[str]:
    """Modalities to pack, in the order of the table.

    Raises:
      errors.ConfigError: rows of the source never carry one.
    """
    wanted = list(source.modalities if only is None else only)
    for name in wanted:
        if name not in source.modalities:
            raise errors.ConfigError(
                f"{source.where} has no {name!r}; it may have {', '.join(source.modalities)}."
                f"{errors.nearest(name, source.modalities)}"
            )
    return sorted(set(wanted), key=list(MODALITIES).index)
