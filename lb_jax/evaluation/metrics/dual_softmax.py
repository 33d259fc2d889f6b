"""Dual softmax: a score counts for more where its text and its item prefer each other.

Scores are multiplied by how much the other side prefers the pair, among all that could be asked
(VALOR spec 5.1). That takes the whole set of queries at once: a figure with it is of another task
than one without.
"""

import numpy as np

from lb_jax.core import errors
from lb_jax.evaluation.metrics import checks


def text_to_item(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores for texts that look for items.

    Args:
      scores: `[texts, items]`.
      temperature: of the softmax, the model's own.

    Returns:
      float64 `[texts, items]`: score times the item's softmax over all texts, times their number.

    Raises:
      DataError: scores are no finite matrix, or the temperature is not above 0.
    """
    return _weighted(scores, temperature, 0)


def item_to_text(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores for items that look for texts, see `text_to_item`; the softmax is over items."""
    return _weighted(scores, temperature, 1)


def _weighted(scores: np.ndarray, temperature: float, axis: int) -> np.ndarray:
    scores = checks.finite(scores, "scores").astype(np.float64)
    if not temperature > 0:
        raise errors.DataError("temperature", f"is {temperature}, expected a number above 0")
    logits = scores / temperature
    shares = np.exp(logits - logits.max(axis, keepdims=True))
    shares /= shares.sum(axis, keepdims=True)
    return scores * shares * scores.shape[axis]
