"""How far a figure would move with other items of the same kind: bootstrap intervals.

Efron 1979, percentile intervals. What is drawn again are items, not captions: captions of one item
are not independent of each other.
"""

from collections.abc import Callable

import numpy as np

DRAWS = 1000


def bootstrap(
    values: np.ndarray,
    statistic: Callable[[np.ndarray], float | np.ndarray],
    *,
    groups: np.ndarray | None = None,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the interval that holds the statistic of a new sample in a share `level` of cases.

    Args:
      values: `[n, ...]`, what the statistic is computed from, such as ranks.
      statistic: of rows of `values`; one figure, or several in an array.
      groups: int `[n]`, the item of each value; None where each is its own.
      level: share of the draws inside.
      draws: samples with replacement.
      seed: of the draws; the same seed gives the same interval.

    Returns:
      Its two ends, each float64 of the shape of the statistic.
    """
    values = np.asarray(values)
    of = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(of, kind="stable")
    ends = np.cumsum(np.bincount(of))
    members = np.split(order, ends[:-1])
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = generator.integers(len(members), size=len(members))
        rows = drawn if groups is None else np.concatenate([members[i] for i in drawn])
        found.append(statistic(values[rows]))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(found, [tail, 100 - tail], axis=0)
    return low, high
