"""Films that show bare bodies, by NudeNet, whose model comes with it."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core import errors
from lb_jax.core.fields import require

FIGURES = (("score", pa.float32()), ("part", pa.string()))
# What NudeNet tells, besides parts that are covered and faces.
BARE = (
    "FEMALE_GENITALIA_EXPOSED",
    "MALE_GENITALIA_EXPOSED",
    "ANUS_EXPOSED",
    "FEMALE_BREAST_EXPOSED",
    "BUTTOCKS_EXPOSED",
)


@dataclasses.dataclass(frozen=True)
class Nudity:
    """Thresholds.

    Attributes:
      parts: of NudeNet, by its names.
      score: 0 to 1, from which on a part counts.
      pictures: that are looked at, evenly spread.
    """

    parts: tuple[str, ...] = BARE
    score: float = 0.6
    pictures: int = 2

    def __post_init__(self):
        for part in self.parts:
            if part not in BARE:
                raise errors.ConfigError(
                    f"config.nudity: {part!r} is none of {', '.join(BARE)}."
                    f"{errors.nearest(part, BARE)}"
                )
        require(
            0 < self.score <= 1 and self.pictures > 0,
            f"config.nudity: score is {self.score} and pictures {self.pictures}; expected above 0 "
            "and at most 1, and 1 or more.",
        )


def wants(cfg: Nudity) -> stage.Wants:
    """Some pictures."""
    return stage.Wants(frozenset({cfg.pictures}))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Nudity) -> list[stage.Verdict]:
    """Judges films by what their pictures show."""
    return [_judge(film.pictures(cfg.pictures), cfg) for film in films]


def _judge(pictures: np.ndarray, cfg: Nudity) -> stage.Verdict:
    found = [
        (float(one["score"]), one["class"])
        for picture in pictures
        for one in _detector().detect(np.ascontiguousarray(picture[..., ::-1]))
        if one["class"] in cfg.parts
    ]
    score, part = max(found, default=(0.0, ""))
    if score >= cfg.score:
        told = f"shows {part.replace('_', ' ').lower()} ({score:.2f})"
        return stage.refuse(told, score=score, part=part)
    return stage.keep(score=score, part=part)


@functools.cache
def _detector():
    from nudenet import NudeDetector

    return NudeDetector()
