"""Films in which nothing moves."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("change", pa.float32()),)
SIDE = 32  # pixels; noise of a camera and of an encoder is gone at this size, motion is not


@dataclasses.dataclass(frozen=True)
class Still:
    """Thresholds.

    Attributes:
      least: change from one looked at picture to the next, mean of all pixels, 0 to 255; the
        largest of a film has to reach it.
      pictures: that are looked at, evenly spread.
    """

    least: float = 0.5
    pictures: int = 8

    def __post_init__(self):
        require(
            0 <= self.least < 255 and self.pictures > 1,
            f"config.still: least is {self.least} and pictures {self.pictures}; expected 0 to 255, "
            "and 2 or more.",
        )


def wants(cfg: Still) -> stage.Wants:
    """Some pictures."""
    return stage.Wants(frozenset({cfg.pictures}))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Still) -> list[stage.Verdict]:
    """Judges films by whether their pictures change."""
    return [_judge(film.pictures(cfg.pictures), cfg) for film in films]


def _judge(pictures: np.ndarray, cfg: Still) -> stage.Verdict:
    small = np.stack(
        [cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in pictures]
    ).astype(np.int16)
    change = float(np.abs(np.diff(small, axis=0)).mean(axis=(1, 2, 3)).max())
    if change < cfg.least:
        return stage.refuse(f"stands still (change {change:.2f}, below {cfg.least})", change=change)
    return stage.keep(change=change)
