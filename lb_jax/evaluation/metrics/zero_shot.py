"""Zero-shot classification: the class whose prompts are nearest (spec 7.2)."""

from collections.abc import Sequence

import numpy as np

from lb_jax.evaluation.metrics import classes as classes_lib
from lb_jax.evaluation.metrics import scoring


def class_weights(prompts: Sequence[np.ndarray]) -> np.ndarray:
    """Averages each class's prompts into one direction.

    Args:
      prompts: for each of c classes its prompt embeddings, float `[p, e]`; p may differ between
        classes.

    Returns:
      float32 `[c, e]`: the normalised mean of the normalised prompts. (LanguageBind
      `zero_shot_classifier.py`)
    """
    return scoring.unit(np.stack([scoring.unit(texts).mean(axis=0) for texts in prompts]))


NEVER = -3.0  # score of a class that is never chosen; a cosine is at least -1


def against(
    items: np.ndarray, weights: np.ndarray, is_read: Sequence[bool]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of items and of all classes whose dot product is the score.

    Where the model can read no prompt of some class both have one number more, so that the class
    scores `NEVER`.

    Args:
      items: unit rows `[..., e]`.
      weights: unit rows `[r, e]` of the classes that are read, in their order.
      is_read: bool `[c]`, r times true.

    Returns:
      Float32 `[..., e]` and `[c, e]`, or e + 1.
    """
    is_read = np.array(is_read)
    if is_read.all():
        return items, weights
    rows = np.zeros((len(is_read), weights.shape[1] + 1), np.float32)
    rows[is_read, :-1], rows[~is_read, -1] = weights, NEVER
    return np.concatenate([items, np.ones_like(items[..., :1])], -1), rows


def score(
    embeddings: np.ndarray, weights: np.ndarray, labels: Sequence[str], classes: Sequence[str]
) -> tuple[dict, np.ndarray]:
    """Classifies items.

    Args:
      embeddings, weights: `[n, e]` and `[c, e]`, of `class_weights` and `against`.
      labels: true class name of each item.
      classes: the c class names.

    Returns:
      `({"top1", "chance", "n", "per_class": {class: recall}}, confusion int [c, c])`; `per_class`
      lists the classes that occur.
    """
    column = {name: i for i, name in enumerate(classes)}
    truth = np.array([column[label] for label in labels])
    scores = scoring.cosine(embeddings, weights)
    table = classes_lib.classification(scores, truth)
    occurring = {
        name: recall
        for name, recall in zip(classes, table["per_class"], strict=True)
        if recall is not None
    }
    return table | {"per_class": occurring}, classes_lib.confusion(scores, truth)
