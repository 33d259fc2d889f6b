"""The work of a run over many files: they are handed out, arrays gathered into batches, rows kept.

Decoding processes, a thread that computes and whatever keeps the rows work at the same time. Rows
come in the order of the files, all rows of a file at once. `store_work` keeps vectors in a store,
`caption_work` captions in a file.
"""

import abc
import collections
import contextlib
import dataclasses
import multiprocessing
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent import futures
from typing import Any

from lb_jax.core import errors, logging, names
from lb_jax.core.words import counted
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import Quarantine, Remarks
from lb_jax.media import decoders, faults, readings
from lb_jax.search import stamps
from lb_jax.search.bad_files import BadFile

Content = tuple[str, str, str]  # hash of the bytes, modality, unit of depth

AHEAD = 8  # times as many rows may wait for a file before them that takes long
BATCHES = 2  # that are computed or wait for it; decoding rests while there are as many


@dataclasses.dataclass
class Part:
    """What becomes of a file as one modality.

    Attributes:
      times: start and end of each row; None for stills.
      results: of the rows, such as vectors; None where they are not computed yet.
      is_whole: whether all arrays came.
      missing: results that are.
      reason: why it cannot be used.
      fault: of this package, where that is the reason.
      same: part of another file of this run with equal content.
      is_stored: whether the results were kept before this run.
    """

    times: list[tuple[float, float] | None] = dataclasses.field(default_factory=list)
    results: list[Any] = dataclasses.field(default_factory=list)
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
        """Whether all of it can be kept."""
        return self.is_done and all(part.is_ready for part in self.parts.values())


