"""Films of several shots, by PySceneDetect."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require
from lb_jax.core.words import counted

FIGURES = (("cuts", pa.int32()), ("first_cut_s", pa.float32()))


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Thresholds.

    Attributes:
      most: cuts that a film may have.
      threshold: of PySceneDetect's ContentDetector, mean change of a picture's values, 0 to 255.
      luma_only: by brightness alone; the hue of dark and grey pictures is mostly noise.
      shortest_frames: between two cuts.
      side_px: short side at which frames are compared.
    """

    most: int = 0
    threshold: float = 27.0
    luma_only: bool = False
    shortest_frames: int = 5
    side_px: int = 128

    def __post_init__(self):
        require(
            self.most >= 0 and self.threshold > 0 and self.shortest_frames > 0,
            f"config.cuts: most is {self.most}, threshold {self.threshold} and shortest_frames "
            f"{self.shortest_frames}; expected 0 or more, above 0, and 1 or more.",
        )
        require(self.side_px >= 16, f"config.cuts: side_px is {self.side_px}, expected 16 or more.")


def wants(cfg: Cuts) -> stage.Wants:
    """Every frame, small."""
    return stage.Wants(every_px=cfg.side_px)


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Cuts) -> list[stage.Verdict]:
    """Judges films by the cuts in them."""
    return [_judge(film.every(), film.facts.rate_hz, cfg) for film in films]


def _judge(frames: np.ndarray, rate_hz: float, cfg: Cuts) -> stage.Verdict:
    found = _find(frames, rate_hz, cfg)
    figures = {"cuts": len(found), "first_cut_s": found[0] / rate_hz if found else None}
    if len(found) > cfg.most:
        told = f"has {counted(len(found), 'cut')}, the first at {found[0] / rate_hz:.1f} s"
        return stage.refuse(told, **figures)
    return stage.keep(**figures)


def _find(frames: np.ndarray, rate_hz: float, cfg: Cuts) -> list[int]:
    """Numbers of the frames that begin a shot, but for the first."""
    from scenedetect import ContentDetector, FrameTimecode

    detector = ContentDetector(
        threshold=cfg.threshold, min_scene_len=cfg.shortest_frames, luma_only=cfg.luma_only
    )
    found = []
    for number, frame in enumerate(frames):
        at = FrameTimecode(number, fps=float(rate_hz))
        found += detector.process_frame(at, np.ascontiguousarray(frame[..., ::-1]))  # it wants BGR
    found += detector.post_process(FrameTimecode(max(len(frames) - 1, 0), fps=float(rate_hz)))
    return sorted(int(one.frame_num) for one in found)
