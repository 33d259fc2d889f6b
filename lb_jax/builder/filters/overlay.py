"""Films with writing over the picture, read by RapidOCR, whose models come with it."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require
from lb_jax.core.words import counted

FIGURES = (("letters", pa.int32()), ("text", pa.string()))
LONGEST = 200  # characters of a text that are kept


@dataclasses.dataclass(frozen=True)
class Overlay:
    """Thresholds.

    Attributes:
      fewest_letters: letters and digits in a picture, from which on it is one with writing.
      fewest_together: letters of a piece of writing that counts; signs of shapes are read as one or
        two.
      sure: least confidence of a piece of writing, 0 to 1.
      share: of pictures with writing, from which on a film is left out.
      pictures: that are looked at, evenly spread.
      side_px: short side that pictures are brought to; larger takes longer.
    """

    fewest_letters: int = 6
    fewest_together: int = 3
    sure: float = 0.7
    share: float = 0.5
    pictures: int = 2
    side_px: int = 320

    def __post_init__(self):
        require(
            self.fewest_letters > 0 and 0 <= self.sure <= 1 and 0 < self.share <= 1,
            f"config.overlay: fewest_letters is {self.fewest_letters}, sure {self.sure} and share "
            f"{self.share}; expected 1 or more, 0 to 1, and above 0 and at most 1.",
        )
        require(
            self.fewest_together <= self.fewest_letters,
            f"config.overlay: fewest_together is {self.fewest_together} and fewest_letters "
            f"{self.fewest_letters}; the first cannot be more.",
        )
        require(
            self.pictures > 0 and self.side_px >= 64,
            f"config.overlay: pictures is {self.pictures} and side_px {self.side_px}; expected 1 "
            "or more, and 64 or more.",
        )


def wants(cfg: Overlay) -> stage.Wants:
    """Some pictures."""
    return stage.Wants(frozenset({cfg.pictures}))


def look(batch: pa.RecordBatch, films: Sequence[stage.Film], cfg: Overlay) -> list[stage.Verdict]:
    """Judges films by the writing in their pictures."""
    return [_judge(film.pictures(cfg.pictures), cfg) for film in films]


def _judge(pictures: np.ndarray, cfg: Overlay) -> stage.Verdict:
    told = [read(one, cfg) for one in pictures]
    letters = [sum(map(_letters, one)) for one in told]
    most = int(np.argmax(letters))
    figures = {"letters": letters[most], "text": " | ".join(told[most])[:LONGEST]}
    written = sum(count >= cfg.fewest_letters for count in letters)
    if written >= cfg.share * len(pictures):
        shown = figures["text"]
        return stage.refuse(
            f"has writing in {written} of {counted(len(pictures), 'picture')}: {shown!r}", **figures
        )
    return stage.keep(**figures)


def read(picture: np.ndarray, cfg: Overlay) -> list[str]:
    """Pieces of writing in a picture, uint8 [h, w, 3], that count."""
    found = _engine(cfg.side_px)(np.ascontiguousarray(picture[..., ::-1]))
    texts, scores = found.txts or (), found.scores or ()
    return [
        text
        for text, score in zip(texts, scores, strict=True)
        if score >= cfg.sure and _letters(text) >= cfg.fewest_together
    ]


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


@functools.cache
def _engine(side_px: int):
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Det.limit_side_len": side_px,
            "Det.limit_type": "min",
            "Global.use_cls": False,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
