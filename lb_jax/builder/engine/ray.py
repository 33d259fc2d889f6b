"""The engine of a cluster: the same stages on Ray Data, in pools of actors.

Ray hands batches out and brings them back in order; nothing of its own is relied on to go on after
a failure. An actor that looks holds one decoding process (`media.decoders`), so that a film that
breaks a decoder costs itself alone; an actor that dies is made again and its batch is looked at
again. What was committed lies in the store, as with any engine. Files must be reachable from all
machines under the same path.
"""

import contextlib
import logging
import multiprocessing
import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lb_jax.builder.engine import driver, local, looking
from lb_jax.builder.items import Items
from lb_jax.builder.stage import ITEM, Verdict
from lb_jax.builder.stages import STAGES, Planned
from lb_jax.builder.store import Store
from lb_jax.core import errors
from lb_jax.media import decoders, faults, readings

# Rows on their way: an item, the stages that look at it, what they said, what is for those that
# judge; the last two pickled.
TASK = ITEM.append(pa.field("path", pa.string())).append(pa.field("names", pa.list_(pa.string())))
SAID = pa.schema([("place", pa.int64()), ("said", pa.binary()), ("looked", pa.binary())])
CPUS_OF_A_LOOK = 1


def run(
    plan: Sequence[Planned],
    items: Items,
    store: Store,
    *,
    address: str = "",
    workers: int = 0,
    commit_rows: int = 64,
    film_timeout_s: float = 120.0,
    shown: bool = True,
) -> None:
    """Runs what is missing of all stages over all items, on Ray.

    Args:
      plan: the stages, in order.
      items: of the source.
      store: that keeps what they say.
      address: of a cluster; empty starts one on this machine, which ends with this process.
      workers: actors that look at films; 0 for one a core of the cluster.
      commit_rows: items of a commit.
      film_timeout_s: a film that takes longer is left out as bad.
      shown: whether progress is told.

    Raises:
      ConfigError: without Ray, or where there is no cluster at the address.
      DataError, InternalError: as `driver.drive`.
    """
    pool = OnRay(address, workers, film_timeout_s)
    driver.drive(plan, items, store, pool, commit_rows=commit_rows, shown=shown)


class OnRay:
    """A pool of actors that look at films, and one that judges; a `driver.Pool`.

    Args:
      address: of a cluster; empty for one on this machine.
      workers: actors; 0 for one a core.
      film_timeout_s: a film that takes longer is left out as bad.
    """

    def __init__(self, address: str, workers: int, film_timeout_s: float):
        self._address, self._workers, self._timeout_s = address, workers, film_timeout_s

    def films(
        self, plan: Sequence[Planned], batches: Iterable[Sequence[driver.Task]], items: pa.Table
    ) -> Iterator[tuple[Sequence[driver.Task], driver.Said]]:
        """Looks at films, and judges them; see `driver.Pool`."""
        waiting = list(batches)
        if not waiting:
            return
        tables = [_rows(batch, items) for batch in waiting]
        with _started(self._address, self._workers) as ray:
            import ray.data

            context = ray.data.DataContext.get_current()
            context.execution_options.preserve_order = True
            context.enable_progress_bars = False
            actors = self._workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            looks = looking.Looks.of(plan)
            found = ray.data.from_arrow(tables).map_batches(
                Look,
                fn_constructor_args=(looks, self._timeout_s),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(actors, len(tables))),
                num_cpus=CPUS_OF_A_LOOK,
            )
            judging = tuple(one for one in plan if one.stage.judge is not None)
            if judging:
                found = found.map_batches(
                    Judge,
                    fn_constructor_args=(tuple((one.name, one.prepared) for one in judging), items),
                    batch_size=None,
                    batch_format="pyarrow",
                    compute=ray.data.ActorPoolStrategy(size=1),
                    num_cpus=0,  # beside those that look; its accelerator is whatever JAX finds
                )
            said: dict[int, Sequence[tuple[str, Verdict]]] = {}
            left = iter(waiting)
            now = next(left, None)
            for rows in found.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            ):
                for row in rows.to_pylist():
                    said[row["place"]] = pickle.loads(row["said"])
                while now is not None and all(task.place in said for task in now):
                    yield now, {task.place: said.pop(task.place) for task in now}
                    now = next(left, None)
            assert now is None  # every task came back


