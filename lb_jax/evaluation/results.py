"""The results of a suite as plain values: `metrics.json` and `outcomes.json`."""

import dataclasses
from collections.abc import Sequence

from lb_jax.evaluation.bench import TaskResult
from lb_jax.evaluation.suite import BenchmarkResult, SuiteResult


def to_json(result: SuiteResult) -> dict:
    """The figures of a suite, ready for `metrics.json`.

    Returns:
      `{"settings", "benchmarks": {name: {"title", "items", "published", "tasks": {task: {"n",
      "metrics", "chance", "interval", "drop_one": {modality: metrics}, "per_class"}}, "left_out",
      "problems": [{"kind", "name", "reason", "modality"}], "health", "seconds"}}, "left_out"}`;
      figures are fractions.
    """
    return {
        "settings": dataclasses.asdict(result.settings),
        "benchmarks": {name: _benchmark_json(one) for name, one in result.benchmarks.items()},
        "left_out": result.left_out,
    }


def _benchmark_json(one: BenchmarkResult) -> dict:
    return {
        "title": one.title,
        "items": len(one.split.ids),
        "published": dict(one.published),
        "tasks": {name: _task_json(task, one.classes) for name, task in one.tasks.items()},
        "left_out": one.left_out,
        "problems": [dataclasses.asdict(problem) for problem in one.problems],
        "health": one.health,
        "seconds": one.seconds,
    }


def _task_json(task: TaskResult, classes: Sequence[str]) -> dict:
    outcome = task.outcome
    found = {
        "n": len(task.ids),
        "metrics": outcome.metrics,
        "chance": outcome.chance,
        "interval": {name: list(limits) for name, limits in outcome.interval.items()},
        "drop_one": {name: less.metrics for name, less in task.drop_one.items()},
    }
    if outcome.per_class is not None:
        found["per_class"] = dict(zip(classes, outcome.per_class, strict=True))
    return found


def outcomes(result: SuiteResult) -> dict[str, dict[str, list]]:
    """What became of each query, so that two runs can be compared item by item.

    Returns:
      "benchmark/task" -> {"metric": name of the figure, "items": names, "hits": 0 or 1 of each
      query}; of tasks whose figure is a mean over queries.
    """
    found = {}
    for name, one in result.benchmarks.items():
        for task_name, task in one.tasks.items():
            if task.outcome.rank is not None and not task.outcome.headline.startswith("p"):
                found[f"{name}/{task_name}"] = {
                    "metric": task.outcome.headline,
                    "items": [task.ids[i] for i in task.outcome.item.tolist()],
                    "hits": (task.outcome.rank == 1).astype(int).tolist(),
                }
    return found
