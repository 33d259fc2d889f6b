"""From embeddings to rows whose dot product is the score: two scorings, three fusions.

Every similarity here is a dot product of two rows. By cosine the rows have length one; by the
original's rule they are as the tower gives them. A side of several modalities becomes one row
whose dot product is the average over its parts, so that fused scores, too, are ranked in blocks
(spec 7.3).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.metrics import checks


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Scales rows to length one.

    Args:
      embeddings: float `[n, e]`.

    Returns:
      float32 `[n, e]`.

    Raises:
      DataError: a row has no direction (length zero), or holds NaN or infinity.
    """
    embeddings = checks.finite(embeddings, "embeddings")
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


# how the embedding of one modality becomes a row
SCORINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": unit,
    "dot": lambda rows: checks.finite(rows, "embeddings").astype(np.float32, copy=False),
}


def fuse(
    parts: Mapping[str, np.ndarray],
    other: Sequence[str],
    fusion: str,
    logit_scale: Mapping[str, float],
) -> np.ndarray:
    """One row for each item of a side.

    Args:
      parts: modality -> rows float32 `[..., e]`, as `SCORINGS` gives them, all of one shape.
      other: modalities of the other side.
      fusion: "cosine" averages the similarities of the parts; "logits" averages them times the
        inverse temperature of the pair, so that the sharper modality weighs more; "embeddings"
        adds up unit rows and makes the sum a unit row again.
      logit_scale: modality -> log of its inverse temperature.

    Returns:
      float32 `[..., e]`; a part that is alone is returned as it is.
    """
    if len(parts) == 1:
        return next(iter(parts.values()))
    return FUSIONS[fusion](parts, other, logit_scale)


def _average(parts, other, logit_scale):
    del other, logit_scale
    return np.mean(list(parts.values()), axis=0)


def _logits(parts, other, logit_scale):
    weighted = [
        _inverse_temperature((name, *other), logit_scale) * part for name, part in parts.items()
    ]
    return np.mean(weighted, axis=0)


def _sum(parts, other, logit_scale):
    del other, logit_scale
    rows = [unit(part.reshape(-1, part.shape[-1])) for part in parts.values()]
    shape = next(iter(parts.values())).shape
    return unit(np.sum(rows, axis=0)).reshape(shape)


FUSIONS = {"cosine": _average, "logits": _logits, "embeddings": _sum}


def _inverse_temperature(names: Sequence[str], logit_scale: Mapping[str, float]) -> np.float32:
    """That of the media among `names`; of two media, which have none, the geometric mean."""
    scales = [logit_scale[name] for name in names if name != TEXT]
    return np.float32(math.exp(sum(scales) / len(scales)))
