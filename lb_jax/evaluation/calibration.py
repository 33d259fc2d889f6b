"""From a similarity to the probability that two things belong together.

Platt 1999: probability = sigmoid(scale * similarity + bias), fitted to pairs that belong together
and pairs that do not. Both kinds weigh the same in all: the probability is that of a pair that
might as well match as not.
"""

import dataclasses

import numpy as np

from lb_jax.core import errors

STEPS, RIDGE = 100, 1e-6  # of Newton's method; the ridge keeps separable pairs finite


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted curve.

    Attributes:
      scale, bias: of the similarity.
      n: pairs of both kinds that it was fitted to.
    """

    scale: float
    bias: float
    n: int

    @property
    def threshold(self) -> float:
        """The similarity at which a pair is as likely to match as not."""
        return -self.bias / self.scale

    def probability(self, similarity: np.ndarray) -> np.ndarray:
        """Returns the probability of a match, float64 of the same shape."""
        return _sigmoid(self.scale * np.asarray(similarity, np.float64) + self.bias)


def fit(matching: np.ndarray, others: np.ndarray) -> Calibration:
    """Fits the curve to similarities.

    Args:
      matching: float `[n]`, of pairs that belong together.
      others: float `[m]`, of pairs that do not.

    Raises:
      DataError: there are none of a kind, or matching pairs are no more similar than others.
    """
    if not len(matching) or not len(others):
        raise errors.DataError(
            "calibration", f"{len(matching)} matching and {len(others)} other pairs; give both"
        )
    if np.mean(matching) <= np.mean(others):
        raise errors.DataError(
            "calibration",
            "matching pairs are no more similar than others, so a similarity says nothing; train "
            "the model, or check that pairs are in order",
        )
    similarity = np.concatenate([matching, others]).astype(np.float64)
    center, spread = similarity.mean(), similarity.std()
    x = np.stack([(similarity - center) / spread, np.ones_like(similarity)], 1)
    y = np.concatenate([np.ones(len(matching)), np.zeros(len(others))])
    weight = np.concatenate(
        [np.full(len(matching), 0.5 / len(matching)), np.full(len(others), 0.5 / len(others))]
    )
    beta = np.zeros(2)
    for _ in range(STEPS):
        p = _sigmoid(x @ beta)
        gradient = x.T @ (weight * (p - y)) + RIDGE * beta
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        beta -= step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    scale = beta[0] / spread
    return Calibration(float(scale), float(beta[1] - scale * center), len(similarity))


def calibration_error(probability: np.ndarray, matches: np.ndarray, bins: int = 10) -> float:
    """Mean distance between what is said and what happens, over equal bins of probability.

    Guo et al. 2017, arXiv 1706.04599, equation 3.

    Args:
      probability: float `[n]`.
      matches: bool `[n]`.
      bins: of equal width.
    """
    place = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
    said = np.bincount(place, probability, bins)
    happened = np.bincount(place, np.asarray(matches, float), bins)
    return float(np.abs(said - happened).sum() / len(place))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))
