"""Retrieval between captions and one modality, both directions (spec 7.1)."""

from collections.abc import Sequence

import numpy as np

from lb_jax.evaluation.metrics import ranks, recall, scoring


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
