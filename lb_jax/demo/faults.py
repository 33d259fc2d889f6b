"""How well filters find the faults of raw films: of each kind, by which stage."""

import collections
from collections.abc import Mapping
from typing import Any

from lb_jax.demo.raw_films import FAULTS

# What is asked of the demo.
FOUND, REFUSED = 0.95, 0.02


def score(refused_by: Mapping[str, str], faults: Mapping[str, str]) -> dict[str, Any]:
    """Compares what was refused with what is wrong.

    Args:
      refused_by: key of every film -> the stage that refused it; empty for what is kept.
      faults: key -> fault, of those that have one.

    Returns:
      "faults": fault -> films, those found by the stage that should, by another, missed, and the
      names of the others; "found": share found by the right stage; "good": films without fault;
      "refused": share of those that were refused, "by": stage -> how many.
    """
    rows = {}
    for fault, about in FAULTS.items():
        keys = [key for key, one in faults.items() if one == fault]
        by = {key: refused_by[key] for key in keys}
        others = collections.Counter(one for one in by.values() if one not in ("", about.stage))
        rows[fault] = {
            "stage": about.stage,
            "films": len(keys),
            "right": sum(one == about.stage for one in by.values()),
            "by_another": dict(sorted(others.items())),
            "missed": sorted(key for key, one in by.items() if not one),
        }
    good = [key for key in refused_by if key not in faults]
    lost = collections.Counter(refused_by[key] for key in good if refused_by[key])
    right = sum(row["right"] for row in rows.values())
    return {
        "faults": rows,
        "found": right / max(len(faults), 1),
        "good": len(good),
        "refused": sum(lost.values()) / max(len(good), 1),
        "by": dict(sorted(lost.items())),
    }


def lines(scores: Mapping[str, Any]) -> list[str]:
    """The scores as text."""
    found = [f"  {'fault':16} {'stage':12} {'films':>5} {'right':>5} {'other':>5} {'missed':>6}"]
    for fault, row in scores["faults"].items():
        other, missed = sum(row["by_another"].values()), len(row["missed"])
        text = (
            f"  {fault:16} {row['stage']:12} {row['films']:5} {row['right']:5} {other:5} {missed:6}"
        )
        by = ", ".join(f"{stage} {count}" for stage, count in row["by_another"].items())
        found.append(text + (f"   ({by})" if by else ""))
    by = ", ".join(f"{stage} {count}" for stage, count in scores["by"].items())
    found.append(
        f"found by the stage that should: {scores['found']:.1%} (asked: {FOUND:.0%}); "
        f"of {scores['good']} good films refused: {scores['refused']:.1%} (asked: at most "
        f"{REFUSED:.0%}){f': {by}' if by else ''}"
    )
    return found
