"""Captions for a store: of each window and still that a VALOR model can write of.

Processes decode windows while the model writes. Captions are committed as they come, so whoever is
killed goes on behind the last commit.
"""

import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import signal
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lb_jax.core import errors, logging, names, notices, processes
from lb_jax.core.words import counted
from lb_jax.corpora.quarantine import Quarantine
from lb_jax.inference import valor_items
from lb_jax.media import decoders, faults, items, specs
from lb_jax.media.clips import Clip
from lb_jax.search import bulk, stamps, writers
from lb_jax.search import captions as captions_lib
from lb_jax.search.bad_files import BadFile
from lb_jax.search.captions import Caption, Captioner
from lb_jax.search.store import Store, Window

if TYPE_CHECKING:
    from lb_jax.inference.valor import ValorModel
    from lb_jax.models.generation import Decoding

COMMIT_ROWS = 256
COMMIT_S = 30.0
LIST = ".captions"  # between the name of the store and that of a list
AHEAD = 2  # portions of windows a process that are decoded or wait

Views = Mapping[str, Mapping[str, specs.Spec]]  # group -> role -> preprocessing


@dataclasses.dataclass(frozen=True)
class Portion:
    """Some windows of a file, which a process decodes.

    Attributes:
      windows: of one file and modality.
      views: the groups that they may be seen by, the best first.
      is_last: whether no more of the file come as this modality.
    """

    windows: tuple[Window, ...]
    views: Views
    is_last: bool = True


@dataclasses.dataclass(frozen=True)
class Seen:
    """A window that can be written of.

    Attributes:
      window: of the store.
      group: that it is seen by.
      arrays: role -> float32 [n, ...].
    """

    window: Window
    group: str
    arrays: Mapping[str, np.ndarray]