class Work(abc.ABC):
    """One run: hands out files, gathers arrays into batches, results into rows.

    Attributes:
      used, reused: files that gave rows; those among them whose content was known.
      rows: that were kept.
      silent: files that were looked at and have nothing of what was asked, as films without sound.
      judge: of faults of this package.
    """

    def __init__(
        self,
        todo: Sequence[Source],
        batch_size: int,
        quarantine: Quarantine,
        remarks: Remarks,
        *,
        commit_rows: int,
        commit_s: float,
        earlier: Collection[str],
    ):
        """Of files that are to be worked at.

        Args:
          todo: in the order of their rows.
          batch_size: arrays that are computed at once.
          quarantine: takes files that cannot be used.
          remarks: takes what is used and probably not what it is taken for.
          commit_rows: rows after which they are committed.
          commit_s: seconds after which they are.
          earlier: kinds of `_kinds` of which files could be used before.
        """
        self._todo, self._batch_size = todo, batch_size
        self._quarantine, self._remarks = quarantine, remarks
        self._commit_rows, self._commit_s = commit_rows, commit_s
        self._files: dict[int, File] = {}  # handed out and not kept, in order
        self._next = 0  # number of the next file to hand out
        self._first: dict[Content, Part] = {}  # of this run
        self._batches: dict[str, list[tuple[Part, int, Any]]] = collections.defaultdict(list)
        self._computing: collections.deque[tuple[futures.Future, list]] = collections.deque()
        self._committed_s = time.monotonic()
        self._waiting_rows = 0  # of files that are not ready to be kept
        self.used = self.reused = self.rows = self.silent = 0
        coming = (kind for source in todo for kind in self._kinds(source))
        self.judge = faults.Judge(coming, earlier, quarantine.path)

    @property
    @abc.abstractmethod
    def pending(self) -> int:
        """Rows that wait for their commit."""

    @abc.abstractmethod
    def _compute(self, modality: str, values: Sequence[Any]) -> Iterable[Any]:
        """The result of each value of a batch; runs in a thread of its own."""

    @abc.abstractmethod
    def _stored(self, content: Content) -> Part:
        """What was kept of a content before, else an empty part."""

    @abc.abstractmethod
    def _made(self, source: Source, modality: str) -> str:
        """What makes rows of a file, by which the quarantine list tells whether it still holds."""

    @abc.abstractmethod
    def _keep(self, file: File, modality: str, part: Part) -> int:
        """Makes the rows of a file that is ready as a modality; how many they are."""

    @abc.abstractmethod
    def _commit(self) -> None:
        """Puts rows that were made where a kill does not lose them."""

    def _kinds(self, source: Source) -> Sequence[str]:
        """As what a file is judged: its modalities."""
        return source.modalities

    def _at_once(self, modality: str) -> int:
        """Arrays of a modality that are computed at once."""
        del modality
        return self._batch_size

    def _lost(self, source: Source) -> Sequence[str]:
        """As what a file is listed that could not be opened: its modalities."""
        return source.modalities

    def run(self, pool: decoders.Decoders, progress: logging.Progress) -> None:
        """Works at all files.

        Args:
          pool: decodes, and has nothing to do.
          progress: is told of each file.

        Raises:
          DataError: for too many bad files, and where rows cannot be kept.
          CheckpointError: for results that are not finite.
          InternalError: for faults of this package at the first files of a modality; what came
            before is kept then.
        """
        try:
            self._run(pool, progress)
        except errors.InternalError:
            self._commit()  # what came before
            raise

    def _run(self, pool: decoders.Decoders, progress: logging.Progress) -> None:
        wakes, wake = multiprocessing.Pipe(duplex=False)
        with contextlib.closing(wakes), futures.ThreadPoolExecutor(1) as computer:
            self._computer, self._wake = computer, wake
            while self._next < len(self._todo) or self._files:
                self._hand_out(pool)
                if len(self._computing) < BATCHES:
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
            case readings.Arrays(modality, times, values):
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
        content = content_of(file.source, stamp, modality)
        if content in self._first:
            file.parts[modality] = Part(same=self._first[content])
            return False
        part = file.parts[modality] = self._first[content] = self._stored(content)
        self._waiting_rows += len(part.results)
        return not part.is_stored

    def _refuse(self, file: File, reason: str, fault: faults.Fault | None = None) -> None:
        """Gives up a file, but for modalities that are complete."""
        if file.stamp is None:  # not opened, so nothing is known of its modalities
            file.parts = {modality: Part() for modality in self._lost(file.source)}
        for part in file.parts.values():
            if not (part.is_whole or part.same):
                part.reason, part.fault = reason, fault

    def _gather(
        self, part: Part, modality: str, times: Sequence[Any], values: Sequence[Any]
    ) -> None:
        first = len(part.results)
        part.times += times
        part.results += [None] * len(values)
        part.missing += len(values)
        self._waiting_rows += len(values)
        batch = self._batches[modality]
        batch += [(part, first + i, value) for i, value in enumerate(values)]
        while len(batch) >= self._at_once(modality):
            self._start(modality)

    def _start(self, modality: str) -> None:
        """Computes a batch, full or not."""
        size, waiting = self._at_once(modality), self._batches[modality]
        batch, waiting[:] = waiting[:size], waiting[size:]
        places = [(part, place) for part, place, _ in batch]
        future = self._computer.submit(self._compute, modality, [value for *_, value in batch])
        future.add_done_callback(lambda _: self._wake.send_bytes(b"."))
        self._computing.append((future, places))

    def _collect(self) -> None:
        """Puts results that are there into their places."""
        while self._computing and self._computing[0][0].done():
            future, places = self._computing.popleft()
            for (part, place), result in zip(places, future.result(), strict=True):
                part.results[place] = result
                part.missing -= 1

    def _settle(self, progress: logging.Progress) -> None:
        """Moves files that are ready to the next commit, in order, and commits when it is time."""
        while (number := next(iter(self._files), None)) is not None:
            if not self._files[number].is_ready:
                break
            self._finish(self._files.pop(number))
            progress.advance(1, counted(self.rows + self.pending, "row"))
            if self.pending >= self._commit_rows:
                self._commit_now()
        late = time.monotonic() - self._committed_s >= self._commit_s
        ended = self._next == len(self._todo) and all(one.is_done for one in self._files.values())
        if self._files and (late or ended or self._waiting_rows >= self._commit_rows):
            self._start_first()
        if late:
            self._commit_now()

    def _commit_now(self) -> None:
        self._committed_s = time.monotonic()
        self._commit()

    def _start_first(self) -> None:
        """Computes batches that are not full where the first file waits for them."""
        first = next(iter(self._files.values()))
        if not first.is_done:
            return
        parts = [part.same or part for part in first.parts.values()]
        for modality, batch in self._batches.items():
            if any(one is part for one, *_ in batch for part in parts):
                self._start(modality)

    def _finish(self, file: File) -> None:
        """Rows of a file; what cannot be used goes to the quarantine list."""
        path, now = file.source.path, now_of(file)
        bad, rows, reused = [], 0, False
        for modality, part in file.parts.items():
            origin = part.same or part
            self._waiting_rows -= len(part.results)
            if origin.reason is not None:
                made = self._made(file.source, modality)
                bad.append(BadFile.of(modality, path, origin.reason, now, made, origin.fault))
                part.results = []  # equal content need not be tried again
                continue
            assert file.stamp is not None  # else every part has a reason
            reused |= origin is not part or part.is_stored
            rows += self._keep(file, modality, origin)
        self._quarantine.record(len(file.parts) - len(bad), bad)
        lost = {one.modality for one in bad}  # of those the quarantine list tells
        self._remarks.record(
            BadFile(modality or "", names.shown(path), reason, *now)
            for modality, reason in file.remarks
            if modality not in lost
        )
        self.used += bool(rows)
        self.reused += reused
        self.silent += not file.parts
        self._judged(file)

    def _judged(self, file: File) -> None:
        for modality in file.source.modalities:
            part = file.parts.get(modality, Part())  # none: a film without sound
            is_used = modality in file.parts and (part.same or part).reason is None
            path = names.shown(file.source.path)
            self.judge.passed(modality, path, part.fault, is_used=is_used)


def content_of(source: Source, stamp: decoders.Stamp, modality: str) -> Content:
    """By what rows are known under any path."""
    return stamp.sha256, modality, stamps.unit_of(source, modality)


def now_of(file: File) -> tuple[int, int]:
    """Size and time of change of a file when it was read, or as it is now."""
    if file.stamp is not None:
        return file.stamp.size, file.stamp.mtime_ns
    return stamps.now(file.source.path)
