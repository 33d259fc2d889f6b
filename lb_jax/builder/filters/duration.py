"""Films that are too short or too long."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("duration_s", pa.float32()),)


@dataclasses.dataclass(frozen=True)
class Duration:
    """Thresholds, both ends included.

    Attributes:
      shortest_s, longest_s: of the pictures, in seconds. VIDAL's clips are of the order of 20 s
        (LanguageBind spec 8.2, which gives no figure).
    """

    shortest_s: float = 1.0
    longest_s: float = 20.0

    def __post_init__(self):
        require(
            0 <= self.shortest_s <= self.longest_s,
            f"config.duration: shortest_s is {self.shortest_s} and longest_s {self.longest_s}; no "
            "film has both.",
        )


def wants(cfg: Duration) -> stage.Wants:
    """Nothing but the header."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Duration) -> list[stage.Verdict]:
    """Judges films by how long they last."""
    return [_judge(film.facts.duration_s, cfg) for film in films]


def _judge(lasts_s: float, cfg: Duration) -> stage.Verdict:
    if lasts_s < cfg.shortest_s:
        return stage.refuse(
            f"lasts {lasts_s:.1f} s, less than {cfg.shortest_s:g} s", duration_s=lasts_s
        )
    if lasts_s > cfg.longest_s:
        return stage.refuse(
            f"lasts {lasts_s:.1f} s, more than {cfg.longest_s:g} s", duration_s=lasts_s
        )
    return stage.keep(duration_s=lasts_s)
