"""Ranks of a million queries among a million candidates; the matrix of scores is never whole.

The result is that of `metrics.ranks(metrics.cosine(queries, candidates), truth)`. That sums in
float64; here blocks are multiplied in float32, and every pair whose score could lie on
either side of the right answer's is summed again in float64. How far a float32 sum of d products
of unit rows can be off is bounded (Higham, Accuracy and Stability of Numerical Algorithms, section
3.1), so nothing is missed.
"""

import concurrent.futures
import os

import numpy as np
import threadpoolctl

from lb_jax.evaluation import metrics

QUERIES, CANDIDATES = 256, 2048  # scores of a block lie in the cache of a core


def ranks(queries: np.ndarray, candidates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Ranks of the right answers by cosine, 1 being the best; ties count against the model.

    Args:
      queries: unit rows float32 `[n, e]`.
      candidates: unit rows float32 `[m, e]`.
      truth: int `[n]`, the candidate that answers each query.

    Returns:
      int64 `[n]`: one more than the number of other candidates that score at least as high.

    Raises:
      DataError: the rows hold NaN or infinity, or `truth` does not fit them.
    """
    queries = metrics.finite(queries, "queries")
    candidates = metrics.finite(candidates, "candidates")
    truth = metrics.indices(truth, len(queries), len(candidates), "truth")

    def part(first: int) -> np.ndarray:
        chosen = slice(first, first + QUERIES)
        return _ranks(queries[chosen], candidates, truth[chosen])

    # a core has a block of its own, so that comparing is divided like multiplying
    with (
        threadpoolctl.threadpool_limits(1, "blas"),
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        return np.concatenate(list(pool.map(part, range(0, len(queries), QUERIES))))


def _ranks(queries: np.ndarray, candidates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    margin = np.float32(2 * queries.shape[1] * np.finfo(np.float32).eps)
    right = _pair_scores(queries, candidates[truth])
    high, low = (right + margin)[:, None], (right - margin)[:, None]
    found = np.ones(len(queries), np.int64)
    for start in range(0, len(candidates), CANDIDATES):
        others = candidates[start : start + CANDIDATES]
        scores = queries @ others.T
        here = np.flatnonzero((truth >= start) & (truth < start + len(others)))
        scores[here, truth[here] - start] = -np.inf  # an answer is not compared with itself
        above = np.count_nonzero(scores > high, axis=1)
        unsure = np.flatnonzero(np.count_nonzero(scores >= low, axis=1) > above)
        found += above
        if len(unsure):
            rows, columns = np.nonzero(
                (scores[unsure] >= low[unsure]) & (scores[unsure] <= high[unsure])
            )
            i = unsure[rows]
            np.add.at(found, i, _pair_scores(queries[i], others[columns]) >= right[i])
    return found


def _pair_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine float32 `[n]` of rows `[n, e]` and `[n, e]`, summed in float64."""
    return np.einsum("ne,ne->n", a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
