"""The results of a suite as tables, the published figures beside ours.

`published.json` holds the tables of the paper and its README (spec section 9) in the order in which
they are shown. A table has its results in columns, a model to a row, or in rows, a model to a
column; `heads` say which figure of ours belongs there.
"""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence

from lb_jax.evaluation.benchmarks.splits import KINDS

OURS = "this model"
NOTHING = "–"
INCOMPLETE = "*"
PROBLEMS_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of words.

    Attributes:
      title: what it is about.
      columns: heads; the first is that of the rows' names.
      rows: words, one for each column.
      note: under it.
      ours: whether the last row ("row") or the last column ("column") is ours; "" for neither.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    ours: str = ""


def tables(metrics: Mapping) -> list[Table]:
    """The published tables with our figures, of `results.to_json`.

    A figure of ours that is of fewer items than the published split is marked with a star.
    """
    return [_LAID_OUT[one["results"]](one, metrics) for one in _published()]


def details(metrics: Mapping) -> list[Table]:
    """What was measured, of `results.to_json`: all figures, fusions, health, problems."""
    made = (_figures(metrics), _drop_one(metrics), _health(metrics), _problems(metrics))
    return [one for one in (*made, _left_out(metrics)) if one.rows]


@functools.cache
def _published() -> list[dict]:
    return json.loads(importlib.resources.files(__package__).joinpath("published.json").read_text())


def _in_columns(table: Mapping, metrics: Mapping) -> Table:
    heads, unit = table["heads"], table["unit"]
    published = [
        (name, *(_cell(values, unit, 1) for values in cells)) for name, *cells in table["rows"]
    ]
    ours = (OURS, *(_ours(head, unit, metrics) for head in heads))
    columns = ("", *(head["name"] for head in heads))
    return Table(table["title"], columns, (*published, ours), _note(table, ours), "row")


def _in_rows(table: Mapping, metrics: Mapping) -> Table:
    heads, unit = table["heads"], table["unit"]
    ours = [_ours(head, unit, metrics) for head in heads]
    rows = tuple(
        (head["name"], *(_cell(values, unit, 1) for values in cells), mine)
        for head, cells, mine in zip(heads, table["rows"], ours, strict=True)
    )
    columns = ("", *table["columns"], OURS)
    return Table(table["title"], columns, rows, _note(table, ours), "column")


_LAID_OUT = {"columns": _in_columns, "rows": _in_rows}


def _note(table: Mapping, ours: Sequence[str]) -> str:
    star = f" {INCOMPLETE} not the whole published split." if INCOMPLETE in "".join(ours) else ""
    return table["note"] + star


def _ours(head: Mapping, unit: float, metrics: Mapping) -> str:
    """Our figures of a head, or a dash."""
    benchmark = metrics["benchmarks"].get(head["benchmark"], {})
    task = benchmark.get("tasks", {}).get(head["task"])
    if task is None:
        return NOTHING
    found = task["drop_one"][head["without"]] if "without" in head else task["metrics"]
    star = "" if is_whole(benchmark, task) else INCOMPLETE
    return _cell([found.get(name) for name in head["metrics"]], unit, unit) + star


def is_whole(benchmark: Mapping, task: Mapping) -> bool:
    """Whether a task was run on all of the published split, as far as its counts say."""
    published = benchmark["published"]["items"]
    return published in (None, benchmark["items"]) and task["n"] == task["asked"]


def _cell(values: Sequence[float | None] | None, unit: float, scale: float) -> str:
    """Numbers side by side: percent with a decimal, or shares with four digits."""
    if values is None:
        return NOTHING
    digits = ".1f" if unit == 100 else ".4g"
    return " ".join(NOTHING if one is None else f"{one * scale:{digits}}" for one in values)


def _figures(metrics: Mapping) -> Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for task, found in benchmark["tasks"].items():
            count = f"{found['n']:,}" + ("" if is_whole(benchmark, found) else INCOMPLETE)
            shown = [figure(key, value) for key, value in found["metrics"].items()]
            headline = next(iter(found["metrics"]))
            if headline in found["interval"]:
                low, high = found["interval"][headline]
                shown[0] += f" ({100 * low:.1f} to {100 * high:.1f})"
            rows.append((name, task, count, ", ".join(shown), f"{100 * found['chance']:.2g}"))
    return Table(
        "All figures",
        ("benchmark", "task", "items", "figures", "chance"),
        tuple(rows),
        "Percent, but for ranks and d'. Chance and 95 % interval are of the first figure; the "
        "other intervals are in metrics.json. * not the whole published split.",
    )


def figure(name: str, value: float) -> str:
    """A figure with its name, in percent but for ranks and d'."""
    percent = not name.endswith("_rank") and name != "d_prime"
    return f"{name} {100 * value:.1f}" if percent else f"{name} {value:.4g}"


def _drop_one(metrics: Mapping) -> Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for task, found in benchmark["tasks"].items():
            headline, whole = next(iter(found["metrics"].items()))
            for modality, less in found["drop_one"].items():
                gain = 100 * (whole - less[headline])
                cells = (f"{100 * whole:.1f}", f"{100 * less[headline]:.1f}", f"{gain:+.1f}")
                rows.append((name, task, headline, modality, *cells))
    heads = ("benchmark", "task", "figure", "without", "all", "less", "it brings")
    return Table("What each modality brings", heads, tuple(rows), "Percent, on the same items.")


def _health(metrics: Mapping) -> Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for modality, found in benchmark["health"].items():
            gap = f"{found['gap_to_text']:.2f}" if "gap_to_text" in found else NOTHING
            cells = (f"{found['effective_rank']:.1f}", f"{found['uniformity']:.2f}", gap)
            rows.append((name, modality, *cells))
    return Table(
        "Health of the embeddings",
        ("benchmark", "modality", "effective rank", "uniformity", "gap to text"),
        tuple(rows),
        "Effective rank: directions in use. Uniformity: 0 where all are equal, -4 where they fill "
        "the sphere. Gap: distance of the means, 0 to 2.",
    )


def _problems(metrics: Mapping) -> Table:
    rows = []
    for name, benchmark in metrics["benchmarks"].items():
        for kind in KINDS:
            of_kind = [one for one in benchmark["problems"] if one["kind"] == kind]
            for one in of_kind[:PROBLEMS_SHOWN]:
                rows.append((name, kind, one["modality"] or "", one["name"], one["reason"]))
            more = len(of_kind) - PROBLEMS_SHOWN
            if more > 0:
                rows.append((name, kind, "", f"… and {more:,} more", "see metrics.json"))
    heads = ("benchmark", "kind", "modality", "item or file", "what was found")
    return Table("Problems of the data", heads, tuple(rows))


def _left_out(metrics: Mapping) -> Table:
    rows = [(name, "all", reason) for name, reason in metrics["left_out"].items()]
    for name, benchmark in metrics["benchmarks"].items():
        rows += [(name, task, reason) for task, reason in benchmark["left_out"].items()]
    return Table("Not run", ("benchmark", "task", "reason"), tuple(rows))