class Look:
    """An actor that looks at films, by a decoding process of its own.

    Args:
      looks: the stages.
      timeout_s: a film that takes longer is left out as bad.
    """

    def __init__(self, looks: looking.Looks, timeout_s: float):
        self._pool = decoders.Decoders(1, local.Reading(looks), timeout_s)
        self._reads, self._writes = multiprocessing.Pipe(duplex=False)  # nothing wakes it

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of `TASK` -> rows of `SAID`."""
        rows = []
        for row in batch.to_pylist():
            said, looked = self._look(row["place"], row["path"], row["names"])
            rows.append(
                {
                    "place": row["place"],
                    "said": pickle.dumps(said),
                    "looked": pickle.dumps(looked),
                }
            )
        return pa.Table.from_pylist(rows, schema=SAID)

    def _look(
        self, place: int, path: str, names: Sequence[str]
    ) -> tuple[list[tuple[str, Verdict]], dict[str, Mapping[str, Any]]]:
        said: list[tuple[str, Verdict]] = []
        looked: dict[str, Mapping[str, Any]] = {}
        self._pool.submit(place, path, names)
        while True:
            for _, message in self._pool.poll(decoders.LOOK_S, self._reads):
                match message:
                    case decoders.Opened():
                        self._pool.answer(place, names)
                    case readings.Arrays(name, _, (Verdict() as verdict,)):
                        if STAGES[name].judge is not None and verdict.kept:
                            looked[name] = verdict.figures
                        else:
                            said.append((name, verdict))
                    case decoders.Bad(name, reason):
                        local.add_bad(said, looked, names, name, reason)
                    case faults.Fault(name):
                        local.add_bad(said, looked, names, name, message.reason)
                    case decoders.Done(None):
                        return said, looked


class Judge:
    """An actor that judges what others looked at: it holds the models.

    Args:
      prepared: name and settings of the stages that judge.
      items: of `ITEM`, all of the source.
    """

    def __init__(self, prepared: Sequence[tuple[str, Any]], items: pa.Table):
        self._by_name = {name: Planned(STAGES[name], given, given) for name, given in prepared}
        self._items = items

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Rows of `SAID` -> rows of `SAID` with what was judged."""
        rows = batch.to_pylist()
        said = {row["place"]: pickle.loads(row["said"]) for row in rows}
        looked: dict[str, dict[int, Mapping[str, Any]]] = {}
        for row in rows:
            for name, figures in pickle.loads(row["looked"]).items():
                looked.setdefault(name, {})[row["place"]] = figures
        for name, verdicts in local.judged(self._by_name, self._items, looked).items():
            for place, verdict in verdicts.items():
                said[place].append((name, verdict))
        told = [{"place": place, "said": pickle.dumps(one)} for place, one in said.items()]
        return pa.Table.from_pylist(told, schema=SAID)


def _rows(batch: Sequence[driver.Task], items: pa.Table) -> pa.Table:
    rows = items.take([task.place for task in batch]).to_pylist()
    told = [
        {**row, "place": task.place, "path": os.path.abspath(task.path), "names": list(task.names)}
        for row, task in zip(rows, batch, strict=True)
    ]
    return pa.Table.from_pylist(told, schema=TASK)


@contextlib.contextmanager
def _started(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected to a cluster; one that was started here ends."""
    try:
        import ray
    except ImportError as error:
        raise errors.ConfigError(
            "--engine ray needs Ray; `pip install 'lb_jax[ray]'` brings it."
        ) from error
    if ray.is_initialized():  # whoever did that ends it
        yield ray
        return
    try:
        if address:
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        else:
            ray.init(
                num_cpus=workers or None,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        raise errors.ConfigError(
            f"--address: there is no Ray cluster {where} ({error}); start one with `ray start`."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
