"""Runs stages over the items of a source, into a store: what every engine has in common.

Only what is missing is done: what the store holds of a stage is taken. Items go in batches of the
source's order, and each batch is committed as a whole, stage by stage, so that a killed run leaves
what it had committed and the same command goes on.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage as stage_lib
from lb_jax.builder import store as store_lib
from lb_jax.builder.engine import phases
from lb_jax.builder.items import Items
from lb_jax.builder.stage import ID, ITEM, Verdict
from lb_jax.builder.stages import Planned
from lb_jax.builder.store import MISSING, STAYS, Store
from lb_jax.core import config, errors, logging
from lb_jax.core.words import counted


@dataclasses.dataclass(frozen=True)
class Task:
    """A film that is to be looked at.

    Attributes:
      place: of the item among all.
      path: of its file.
      names: of the stages that look, in order.
    """

    place: int
    path: str
    names: tuple[str, ...]


# Place of an item -> what stages said of it, in their order.
Said = Mapping[int, Sequence[tuple[str, Verdict]]]


class Pool(Protocol):
    """What looks at films."""

    def films(
        self, plan: Sequence[Planned], batches: Iterable[Sequence[Task]], items: pa.Table
    ) -> Iterator[tuple[Sequence[Task], Said]]:
        """Looks at films, and judges them.

        Args:
          plan: all stages.
          batches: of films, each committed as a whole.
          items: of `ITEM`, all of the source.

        Yields:
          Each batch with what was said, in their order.
        """
        ...


def drive(
    plan: Sequence[Planned],
    items: Items,
    store: Store,
    pool: Pool,
    *,
    commit_rows: int,
    shown: bool = True,
) -> None:
    """Runs what is missing of all stages over all items.

    Args:
      plan: the stages, in order.
      items: of the source.
      store: that keeps what they say.
      pool: looks at films.
      commit_rows: items of a commit.
      shown: whether progress is told.

    Raises:
      DataError: the store is of another sheet or another source, or its disk is full.
      InternalError: this package fails on the first films.
    """
    store.require_sheet([(one.stage, one.told) for one in plan])
    _keep_items(items, store)
    run = _Run(plan, items, store, commit_rows, shown)
    for phase in phases.of(plan):
        if phase.kind == phases.ROWS:
            run.rows(phase.stages[0])
        elif phase.kind == phases.FILMS:
            run.films(phase.stages, pool)
        else:
            run.compare(phase.stages[0])


class _Run:
    """What is known of all items by all stages."""

    def __init__(
        self, plan: Sequence[Planned], items: Items, store: Store, commit_rows: int, shown: bool
    ):
        self._plan, self._items, self._store = plan, items, store
        self._commit_rows, self._shown = commit_rows, shown
        self._ids = items.rows[ID].to_pylist()
        at = {item: place for place, item in enumerate(self._ids)}
        compares = [one.stage.compare is not None for one in plan]
        # [stages, items]: what was said; of those that compare, what was said by looking
        self._said = np.stack(
            [
                store.verdicts(one.stage, at, seen=looks)
                for one, looks in zip(plan, compares, strict=True)
            ]
        )
        # of those that compare it counts once it is known to be of what there is now
        self._final = self._said.copy()
        self._final[compares] = MISSING

    def _alive(self, before: int) -> np.ndarray:
        """Whether each item stays by all stages before one: bool [items]."""
        return (self._final[:before] == STAYS).all(axis=0)

    def _batches(self, places: Iterable[int]) -> Iterator[list[int]]:
        """Places in batches that are the same however many of them are missing."""
        batch: list[int] = []
        for place in places:
            if batch and place // self._commit_rows != batch[0] // self._commit_rows:
                yield batch
                batch = []
            batch.append(place)
        if batch:
            yield batch

    def _progress(self, title: str, total: int) -> logging.Progress:
        return logging.Progress(title, total, unit="item", shown=self._shown and total > 0)

    def rows(self, number: int) -> None:
        """Runs a stage that opens no film."""
        one = self._plan[number]
        assert one.stage.look is not None  # it is one that looks
        missing = np.flatnonzero(self._alive(number) & (self._said[number] == MISSING))
        taken = self._taken(one) if len(missing) else {}
        with self._progress(one.name, len(missing)) as bar:
            for places in self._batches(missing.tolist()):
                rows = self._items.rows.take(places)
                for name, (column, at) in taken.items():
                    rows = rows.append_column(name, column.take(at[places]))
                batch = rows.combine_chunks().to_batches()[0]
                self._keep(number, places, one.stage.look(batch, (), one.prepared))
                bar.advance(len(places))

    def _taken(self, one: Planned) -> dict[str, tuple[pa.ChunkedArray, np.ndarray]]:
        """What stages before one wrote for it: `stage.column` -> values, place -> row of them."""
        by_name = {planned.name: planned.stage for planned in self._plan}
        found = {}
        for name, column in one.takes:
            said = self._store.said(by_name[name])
            rows = {item: row for row, item in enumerate(said[ID].to_pylist())}
            at = np.array([rows.get(item, 0) for item in self._ids], np.int64)
            found[f"{name}.{column}"] = said[column], at  # who stays has a row
        return found

    def films(self, numbers: Sequence[int], pool: Pool) -> None:
        """Runs all stages that open films, each film once."""
        tasks = list(self._tasks(numbers))
        by_name = {self._plan[number].name: number for number in numbers}
        batches = self._task_batches(tasks)
        title = f"films, {counted(len(by_name), 'stage')}"
        with self._progress(title, len(tasks)) as bar:
            for batch, said in pool.films(self._plan, batches, self._items.rows):
                for name, number in by_name.items():
                    told = [
                        (task.place, verdict)
                        for task in batch
                        for stage, verdict in said[task.place]
                        if stage == name
                    ]
                    self._keep(number, [place for place, _ in told], [one for _, one in told])
                bar.advance(len(batch))

    def _tasks(self, numbers: Sequence[int]) -> Iterator[Task]:
        alive = self._alive(numbers[0])
        files = self._items.rows["file"]
        for place in np.flatnonzero(alive).tolist():
            names = []
            for number in numbers:
                known = self._said[number, place]
                if known == MISSING:
                    names.append(self._plan[number].name)
                elif known != STAYS:
                    break
            if names:
                path = self._items.path(files[place].as_py())
                yield Task(place, path, tuple(names))

    def _task_batches(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        by_place = {task.place: task for task in tasks}
        for places in self._batches(by_place):
            yield [by_place[place] for place in places]

    def _keep(self, number: int, places: Sequence[int], verdicts: Sequence[Verdict]) -> None:
        """Commits what a stage said of some items."""
        if not places:
            return
        one, ids = self._plan[number].stage, [self._ids[place] for place in places]
        codes = [store_lib.code(verdict.kept) for verdict in verdicts]
        self._said[number, places] = codes
        if one.compare is not None:
            self._store.add_seen(one, stage_lib.table(one.seen_schema, ids, verdicts))
            return
        self._final[number, places] = codes
        self._store.add(one, stage_lib.table(one.schema, ids, verdicts))

    def compare(self, number: int) -> None:
        """Runs a stage that sees all items at once, where they are others than last time."""
        one = self._plan[number]
        assert one.stage.compare is not None  # it is one that compares
        alive = self._alive(number)
        usable = alive if one.stage.look is None else alive & (self._said[number] == STAYS)
        places = np.flatnonzero(usable).tolist()
        rows = _taken(self._items.rows, places)
        seen = None
        if one.stage.look is not None:
            seen = _by_id(self._store.seen(one.stage))
            rows = _joined(rows, seen, one.stage.seen)
        # What could not be looked at is told as such.
        damaged = np.flatnonzero(alive & ~usable).tolist()
        digest = _digest(one, rows, [self._ids[place] for place in damaged])
        if digest != self._store.digest(one.stage):
            verdicts = one.stage.compare(rows, one.prepared) if places else []
            told = dict(zip(places, verdicts, strict=True))
            reasons = seen["reason"] if seen else {}
            told |= {one: Verdict(None, reasons[self._ids[one]]) for one in damaged}
            order = sorted(told)
            ids = [self._ids[place] for place in order]
            table = stage_lib.table(one.stage.schema, ids, [told[place] for place in order])
            self._store.replace(one.stage, table, digest)
        at = {item: place for place, item in enumerate(self._ids)}
        self._final[number] = self._store.verdicts(one.stage, at)


def _taken(rows: pa.Table, places: Sequence[int]) -> pa.Table:
    """Rows at some places, which may be none."""
    return rows.take(pa.array(places, pa.int64()))


def _by_id(rows: pa.Table) -> dict[str, dict]:
    """Column -> id -> value."""
    ids = rows[ID].to_pylist()
    return {name: dict(zip(ids, rows[name].to_pylist(), strict=True)) for name in rows.schema.names}


def _joined(
    rows: pa.Table, seen: Mapping[str, Mapping], columns: Sequence[tuple[str, pa.DataType]]
) -> pa.Table:
    ids = rows[ID].to_pylist()
    for name, kind in columns:
        rows = rows.append_column(name, pa.array([seen[name][item] for item in ids], kind))
    return rows


def _digest(one: Planned, rows: pa.Table, damaged: Sequence[str]) -> str:
    """Of what a stage sees that compares, and of itself."""
    told = [one.stage.version, config.to_dict(one.settings), list(damaged)]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in rows.schema.names:
        values = rows[name].to_pylist()
        digest.update(json.dumps([name, values], default=bytes.hex).encode())
    return digest.hexdigest()


def _keep_items(items: Items, store: Store) -> None:
    """Puts items into the store; one that holds others is refused.

    Items may be added to a source.
    """
    known = store.items()
    there = dict(zip(known[ID].to_pylist(), known.drop([ID]).to_pylist(), strict=True))
    now = dict(zip(items.rows[ID].to_pylist(), items.rows.drop([ID]).to_pylist(), strict=True))
    if gone := [item for item in there if item not in now]:
        raise errors.DataError(
            store.uri,
            f"is of another source: {counted(len(gone), 'item')} of it are not in this one, "
            f"such as {there[gone[0]]['key']!r}; give a new --out.",
        )
    for item, fields in there.items():
        for name in ITEM.names[2:]:
            if fields[name] != now[item][name]:
                raise errors.DataError(
                    store.uri,
                    f"is of another source: {name} of {fields['key']!r} was {fields[name]!r} and "
                    f"is {now[item][name]!r}; give a new --out.",
                )
    new = [place for place, item in enumerate(now) if item not in there]
    store.add_items(_taken(items.rows, new))
