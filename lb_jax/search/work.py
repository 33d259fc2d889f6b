"""The work of a run of `bulk`: files are handed out, arrays gathered into batches, rows committed.

Decoding processes, a thread that encodes and the store work at the same time. Rows come to the
store in the order of the files, all rows of a file in one commit.
"""

import collections
import contextlib
import dataclasses
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

import numpy as np

from lb_jax.core import errors, logging, names
from lb_jax.core.words import counted
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import Quarantine, Remarks
from lb_jax.media import decoders, faults
from lb_jax.search import stamps
from lb_jax.search.bad_files import BadFile
from lb_jax.search.rows import Row
from lb_jax.search.stamps import FileStamp
from lb_jax.search.store import Store

if TYPE_CHECKING:
    from lb_jax.inference.api import Model

AHEAD = 8  # times as many rows may wait for a file before them that takes long
BATCHES = 2  # that are encoded or wait for it; decoding rests while there are as many


@dataclasses.dataclass
class Part:
    """What becomes of a file as one modality.

    Attributes:
      times: start and end of each row; None for stills.
      vectors: of the rows, None where they are not encoded yet.
      is_whole: whether all arrays came.
      missing: vectors that are.
      reason: why it cannot be used.
      fault: of this package, where that is the reason.
      same: part of another file of this run with equal content.
      is_stored: whether the vectors come from the store.
    """

    times: list[tuple[float, float] | None] = dataclasses.field(default_factory=list)
    vectors: list[np.ndarray | None] = dataclasses.field(default_factory=list)
    is_whole: bool = False
    missing: int = 0
    reason: str | None = None
    fault: faults.Fault | None = None
    same: "Part | None" = None
    is_stored: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether its rows are there, or why there are none."""
        if self.same is not None:
            return self.same.is_ready
        return self.reason is not None or (self.is_whole and not self.missing)


@dataclasses.dataclass
class File:
    """A file that is worked at.

    Attributes:
      source: path and what it is wanted as.
      parts: by modality, those that it has.
      stamp: of its content; None until it was read.
      is_done: whether its process is through with it.
      remarks: modality and reason where it probably is not what it is taken for.
    """

    source: Source
    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    stamp: decoders.Stamp | None = None
    is_done: bool = False
    remarks: list[tuple[str | None, str]] = dataclasses.field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        """Whether all of it can be put into the store."""
        return self.is_done and all(part.is_ready for part in self.parts.values())


class Work:
    """One run: hands out files, gathers arrays into batches, rows into commits.

    Attributes:
      embedded, reused, rows: see `bulk.Summary`.
      silent: films that were looked at for sound and have none.
      judge: of faults of this package.
    """

    def __init__(
        self,
        todo: Sequence[Source],
        model: "Model",
        store: Store,
        known: Mapping[tuple[str, str], FileStamp],
        quarantine: Quarantine,
        remarks: Remarks,
        *,
        commit_rows: int,
        commit_s: float,
    ):
        self._todo, self._model, self._store, self._known = todo, model, store, known
        self._quarantine, self._remarks = quarantine, remarks
        self._commit_rows, self._commit_s = commit_rows, commit_s
        self._contents = {
            (one.sha256, modality, one.depth_unit) for (_, modality), one in known.items()
        }
        self._files: dict[int, File] = {}  # handed out and not in the store, in order
        self._next = 0  # number of the next file to hand out
        # content, modality and unit, of this run
        self._first: dict[tuple[str, str, str], Part] = {}
        self._batches: dict[str, list[tuple[Part, int, np.ndarray]]] = collections.defaultdict(list)
        self._encoding: collections.deque[tuple[futures.Future, list]] = collections.deque()
        self._rows: list[Row] = []  # of the next commit
        self._stale: list[tuple[str, str]] = []  # what it replaces
        self._settled: list[tuple[str, str, str]] = []  # contents that are in the store after it
        self._committed_s = time.monotonic()
        self._waiting_rows = 0  # of files that are not ready to be committed
        self.embedded = self.reused = self.rows = self.silent = 0
        coming = (modality for source in todo for modality in source.modalities)
        self.judge = faults.Judge(coming, {name for _, name in known}, quarantine.path)

    def run(self, pool: decoders.Decoders, progress: logging.Progress) -> None:
        """Brings all files into the store.

        Args:
          pool: decodes, and has nothing to do.
          progress: is told of each file.

        Raises:
          DataError: for too many bad files, and for a store that cannot be used.
          CheckpointError: for embeddings that are not finite.
          InternalError: for faults of this package at the first files of a modality; what was
            embedded before is in the store then.
        """
        try:
            self._run(pool, progress)
        except errors.InternalError:
            self._commit()  # what was embedded before
            raise

    def _run(self, pool: decoders.Decoders, progress: logging.Progress) -> None:
        wakes, wake = multiprocessing.Pipe(duplex=False)
        with contextlib.closing(wakes), futures.ThreadPoolExecutor(1) as encoder:
            self._encoder, self._wake = encoder, wake
            while self._next < len(self._todo) or self._files:
                self._hand_out(pool)
                if len(self._encoding) < BATCHES:
                    for job, message in pool.poll(self._commit_s, wakes):
                        self._take(pool, job, message)
                else:
                    wakes.poll(None)
                while wakes.poll():
                    wakes.recv_bytes()
                self._collect()
                self._settle(progress)
            self._commit()
            wake.close()

    def _hand_out(self, pool: decoders.Decoders) -> None:
        while (
            self._next < len(self._todo)
            and pool.idle
            and self._waiting_rows < AHEAD * self._commit_rows
        ):
            source = self._todo[self._next]
            self._files[self._next] = File(source)
            if names.is_text(source.path):
                pool.submit(self._next, source.path, source.modalities, source.depth_unit)
            else:
                self._refuse(self._files[self._next], "its name is not UTF-8; rename it")
                self._files[self._next].is_done = True
            self._next += 1

    def _take(self, pool: decoders.Decoders, job: int, message: decoders.Message) -> None:
        file = self._files[job]
        match message:
            case decoders.Opened(stamp, modalities):
                file.stamp = stamp
                wanted = [name for name in modalities if self._is_new(file, stamp, name)]
                pool.answer(job, wanted)
            case decoders.Arrays(modality, times, values):
                self._gather(file.parts[modality], modality, times, values)
            case decoders.Warned(modality, reason):
                file.remarks.append((modality, reason))
            case decoders.Done(None):
                file.is_done = True
            case decoders.Done(str(modality)):
                file.parts[modality].is_whole = True
            case decoders.Bad(None, reason):
                self._refuse(file, reason)
            case faults.Fault(None):
                self._refuse(file, message.reason, message)
            case faults.Fault(str(modality)):
                file.parts[modality].reason, file.parts[modality].fault = message.reason, message
            case decoders.Bad(str(modality), reason):
                file.parts[modality].reason = reason

    def _is_new(self, file: File, stamp: decoders.Stamp, modality: str) -> bool:
        """Whether content has to be decoded; notes where its rows come from otherwise."""
        content = stamp.sha256, modality, stamps.unit_of(file.source, modality)
        if content in self._first:
            file.parts[modality] = Part(same=self._first[content])
            return False
        # the file that had this content may have been replaced by now
        rows = self._store.vectors(*content) if content in self._contents else []
        file.parts[modality] = self._first[content] = Part(
            [_times(row) for row in rows],
            [row.vector for row in rows],
            is_whole=bool(rows),
            is_stored=bool(rows),
        )
        self._waiting_rows += len(rows)
        return not rows

    def _refuse(self, file: File, reason: str, fault: faults.Fault | None = None) -> None:
        """Gives up a file, but for modalities that are complete."""
        if file.stamp is None:  # not opened, so nothing is known of its modalities
            file.parts = {modality: Part() for modality in file.source.modalities}
        for part in file.parts.values():
            if not (part.is_whole or part.same):
                part.reason, part.fault = reason, fault

    def _gather(self, part: Part, modality: str, times: Sequence[Any], values: np.ndarray) -> None:
        first = len(part.vectors)
        part.times += times
        part.vectors += [None] * len(values)
        part.missing += len(values)
        self._waiting_rows += len(values)
        batch = self._batches[modality]
        batch += [(part, first + i, value) for i, value in enumerate(values)]
        while len(batch) >= self._model.batch_size:
            self._encode(modality)

    def _encode(self, modality: str) -> None:
        size, waiting = self._model.batch_size, self._batches[modality]
        batch, waiting[:] = waiting[:size], waiting[size:]

        def encode() -> np.ndarray:
            return self._model.encode(modality, np.stack([value for *_, value in batch]))

        places = [(part, place) for part, place, _ in batch]
        future = self._encoder.submit(encode)
        future.add_done_callback(lambda _: self._wake.send_bytes(b"."))
        self._encoding.append((future, places))

    def _collect(self) -> None:
        """Puts vectors that are there into their places."""
        while self._encoding and self._encoding[0][0].done():
            future, places = self._encoding.popleft()
            for (part, place), vector in zip(places, future.result(), strict=True):
                part.vectors[place] = vector
                part.missing -= 1

    def _settle(self, progress: logging.Progress) -> None:
        """Moves files that are ready to the next commit, in order, and commits when it is time."""
        while (number := next(iter(self._files), None)) is not None:
            if not self._files[number].is_ready:
                break
            self._finish(self._files.pop(number))
            progress.advance(1, counted(self.rows + len(self._rows), "row"))
            if len(self._rows) >= self._commit_rows:
                self._commit()
        late = time.monotonic() - self._committed_s >= self._commit_s
        ended = self._next == len(self._todo) and all(one.is_done for one in self._files.values())
        if self._files and (late or ended or self._waiting_rows >= self._commit_rows):
            self._encode_first()
        if late:
            self._commit()

    def _encode_first(self) -> None:
        """Encodes batches that are not full where the first file waits for them."""
        first = next(iter(self._files.values()))
        if not first.is_done:
            return
        parts = [part.same or part for part in first.parts.values()]
        for modality, batch in self._batches.items():
            if any(one is part for one, *_ in batch for part in parts):
                self._encode(modality)

    def _finish(self, file: File) -> None:
        """Rows of a file; what cannot be used goes to the quarantine list."""
        path, now, bad, reused, rows = file.source.path, stamps.now(file.source.path), [], 0, []
        if file.stamp is not None:
            now = file.stamp.size, file.stamp.mtime_ns
        for modality in file.source.modalities:
            if (path, modality) in self._known and now != stamps.GONE:
                self._stale.append((path, modality))
        for modality, part in file.parts.items():
            unit = stamps.unit_of(file.source, modality)
            made = stamps.with_unit(self._store.maker.preprocessing, unit)
            origin = part.same or part
            self._waiting_rows -= len(part.vectors)
            if origin.reason is not None:
                bad.append(BadFile.of(modality, path, origin.reason, now, made, origin.fault))
                part.vectors = []  # equal content need not be tried again
                continue
            assert file.stamp is not None  # else every part has a reason
            reused += origin is not part or part.is_stored
            rows += self._made(path, file.stamp, modality, origin, made)
            self._settled.append((file.stamp.sha256, modality, unit))
        self._quarantine.record(len(file.parts) - len(bad), bad)
        lost = {one.modality for one in bad}  # of those the quarantine list tells
        self._remarks.record(
            BadFile(modality or "", names.shown(path), reason, *now)
            for modality, reason in file.remarks
            if modality not in lost
        )
        self._rows += rows
        self.embedded += bool(rows)
        self.reused += bool(reused)
        self.silent += not file.parts
        for modality in file.source.modalities:
            part = file.parts.get(modality, Part())  # none: a film without sound
            is_used = modality in file.parts and (part.same or part).reason is None
            self.judge.passed(modality, names.shown(path), part.fault, is_used=is_used)

    def _made(
        self, path: str, stamp: decoders.Stamp, modality: str, part: Part, made: str
    ) -> Iterator[Row]:
        told = stamp.sha256, stamp.size, stamp.mtime_ns, self._store.maker.digest, made
        for times, vector in zip(part.times, part.vectors, strict=True):
            yield Row(path, modality, *(times or (None, None)), *told, vector)

    def _commit(self) -> None:
        self._committed_s = time.monotonic()
        made = {
            (row.path, row.modality): stamps.stamp_of(
                row.sha256, row.size, row.mtime_ns, row.preprocessing
            )
            for row in self._rows
        }
        # another run may have come before this one with the same files, or older ones
        there = self._store.files({*self._stale, *made})
        same = {one for one, stamp in there.items() if made.get(one) == stamp}
        rows = [row for row in self._rows if (row.path, row.modality) not in same]
        self._store.remove(there.keys() - same)
        self._store.add(rows)
        self.rows += len(rows)
        self._contents.update(self._settled)
        for content in self._settled:
            self._first.pop(content, None)
        self._rows, self._stale, self._settled = [], [], []


def _times(row: Row) -> tuple[float, float] | None:
    if row.start_s is None or row.end_s is None:
        return None
    return row.start_s, row.end_s
