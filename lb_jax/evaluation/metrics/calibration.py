"""From a similarity to the probability that two things belong together.

Platt 1999: probability = sigmoid(scale * similarity + bias), fitted to pairs that belong together
and pairs that do not. Both kinds weigh the same in all: the probability is that of a pair that
might as well match as not. Where a share `prior` of the pairs matches, not one half, the log-odds
of the prior are added (Bayes' rule: the likelihood ratio stays).
"""

import dataclasses

import numpy as np

from lb_jax.core import errors

STEPS, RIDGE = 100, 1e-6  # of Newton's method; the ridge keeps separable pairs finite


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A fitted curve.

    Attributes:
      scale, bias: of the similarity; the scale is above 0.
      n: pairs of both kinds that it was fitted to.
    """

    scale: float
    bias: float
    n: int

    def threshold(self, prior: float = 0.5) -> float:
        """The similarity at which a pair is as likely to match as not.

        Args:
          prior: share of the pairs that match, before their similarity is known.

        Raises:
          ConfigError: for a prior that is not between 0 and 1.
        """
        return -(self.bias + _log_odds(prior)) / self.scale

    def probability(self, similarity: np.ndarray, prior: float = 0.5) -> np.ndarray:
        """Returns the probability of a match, float64 of the same shape.

        Args:
          similarity: cosines.
          prior: as for `threshold`.

        Raises:
          ConfigError: as `threshold`.
        """
        similarity = np.asarray(similarity, np.float64)
        return _sigmoid(self.scale * similarity + (self.bias + _log_odds(prior)))


def fit(matching: np.ndarray, others: np.ndarray) -> Calibration:
    """Fits the curve to similarities.

    Args:
      matching: float `[n]`, of pairs that belong together.
      others: float `[m]`, of pairs that do not.

    Raises:
      DataError: there are none of a kind, or matching pairs are no more similar than others.
    """
    weight = _balanced(len(matching), len(others))
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


def calibration_error(
    probability: np.ndarray,
    matches: np.ndarray,
    weights: np.ndarray | None = None,
    bins: int = 10,
) -> float:
    """Mean distance between what is said and what happens, over equal bins of probability.

    Guo et al. 2017, arXiv 1706.04599, equation 3.

    Args:
      probability: float `[n]`.
      matches: bool `[n]`.
      weights: float `[n]`, how much each pair counts; None for all the same.
      bins: of equal width.
    """
    weights = np.ones(len(probability)) if weights is None else weights
    place = np.minimum((np.asarray(probability) * bins).astype(int), bins - 1)
    said = np.bincount(place, weights * probability, bins)
    happened = np.bincount(place, weights * np.asarray(matches, float), bins)
    return float(np.abs(said - happened).sum() / weights.sum())


def held_out(curve: Calibration, matching: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """How a curve does on pairs that it was not fitted to; both kinds weigh the same.

    Args:
      curve: fitted to other pairs.
      matching: float `[n]`, similarities of pairs that belong together.
      others: float `[m]`, of pairs that do not.

    Returns:
      (calibration error, share of the pairs that the threshold puts on the right side).

    Raises:
      DataError: there are no pairs of a kind.
    """
    said = curve.probability(np.concatenate([matching, others]))
    matches = np.arange(len(said)) < len(matching)
    weights = _balanced(len(matching), len(others))
    right = (said > 0.5) == matches
    return calibration_error(said, matches, weights), float(weights @ right)


def _balanced(matching: int, others: int) -> np.ndarray:
    """Weights under which each kind has half of the whole."""
    if not matching or not others:
        raise errors.DataError(
            "calibration", f"{matching} matching and {others} other pairs; give both"
        )
    return np.concatenate([np.full(matching, 0.5 / matching), np.full(others, 0.5 / others)])


def _log_odds(prior: float) -> float:
    if not 0 < prior < 1:
        raise errors.ConfigError(
            f"prior is {prior}; expected the share of pairs that match, above 0 and below 1."
        )
    return float(np.log(prior) - np.log1p(-prior))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))
