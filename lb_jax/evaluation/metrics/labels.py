"""Several right classes per item: average precision, area under the curve, d' (spec 7.2)."""

import statistics

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.metrics import checks


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the steps of precision over recall, as scikit-learn defines it.

    Items that tie enter together, so that their order does not matter.

    Args:
      scores: float `[n]`.
      positive: bool `[n]`, at least one of them.
    """
    hits, taken = _thresholds(scores, positive)
    return float(np.sum(np.diff(hits, prepend=0) / hits[-1] * hits / taken))


def roc_area(scores: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs of a positive and a negative item that are in the right order; ties half.

    Args:
      scores: float `[n]`.
      positive: bool `[n]`, of both kinds.
    """
    hits, taken = _thresholds(scores, positive)
    misses = taken - hits
    heights = (hits + np.concatenate([[0], hits[:-1]])) / 2
    return float(np.sum(np.diff(misses, prepend=0) * heights) / (hits[-1] * misses[-1]))


def score(scores: np.ndarray, labels: np.ndarray, unsure: np.ndarray | None = None) -> dict:
    """Unweighted means over the classes that some items have and some have not.

    Args:
      scores: float `[n, c]`.
      labels: bool `[n, c]`.
      unsure: bool `[n, c]`, where an item counts for the class neither as right nor as wrong; None
        where that is nowhere.

    Returns:
      `{"mAP", "mAUC", "d_prime", "n", "classes", "per_class": [AP, or None for a class left out]}`;
      d' is sqrt 2 times the normal quantile of mAUC.

    Raises:
      DataError: the scores are not finite, the labels are of another shape, or no class can be
        scored.
    """
    scores, labels = checks.finite(scores, "scores"), np.asarray(labels, bool)
    if labels.shape != scores.shape:
        raise errors.DataError("labels", f"shape {labels.shape}, expected {scores.shape}")
    told = np.ones_like(labels) if unsure is None else ~unsure
    labels = labels & told
    counts, items = labels.sum(0), told.sum(0)
    scored = np.flatnonzero((counts > 0) & (counts < items))
    if not len(scored):
        raise errors.DataError("labels", "every class is of all items or of none; add items")
    columns = {c: (scores[told[:, c], c], labels[told[:, c], c]) for c in scored.tolist()}
    precision = {c: average_precision(*column) for c, column in columns.items()}
    area = float(np.mean([roc_area(*column) for column in columns.values()]))
    # a perfect model has no finite d'; it is given that of half an error among all pairs
    most = 1 - 0.5 / float((counts[scored] * (items - counts)[scored]).sum())
    return {
        "mAP": float(np.mean(list(precision.values()))),
        "mAUC": area,
        "d_prime": 2**0.5 * statistics.NormalDist().inv_cdf(min(max(area, 1 - most), most)),
        "n": len(labels),
        "classes": len(scored),
        "per_class": [precision.get(c) for c in range(labels.shape[1])],
    }


def interval(
    scores: np.ndarray,
    labels: np.ndarray,
    unsure: np.ndarray | None = None,
    *,
    level: float = 0.95,
    draws: int = 200,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of the mean average precision that very many items of the same kind would have.

    Halves of the items are drawn without replacement (Politis, Romano and Wolf 1999, Subsampling):
    their figures are spread about as far as those of whole samples, and lie as far above the
    whole sample's as that lies above the truth. The interval is the normal one of that spread,
    around the figure less that difference. Items drawn twice, as in a bootstrap, would tie with
    themselves, which raises average precision.

    With few positives a class the figure is too high by more than the interval is wide, and the
    interval then lies below it.

    Args:
      scores: float `[n, c]`.
      labels: bool `[n, c]`.
      unsure: as of `score`.
      level: share of samples whose interval holds the truth.
      draws: halves.
      seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    taken = np.zeros((draws, len(scores)), np.int32)
    for row in taken:
        row[generator.permutation(len(scores))[: len(scores) // 2]] = 1
    whole, halves = [], []
    told = np.ones_like(labels) if unsure is None else ~unsure
    for column, positive, known in zip(scores.T, labels.T, told.T, strict=True):
        column, positive = column[known], positive[known]
        if not positive.any() or positive.all():
            continue
        order = np.argsort(-column, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(column[order]) != 0, True))
        drawn = taken[:, known][:, order]
        hits = np.cumsum(drawn * positive[order], axis=1)[:, ends]
        items = np.maximum(np.cumsum(drawn, axis=1)[:, ends], 1)
        gained = np.diff(hits, prepend=0, axis=1)
        precision = (gained * hits / items).sum(1) / np.maximum(hits[:, -1], 1)
        whole.append(average_precision(column, positive))
        halves.append(np.where(hits[:, -1] > 0, precision, whole[-1]))
    found = np.mean(halves, axis=0)
    middle = 2 * np.mean(whole) - found.mean()
    reach = statistics.NormalDist().inv_cdf((1 + level) / 2) * found.std(ddof=1)
    return float(max(middle - reach, 0)), float(min(middle + reach, 1))


def _thresholds(scores: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(positives, items) that score at least as high as each distinct score, falling."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return np.cumsum(positive[order])[ends], ends + 1
