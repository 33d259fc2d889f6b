"""Any number of media files into a store of vectors, through any number of kills.

Processes decode, batches are filled across files, and a thread encodes while they go on. Rows come
to the store in the order of the files, all rows of a file in one commit. So whoever is killed has
in the store the first files, whole, and the next run goes on behind them.
"""

import collections
import contextlib
import dataclasses
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.core import errors, logging, names
from lb_jax.corpora import media_files
from lb_jax.corpora.media_files import Source
from lb_jax.corpora.quarantine import BadSample, Quarantine, Remarks, remarks_of
from lb_jax.media import decoders, faults
from lb_jax.search.maker import Maker
from lb_jax.search.rows import Row
from lb_jax.search.stamps import FileStamp, stamp_of, with_unit
from lb_jax.search.store import Store

WINDOW_S = 10.0
# What a kill loses at most. Rows are committed after as many, or so many seconds.
COMMIT_ROWS = 1024
COMMIT_S = 30.0
AHEAD = 8  # times as many rows may wait for a file before them that takes long
BATCHES = 2  # that are encoded or wait for it; decoding rests while there are as many
TIMEOUT_S = 600.0
MAX_BAD_RATE = 0.5
LIST = ".quarantine.jsonl"  # behind the name of the store
GONE = -1, -1  # size and time of change of a file that is not there


