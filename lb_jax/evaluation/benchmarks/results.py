"""The results of a suite as plain values: `metrics.json` and `outcomes.json`."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.benchmarks import protocols
from lb_jax.evaluation.benchmarks.bench import TaskResult
from lb_jax.evaluation.benchmarks.suite import BenchmarkResult, SuiteResult
from lb_jax.evaluation.benchmarks.table import CAPTION
from lb_jax.evaluation.benchmarks.writing import WrittenResult
from lb_jax.evaluation.metrics import health, recall, words

# figure -> how many answers count
FIRST = {f"R@{k}": k for k in recall.RECALL_AT} | {f"top{k}": k for k in protocols.TOP_AT}
FIRST |= {"accuracy": 1}  # of an answer in words, which counts as first or second


def to_json(result: SuiteResult) -> dict:
    """The figures of a suite, ready for `metrics.json`.

    Returns:
      `{"settings", "benchmarks": {name: {"title", "items", "published", "tasks": {task: {"n",
      "asked", "metrics", "chance", "interval", "drop_one": {modality: metrics}, "per_class"}},
      "left_out",
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
        "tasks": {
            name: _task_json(task, one.classes) for name, task in (one.tasks | one.written).items()
        },
        "left_out": one.left_out,
        "problems": [dataclasses.asdict(problem) for problem in one.problems],
        "health": _health(one.samples),
        "seconds": one.seconds,
    }


def _task_json(task: TaskResult | WrittenResult, classes: Sequence[str]) -> dict:
    outcome = task.outcome
    found: dict[str, object] = {
        "n": len(task.ids),
        "asked": task.asked,
        "metrics": outcome.metrics,
        "chance": outcome.chance,
        "interval": {name: list(limits) for name, limits in outcome.interval.items()},
        "drop_one": {name: less.metrics for name, less in task.drop_one.items()},
    }
    if isinstance(task, WrittenResult) and task.task.kind == CAPTION:
        found["tokeniser"] = words.NAME
    if outcome.per_class is not None:
        found["per_class"] = dict(zip(classes, outcome.per_class, strict=True))
    return found


def _health(samples: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Modality -> effective rank and uniformity of its rows, and the gap to those of texts."""
    found = {
        name: {
            "effective_rank": health.effective_rank(rows),
            "uniformity": health.uniformity(rows),
        }
        for name, rows in samples.items()
    }
    for name in samples.keys() - {TEXT} if TEXT in samples else ():
        found[name]["gap_to_text"] = health.modality_gap(samples[name], samples[TEXT])
    return found


def outcomes(result: SuiteResult) -> dict[str, dict[str, list]]:
    """What became of each query, so that two runs can be compared item by item.

    Returns:
      "benchmark/task" -> {"figures": {"R@1": 1, …}, "items": names, "ranks": of each query's right
      answer}: a figure is the share of queries whose answer is among the first so many. Tasks
      without such figures are left out.
    """
    found = {}
    for name, one in result.benchmarks.items():
        for task_name, task in (one.tasks | one.written).items():
            figures = {key: k for key, k in FIRST.items() if key in task.outcome.metrics}
            rank, item = task.outcome.rank, task.outcome.item
            if figures and rank is not None and item is not None:
                found[f"{name}/{task_name}"] = {
                    "figures": figures,
                    "items": [task.ids[i] for i in item.tolist()],
                    "ranks": rank.tolist(),
                }
    return found


def written(result: SuiteResult) -> list[dict[str, object]]:
    """Every text that a model wrote, one row each, ready for `written.json`.

    Returns:
      `{"benchmark", "task", "id", "question", "said", "references", "figure"}`, the figure being
      that of the headline; captions have no question.
    """
    return [
        {"benchmark": name, "task": str(task.task)}
        | {
            key: value
            for key, value in dataclasses.asdict(line).items()
            if value or key != "question"
        }
        for name, one in result.benchmarks.items()
        for task in one.written.values()
        for line in task.lines
    ]
