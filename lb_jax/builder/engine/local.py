"""The engine of one machine: processes that look at films, and this one, which judges.

Each process opens one film at a time and asks all stages that look at films, see `looking`; one
that dies or hangs costs its film alone (`media.decoders`). What needs the model is gathered here
and computed in a thread of its own, while the processes go on.
"""

import collections
import contextlib
import dataclasses
import multiprocessing
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import pyarrow as pa

from lb_jax.builder import films
from lb_jax.builder.engine import driver, looking
from lb_jax.builder.items import Items
from lb_jax.builder.stage import Verdict
from lb_jax.builder.stages import Planned
from lb_jax.builder.store import Store
from lb_jax.core import errors
from lb_jax.media import decoders, faults, given, readings

AHEAD = 2  # batches that are begun; what a model takes of their films is in memory


def run(
    plan: Sequence[Planned],
    items: Items,
    store: Store,
    *,
    workers: int = 0,
    commit_rows: int = 64,
    film_timeout_s: float = 120.0,
    shown: bool = True,
) -> None:
    """Runs what is missing of all stages over all items, with processes of this machine.

    Args:
      plan: the stages, in order.
      items: of the source.
      store: that keeps what they say.
      workers: processes; 0 for one a core.
      commit_rows: items of a commit.
      film_timeout_s: a film that takes longer is left out as bad.
      shown: whether progress is told.

    Raises:
      DataError, InternalError: as `driver.drive`.
    """
    pool = Local(workers or os.cpu_count() or 1, film_timeout_s, store.uri)
    driver.drive(plan, items, store, pool, commit_rows=commit_rows, shown=shown)


@dataclasses.dataclass
class _Batch:
    """Films that are committed together.

    Attributes:
      tasks: the films.
      said: place of an item -> what stages said of it so far.
      looked: stage that judges -> place of an item -> figures for it.
      left: films that are not done.
      judged: what stages that judge say, once it is being computed.
    """

    tasks: Sequence[driver.Task]
    said: dict[int, list[tuple[str, Verdict]]]
    looked: dict[str, dict[int, Mapping[str, Any]]]
    left: int
    judged: futures.Future | None = None

    def looked_by(self, place: int) -> list[str]:
        """Stages that judge and have what they need of an item."""
        return [name for name, looked in self.looked.items() if place in looked]


@dataclasses.dataclass(frozen=True)
class Local:
    """Processes that look at films.

    Attributes:
      workers: of them.
      film_timeout_s: a film that takes longer is left out as bad.
      listed: where somebody may look for more on faults of this package.
    """

    workers: int
    film_timeout_s: float
    listed: str

    def films(
        self,
        plan: Sequence[Planned],
        batches: Iterable[Sequence[driver.Task]],
        items: pa.Table,
    ) -> Iterator[tuple[Sequence[driver.Task], driver.Said]]:
        """Looks at films, and judges them; see `driver.Pool`."""
        waiting = iter(batches)
        first = next(waiting, None)
        if first is None:  # no process is started for nothing
            return
        reading = Reading(looking.Looks.of(plan))
        with (
            decoders.Decoders(self.workers, reading, self.film_timeout_s) as pool,
            contextlib.closing(_Pipe()) as pipe,  # after the thread, which writes to it
            futures.ThreadPoolExecutor(1) as computer,
        ):
            work = _Work(plan, items, pool, computer, pipe, self.listed)
            work.begin(first)
            while True:
                while len(work.open) < AHEAD and (batch := next(waiting, None)) is not None:
                    work.begin(batch)
                if not work.is_busy:
                    return
                work.step()
                yield from work.finished()


class _Pipe:
    """Wakes this process when something was computed."""

    def __init__(self):
        self.reads, self._writes = multiprocessing.Pipe(duplex=False)

    def wake(self) -> None:
        self._writes.send_bytes(b".")

    def empty(self) -> None:
        while self.reads.poll():
            self.reads.recv_bytes()

    def close(self) -> None:
        self.reads.close()
        self._writes.close()


