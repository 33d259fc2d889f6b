"""Linear classifiers on frozen features: scikit-learn's linear SVM on standardised columns.

The protocol of MMV's evaluation (spec 6): one class against the others, squared hinge, C given.
"""

import importlib.util

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.metrics import checks

PACKAGE, EXTRA = "sklearn", "linear"
SOLVER = "LinearSVC, squared hinge, one class against the others, columns standardised"
ABSENT = -1e6  # score of a class of which nothing was learnt
CONSTANT = 10 * float(np.finfo(np.float32).eps)  # deviation of a column over its mean, at most


def require() -> None:
    """Checks that the solver can run here.

    Raises:
      ConfigError: scikit-learn is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise errors.ConfigError(
            f"linear classifiers need scikit-learn, which is not installed; pip install "
            f"'lb_jax[{EXTRA}]'."
        )


def scores(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    c: float,
    unsure: np.ndarray | None = None,
) -> np.ndarray:
    """Scores of classes that a linear SVM gives, learnt from other rows.

    Columns are standardised by mean and deviation of the training rows; one that is constant there
    is only centred.

    Args:
      train: float `[n, v, f]`; each of the v views of an item is a row to learn from.
      labels: bool `[n, k]`, the right classes of each item; several, one or none.
      test: float `[m, w, f]`; an item's scores are the mean over its views.
      c: weight of the errors against the size of the weights.
      unsure: bool `[n, k]`, where an item is not learnt from for a class; None where that is
        nowhere.

    Returns:
      float64 `[m, k]`; `ABSENT` for a class without an example, or without a counterexample.

    Raises:
      ConfigError: scikit-learn is not installed, or c is not above 0.
      DataError: the rows are not finite.
    """
    require()
    if not 0 < c < float("inf"):
        raise errors.ConfigError(f"C is {c}, expected a number above 0.")
    views, width = train.shape[1:]
    rows = checks.finite(train.reshape(-1, width), "features to learn from").astype(np.float64)
    asked = checks.finite(test.reshape(-1, width), "features of the test").astype(np.float64)
    mean, std = rows.mean(0), rows.std(0)
    std[std <= CONSTANT * np.abs(mean)] = 1
    for array in (rows, asked):
        array -= mean
        array /= std
    labels = np.asarray(labels, bool)
    learn = _together if unsure is None and (labels.sum(1) == 1).all() else _one_by_one
    told = np.ones_like(labels) if unsure is None else ~unsure
    found = learn(rows, labels.repeat(views, 0), told.repeat(views, 0), asked, c)
    return found.reshape(len(test), -1, labels.shape[1]).mean(1)


def _together(
    rows: np.ndarray, labels: np.ndarray, told: np.ndarray, asked: np.ndarray, c: float
) -> np.ndarray:
    """All classes in one call, each row being of one class."""
    del told
    column = labels.argmax(1)
    known = np.unique(column)
    found = np.full((len(asked), labels.shape[1]), ABSENT)
    if len(known) > 1:
        decided = _solver(c).fit(rows, column).decision_function(asked)
        if decided.ndim == 1:  # of two classes there is one plane
            decided = np.stack([-decided, decided], axis=1)
        found[:, known] = decided
    return found


def _one_by_one(
    rows: np.ndarray, labels: np.ndarray, told: np.ndarray, asked: np.ndarray, c: float
) -> np.ndarray:
    """Every class by itself, rows being of several classes or of none."""
    found = np.full((len(asked), labels.shape[1]), ABSENT)
    for column, (right, known) in enumerate(zip(labels.T, told.T, strict=True)):
        if len(np.unique(right[known])) == 2:
            plane = _solver(c).fit(rows[known], right[known])
            found[:, column] = plane.decision_function(asked)
    return found


def _solver(c: float):
    from sklearn import svm

    # the primal problem: no draws, so the same planes every time
    return svm.LinearSVC(C=c, loss="squared_hinge", dual=False, max_iter=10_000)
