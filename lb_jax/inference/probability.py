"""How likely pairs of vectors belong together, by the calibration that lies beside the weights."""

from pathlib import Path

import numpy as np

from lb_jax.core import checkpoint, errors
from lb_jax.evaluation import calibrations
from lb_jax.evaluation.metrics.calibration import Calibration
from lb_jax.inference import unit_vectors


def read(folder: Path | None, where: str, digest: str) -> calibrations.Calibrations:
    """The curves from similarity to probability that lie in a checkpoint.

    Args:
      folder: the checkpoint; None for weights that are none of this package.
      where: how errors name the weights.
      digest: hash of the model, as its checkpoint states it.

    Raises:
      ConfigError: when there are none, saying which command fits them.
      CheckpointError: when they are damaged, or of other weights.
    """
    if folder is None:
        raise errors.ConfigError(
            f"{where}: a calibration lies in a checkpoint of this package, which "
            "this is not; write one with `lb-jax convert SRC DST --to=safetensors` and fit it "
            "with `lb-jax calibrate --model=DST --data=CORPUS`."
        )
    if not (folder / checkpoint.CALIBRATION).is_file():
        raise errors.ConfigError(
            f"{folder}: has no calibration; fit one with `lb-jax calibrate --model={folder} "
            "--data=CORPUS`."
        )
    return calibrations.read(folder, digest)


def curve(found: calibrations.Calibrations, modality: str, other: str) -> Calibration:
    """The curve of two modalities, in either order.

    Raises:
      ConfigError: the calibration has none of them.
    """
    key = calibrations.key(modality, other)
    if key not in found.pairs:
        raise errors.ConfigError(
            f"the calibration has no {modality} with {other}; it has "
            f"{' '.join(found.pairs)}. Fit one with `lb-jax calibrate` on items that have both."
        )
    return found.pairs[key].curve


def match(by: Calibration, a: np.ndarray, b: np.ndarray, prior: float) -> np.ndarray:
    """Probabilities that pairs of unit vectors match: [n, e] and [m, e] -> float64 [n, m].

    Args:
      by: curve of their modalities.
      a: [n, e].
      b: [m, e].
      prior: share of the pairs that match, above 0 and below 1.

    Raises:
      ConfigError: for a prior out of range, or arrays that are not unit vectors of one length.
    """
    unit_vectors.require_unit("match_probability", a=a, b=b)
    cosines = unit_vectors.similarity(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return by.probability(cosines, prior)
