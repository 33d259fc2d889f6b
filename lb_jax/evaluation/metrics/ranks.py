"""Ranks of a million queries among a million candidates; the matrix of scores is never whole.

The results are those of `recall.ranks` and `recall.group_ranks` on `scoring.cosine(queries,
candidates)`. That sums in float64; here blocks are multiplied in float32, and every pair whose
score could lie on either side of the right answer's is summed again in float64. How far a float32
sum of d products can be off is bounded (Higham, Accuracy and Stability of Numerical Algorithms,
section 3.1), so nothing is missed.

Rows may be of any length: unit rows are compared by cosine, others by dot product.
"""

import concurrent.futures
import os
from collections.abc import Callable

import numpy as np
import threadpoolctl

from lb_jax.evaluation.metrics import checks

QUERIES, CANDIDATES = 256, 2048  # scores of a block lie in the cache of a core

Pairs = tuple[np.ndarray, np.ndarray]  # rows and columns of a block, by rising column


def ranks(queries: np.ndarray, candidates: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Ranks of the right answers, 1 being the best; ties count against the model.

    Args:
      queries: float32 `[n, e]`.
      candidates: float32 `[m, e]`.
      truth: int `[n]`, the candidate that answers each query.

    Returns:
      int64 `[n]`: one more than the number of other candidates that score at least as high.

    Raises:
      DataError: the rows hold NaN or infinity, or `truth` does not fit them.
    """
    queries = checks.finite(queries, "queries")
    candidates = checks.finite(candidates, "candidates")
    truth = checks.indices(truth, len(queries), len(candidates), "truth")
    longest = _longest(candidates)

    def part(chosen: slice) -> np.ndarray:
        block, answers = queries[chosen], truth[chosen]
        order = np.argsort(answers, kind="stable")
        right = _pair_scores(block, candidates[answers])
        itself = order, answers[order]  # an answer is not compared with itself
        return _ranks(block, candidates, right, itself, longest, None)

    return _by_block(part, len(queries))


def group_ranks(
    queries: np.ndarray,
    candidates: np.ndarray,
    group: np.ndarray,
    truth: np.ndarray,
    same: np.ndarray | None = None,
) -> np.ndarray:
    """Ranks of groups of candidates, each scored by its best member; ties count against the model.

    Args:
      queries: float32 `[n, e]`.
      candidates: float32 `[m, e]`.
      group, truth, same: as for `recall.group_ranks`, int `[m]`, `[n]` and `[m]`.

    Returns:
      int64 `[n]`, as `recall.group_ranks`.

    Raises:
      DataError: the rows hold NaN or infinity, or `group` or `truth` do not fit them.
    """
    queries = checks.finite(queries, "queries")
    candidates = checks.finite(candidates, "candidates")
    group = checks.groups(group, len(candidates))
    truth = checks.indices(truth, len(queries), int(group.max()) + 1, "truth")
    longest = _longest(candidates)
    order = np.argsort(group, kind="stable")
    candidates, starts = candidates[order], np.flatnonzero(np.diff(group[order], prepend=-1))
    members = np.split(np.arange(len(candidates)), starts[1:])
    spared = members if same is None else _alike(members, np.asarray(same)[order])

    def part(chosen: slice) -> np.ndarray:
        block, answers = queries[chosen], truth[chosen]
        rows, columns = _pairs([members[g] for g in answers])
        right = np.full(len(block), -np.inf, np.float32)
        np.maximum.at(right, rows, _pair_scores(block[rows], candidates[columns]))
        return _ranks(
            block, candidates, right, _pairs([spared[g] for g in answers]), longest, starts
        )

    return _by_block(part, len(queries))


def _by_block(part: Callable[[slice], np.ndarray], count: int) -> np.ndarray:
    """Runs `part` on every block of queries, each on a core of its own."""
    blocks = [slice(first, first + QUERIES) for first in range(0, count, QUERIES)]
    # so that comparing is divided like multiplying
    with (
        threadpoolctl.threadpool_limits(1, "blas"),
        concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        return np.concatenate(list(pool.map(part, blocks)))


def _ranks(
    queries: np.ndarray,
    candidates: np.ndarray,
    right: np.ndarray,
    spared: Pairs,
    longest: np.float32,
    starts: np.ndarray | None,
) -> np.ndarray:
    """Ranks int64 `[n]` of one block of queries.

    Args:
      queries: `[n, e]`.
      candidates: `[m, e]`, groups side by side.
      right: `[n]`, the score to beat.
      spared: pairs that do not count.
      longest: length of the longest candidate.
      starts: int `[g]`, first candidate of each group; None where each is its own.
    """
    error = 2 * queries.shape[1] * np.finfo(np.float32).eps * longest
    margin = error * np.linalg.norm(queries, axis=1).astype(np.float32)
    high, low = (right + margin)[:, None], (right - margin)[:, None]
    found = np.ones(len(queries), np.int64)
    rows, columns = spared
    for start, stop in _edges(len(candidates), starts):
        others = candidates[start:stop]
        scores = queries @ others.T
        here = slice(*np.searchsorted(columns, (start, stop)))
        scores[rows[here], columns[here] - start] = -np.inf
        best, inside = scores, None
        if starts is not None:
            inside = starts[slice(*np.searchsorted(starts, (start, stop)))] - start
            best = np.maximum.reduceat(scores, inside, axis=1)
        above = np.count_nonzero(best > high, axis=1)
        unsure = np.flatnonzero(np.count_nonzero(best >= low, axis=1) > above)
        found += above
        if len(unsure):
            found += _settle(queries, others, right, scores, (low, high), unsure, inside, best)
    return found


def _settle(
    queries: np.ndarray,
    others: np.ndarray,
    right: np.ndarray,
    scores: np.ndarray,
    limits: tuple[np.ndarray, np.ndarray],
    unsure: np.ndarray,
    inside: np.ndarray | None,
    best: np.ndarray,
) -> np.ndarray:
    """How many more candidates or groups beat each query, by sums in float64, int64 `[n]`."""
    low, high = limits
    i, columns = np.nonzero((scores[unsure] >= low[unsure]) & (scores[unsure] <= high[unsure]))
    i = unsure[i]
    beats = _pair_scores(queries[i], others[columns]) >= right[i]
    i, places = i[beats], columns[beats]
    if inside is not None:  # a group counts once, and not again where it surely is above
        groups = np.searchsorted(inside, places, side="right") - 1
        new = best[i, groups] <= high[i, 0]
        i, _ = np.unique(np.stack([i[new], groups[new]]), axis=1)
    return np.bincount(i, minlength=len(queries))


def _edges(count: int, starts: np.ndarray | None) -> list[tuple[int, int]]:
    """Blocks of candidates that split no group."""
    edges = np.arange(0, count, CANDIDATES)
    if starts is not None:
        edges = np.unique(starts[np.searchsorted(starts, edges, side="right") - 1])
    return list(zip(edges.tolist(), [*edges[1:].tolist(), count], strict=True))


def _alike(members: list[np.ndarray], same: np.ndarray) -> list[np.ndarray]:
    """Of each group its members and whatever is the same as one of them."""
    order = np.argsort(same, kind="stable")
    first = np.searchsorted(same[order], same, side="left")
    last = np.searchsorted(same[order], same, side="right")
    return [np.unique(np.concatenate([order[first[j] : last[j]] for j in one])) for one in members]


def _pairs(columns: list[np.ndarray]) -> Pairs:
    """Row i with each of `columns[i]`, by rising column."""
    rows = np.repeat(np.arange(len(columns)), [len(one) for one in columns])
    flat = np.concatenate(columns)
    order = np.argsort(flat, kind="stable")
    return rows[order], flat[order]


def _longest(rows: np.ndarray) -> np.floating:
    return max(
        np.linalg.norm(rows[i : i + CANDIDATES], axis=1).max()
        for i in range(0, len(rows), CANDIDATES)
    )


def _pair_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Score float32 `[n]` of rows `[n, e]` and `[n, e]`, summed in float64."""
    return np.einsum("ne,ne->n", a.astype(np.float64), b.astype(np.float64)).astype(np.float32)
