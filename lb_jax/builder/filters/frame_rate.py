"""Films of too few pictures a second to show motion, or of more than any camera makes."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("rate_hz", pa.float32()), ("frames", pa.int32()))


@dataclasses.dataclass(frozen=True)
class FrameRate:
    """Thresholds, both ends included.

    Attributes:
      lowest_hz, highest_hz: pictures per second, on average.
    """

    lowest_hz: float = 5.0
    highest_hz: float = 240.0

    def __post_init__(self):
        require(
            0 <= self.lowest_hz <= self.highest_hz,
            f"config.frame_rate: lowest_hz is {self.lowest_hz} and highest_hz {self.highest_hz}; "
            "no film has both.",
        )


def wants(cfg: FrameRate) -> stage.Wants:
    """Nothing but the header."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: FrameRate) -> list[stage.Verdict]:
    """Judges films by their pictures per second."""
    return [_judge(film.facts.rate_hz, film.facts.frames, cfg) for film in films]


def _judge(rate_hz: float, frames: int, cfg: FrameRate) -> stage.Verdict:
    figures = {"rate_hz": rate_hz, "frames": frames}
    if not cfg.lowest_hz <= rate_hz <= cfg.highest_hz:
        told = f"has {rate_hz:.1f} frames/s, not {cfg.lowest_hz:g} to {cfg.highest_hz:g}"
        return stage.refuse(told, **figures)
    return stage.keep(**figures)
