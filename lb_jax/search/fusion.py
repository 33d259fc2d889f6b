"""Two rankings of moments become one, by reciprocal ranks.

A moment scores the sum of 1 / (60 + rank) over the rankings it is in (Cormack, Clarke and Büttcher,
2009), so cosines and scores of words need no common scale. Moments of both rankings are one where
their times overlap; so windows are merged before they are ranked.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from lb_jax.search.moments import TOUCH_S, Moment, gap_s

CONSTANT = 60


@dataclasses.dataclass
class _Ranked:
    moment: Moment
    by_vector: int | None
    by_caption: int | None

    @property
    def score(self) -> float:
        ranks = (self.by_vector, self.by_caption)
        return sum(1 / (CONSTANT + rank) for rank in ranks if rank is not None)


def fused(
    near: Sequence[Moment],
    said: Sequence[Moment],
    order: Callable[[Moment], Any],
    *,
    merge: bool,
) -> list[Moment]:
    """One ranking of two, best first.

    Args:
      near: by vector, best first.
      said: by caption, best first; single windows and stills.
      order: key by which moments of equal score come.
      merge: whether windows that overlap are one moment; else those that are the same.

    Returns:
      moments of either; those of both with the ranges of `near` and the best caption of `said`.
    """
    ranked = [_Ranked(moment, rank, None) for rank, moment in enumerate(near, 1)]
    by_file: dict[tuple[str, str], list[_Ranked]] = {}
    for one in ranked:
        by_file.setdefault((one.moment.path, one.moment.modality), []).append(one)
    rank = 0
    for moment in said:
        others = by_file.setdefault((moment.path, moment.modality), [])
        same = next((one for one in others if _is_same(one.moment, moment, merge=merge)), None)
        if same is None:
            same = _Ranked(moment, None, None)
            others.append(same)
            ranked.append(same)
        if same.by_caption is None:
            rank += 1
            same.by_caption = rank
            same.moment = dataclasses.replace(same.moment, caption=moment.caption)
    ranked.sort(key=lambda one: (-one.score, order(one.moment)))
    return [one.moment for one in ranked]


def _is_same(one: Moment, other: Moment, *, merge: bool) -> bool:
    if one.start_s is None or other.start_s is None:
        return True  # a still is all of its file
    return gap_s(one, other) < -TOUCH_S if merge else one.start_s == other.start_s
