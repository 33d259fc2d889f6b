"""The published figures as the tables they stand in, ours beside them.

`published.json` holds the tables of the paper and its README (spec section 9), and of VALOR (its
spec section 7), in the order in which they are shown. A table has its results in columns, a model
to a row, or in rows, a model to a column; `heads` say which figure of ours belongs there.
"""

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Mapping, Sequence

OURS = "this model"
NOTHING = "–"
INCOMPLETE = "*"


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

    A figure of ours that is of fewer items than the published split is marked with a star. Tables
    of which nothing was run are left out; those of LanguageBind stand together or not at all.
    """
    run = {one["title"] for one in _published() if _is_run(one, metrics)}
    together = {one["title"] for one in _published() if one.get("when") != "run"}
    shown = run | together if run & together else run
    return [
        _LAID_OUT[one["results"]](one, metrics) for one in _published() if one["title"] in shown
    ]


def _is_run(table: Mapping, metrics: Mapping) -> bool:
    """Whether a task of the table was run."""
    found = metrics["benchmarks"]
    return any(
        head["task"] in found.get(head["benchmark"], {}).get("tasks", {}) for head in table["heads"]
    )


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
    found = task["drop_one"].get(head["without"]) if "without" in head else task["metrics"]
    if found is None:  # a model that scores pairs has no side of several vectors
        return NOTHING
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
