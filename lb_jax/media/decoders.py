"""Processes that decode whole files, each one file at a time.

A reading says what is made of a file. A process tells the hash of a file before it decodes, and is
told which modalities (or groups of them, see `readings`) are wanted; then come their arrays, a few
at a time. A process that dies, or does not answer in time, costs the file it was at and is
replaced. What a process has decoded waits in it until it is asked for, so that the memory is
bounded by what is taken.
"""

import contextlib
import dataclasses
import hashlib
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing import connection
from typing import Any

from lb_jax.core import errors, notices, processes
from lb_jax.media import faults, given, readings

HELD_BYTES = 64 << 20  # files up to this size are read once, hashed and decoded from memory
LOOK_S = 1.0  # between two looks whether a process is late


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What a file is: by its content, and by what tells that it is unchanged.

    Attributes:
      sha256: of its bytes, 64 hex digits.
      size: in bytes.
      mtime_ns: time of the last change.
    """

    sha256: str
    size: int
    mtime_ns: int


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file was read: its stamp, and which modalities it has of those asked for."""

    stamp: Stamp
    modalities: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Bad:
    """A modality of a file cannot be used; None means all that are not complete yet."""

    modality: str | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Warned:
    """A file is used as a modality, but probably is not what it is taken for; None: as all."""

    modality: str | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Done:
    """A modality of a file is complete; None means the file."""

    modality: str | None


Message = Opened | readings.Arrays | Bad | Warned | faults.Fault | Done


class Decoders:
    """A number of decoding processes. Use as a context manager; at its end they are gone.

    Args:
      count: of processes.
      reading: what they make of a file.
      timeout_s: a process that works so long without an answer is ended.
    """

    def __init__(self, count: int, reading: readings.Reading, timeout_s: float):
        self._reading, self._timeout_s = reading, timeout_s
        self._workers = [_Worker(reading) for _ in range(count)]

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_) -> None:
        for worker in self._workers:
            worker.end()

    @property
    def idle(self) -> int:
        """Processes without a file."""
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: int, path: str, modalities: Sequence[str], depth_unit: str = "") -> None:
        """Gives a file to an idle process.

        Args:
          job: names it in what comes back.
          path: of the file.
          modalities: that are asked for.
          depth_unit: of its depth, if it is read as that; empty for that of its spec.
        """
        number = next(n for n, worker in enumerate(self._workers) if worker.job is None)
        if not self._workers[number].process.is_alive():
            self._replace(number)
        self._workers[number].start(job, (path, tuple(modalities), depth_unit))

    def answer(self, job: int, modalities: Sequence[str]) -> None:
        """Says what is wanted of an opened file."""
        worker = next(worker for worker in self._workers if worker.job == job)
        worker.send(tuple(modalities))

    def poll(self, timeout_s: float, wakes: connection.Connection) -> list[tuple[int, Message]]:
        """Waits until a process says something or `wakes` can be read.

        Returns:
          (job, message) of each process that has one; none where the time was over.
        """
        busy = {worker.connection: n for n, worker in enumerate(self._workers) if worker.is_busy}
        ready = connection.wait([*busy, wakes], min(timeout_s, LOOK_S))
        found = [message for one in ready if one in busy for message in self._receive(busy[one])]
        now = time.monotonic()
        for number in busy.values():
            worker = self._workers[number]
            is_late = worker.is_busy and now - worker.since > self._timeout_s
            if is_late and not worker.connection.poll():  # else it is this process that is late
                found += self._give_up(number, Bad(None, _late(self._timeout_s)))
        return found

    def _receive(self, number: int) -> list[tuple[int, Message]]:
        worker = self._workers[number]
        try:
            received = worker.receive()
            return [] if received is None else [received]
        except (EOFError, ConnectionResetError):
            return self._give_up(number, _died(worker.process))

    def _give_up(self, number: int, why: Bad | faults.Fault) -> list[tuple[int, Message]]:
        job = self._workers[number].job
        assert job is not None  # what is busy has one
        self._replace(number)
        return [(job, why), (job, Done(None))]

    def _replace(self, number: int) -> None:
        self._workers[number].end()
        self._workers[number] = _Worker(self._reading)