Decoded = Seen | decoders.Bad | faults.Fault  # what becomes of a window


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes:
      written: captions.
      there: windows that had theirs.
      reasons: path -> why windows of it have none.
      faults: of this package, files among those as a modality.
      listed: where all of them stand, tracebacks too; there only if there are some.
      seconds: from beginning to end.
    """

    written: int
    there: int
    reasons: Mapping[str, str]
    faults: int
    listed: Path
    seconds: float

    def told(self) -> str:
        """The numbers in words."""
        more = f", {self.there} there already" if self.there else ""
        bad = f", {counted(len(self.reasons), 'file')} without" if self.reasons else ""
        ours = bulk.besides({"of them by faults of lb_jax, which need a report": self.faults})
        return f"{counted(self.written, 'caption')} in {self.seconds:.1f} s{more}{bad}{ours}"


def fill(
    store: Store,
    model: "ValorModel",
    *,
    anew: bool = False,
    workers: int | None = None,
    share: tuple[int, int] = (0, 1),
    commit_rows: int = COMMIT_ROWS,
    commit_s: float = COMMIT_S,
    shown: bool = True,
) -> Summary:
    """Writes a caption of each window of a store that has none, as published: beams of 3.

    A film is written of by sight and sound, where it has both; sound, of a film too, by itself. A
    content that is there under several names is written of once.

    Args:
      store: of vectors; it takes the captions.
      model: that writes.
      anew: drop captions of another captioner first.
      workers: decoding processes; None takes one per processor.
      share: (number, count) of this process among those that share the windows; the first makes
        the table, drops what no vector is of any more, and builds the index.
      commit_rows: captions after which they are committed.
      commit_s: seconds after which they are.
      shown: whether progress is.

    Raises:
      DataError: the store has captions of another captioner, or cannot be used.
      InternalError: for faults of this package at the first files of a modality; captions that
        came before are kept then.
    """
    from lb_jax.search import hosts  # jax, which decoding processes do without

    start, (number, count) = time.monotonic(), share
    decoding = model.decoding()
    captioner = writers.captioner_of(model, decoding)
    if number == 0:
        _begin(store, captioner, anew=anew)
    hosts.wait("the table of captions is there")
    captions = store.captions(make=True)
    assert captions is not None  # it is made
    captions.require(captioner)
    views = {name: _views(model, name) for name in valor_items.VIEWS}
    every = {
        (one.sha256, one.modality, one.start_s): one
        for one in store.windows()
        if views.get(one.modality) and zlib.crc32(one.sha256.encode()) % count == number
    }
    known = captions.windows()
    todo = list(_portions([one for key, one in every.items() if key not in known], views, model))
    windows = sum(len(one.windows) for one in todo)
    progress = logging.Progress("caption", windows, unit="window", shown=shown)
    listed = bulk.list_of(bulk.quarantine_of(f"{str(store.uri).rstrip('/')}{LIST}"), share)
    listed.unlink(missing_ok=True)  # what stands there is tried again
    coming = (one.windows[0].modality for one in todo if one.is_last)
    judge = faults.Judge(coming, {modality for _, modality, _ in known}, listed)
    unseen = _Unseen(judge, listed, captioner)
    run = _Run(captions, captioner, model, decoding, commit_rows, commit_s, progress)
    with progress, _Pool(max(1, min(workers or os.cpu_count() or 1, len(todo)))) as pool:
        try:
            for portion, some in pool.decoded(todo):
                run.take(some)
                unseen.take(portion, some)
        except errors.InternalError:
            run.commit()  # what came before
            raise
        run.end()
    hosts.wait("all captions are written")
    if number == 0:
        captions.remove({one for one, *_ in known} - {one.sha256 for one in store.windows()})
        captions.build_index()
    there, seconds = len(every.keys() & known), time.monotonic() - start
    return Summary(run.written, there, unseen.reasons, judge.count, listed, seconds)


def _begin(store: Store, captioner: Captioner, *, anew: bool) -> None:
    captions = store.captions(make=True)
    assert captions is not None  # it is made
    found = captions.captioner
    if anew and found is not None and found.key != captioner.key:
        captions.clear()


def _views(model: "ValorModel", modality: str) -> Views:
    """The groups that a modality of a store may be seen by, the best first."""
    found = [one for one in valor_items.VIEWS[modality] if one in model.groups]
    return {one: {role: model.specs[role] for role in valor_items.roles(one)} for one in found}


def _portions(
    windows: Iterable[Window], views: Mapping[str, Views], model: "ValorModel"
) -> Iterator[Portion]:
    """Windows of one file and modality, as many as the model writes of at once."""
    by_file: dict[tuple[str, str], list[Window]] = {}
    for one in windows:
        by_file.setdefault((one.path, one.modality), []).append(one)
    for (_, modality), some in by_file.items():
        for first in range(0, len(some), model.batch_size):
            behind = first + model.batch_size
            yield Portion(tuple(some[first:behind]), views[modality], behind >= len(some))


class _Run:
    """Gathers what is decoded into batches, and captions into commits."""

    def __init__(
        self,
        captions: captions_lib.Captions,
        captioner: Captioner,
        model: "ValorModel",
        decoding: "Decoding",
        commit_rows: int,
        commit_s: float,
        progress: logging.Progress,
    ):
        self._captions, self._captioner, self._progress = captions, captioner, progress
        self._model, self._decoding = model, decoding
        self._commit_rows, self._commit_s = commit_rows, commit_s
        self._batches: dict[str, list[Seen]] = collections.defaultdict(list)
        self._rows: list[Caption] = []
        self._committed_s = time.monotonic()
        self.written = 0

    def take(self, decoded: Sequence[Decoded]) -> None:
        """Writes of what is decoded, once a batch is full."""
        for one in decoded:
            if not isinstance(one, Seen):
                self._progress.advance(1)
            else:
                batch = self._batches[one.group]
                batch.append(one)
                if len(batch) == self._model.batch_size:
                    self._write(one.group)
        late = time.monotonic() - self._committed_s >= self._commit_s
        if len(self._rows) >= self._commit_rows or late:
            self.commit()

    def end(self) -> None:
        """Writes of what is left."""
        for group in list(self._batches):
            if self._batches[group]:
                self._write(group)
        self.commit()

    def _write(self, group: str) -> None:
        batch, self._batches[group] = self._batches[group], []
        arrays = {role: np.stack([one.arrays[role] for one in batch]) for role in batch[0].arrays}
        texts = self._model.write(arrays, self._decoding)
        for one, text in zip(batch, texts, strict=True):
            window = one.window
            times = window.start_s, window.end_s
            self._rows.append(Caption(window.sha256, window.modality, *times, text))
        self._progress.advance(len(batch))

    def commit(self) -> None:
        """Puts captions where a kill does not lose them."""
        self._captions.add(self._rows, self._captioner)
        self.written += len(self._rows)
        self._rows, self._committed_s = [], time.monotonic()


class _Unseen:
    """Lists files that cannot be written of, and judges faults of this package.

    Attributes:
      reasons: path -> why windows of it have no caption.
    """

    def __init__(self, judge: faults.Judge, path: Path, captioner: Captioner):
        self._judge, self._captioner = judge, captioner
        self._list = Quarantine(path, max_bad_rate=1.0)
        self._used = False
        self._fault: faults.Fault | None = None
        self.reasons: dict[str, str] = {}

    def take(self, portion: Portion, decoded: Sequence[Decoded]) -> None:
        """Of windows of a file; the portions of one come together.

        Raises:
          InternalError: as `faults.Judge`.
        """
        first, made = portion.windows[0], self._captioner.key
        path, now = first.path, (first.size, first.mtime_ns)
        for one in decoded:
            if isinstance(one, Seen):
                self._used = True
                continue
            fault = one if isinstance(one, faults.Fault) else None
            self._fault = self._fault or fault
            self.reasons.setdefault(path, one.reason)
            bad = BadFile.of(first.modality, path, one.reason, now, made, fault)
            self._list.record(0, [bad])
        if portion.is_last:
            told = first.modality, names.shown(path), self._fault
            is_used, self._used, self._fault = self._used, False, None
            self._judge.passed(*told, is_used=is_used)


class _Pool:
    """Processes that decode portions; one that dies costs the portion it was at."""

    def __init__(self, count: int):
        self._count = count
        self._processes = self._start(count)

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_) -> None:
        self._processes.shutdown(cancel_futures=True)

    @staticmethod
    def _start(count: int) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            count,
            mp_context=multiprocessing.get_context("spawn"),  # threads do not survive a fork
            initializer=_begin_process,
        )

    def decoded(self, todo: Iterable[Portion]) -> Iterator[tuple[Portion, list[Decoded]]]:
        """Each portion and what becomes of its windows, in order."""
        waiting: collections.deque[tuple[Portion, concurrent.futures.Future]] = collections.deque()
        left = iter(todo)
        while True:
            while len(waiting) < AHEAD * self._count and (one := next(left, None)) is not None:
                waiting.append((one, self._submitted(one)))
            if not waiting:
                return
            portion, future = waiting.popleft()
            try:
                yield portion, future.result()
            except BrokenProcessPool:
                again = [portion, *(one for one, _ in waiting)]
                waiting.clear()
                for one in again:  # each by itself, to see whose fault it is
                    yield one, self._alone(one)
                self._processes = self._start(self._count)

    def _submitted(self, portion: Portion) -> concurrent.futures.Future:
        """A portion on its way; where a process has just died, a future that says so."""
        try:
            return self._processes.submit(decode, portion)
        except BrokenProcessPool as error:
            broken: concurrent.futures.Future = concurrent.futures.Future()
            broken.set_exception(error)
            return broken

    def _alone(self, portion: Portion) -> list[Decoded]:
        with self._start(1) as single:
            try:
                return single.submit(decode, portion).result()
            except BrokenProcessPool:
                reason = "the process that decoded it for a caption ended; it is damaged"
                return [decoders.Bad(one.modality, reason) for one in portion.windows]


def _begin_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends this
    processes.one_of_several()


def decode(portion: Portion) -> list[Decoded]:
    """Decodes windows of a file, or says why not; runs in a process without jax."""
    first = portion.windows[0]
    if stamps.now(first.path) != (first.size, first.mtime_ns):
        reason = "has changed since it was embedded; build the index again"
        return [decoders.Bad(first.modality, reason)] * len(portion.windows)
    found: list[Decoded] = []
    with notices.collected():  # they were told when it was embedded
        for window in portion.windows:
            try:
                found.append(_seen(window, portion.views))
            except errors.DataError as error:
                found.append(decoders.Bad(window.modality, error.reason))
            except Exception as error:  # whatever it is, it must not be taken for a damaged file
                found.append(decoders.unforeseen(window.modality, error))
    return found


def _seen(window: Window, views: Views) -> Seen:
    """Decodes a window by the best group for which it has everything.

    Raises:
      DataError: why not by the best one that its file has.
    """
    path = Path(window.path)
    media = path if window.start_s is None else Clip(path, window.start_s, window.end_s)
    groups = [*views]
    groups = groups[groups.index(valor_items.pick(media, groups)) :]
    reasons = []
    for group in groups:  # sound may end before the film
        try:
            item = items.preprocess(dict.fromkeys(views[group], media), views[group])
        except errors.DataError as error:
            reasons.append(error)
        else:
            return Seen(window, group, dict(item.arrays))
    raise reasons[0]