@dataclasses.dataclass(frozen=True)
class BadFile(BadSample):
    """A file that could not be used as a modality, with what it was then; -1 where not known.

    Attributes:
      preprocessing: it was read with, see `store.Row`.
      traceback: where this package is at fault; None where the file is.
      versions: with which it was so, see `faults.versions`.
    """

    size: int
    mtime_ns: int
    preprocessing: str = ""
    traceback: str | None = None
    versions: str | None = None


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      files: that were looked at.
      embedded: files that gave rows.
      reused: files among them whose content was known under another path.
      unchanged: files that the store held already.
      bad: files, by modality, in the quarantine list: found by this run, or before and unchanged.
      pruned: files, by modality, that were removed.
      faults: of this package, among those of this run.
      rows: that were added.
      seconds: from beginning to end.
      quarantine: the list.
      remarks: path and reason of files that were decoded and probably are not what they are taken
        for.
      warnings: the list of those, and of those of runs before.
    """

    files: int
    embedded: int
    reused: int
    unchanged: int
    bad: int
    faults: int
    pruned: int
    rows: int
    seconds: float
    quarantine: Path
    remarks: Sequence[tuple[str, str]] = ()
    warnings: Path | None = None

    def told(self) -> str:
        """The numbers in words."""
        rate = self.rows / max(self.seconds, 1e-9)
        counts = {
            "unchanged": self.unchanged,
            "known under another name": self.reused,
            "removed": self.pruned,
            "in quarantine": self.bad,
            "of them by faults of lb_jax, which need a report": self.faults,
        }
        more = "".join(f", {count} {what}" for what, count in counts.items() if count)
        return (
            f"{self.files} files, {self.embedded} embedded into {self.rows} rows in "
            f"{self.seconds:.1f} s ({rate:.1f} rows/s){more}"
        )


def run(
    arguments: Sequence[str | Path],
    model: Any,
    uri: str | Path,
    *,
    window_s: float = WINDOW_S,
    stride_s: float | None = None,
    **settings: Any,
) -> Summary:
    """Embeds folders, files and manifests into a store, which is made if it is not there.

    Args:
      arguments: see `sources.find`.
      model: what `lb_jax.load` returned, or takes.
      uri: of the store, a folder or a place on object storage.
      window_s: length of the windows that video and sound are cut into.
      stride_s: from the beginning of one to that of the next; None is `window_s`.
      **settings: those of `update`.

    Raises:
      DataError: as `update`, and for a store of another model.
      ConfigError: for lengths that are not above 0.
    """
    from lb_jax.inference import api
    from lb_jax.search import hosts

    if isinstance(model, str | Path):
        model = api.load(model)
    found = media_files.find(arguments, model.modalities, unclear=media_files.said(model.settings))
    settings.setdefault("quarantine", quarantine_of(uri))
    maker = Maker.of(model, window_s, window_s if stride_s is None else stride_s)
    return hosts.update(found, model, uri, maker, **settings)


def quarantine_of(uri: str | Path) -> Path:
    """Where the quarantine list of a store is: beside it, or for object storage in this folder."""
    uri = str(uri).rstrip("/")
    folder, slash, name = uri.rpartition("/")
    return Path((name if "://" in uri else f"{folder}{slash}{name}") + LIST)


def update(
    found: media_files.Found,
    model: Any,
    store: Store,
    quarantine: str | Path,
    *,
    workers: int | None = None,
    prune: bool = False,
    retry: bool = False,
    max_bad_rate: float = MAX_BAD_RATE,
    timeout_s: float = TIMEOUT_S,
    share: tuple[int, int] = (0, 1),
    commit_rows: int = COMMIT_ROWS,
    commit_s: float = COMMIT_S,
    shown: bool = True,
) -> Summary:
    """Brings a store up to date with files.

    Files whose size and time of change are those in the store are not read; of others the content
    decides: what is known under another path is not decoded, what changed replaces its rows. The
    store is the same, row for row and bit by bit, as after a run that was never stopped. Files
    that another run has added meanwhile are not added again; of those that two runs added at the
    same moment, the next run embeds anew what is there twice.

    Args:
      found: what to embed.
      model: what `lb_jax.load` returned.
      store: of this model, see `Maker.of`; its window and stride are those of the rows.
      quarantine: JSONL list of files that cannot be used; those listed are tried again when they
        have changed.
      workers: decoding processes; None takes one per processor.
      prune: remove files that are gone from the folders.
      retry: try files of the quarantine list again.
      max_bad_rate: share of bad files above which the run stops.
      timeout_s: a file that keeps its process busy so long without an array is bad.
      share: (number, count) of this process among those that share the files.
      commit_rows: rows after which they are committed.
      commit_s: seconds after which they are.
      shown: whether progress is.

    Raises:
      DataError: for too many bad files, and for a store that cannot be used.
      CheckpointError: for embeddings that are not finite.
    """
    start, (number, count) = time.monotonic(), share
    mine = found.sources[number::count]
    mended = store.repeated() & {(one.path, name) for one in mine for name in one.modalities}
    store.remove(mended)
    known = store.files()
    made = store.maker.preprocessing
    listed = _Listed.read(Path(quarantine), mine, max_bad_rate, made, retry=retry)
    todo, unchanged, bad = [], 0, 0
    for source in mine:
        left = [name for name in source.modalities if (source.path, name) not in listed.reasons]
        bad += len(source.modalities) - len(left)
        wanted = _changed(source, left, known)
        if wanted:
            todo.append(dataclasses.replace(source, modalities=wanted))
        unchanged += bool(left and not wanted)
    pruned = _pruned(found, known) if prune and number == 0 else []
    store.remove(pruned)
    remarks = Remarks(remarks_of(Path(quarantine)), [names.shown(one.path) for one in todo])
    work = _Work(
        todo,
        model,
        store,
        known,
        listed.quarantine,
        remarks,
        commit_rows=commit_rows,
        commit_s=commit_s,
    )
    progress = logging.Progress(
        "embed", len(mine), done=len(mine) - len(todo), unit="file", shown=shown
    )
    with progress:
        if todo:
            processes = min(workers or os.cpu_count() or 1, len(todo))
            specs = {name: model.specs[name] for name in model.modalities}
            settings = store.maker.window_s, store.maker.stride_s, timeout_s
            with decoders.Decoders(processes, specs, *settings) as pool:
                work.run(pool, progress)
    return Summary(
        files=len(mine),
        embedded=work.embedded,
        reused=work.reused,
        unchanged=unchanged + work.silent,
        bad=listed.quarantine.bad + bad,
        faults=work.judge.count,
        pruned=len(pruned),
        rows=work.rows,
        seconds=time.monotonic() - start,
        quarantine=listed.quarantine.path,
        remarks=remarks.found,
        warnings=remarks.path,
    )


def _changed(
    source: Source, modalities: Sequence[str], known: Mapping[tuple[str, str], FileStamp]
) -> tuple[str, ...]:
    """The modalities as which the store does not have the file as it is."""
    path, now = source.path, _now(source.path)
    stamps = {name: known[path, name] for name in modalities if (path, name) in known}
    there = {
        name
        for name, one in stamps.items()
        if (one.size, one.mtime_ns, one.depth_unit) == (*now, _unit(source, name))
    }
    return tuple(name for name in modalities if name not in there)


def _unit(source: Source, modality: str) -> str:
    """The unit of its own that a file is read in; empty for none."""
    return source.depth_unit if modality == "depth" else ""


def _pruned(found: media_files.Found, known: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What the store holds of the folders that could be searched and is not there any more."""
    there = {(one.path, modality) for one in found.sources for modality in one.modalities}
    below, unseen = (
        tuple(f"{folder.rstrip('/')}/" for folder in folders)
        for folders in (found.folders, found.closed)
    )
    return [
        (path, modality)
        for path, modality in known
        if path.startswith(below) and not path.startswith(unseen)
        if modality in found.wanted and (path, modality) not in there
    ]


