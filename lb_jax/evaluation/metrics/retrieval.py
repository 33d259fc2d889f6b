"""Retrieval between captions and one modality, both directions: of embeddings, or of scores."""

from collections.abc import Sequence

import numpy as np

from lb_jax.evaluation.metrics import checks, dual_softmax, ranks, recall, scoring


def score(
    text: np.ndarray, items: np.ndarray, captions: Sequence[str], *, by_caption: bool = False
) -> dict:
    """Ranks items for each caption, and captions for each item.

    Items may share a caption word for word. Item to text therefore ranks the distinct captions:
    giving an item the very sentence it carries is right, whichever row the sentence came from. Text
    to item stays strict: only the caption's own item is right. By caption it is not: each distinct
    caption asks once, the items that carry it count as one, by the best of them.

    Args:
      text: unit rows `[n, e]`, the embedding of each item's caption.
      items: unit rows `[n, e]`.
      captions: the n captions themselves.
      by_caption: whether items of an equal caption are right for each other.

    Returns:
      `{"text_to_x": {...}, "x_to_text": {...}, "chance_R@1", "n", "distinct_captions"}`; chance is
      1/n, and for `x_to_text`, which has its own `"chance_R@1"`, 1/distinct captions; by caption it
      is this for both.
    """
    column = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    truth = np.array([column[caption] for caption in captions])
    first = np.unique(truth, return_index=True)[1]  # column of a caption -> row that has it first
    if by_caption:
        every = np.arange(len(column))
        to_item = ranks.group_ranks(text[first], items, truth, every)
        return {
            "text_to_x": recall.summary(to_item),
            "x_to_text": recall.summary(ranks.ranks(items, text[first], truth)),
            "chance_R@1": 1 / len(column),
            "n": len(items),
            "distinct_captions": len(column),
        }
    to_text = recall.ranks(scoring.cosine(items, text[first]), truth)
    return {
        "text_to_x": recall.retrieval(scoring.cosine(text, items)),
        "x_to_text": recall.summary(to_text) | {"chance_R@1": 1 / len(column)},
        "chance_R@1": 1 / len(items),
        "n": len(items),
        "distinct_captions": len(column),
    }


def of_scores(
    scores: np.ndarray, owner: np.ndarray, *, temperature: float | None = None
) -> tuple[dict[str, float], dict[str, float]]:
    """Retrieval from a matrix of scores that no two rows of numbers multiply to (VALOR spec 5.5).

    Each text looks for its item, and each item for the best of its texts. Both medians are the
    lower middle rank, ranks count from 1, and ties count against the model. Ranks are those of the
    precision in which the scores are given.

    Args:
      scores: float `[texts, items]`.
      owner: int `[texts]`, the item of each text; every item has at least one.
      temperature: of a dual softmax over both sides first; None for the scores as they are.

    Returns:
      The two tables `(text_to_item, item_to_text)`: `recall.summary` and "mean_recall", the mean of
      its three recalls.

    Raises:
      DataError: the scores are no finite matrix, or an item has no text.
    """
    scores = checks.finite(scores, "scores")
    items = np.arange(scores.shape[1])
    owner = checks.indices(owner, len(scores), len(items), "owner")
    checks.groups(owner, len(scores), len(items))
    forward, backward = weighted(scores, temperature)
    to_item = recall.ranks(forward, owner)
    to_text = recall.group_ranks(backward.T, owner, items)
    return _table(to_item), _table(to_text)


def weighted(scores: np.ndarray, temperature: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Scores `[texts, items]` for texts that look for items, and for items that look for texts."""
    if temperature is None:
        return scores, scores
    both = dual_softmax.text_to_item, dual_softmax.item_to_text
    return both[0](scores, temperature), both[1](scores, temperature)


def _table(rank: np.ndarray) -> dict[str, float]:
    found = recall.summary(rank, lower_median=True)
    return found | {"mean_recall": recall.mean_recall(found)}
