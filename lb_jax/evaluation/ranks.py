"""Ranks of a million queries among a million candidates; the matrix of scores is never whole.

The result is that of `metrics.ranks(metrics.cosine(queries, candidates), truth)`, bit by bit. That
sums in float64; here blocks are multiplied in float32, and every pair whose score could lie on
either side of the right answer's is summed again in float64. How far a float32 sum of d products
of unit rows can be off is bounded (Higham, Accuracy and Stability of Numerical Algorithms, section
3.1), so nothing is missed.
"""

import functools
from typing import Any

import numpy as np

from lb_jax.evaluation import metrics

QUERIES, CANDIDATES = 1024, 8192  # scores of a block lie in the processor's cache
PAIRS = 1 << 14  # pairs that are summed again at a time


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
    margin = 2 * queries.shape[1] * np.finfo(np.float32).eps
    compare, found = _compare(), np.ones(len(queries), np.int64)
    for first in range(0, len(queries), QUERIES):
        block, own = queries[first : first + QUERIES], truth[first : first + QUERIES]
        right = _pair_scores(block, candidates[own])
        for start in range(0, len(candidates), CANDIDATES):
            others = candidates[start : start + CANDIDATES]
            above, near, any_near = compare(
                _filled(block, QUERIES),
                _filled(others, CANDIDATES),
                _filled(right, QUERIES),
                _filled(own - start, QUERIES),
                len(others),
                margin,
            )
            count = np.array(above[: len(block)], np.int64)
            if any_near:
                rows, columns = np.nonzero(np.asarray(near)[: len(block), : len(others)])
                for part in range(0, len(rows), PAIRS):
                    i, j = rows[part : part + PAIRS], columns[part : part + PAIRS]
                    np.add.at(count, i, _pair_scores(block[i], others[j]) >= right[i])
            found[first : first + QUERIES] += count
    return found


def _pair_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine float32 `[n]` of rows `[n, e]` and `[n, e]`, as `metrics.cosine` rounds it."""
    return np.einsum("ne,ne->n", a.astype(np.float64), b.astype(np.float64)).astype(np.float32)


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows with zeros after them, so that every block has the shape that was compiled."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


@functools.cache
def _compare() -> Any:
    """The compiled comparison of one block; JAX is loaded with the first use."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def compare(queries, candidates, right, own, valid, margin):
        """(how many others score surely higher [b], which may [b, m], whether any may)."""
        scores = jnp.matmul(queries, candidates.T, precision=jax.lax.Precision.HIGHEST)
        column = jnp.arange(len(candidates))
        other = (column < valid) & (column != own[:, None])
        away = scores - right[:, None]
        near = other & (jnp.abs(away) <= margin)
        above = jnp.sum(other & (away > margin), 1, dtype=jnp.int32)
        return above, near, jnp.any(near)

    return compare