@dataclasses.dataclass(frozen=True)
class _Listed:
    """The quarantine list at the start of a run: what still holds, and where more is written.

    What ended in a fault of this package holds for the same versions alone.
    """

    reasons: Mapping[tuple[str, str], str]
    quarantine: Quarantine

    @classmethod
    def read(
        cls,
        path: Path,
        files: Sequence[Source],
        max_bad_rate: float,
        made: str,
        *,
        retry: bool,
    ) -> "_Listed":
        """Drops from the list the files of this run that changed, or all with `retry`.

        So does a file that is read with another preprocessing now, such as another unit of depth.
        """
        mine = {names.shown(source.path): source for source in files}
        reasons, kept = {}, []
        for row in logging.read_metrics(path):
            if source := mine.get(row.get("path")):
                same = _now(source.path) == (row.get("size"), row.get("mtime_ns"))
                if retry or not same or row.get("versions") not in (None, faults.versions()):
                    continue
                now = with_unit(made, _unit(source, row.get("modality")))
                if row.get("preprocessing", now) not in ("", now):
                    continue
                reasons[source.path, row.get("modality")] = row.get("reason")
            kept.append(row)
        if path.exists():
            logging.rewrite(path, kept)
        return cls(reasons, Quarantine(path, max_bad_rate, "--max-bad-rate"))


def _now(path: str) -> tuple[int, int]:
    """Size and time of change; -1 for a file that is not there, which reading it will say."""
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return status.st_size, status.st_mtime_ns


@dataclasses.dataclass
class _Part:
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
    same: "_Part | None" = None
    is_stored: bool = False

    @property
    def is_ready(self) -> bool:
        if self.same is not None:
            return self.same.is_ready
        return self.reason is not None or (self.is_whole and not self.missing)


@dataclasses.dataclass
class _File:
    """A file that is worked at.

    Attributes:
      source: path and what it is wanted as.
      parts: by modality, those that it has.
      stamp: of its content; None until it was read.
      is_done: whether its process is through with it.
      remarks: modality and reason where it probably is not what it is taken for.
    """

    source: Source
    parts: dict[str, _Part] = dataclasses.field(default_factory=dict)
    stamp: decoders.Stamp | None = None
    is_done: bool = False
    remarks: list[tuple[str | None, str]] = dataclasses.field(default_factory=list)

    @property
    def is_ready(self) -> bool:
        return self.is_done and all(part.is_ready for part in self.parts.values())


