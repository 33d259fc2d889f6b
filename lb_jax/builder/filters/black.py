"""Films that are black for much of their length."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("black_share", pa.float32()), ("brightness", pa.float32()))


@dataclasses.dataclass(frozen=True)
class Black:
    """Thresholds.

    Attributes:
      darkest: brightness, 0 to 255, up to which a pixel is black; limited-range films are 16 there.
      pixels: share of a picture's pixels from which on it is a black one.
      share: of black pictures, from which on a film is left out.
      pictures: that are looked at, evenly spread.
    """

    darkest: float = 20.0
    pixels: float = 0.98
    share: float = 0.5
    pictures: int = 8

    def __post_init__(self):
        require(
            0 <= self.darkest < 255 and 0 < self.pixels <= 1 and 0 < self.share <= 1,
            f"config.black: darkest is {self.darkest}, pixels {self.pixels} and share {self.share};"
            " expected 0 to 255, and shares above 0 and at most 1.",
        )
        require(
            self.pictures > 0, f"config.black: pictures is {self.pictures}, expected 1 or more."
        )


def wants(cfg: Black) -> stage.Wants:
    """Some pictures."""
    return stage.Wants(frozenset({cfg.pictures}))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Black) -> list[stage.Verdict]:
    """Judges films by how many of their pictures are black."""
    return [_judge(film.pictures(cfg.pictures), cfg) for film in films]


def _judge(pictures: np.ndarray, cfg: Black) -> stage.Verdict:
    bright = pictures.max(axis=-1)  # [n, h, w]; a dark blue is no black
    is_black = (bright <= cfg.darkest).mean(axis=(1, 2)) >= cfg.pixels  # [n]
    share, mean = float(is_black.mean()), float(bright.mean())
    figures = {"black_share": share, "brightness": mean}
    if share >= cfg.share:
        return stage.refuse(f"is black in {share:.0%} of its length", **figures)
    return stage.keep(**figures)
