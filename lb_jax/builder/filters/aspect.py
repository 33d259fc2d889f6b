"""Films that are too long and narrow, whichever way."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("ratio", pa.float32()),)


@dataclasses.dataclass(frozen=True)
class Aspect:
    """Thresholds.

    Attributes:
      longest: most of the long side by the short one; 16:9 and 9:16 are 1.78, 21:9 is 2.33.
    """

    longest: float = 2.4

    def __post_init__(self):
        require(self.longest >= 1, f"config.aspect: longest is {self.longest}, expected 1 or more.")


def wants(cfg: Aspect) -> stage.Wants:
    """Nothing but the header."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Aspect) -> list[stage.Verdict]:
    """Judges films by the shape of their pictures."""
    return [_judge(film.facts.width, film.facts.height, cfg) for film in films]


def _judge(width: int, height: int, cfg: Aspect) -> stage.Verdict:
    if not width:
        return stage.refuse("has no pictures")
    ratio = max(width, height) / min(width, height)
    if ratio > cfg.longest:
        return stage.refuse(
            f"is {width}x{height}, {ratio:.2f}:1, above {cfg.longest:g}", ratio=ratio
        )
    return stage.keep(ratio=ratio)
