"""Ranks, recall and top-1 accuracy as pure functions of score matrices.

Ties count against the model, always: an answer that merely equals the right one is ranked before
it. The original counts only the strictly greater entries (spec 7.1), under which a collapsed model
whose scores are all equal ranks everything first, 100 %; here it scores 0 %. The rule needs no
random numbers and does not depend on the order of the items or of the classes. Without ties both
rules agree.
"""

import numpy as np

from lb_jax.core import errors

RECALL_AT = (1, 5, 10)


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Scales rows to length one.

    Args:
      embeddings: float `[n, e]`.

    Returns:
      float32 `[n, e]`.

    Raises:
      DataError: a row has no direction (length zero), or holds NaN or infinity.
    """
    embeddings = finite(embeddings, "embeddings")
    length = np.linalg.norm(embeddings.astype(np.float64), axis=-1, keepdims=True)
    if np.any(length == 0):
        raise errors.DataError(
            "embeddings",
            f"row {int(np.argmin(length))} is all zeros, expected a direction; check the weights",
        )
    return (embeddings / length).astype(np.float32)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the similarity float32 `[n, m]` of unit rows `[n, e]` and `[m, e]`.

    Summed in float64 and then rounded: equal rows so give equal scores. In float32 the last bit
    depends on how the matrix product is blocked, and two copies of one item would be ordered by
    that.
    """
    return (a.astype(np.float64) @ b.astype(np.float64).T).astype(np.float32)


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
    similarity = finite(similarity, "similarity")
    truth = indices(truth, *similarity.shape, "truth")
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
    similarity = finite(similarity, "similarity")
    group = groups(group, similarity.shape[1])
    truth = indices(truth, len(similarity), int(group.max()) + 1, "truth")
    same = np.arange(len(group)) if same is None else np.asarray(same)
    found = []
    for scores, right in zip(similarity, truth, strict=True):
        own = group == right
        others = ~np.isin(same, same[own])
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
    similarity = finite(similarity, "similarity")
    owner = indices(owner, *similarity.shape, "owner")
    items = np.arange(similarity.shape[1])
    groups(owner, len(similarity), len(items))
    to_text = group_ranks(similarity.T, owner, items)
    return summary(ranks(similarity, owner), lower_median=True), summary(to_text)


def predictions(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the class int `[n]` that each row of `scores [n, c]` counts as.

    Ties with the true class are lost.
    """
    scores = finite(scores, "scores")
    labels = indices(labels, *scores.shape, "labels")
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return np.where(scores[rows, labels] > others.max(axis=1), labels, others.argmax(axis=1))


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns counts int `[c, c]`, true class down, predicted class across."""
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


def finite(values: np.ndarray, name: str) -> np.ndarray:
    """Checks that a matrix has rows and columns and no NaN or infinity.

    Raises:
      DataError: it has not.
    """
    values = np.asarray(values)
    if values.ndim != 2 or 0 in values.shape:
        raise errors.DataError(
            name, f"shape {values.shape}, expected a matrix with at least one row and one column"
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise errors.DataError(
            name,
            f"{len(bad)} of {values.size} values are not finite, the first is "
            f"{values[at]} at {at}; check the model",
        )
    return values


def groups(values: np.ndarray, rows: int, count: int | None = None) -> np.ndarray:
    """Checks that each of `rows` rows has a group, and that no group from 0 on is empty.

    Args:
      values: int `[rows]`.
      rows: how many.
      count: of groups; None takes the largest.

    Raises:
      DataError: there is a row without, or a group without rows.
    """
    values = np.asarray(values)
    count = int(values.max(initial=0)) + 1 if count is None else count
    values = indices(values, rows, count, "group")
    without = np.setdiff1d(np.arange(count), values)
    if len(without):
        raise errors.DataError(
            "group",
            f"{len(without)} of {count} have no member, such as a text; the first is "
            f"{without[0]}; leave them out",
        )
    return values


def indices(values: np.ndarray, rows: int, columns: int, name: str) -> np.ndarray:
    """Checks that there is one integer from 0 to below `columns` for each of `rows` rows.

    Raises:
      DataError: there is not.
    """
    values = np.asarray(values)
    if values.shape != (rows,) or not np.issubdtype(values.dtype, np.integer):
        raise errors.DataError(
            name, f"{values.dtype} {values.shape}, expected one integer for each of {rows} rows"
        )
    if values.min() < 0 or values.max() >= columns:
        raise errors.DataError(
            name, f"values {values.min()} to {values.max()}, expected columns 0 to {columns - 1}"
        )
    return values
