"""The published figures as the tables they stand in, ours beside them.

`published.json` holds the tables of the paper and its README (spec section 9), of ImageBind (its
spec section 7), of MMV, and of VALOR (its spec section 7), in the order in which they are shown. A
table has its results in columns, a model to a row, or in rows, a model to a column; `heads` say
which figure of ours belongs there. Several models that were measured stand side by side.
"""

import dataclasses
import functools
import importlib.resources
import json
import string
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
      ours: whether the last rows ("row") or the last columns ("column") are ours; "" for neither.
      measured: how many of them are.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    ours: str = ""
    measured: int = 1


def tables(*measured: Mapping) -> list[Table]:
    """The published tables with our figures.

    A figure of ours that is of fewer items than the published split is marked with a star. Tables
    of which nothing was run are left out; those of LanguageBind stand together or not at all.

    Args:
      *measured: `results.to_json` of each model, with its "family"; they are called as `names` has
        it.
    """
    run = {one["title"] for one in _published() if any(_is_run(one, each) for each in measured)}
    together = {one["title"] for one in _published() if one.get("when") != "run"}
    shown = run | together if run & together else run
    return [
        _LAID_OUT[one["results"]](one, measured) for one in _published() if one["title"] in shown
    ]


def names(*measured: Mapping) -> list[str]:
    """What models that were measured are called: A, B, …, one alone `OURS`; with their family."""
    called = [OURS] if len(measured) == 1 else map(letter, range(len(measured)))
    return [
        f"{one} ({metrics['family']})" if metrics.get("family") else one
        for one, metrics in zip(called, measured, strict=True)
    ]


def letter(place: int) -> str:
    """What one of several models is called, by its place: A, B, …"""
    return string.ascii_uppercase[place]


def _is_run(table: Mapping, metrics: Mapping) -> bool:
    """Whether a task of the table was run."""
    found = metrics["benchmarks"]
    return any(
        head["task"] in found.get(head["benchmark"], {}).get("tasks", {}) for head in table["heads"]
    )


@functools.cache
def _published() -> list[dict]:
    return json.loads(importlib.resources.files(__package__).joinpath("published.json").read_text())


def _in_columns(table: Mapping, measured: Sequence[Mapping]) -> Table:
    heads, unit = table["heads"], table["unit"]
    published = [
        (name, *(_cell(values, unit, 1) for values in cells)) for name, *cells in table["rows"]
    ]
    ours = [
        (name, *(_ours(head, unit, metrics) for head in heads))
        for name, metrics in zip(names(*measured), measured, strict=True)
    ]
    columns = ("", *(head["name"] for head in heads))
    rows = (*published, *ours)
    return Table(table["title"], columns, rows, _note(table, ours), "row", len(ours))


def _in_rows(table: Mapping, measured: Sequence[Mapping]) -> Table:
    heads, unit = table["heads"], table["unit"]
    ours = [tuple(_ours(head, unit, metrics) for metrics in measured) for head in heads]
    rows = tuple(
        (head["name"], *(_cell(values, unit, 1) for values in cells), *mine)
        for head, cells, mine in zip(heads, table["rows"], ours, strict=True)
    )
    columns = ("", *table["columns"], *names(*measured))
    return Table(table["title"], columns, rows, _note(table, ours), "column", len(measured))


_LAID_OUT = {"columns": _in_columns, "rows": _in_rows}


def _note(table: Mapping, ours: Sequence[Sequence[str]]) -> str:
    has_star = any(INCOMPLETE in word for words in ours for word in words)
    star = f" {INCOMPLETE} not the whole published split." if has_star else ""
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
