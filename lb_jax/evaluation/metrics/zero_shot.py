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


def score(
    embeddings: np.ndarray, weights: np.ndarray, labels: Sequence[str], classes: Sequence[str]
) -> tuple[dict, np.ndarray]:
    """Classifies items.

    Args:
      embeddings: unit rows `[n, e]`.
      weights: `class_weights`, `[c, e]`.
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
