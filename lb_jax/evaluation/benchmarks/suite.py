"""Runs benchmarks of the table on whatever of their data is on disk."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks import layouts, prompts
from lb_jax.evaluation.benchmarks import writing as writing_lib
from lb_jax.evaluation.benchmarks.bench import Bench, Embedder, TaskResult
from lb_jax.evaluation.benchmarks.probes import Used
from lb_jax.evaluation.benchmarks.splits import Problem, Split
from lb_jax.evaluation.benchmarks.table import Benchmark, Settings
from lb_jax.evaluation.benchmarks.writing import Writer, WritingBench, WrittenResult

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """One benchmark.

    Attributes:
      title: as the papers call it.
      split: what is on disk.
      published: counts of the published split, "items" and perhaps "captions".
      classes: labels on disk, in the order of the columns; empty with captions.
      names: what the prompts call them, in the same order.
      tasks: name of a task of retrieval or classes -> its result.
      left_out: name of a task -> why it was not run.
      problems: of the data set, and what could not be decoded.
      samples: modality, text among them -> unit rows `[n, e]` of some of what was embedded.
      seconds: that it took.
      written: name of a task of captions or answers -> what was written.
    """

    title: str
    split: Split
    published: Mapping[str, int | None]
    classes: tuple[str, ...]
    names: tuple[str, ...]
    tasks: dict[str, TaskResult]
    left_out: dict[str, str]
    problems: tuple[Problem, ...]
    samples: dict[str, np.ndarray]
    seconds: float
    written: dict[str, WrittenResult] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class SuiteResult:
    """All benchmarks that were run.

    Attributes:
      benchmarks: name -> result.
      left_out: name -> why it was not run.
      settings: how it was scored, or learnt.
    """

    benchmarks: dict[str, BenchmarkResult]
    left_out: dict[str, str]
    settings: Settings | Used


def run(
    embedder: Embedder | None,
    root: Path,
    rows: Mapping[str, Benchmark],
    settings: Settings,
    announce: Callable[[str], None] = lambda title: None,
    writer: Writer | None = None,
    progress: writing_lib.Progress = lambda what, done, total: None,
) -> SuiteResult:
    """Runs the rows whose data are below `root`.

    Args:
      embedder: the model; None where it gives no vectors.
      root: holds a folder for each data set, named as the row.
      rows: of the table of benchmarks, by name.
      settings: how to score.
      announce: called with the title of each benchmark before it is run.
      writer: the model, where it writes; it then scores texts against items itself.
      progress: of what it writes and scores, see `WritingBench`.

    Raises:
      DataError: `root` is no folder, or nothing in it can be run.
    """
    if not root.is_dir():
        raise errors.DataError(root, "is no folder; give the one that holds the data sets' folders")
    results, left_out = {}, dict.fromkeys(without_vectors(rows, embedder, writer), NO_VECTORS)
    for name, row in rows.items():
        if name in left_out:
            continue
        if not (root / name).is_dir():
            left_out[name] = f"no folder {root / name}"
            continue
        announce(row.title)
        try:
            split = layouts.LAYOUTS[name].read(root / name)
        except errors.DataError as error:  # one data set out of order does not stop the others
            left_out[name] = str(error)
            continue
        counts = layouts.LAYOUTS[name].counts
        found = score(embedder, name, row, split, settings, counts, writer, progress)
        if found.tasks or found.written:
            results[name] = found
        else:
            left_out[name] = nothing_run(found)
    if not results:
        lacking = [name for name, reason in left_out.items() if reason == NO_VECTORS]
        reasons = [f"{', '.join(lacking)}: {NO_VECTORS}"] if lacking else []
        others = [name for name in left_out if name not in lacking]
        reasons += [left_out[name] for name in others if (root / name).is_dir()]
        absent = [name for name in others if not (root / name).is_dir()]
        reasons += [f"there is no folder {', '.join(absent)}"] if absent else []
        raise errors.DataError(
            root,
            f"no benchmark can be run: {'; '.join(reasons)}. Give the folder that holds the data "
            "sets' folders.",
        )
    return SuiteResult(results, left_out, settings)


NO_VECTORS = "compares vectors, which a model that writes does not give"


def without_vectors(
    rows: Mapping[str, Benchmark], embedder: Embedder | None, writer: Writer | None
) -> list[str]:
    """The rows of which a model that writes and gives no vectors has no task."""
    if embedder is not None or writer is None:
        return []
    return [name for name, row in rows.items() if not writing_lib.has(row, writer.groups)]


def score(
    embedder: Embedder | None,
    name: str,
    row: Benchmark,
    split: Split,
    settings: Settings,
    counts: Mapping[str, int | None] = MappingProxyType({"items": None}),
    writer: Writer | None = None,
    progress: writing_lib.Progress = lambda what, done, total: None,
) -> BenchmarkResult:
    """Runs the tasks of one row that the data and the model allow.

    Args:
      embedder: the model; None where it gives no vectors.
      name: of the row.
      row: what is asked.
      split: the data set.
      settings: how to score.
      counts: of the published split.
      writer: the model, where it writes; it then scores texts against items itself.
      progress: of what it writes and scores, see `WritingBench`.
    """
    started = time.perf_counter()
    bench = Bench(embedder, name, settings.apply(row), split, settings)
    writing = WritingBench(writer, bench.split, settings, progress)
    tasks: dict[str, TaskResult] = {}
    written: dict[str, WrittenResult] = {}
    left_out: dict[str, str] = {}
    for task in row.tasks:
        by_pairs = not (row.prompts or row.pairs) and writing.scores(task)
        reason = writing.obstacle(task) if by_pairs else bench.obstacle(task)
        found = reason or (writing.score(task) if by_pairs else bench.run(task))
        _sort(task, found, tasks, left_out)
    for task in row.written:
        _sort(task, writing.obstacle(task) or writing.write(task), written, left_out)
    return BenchmarkResult(
        title=row.title,
        split=bench.split,
        published=counts,
        classes=bench.classes,
        names=tuple(prompts.classes(row.prompts.classes).values()) if row.prompts else (),
        tasks=tasks,
        left_out=left_out,
        problems=(*bench.split.problems, *bench.found, *writing.found),
        samples=bench.samples(),
        seconds=time.perf_counter() - started,
        written=written,
    )


def _sort(task, found: T | str, results: dict[str, T], left_out: dict[str, str]) -> None:
    """Puts a result, or why there is none, under the name of its task."""
    if isinstance(found, str):
        left_out[str(task)] = found
    else:
        results[str(task)] = found


def nothing_run(result: BenchmarkResult) -> str:
    """Why no task of a benchmark was run, in one line."""
    reasons = [f"{task}: {reason}" for task, reason in result.left_out.items()]
    named = [f"{one.kind} {one.name}: {one.reason}" for one in result.problems[:1]]
    return f"no task can be run ({'; '.join(reasons + named)})"
