"""Sound that was recorded too loud, so that its tops are cut off."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("clipped_share", pa.float32()),)


@dataclasses.dataclass(frozen=True)
class Clipping:
    """Thresholds.

    Attributes:
      level: of full scale, from which on a sample is at the top.
      share: of samples at the top, from which on a film is left out.
    """

    level: float = 0.995
    share: float = 0.02

    def __post_init__(self):
        require(
            0 < self.level <= 1 and 0 < self.share <= 1,
            f"config.clipping: level is {self.level} and share {self.share}; expected both above 0 "
            "and at most 1.",
        )


def wants(cfg: Clipping) -> stage.Wants:
    """No picture."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Clipping) -> list[stage.Verdict]:
    """Judges films by how many of their samples are at the top."""
    return [_judge(film.sound(), cfg) for film in films]


def _judge(sound: tuple[np.ndarray, int] | None, cfg: Clipping) -> stage.Verdict:
    share = 0.0 if sound is None else float((np.abs(sound[0]) >= cfg.level).mean())
    if share >= cfg.share:
        told = f"is clipped in {share:.1%} of its samples"
        return stage.refuse(told, clipped_share=share)
    return stage.keep(clipped_share=share)
