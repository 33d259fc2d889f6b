"""Films that cannot be heard."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("loudness_db", pa.float32()),)
FLOOR_DB = -120.0  # below 16 bits; what digital silence is told as


@dataclasses.dataclass(frozen=True)
class Silence:
    """Thresholds.

    Attributes:
      quietest_db: root mean square of all samples, in decibels below full scale.
      required: whether a film without a sound track is left out.
    """

    quietest_db: float = -60.0
    required: bool = True

    def __post_init__(self):
        require(
            FLOOR_DB < self.quietest_db < 0,
            f"config.silence: quietest_db is {self.quietest_db}, expected {FLOOR_DB:g} to 0.",
        )


def wants(cfg: Silence) -> stage.Wants:
    """No picture."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Silence) -> list[stage.Verdict]:
    """Judges films by how loud they are."""
    return [_judge(film.sound(), cfg) for film in films]


def _judge(sound: tuple[np.ndarray, int] | None, cfg: Silence) -> stage.Verdict:
    if sound is None:
        told = stage.refuse("has no sound track", loudness_db=FLOOR_DB)
        return told if cfg.required else stage.keep(loudness_db=FLOOR_DB)
    power = float(np.square(sound[0], dtype=np.float64).mean())
    loudness = max(FLOOR_DB, 10 * math.log10(power)) if power > 0 else FLOOR_DB
    if loudness < cfg.quietest_db:
        told = f"is silent ({loudness:.0f} dB, below {cfg.quietest_db:g} dB)"
        return stage.refuse(told, loudness_db=loudness)
    return stage.keep(loudness_db=loudness)