class _Work:
    """Films that are begun and not committed.

    Attributes:
      open: their batches, in order.
    """

    def __init__(
        self,
        plan: Sequence[Planned],
        items: pa.Table,
        pool: decoders.Decoders,
        computer: futures.Executor,
        pipe: _Pipe,
        listed: str,
    ):
        self._by_name, self._items = {one.name: one for one in plan}, items
        self._pool, self._computer, self._pipe = pool, computer, pipe
        self.open: collections.deque[_Batch] = collections.deque()
        self._waiting: collections.deque[driver.Task] = collections.deque()
        self._tasks: dict[int, tuple[driver.Task, _Batch]] = {}
        self._faults: list[tuple[str, faults.Fault]] = []
        self._used, self._listed = False, listed

    @property
    def is_busy(self) -> bool:
        """Whether anything is begun."""
        return bool(self.open)

    def begin(self, tasks: Sequence[driver.Task]) -> None:
        """Takes a batch of films."""
        batch = _Batch(tasks, {task.place: [] for task in tasks}, {}, len(tasks))
        self.open.append(batch)
        self._waiting.extend(tasks)
        self._tasks |= {task.place: (task, batch) for task in tasks}

    def step(self) -> None:
        """Hands films out, and takes what comes back."""
        while self._waiting and self._pool.idle:
            task = self._waiting.popleft()
            self._pool.submit(task.place, task.path, task.names)
        for place, message in self._pool.poll(decoders.LOOK_S, self._pipe.reads):
            self._take(place, message)
        self._pipe.empty()

    def finished(self) -> Iterator[tuple[Sequence[driver.Task], driver.Said]]:
        """Batches that are done, in order."""
        while self.open and self.open[0].judged is not None and self.open[0].judged.done():
            batch = self.open.popleft()
            assert batch.judged is not None  # as the loop says
            for name, verdicts in batch.judged.result().items():
                for place, verdict in verdicts.items():
                    batch.said[place].append((name, verdict))
            yield batch.tasks, batch.said

    def _take(self, place: int, message: decoders.Message) -> None:
        task, batch = self._tasks[place]
        match message:
            case decoders.Opened():
                self._pool.answer(place, task.names)
            case readings.Arrays(name, _, (verdict,)):
                self._told(batch, place, name, verdict)
            case decoders.Bad(name, reason):
                add_bad(batch.said[place], batch.looked_by(place), task.names, name, reason)
            case faults.Fault(name):
                looked = batch.looked_by(place)
                add_bad(batch.said[place], looked, task.names, name, message.reason)
                self._judge_fault(task, message)
            case decoders.Done(None):
                del self._tasks[place]
                batch.left -= 1
                self._used |= any(one.kept is not None for _, one in batch.said[place])
                if not batch.left:
                    self._start(batch)

    def _told(self, batch: _Batch, place: int, name: str, verdict: Verdict) -> None:
        if self._by_name[name].stage.judge is not None and verdict.kept:
            batch.looked.setdefault(name, {})[place] = verdict.figures
        else:
            batch.said[place].append((name, verdict))

    def _judge_fault(self, task: driver.Task, fault: faults.Fault) -> None:
        """Stops the run where the first films all meet a fault of this package."""
        self._faults.append((task.path, fault))
        if not self._used and len(self._faults) >= faults.FIRST:
            raise errors.InternalError(
                f"lb_jax failed on the first {len(self._faults)} films: {fault.error}; last: "
                f"{task.path}. The films are not at fault: report this. {self._listed} holds what "
                "came before."
            )

    def _start(self, batch: _Batch) -> None:
        """Computes what stages that judge say of a batch."""
        batch.judged = self._computer.submit(judged, self._by_name, self._items, batch.looked)
        batch.judged.add_done_callback(lambda _: self._pipe.wake())


def add_bad(
    said: list[tuple[str, Verdict]],
    looked: Collection[str],
    names: Sequence[str],
    name: str | None,
    reason: str,
) -> None:
    """Notes why a film cannot be used, at the stage that met it.

    Args:
      said: what stages said of it so far.
      looked: stages that judge and have what they need.
      names: of all stages that were to look, in order.
      name: of the stage that met it; None for the first that has not looked yet.
      reason: why.
    """
    told = {one for one, _ in said} | set(looked)
    met = name or next((one for one in names if one not in told), None)
    if met is not None and met not in told:
        said.append((met, Verdict(None, reason)))


def judged(
    by_name: Mapping[str, Planned],
    items: pa.Table,
    looked: Mapping[str, Mapping[int, Mapping[str, Any]]],
) -> dict[str, dict[int, Verdict]]:
    """What stages that judge say: stage -> place of an item -> verdict."""
    found = {}
    for name, figures in looked.items():
        one, places = by_name[name], sorted(figures)
        assert one.stage.judge is not None  # only theirs are gathered
        batch = items.take(places).combine_chunks().to_batches()[0]
        verdicts = one.stage.judge(batch, [figures[place] for place in places], one.prepared)
        found[name] = dict(zip(places, verdicts, strict=True))
    return found


class Reading:
    """What a process makes of a film, a `readings.Reading`: its modalities are stages.

    Args:
      looks: the stages.
    """

    def __init__(self, looks: looking.Looks):
        self._looks = looks
        self._path = ""
        self._film: films.Film | None = None
        self._is_over = False

    def having(self, path: str, modalities: Sequence[str]) -> tuple[str, ...]:
        """All stages that are asked for."""
        if self._film is not None:
            self._film.__exit__(None, None, None)
        self._path, self._film, self._is_over = path, None, False
        return tuple(modalities)

    def arrays(
        self, media: given.Media, modality: str, depth_unit: str
    ) -> Iterator[readings.Arrays]:
        """What a stage says of the film; nothing behind one that refused it.

        Raises:
          DataError: the film cannot be used.
        """
        del depth_unit
        if self._is_over:
            return
        self._is_over = True  # unless it says otherwise
        if self._film is None:
            self._film = films.Film(media, self._path, self._looks.wants)
        batch = looking.batch_of(self._path)
        verdict = self._looks.verdict(modality, self._film, batch)
        self._is_over = not self._looks.goes_on(modality, verdict)
        yield readings.Arrays(modality, (None,), (verdict,))
