"""Ranks and recall of whole score matrices: the plain form, and what `ranks` must equal.

Ties count against the model, always: an answer that merely equals the right one is ranked before
it. The original counts only the strictly greater entries (spec 7.1), under which a collapsed model
whose scores are all equal ranks everything first, 100 %; here it scores 0 %. The rule needs no
random numbers and does not depend on the order of the items or of the classes. Without ties both
rules agree.
"""

from collections.abc import Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.metrics import checks

RECALL_AT = (1, 5, 10)


def ranks(similarity: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Ranks of the right answers, 1 being the best.

    Args:
      similarity: float `[n, m]`, one row per query, one column per candidate.
      truth: int `[n]`, the column of each query's right answer.

    Returns:
      int64 `[n]`: one more than the number of other candidates that score at least as high.

    Raises:
      DataError: the scores hold NaN or infinity, are not a matrix, or `truth` does not fit them.
    """
    similarity = checks.finite(similarity, "similarity")
    truth = checks.indices(truth, len(similarity), similarity.shape[1], "truth")
    right = similarity[np.arange(len(truth)), truth]
    return np.sum(
        similarity >= right[:, None], axis=1
    )  # the right answer itself is the one that makes this 1-based


def group_ranks(
    similarity: np.ndarray,
    group: np.ndarray,
    truth: np.ndarray,
    same: np.ndarray | None = None,
) -> np.ndarray:
    """Ranks of groups of candidates, each scored by its best member.

    Args:
      similarity: float `[n, m]`, one row per query, one column per candidate.
      group: int `[m]`, the group of each candidate, from 0 on without gaps.
      truth: int `[n]`, the group that answers each query.
      same: int `[m]`, equal where candidates are word for word the same; None where none are. What
        is the same as a member of the right group is no mistake wherever it stands.

    Returns:
      int64 `[n]`: one more than the number of other groups that score at least as high.

    Raises:
      DataError: as `ranks`, or a group has no candidate.
    """
    similarity = checks.finite(similarity, "similarity")
    group = checks.groups(group, similarity.shape[1])
    truth = checks.indices(truth, len(similarity), int(group.max()) + 1, "truth")
    same = None if same is None else np.asarray(same)
    found = []
    for scores, right in zip(similarity, truth, strict=True):
        own = group == right
        others = ~own if same is None else ~np.isin(same, same[own])
        beats = group[others & (scores >= scores[own].max())]
        found.append(1 + len(np.unique(beats)))
    return np.array(found)


def summary(rank: np.ndarray, *, lower_median: bool = False) -> dict[str, float]:
    """Recall and typical rank of `ranks`, recall as fractions.

    Args:
      rank: int `[n]`, 1-based.
      lower_median: of an even number of ranks take the lower middle one, not the mean of both.
    """
    median = np.sort(rank)[(len(rank) - 1) // 2] if lower_median else np.median(rank)
    recall = {f"R@{k}": float(np.mean(rank <= k)) for k in RECALL_AT}
    return recall | {
        "median_rank": float(median),
        "mean_rank": float(np.mean(rank)),
        "std_rank": float(np.std(rank)),
    }


def mean_recall(found: Mapping[str, float]) -> float:
    """The mean of the recalls of a `summary`, by which VALOR chooses among checkpoints."""
    return sum(found[f"R@{k}"] for k in RECALL_AT) / len(RECALL_AT)


def retrieval(similarity: np.ndarray) -> dict[str, float]:
    """Recall and ranks of queries `[n]` among candidates `[n]`; query i belongs to candidate i.

    Args:
      similarity: float `[n, n]`.

    Returns:
      `{"R@1", "R@5", "R@10", "median_rank", "mean_rank"}`, recall as fractions from 0 to 1.

    Raises:
      DataError: the scores are not square, empty, or not finite.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise errors.DataError(
            "similarity",
            f"shape {similarity.shape}, expected square; pass `owner` to "
            "grouped_retrieval for several texts per item",
        )
    return summary(ranks(similarity, np.arange(len(similarity))))


def grouped_retrieval(
    similarity: np.ndarray, owner: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Retrieval with several texts per item (spec 7.1, the multi-caption case).

    Text to item ranks every text among all items. Item to text scores a group of texts by its best
    member and ranks the item's own group among the groups. The original takes the lower median for
    the first direction only, and so do we.

    Args:
      similarity: float `[texts, items]`.
      owner: int `[texts]`, the item each text describes; every item has at least one.

    Returns:
      The two tables `(text_to_item, item_to_text)`, as `retrieval` returns them.

    Raises:
      DataError: as `ranks`, or an item has no text.
    """
    similarity = checks.finite(similarity, "similarity")
    owner = checks.indices(owner, len(similarity), similarity.shape[1], "owner")
    items = np.arange(similarity.shape[1])
    checks.groups(owner, len(similarity), len(items))
    to_text = group_ranks(similarity.T, owner, items)
    return summary(ranks(similarity, owner), lower_median=True), summary(to_text)
