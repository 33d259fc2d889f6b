"""Moments: what a search finds, and how windows of a file become one."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from lb_jax.search import rows

TOUCH_S = 0.01  # windows with less between them touch; times are those of frames and samples
HIDDEN = ("best_s",)


@dataclasses.dataclass(frozen=True)
class Moment:
    """A still, or a time range of a file, that was found.

    Attributes:
      path: of the file.
      modality: what the file was read as.
      start_s: where the range starts; None for a still.
      end_s: where it ends; None for a still.
      cosine: of the best window in the range.
      probability: that it matches, of the best window; None without a calibration of the pair, or
        where it is withheld.
      withheld: why it is: the calibration does not fit what the store holds, or the file that
        asks.
      caption: of the best window, where the store has captions; where they were searched for words,
        of the window that fits these best.
      best_s: where the best window starts; None for a still.
    """

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    cosine: float
    probability: float | None = None
    withheld: str | None = None
    caption: str | None = None
    best_s: float | None = None

    @classmethod
    def of(cls, hit: rows.Hit) -> "Moment":
        """That of a single window or still."""
        start_s = hit.start_s
        return cls(hit.path, hit.modality, start_s, hit.end_s, hit.cosine, best_s=start_s)

    def as_json(self) -> dict[str, Any]:
        """What `json` takes; without a caption where there is none."""
        told = dataclasses.asdict(self)
        left_out = HIDDEN if self.caption is not None else (*HIDDEN, "caption")
        return {name: value for name, value in told.items() if name not in left_out}


def merged(hits: Sequence[rows.Hit], weakest: float) -> list[Moment]:
    """Makes one range of windows of a file that overlap or touch: best first.

    Windows are taken from the best down. One that meets a range found before joins it when it
    scores at least half way from the weakest window there is up to the best of the range; so a
    whole file does not become one range where a store is so small that all of it is found. If it
    does not join, one that overlaps the range is left out, as the range shows its time with a
    better score; one that only touches it stands for itself. Stills stay as they are.

    Args:
      hits: of one modality, best first.
      weakest: the lowest cosine of all windows that were searched, found or not.
    """
    by_file: dict[str, list[Moment]] = {}
    for hit in hits:
        moment = Moment.of(hit)
        ranges = by_file.setdefault(hit.path, [])
        if hit.start_s is None:
            ranges.append(moment)
            continue
        near = [r for r in ranges if gap_s(hit, r) < TOUCH_S]
        joins = [r for r in near if 2 * hit.cosine >= r.cosine + weakest]
        overlaps = any(gap_s(hit, r) < -TOUCH_S for r in near)
        if joins:
            whole = dataclasses.replace(
                max(joins, key=lambda r: r.cosine),
                start_s=min(hit.start_s, *(r.start_s for r in joins)),
                end_s=max(hit.end_s, *(r.end_s for r in joins)),
            )
            by_file[hit.path] = [whole, *(r for r in ranges if r not in joins)]
        elif not overlaps:
            ranges.append(moment)
    found = [moment for ranges in by_file.values() for moment in ranges]
    return sorted(found, key=lambda one: (-one.cosine, one.path, one.start_s or 0.0))


def gap_s(hit: rows.Hit | Moment, other: Moment) -> float:
    """Seconds between a window and a range; below 0 where they overlap."""
    return max(hit.start_s - other.end_s, other.start_s - hit.end_s)
