"""From embeddings to rows whose dot product is the score: two scorings, three fusions.

Every similarity here is a dot product of two rows. By cosine the rows have length one; by the
original's rule they are as the tower gives them. A side of several modalities becomes one row
whose dot product is the average over its parts, so that fused scores, too, are ranked in blocks
(spec 7.3).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lb_jax.core.modalities import TEXT
from lb_jax.evaluation.metrics import recall

# how the embedding of one modality becomes a row
SCORINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "cosine": recall.unit,
    "dot": lambda rows: recall.finite(rows, "embeddings").astype(np.float32, copy=False),
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
    unit = [recall.unit(part.reshape(-1, part.shape[-1])) for part in parts.values()]
    shape = next(iter(parts.values())).shape
    return recall.unit(np.sum(unit, axis=0)).reshape(shape)


FUSIONS = {"cosine": _average, "logits": _logits, "embeddings": _sum}


def _inverse_temperature(names: Sequence[str], logit_scale: Mapping[str, float]) -> np.float32:
    """That of the media among `names`; of two media, which have none, the geometric mean."""
    scales = [logit_scale[name] for name in names if name != TEXT]
    return np.float32(math.exp(sum(scales) / len(scales)))