class _Work:
    """One run: hands out files, gathers arrays into batches, rows into commits.

    Attributes:
      embedded, reused, rows: see `Summary`.
      silent: films that were looked at for sound and have none.
      judge: of faults of this package.
    """

    def __init__(
        self,
        todo: Sequence[Source],
        model: Any,
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
        self._files: dict[int, _File] = {}  # handed out and not in the store, in order
        self._next = 0  # number of the next file to hand out
        # content, modality and unit, of this run
        self._first: dict[tuple[str, str, str], _Part] = {}
        self._batches: dict[str, list[tuple[_Part, int, np.ndarray]]] = collections.defaultdict(
            list
        )
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
            self._files[self._next] = _File(source)
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
                wanted = [name for name in modalities if self._is_new(file, name)]
                pool.answer(job, wanted)
            case decoders.Arrays(modality, times, values):
                self._gather(file.parts[modality], modality, times, values)
            case decoders.Warned(modality, reason):
                file.remarks.append((modality, reason))
            case decoders.Done(None):
                file.is_done = True
            case decoders.Done(modality):
                file.parts[modality].is_whole = True
            case decoders.Bad(None, reason):
                self._refuse(file, reason)
            case faults.Fault(None):
                self._refuse(file, message.reason, message)
            case faults.Fault(modality):
                file.parts[modality].reason, file.parts[modality].fault = message.reason, message
            case decoders.Bad(modality, reason):
                file.parts[modality].reason = reason

    def _is_new(self, file: _File, modality: str) -> bool:
        """Whether content has to be decoded; notes where its rows come from otherwise."""
        content = file.stamp.sha256, modality, _unit(file.source, modality)
        if content in self._first:
            file.parts[modality] = _Part(same=self._first[content])
            return False
        # the file that had this content may have been replaced by now
        rows = self._store.vectors(*content) if content in self._contents else []
        file.parts[modality] = self._first[content] = _Part(
            [_times(row) for row in rows],
            [row.vector for row in rows],
            is_whole=bool(rows),
            is_stored=bool(rows),
        )
        self._waiting_rows += len(rows)
        return not rows

    def _refuse(self, file: _File, reason: str, fault: faults.Fault | None = None) -> None:
        """Gives up a file, but for modalities that are complete."""
        if file.stamp is None:  # not opened, so nothing is known of its modalities
            file.parts = {modality: _Part() for modality in file.source.modalities}
        for part in file.parts.values():
            if not (part.is_whole or part.same):
                part.reason, part.fault = reason, fault

    def _gather(self, part: _Part, modality: str, times: Sequence[Any], values: np.ndarray) -> None:
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
            progress.advance(1, f"{self.rows + len(self._rows)} rows")
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

    def _finish(self, file: _File) -> None:
        """Rows of a file; what cannot be used goes to the quarantine list."""
        path, now, bad, reused, rows = file.source.path, _now(file.source.path), [], 0, []
        if file.stamp is not None:
            now = file.stamp.size, file.stamp.mtime_ns
        for modality in file.source.modalities:
            if (path, modality) in self._known and now != GONE:
                self._stale.append((path, modality))
        for modality, part in file.parts.items():
            unit = _unit(file.source, modality)
            made = with_unit(self._store.maker.preprocessing, unit)
            origin = part.same or part
            self._waiting_rows -= len(part.vectors)
            if origin.reason is not None:
                fault = origin.fault and (origin.fault.traceback, faults.versions())
                told = names.shown(path), origin.reason, *now, made, *(fault or ())
                bad.append(BadFile(modality, *told))
                part.vectors = []  # equal content need not be tried again
                continue
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
            part = file.parts.get(modality, _Part())  # none: a film without sound
            is_used = modality in file.parts and (part.same or part).reason is None
            self.judge.passed(modality, names.shown(path), part.fault, is_used=is_used)

    def _made(
        self, path: str, stamp: decoders.Stamp, modality: str, part: _Part, made: str
    ) -> Iterator[Row]:
        told = stamp.sha256, stamp.size, stamp.mtime_ns, self._store.maker.digest, made
        for times, vector in zip(part.times, part.vectors, strict=True):
            yield Row(path, modality, *(times or (None, None)), *told, vector)

    def _commit(self) -> None:
        self._committed_s = time.monotonic()
        made = {
            (row.path, row.modality): stamp_of(
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
    return None if row.start_s is None else (row.start_s, row.end_s)
