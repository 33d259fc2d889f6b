"""Two evaluations side by side: every figure, and whether a difference is more than chance.

Where both runs say what became of each item (`outcomes.json`), the interval of a difference is of
the items that both have, drawn again together: what is hard for both then cancels out.
"""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.evaluation.benchmarks.published import NOTHING, Table, letter
from lb_jax.evaluation.metrics import intervals

METRICS, OUTCOMES = "metrics.json", "outcomes.json"
# what does not say how good a model is
LEFT_OUT = (
    "seconds",
    "problems",
    "left_out",
    "published",
    "interval",
    "per_class",
    "settings",
    "health",
    "chance",
    "chance_R@1",
    "std_rank",
    "asked",
)
# parts of a figure's place in metrics.json that need not be shown
SHORTER = {"benchmarks/": "", "/tasks/": " ", "/metrics/": " ", "/drop_one/": " without "}
COUNTS = ("/n", "/items")


@dataclasses.dataclass(frozen=True)
class Side:
    """A result that others are held against.

    Attributes:
      name: how it is called, such as its folder or its model.
      metrics: `results.to_json`, with its "model" and "family".
      outcomes: `results.outcomes`; empty where nothing is known of items.
    """

    name: str
    metrics: Mapping
    outcomes: Mapping


def compare(a: Path, b: Path) -> Table:
    """Compares two results.

    Args:
      a: `metrics.json` of `lb-jax evaluate --out`, or its folder; so `b`.
      b: the other, whose gain is shown.

    Raises:
      DataError: one of them is no such file, or they have no figure in common.
    """
    found = differences([read(a), read(b)])
    if not found:
        raise errors.DataError(b, f"has no figure in common with {a}; they are of other benchmarks")
    return found[0]


def differences(sides: Sequence[Side]) -> list[Table]:
    """Compares the first with each of the others; of those without a figure in common nothing.

    They are called A, B, … in their order, as in `published.names`.
    """
    pairs = ((sides[0], other, place) for place, other in enumerate(sides[1:], 1))
    return list(filter(None, itertools.starmap(_difference, pairs)))


def _difference(a: Side, b: Side, place: int) -> Table | None:
    """The gain of the model at this place over the first; None without a figure in common."""
    first, second = _flat(a.metrics), _flat(b.metrics)
    common = [name for name in first if name in second]
    if not common:
        return None
    paired = _paired(a.outcomes, b.outcomes)
    rows = []
    for name in common:
        gain = second[name] - first[name]
        if name.endswith(COUNTS) and not gain:
            continue
        cells = (f"{first[name]:.4g}", f"{second[name]:.4g}", f"{gain:+.4g}")
        rows.append((_shown(name), *cells, *paired.get(name, (NOTHING, NOTHING))))
    lone = [name for name in (*first, *second) if (name in first) != (name in second)]
    note = "The interval is of the difference, on the items that both have."
    settings = [side.metrics.get("settings") for side in (a, b)]
    if settings[0] != settings[1]:
        note += f" Scored differently: {settings[0]} and {settings[1]}."
    if lone:
        note += f" {counted(len(lone), 'figure')} in one of them only: {_shown(lone[0])}{', …' * (len(lone) > 1)}."
    one, two = letter(0), letter(place)
    columns = ("figure", one, two, f"{two} - {one}", "95 % interval", "items")
    return Table(f"{one} {a.name}, {two} {b.name}", columns, tuple(rows), note)


def read(path: Path) -> Side:
    """What `lb-jax evaluate --out` wrote; without a file of outcomes these are empty.

    Raises:
      DataError: it is no such file or folder.
    """
    called = str(path)
    path = path / METRICS if path.is_dir() else path
    outcomes = path.with_name(OUTCOMES)
    found = []
    for one in (path, outcomes) if outcomes.is_file() else (path,):
        try:
            found.append(json.loads(one.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise errors.DataError(
                one, f"cannot be read ({why}); expected what `lb-jax evaluate --out` writes"
            ) from error
        if not isinstance(found[-1], dict):
            raise errors.DataError(one, "is no table of figures; expected what evaluate writes")
    said = found[1] if len(found) > 1 else {}
    for name, one in said.items():
        if not isinstance(one, dict) or not {"figures", "items", "ranks"} <= one.keys():
            raise errors.DataError(
                outcomes, f"{name!r} has no figures, items and ranks; evaluate again"
            )
    return Side(called, found[0], said)


def _flat(metrics: Mapping, prefix: str = "") -> dict[str, float]:
    """ "benchmarks/msrvtt/…/R@1" -> figure."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping) and name not in LEFT_OUT:
            found |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name not in LEFT_OUT:
            found[f"{prefix}{name}"] = float(value)
    return found


def _shown(name: str) -> str:
    for part, short in SHORTER.items():
        name = name.replace(part, short)
    return name


def _paired(a: Mapping, b: Mapping) -> dict[str, tuple[str, str]]:
    """Name of a figure -> interval of its difference, and the number of items."""
    found = {}
    for key in a.keys() & b.keys():
        benchmark, _, task = key.partition("/")
        for figure, first in a[key]["figures"].items():
            hits = [_by_item(one[key], first) for one in (a, b)]
            both = [item for item in hits[0] if item in hits[1]]
            if figure in b[key]["figures"] and len(both) > 1:
                gains = np.array([hits[1][item] - hits[0][item] for item in both])
                low, high = intervals.bootstrap(gains, np.mean)
                name = f"benchmarks/{benchmark}/tasks/{task}/metrics/{figure}"
                found[name] = f"{low:+.4g} to {high:+.4g}", f"{len(both):,}"
    return found


def _by_item(outcome: Mapping, first: int) -> dict[str, float]:
    """Item -> the share of its queries whose answer is among the first."""
    ranks: dict[str, list[int]] = {}
    for item, rank in zip(outcome["items"], outcome["ranks"], strict=True):
        ranks.setdefault(item, []).append(rank)
    return {item: float(np.mean(np.array(some) <= first)) for item, some in ranks.items()}
