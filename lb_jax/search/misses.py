"""Filters that no row passes: which of them is at fault, and what there is instead."""

import collections
import dataclasses
import difflib
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from lb_jax.core.words import clock, counted
from lb_jax.search.filters import EVERYTHING, Filter
from lb_jax.search.vectors import VectorTable


def why(rows: VectorTable, where: Filter) -> str | None:
    """Why no row of a table passes a filter, in words; None where one does.

    The parts of the filter are put on one after the other. The first that leaves nothing is named,
    with what there was before it.
    """
    if rows.count(where.sql()) or not len(rows):  # of an empty table no filter is at fault
        return None
    before = EVERYTHING
    for name, told in TOLD.items():
        after = dataclasses.replace(before, **{name: getattr(where, name)})
        if not rows.count(after.sql()):
            return told(rows, before, where)
        before = after
    return None  # another process has added some meanwhile


def nearest(path: str, known: Iterable[str]) -> str:
    """The folder or file nearest to a path that something lies under.

    Args:
      path: absolute, with slashes; nothing of `known` lies there.
      known: absolute paths of files.

    Returns:
      The path as far as it is right, with names that are close mended; where that is not even the
      folder that all files lie below, that folder.
    """
    inside: dict[str, set[str]] = {}
    for file in known:
        step = PurePosixPath(file)
        while step != step.parent and step.name not in inside.setdefault(str(step.parent), set()):
            inside[str(step.parent)].add(step.name)
            step = step.parent
    root, *names = PurePosixPath(path).parts
    place = PurePosixPath(root)
    for name in names:
        there = inside.get(str(place), set())
        close = [name] if name in there else difflib.get_close_matches(name, there, n=1)
        if not close:
            break
        place /= close[0]
    while len(only := inside.get(str(place), set())) == 1 and str(place / min(only)) in inside:
        place /= min(only)
    return str(place)


def _of_no_modality(rows: VectorTable, before: Filter, where: Filter) -> str:
    found = rows.columns(["modality"], before.sql() or None)["modality"].to_pylist()
    there = ", ".join(
        f"{name} ({counted(count, 'row')})"
        for name, count in sorted(collections.Counter(found).items())
    )
    return f"no row is {' or '.join(where.modalities)}; there is {there}"


def _under_nothing(rows: VectorTable, before: Filter, where: Filter) -> str:
    assert where.under is not None
    paths = set(rows.columns(["path"], before.sql() or None)["path"].to_pylist())
    place = nearest(where.under, paths)
    count = len({one for one in paths if one == place or PurePosixPath(place) in _above(one)})
    gone = "" if Path(where.under).exists() else "which does not exist, "
    return (
        f"no {_row(where)} lies under {where.under}, {gone}nearest that has: {place} "
        f"({counted(count, 'file')})"
    )


def _above(path: str) -> Iterable[PurePosixPath]:
    return PurePosixPath(path).parents


def _too_late(rows: VectorTable, before: Filter, where: Filter) -> str:
    assert where.after_s is not None
    if not (ends := _times(rows, "end_s", before)):
        return _timeless(where)
    after, last = clock(where.after_s), clock(max(ends))
    return f"no {_row(where)} ends after {after}; the last ends at {last}"


def _too_early(rows: VectorTable, before: Filter, where: Filter) -> str:
    assert where.before_s is not None
    if not (starts := _times(rows, "start_s", before)):
        return _timeless(where)
    return (
        f"no {_row(where)} starts before {clock(where.before_s)}; the first starts at "
        f"{clock(min(starts))}"
    )


def _times(rows: VectorTable, name: str, where: Filter) -> list[float]:
    found = rows.columns([name], where.sql() or None)[name].to_pylist()
    return [one for one in found if one is not None]


def _timeless(where: Filter) -> str:
    return f"no {_row(where)} has a time, these are stills; leave --after and --before out"


def _row(where: Filter) -> str:
    return "row" if not where.modalities else f"row of {' or '.join(where.modalities)}"


# Field of a filter: what is said where it is the first that leaves nothing.
TOLD: dict[str, Callable[[VectorTable, Filter, Filter], str]] = {
    "modalities": _of_no_modality,
    "under": _under_nothing,
    "after_s": _too_late,
    "before_s": _too_early,
}