class _Worker:
    """A process, the pipe to it, and what it works at.

    Attributes:
      process: that decodes.
      connection: to it.
      job: number of its file; None when idle.
      since: when it was last heard or told something, by `time.monotonic`; in the far future
        while it starts.
    """

    def __init__(self, reading: readings.Reading):
        spawned = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self.connection, theirs = spawned.Pipe()
        self.process = spawned.Process(target=_work, args=(theirs, reading), daemon=True)
        self.process.start()
        theirs.close()  # so that its death is the end of the pipe
        self.job: int | None = None
        self.since, self.is_busy = math.inf, False

    def start(self, job: int, task: tuple) -> None:
        self.job, self.is_busy = job, True
        self.send(task)

    def send(self, message: Any) -> None:
        self.since = max(self.since, time.monotonic())
        with contextlib.suppress(BrokenPipeError):  # it died: reading tells
            self.connection.send(message)

    def receive(self) -> tuple[int, Message] | None:
        """Job and message; None for the first one, which says that it started."""
        job, message = self.job, self.connection.recv()
        self.since = time.monotonic()
        if message is None:
            return None
        assert job is not None  # nothing else is answered
        if message == Done(None):
            self.job, self.is_busy = None, False
        return job, message

    def end(self) -> None:
        self.process.kill()  # it keeps nothing
        self.process.join()
        self.connection.close()


def _died(process: multiprocessing.Process) -> Bad | faults.Fault:
    process.join(10)
    status = process.exitcode
    if status is None or status >= 0:  # nothing that a decoder does to it
        return faults.Fault(None, f"the process that decoded it ended with status {status}")
    return Bad(
        None,
        f"the process that decoded it ended with {signal.Signals(-status).name}; it is damaged so "
        "that a decoder breaks, or memory ran out. Look at the file, then run again with --retry",
    )


def _late(timeout_s: float) -> str:
    return (
        f"was not decoded within {timeout_s:g} s; run again with --retry and a longer --timeout, "
        "or leave it out"
    )


def _work(pipe: connection.Connection, reading: readings.Reading) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this
    processes.one_of_several()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the run ended
        pipe.send(None)
        while True:
            path, modalities, unit = pipe.recv()
            with notices.collected() as warned:
                for message in _decode(pipe, path, modalities, reading, unit):
                    if isinstance(message, Bad | faults.Fault | Done):  # the last word
                        for reason in dict.fromkeys(one.reason for one in warned):
                            pipe.send(Warned(message.modality, reason))
                        warned.clear()
                    pipe.send(message)
            pipe.send(Done(None))


def _decode(
    pipe: connection.Connection,
    path: str,
    modalities: Sequence[str],
    reading: readings.Reading,
    depth_unit: str = "",
) -> Iterator[Message]:
    try:
        found = reading.having(path, modalities)
        if not found:
            return
        media, stamp = _read(path)
    except errors.DataError as error:
        yield Bad(None, _reason(error))
        return
    except Exception as error:  # whatever it is, it must not be taken for a damaged file
        yield unforeseen(None, error)
        return
    yield Opened(stamp, found)
    for modality in pipe.recv():
        try:
            yield from reading.arrays(media, modality, depth_unit)
            require_same(path, stamp)
        except errors.DataError as error:
            yield Bad(modality, error.reason)
        except Exception as error:  # as above
            yield unforeseen(modality, error)
        else:
            yield Done(modality)


def unforeseen(modality: str | None, error: Exception) -> Bad | faults.Fault:
    """What an exception says that is no `DataError`: memory ran out, or this package is at fault.

    Args:
      modality: as which the file was decoded; None means all that are not complete yet.
      error: as it was raised.
    """
    if isinstance(error, MemoryError):
        return Bad(modality, "memory ran out while it was decoded; run again with fewer --workers")
    return faults.Fault.of(modality, error)


def _reason(error: errors.DataError) -> str:
    if isinstance(error.__cause__, PermissionError):
        told = error.__cause__.strerror
        return f"cannot be read ({told}); make it readable and run again with --retry"
    return error.reason


def _read(path: str) -> tuple[given.Media, Stamp]:
    """The bytes of a file or, of a large one, its path; and its stamp.

    Raises:
      DataError: for no such file, or one that is empty, unreadable or cut off.
    """
    with given.stream(path, "nothing else") as file:
        status = os.stat(path)
        if status.st_size <= HELD_BYTES:
            media = file.read()
            digest = hashlib.sha256(media)
        else:
            media, digest = path, hashlib.file_digest(file, "sha256")
    return media, Stamp(digest.hexdigest(), status.st_size, status.st_mtime_ns)


def require_same(path: str, stamp: Stamp) -> None:
    """Checks that a file has not changed since.

    Raises:
      DataError: when it has.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise errors.DataError(path, f"went away while it was read ({error.strerror})") from error
    if (status.st_size, status.st_mtime_ns) != (stamp.size, stamp.mtime_ns):
        raise errors.DataError(path, "changed while it was read; run again when it is whole")
