"""One right class per item: top-1 accuracy and confusions of class scores.

Ties with the true class are lost, as in `recall`.
"""

import numpy as np

from lb_jax.evaluation.metrics import checks


def predictions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the class int `[n]` that each row of `scores [n, c]` counts as.

    Ties with the true class are lost.

    Args:
      scores: float `[n, c]`.
      labels: int `[n]`, the true classes.

    Raises:
      DataError: as `classification`.
    """
    scores = checks.finite(scores, "scores")
    labels = checks.indices(labels, len(scores), scores.shape[1], "labels")
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return np.where(scores[rows, labels] > others.max(axis=1), labels, others.argmax(axis=1))


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns counts int `[c, c]`, true class down, predicted class across.

    Args:
      scores: float `[n, c]`.
      labels: int `[n]`, the true classes.

    Raises:
      DataError: as `classification`.
    """
    counts = np.zeros((scores.shape[1], scores.shape[1]), int)
    np.add.at(counts, (labels, predictions(scores, labels)), 1)
    return counts


def classification(scores: np.ndarray, labels: np.ndarray) -> dict:
    """Top-1 accuracy of class scores.

    Args:
      scores: float `[n, c]`.
      labels: int `[n]`, the true classes.

    Returns:
      `{"top1", "chance", "n", "per_class"}`: fractions; chance is 1/c; `per_class` has each class's
      recall, None where no item is of it.

    Raises:
      DataError: the scores are empty or not finite, or a label is not a column.
    """
    counts = confusion(scores, labels)
    totals = counts.sum(axis=1)
    per_class = [
        float(hit / total) if total else None
        for hit, total in zip(np.diag(counts), totals, strict=True)
    ]
    return {
        "top1": float(np.trace(counts) / totals.sum()),
        "chance": 1 / len(counts),
        "n": int(totals.sum()),
        "per_class": per_class,
    }
