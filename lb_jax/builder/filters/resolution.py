"""Films whose pictures are too small or too large."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("width", pa.int32()), ("height", pa.int32()))


@dataclasses.dataclass(frozen=True)
class Resolution:
    """Thresholds, both ends included.

    Attributes:
      smallest_px, largest_px: of the short side, as it is shown.
    """

    smallest_px: int = 224
    largest_px: int = 4320

    def __post_init__(self):
        require(
            0 < self.smallest_px <= self.largest_px,
            f"config.resolution: smallest_px is {self.smallest_px} and largest_px "
            f"{self.largest_px}; no film has both.",
        )


def wants(cfg: Resolution) -> stage.Wants:
    """Nothing but the header."""
    return stage.Wants()


def look(
    batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Resolution
) -> list[stage.Verdict]:
    """Judges films by the short side of their pictures."""
    return [_judge(film.facts.width, film.facts.height, cfg) for film in films]


def _judge(width: int, height: int, cfg: Resolution) -> stage.Verdict:
    figures = {"width": width, "height": height}
    if not width:
        return stage.refuse("has no pictures", **figures)
    if min(width, height) < cfg.smallest_px:
        told = f"is {width}x{height}, its short side below {cfg.smallest_px}"
        return stage.refuse(told, **figures)
    if min(width, height) > cfg.largest_px:
        told = f"is {width}x{height}, its short side above {cfg.largest_px}"
        return stage.refuse(told, **figures)
    return stage.keep(**figures)
