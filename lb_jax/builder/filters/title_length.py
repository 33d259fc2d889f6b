"""Titles that are too short to say anything, or too long to be one."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa

from lb_jax.builder import stage
from lb_jax.core.fields import require
from lb_jax.core.words import counted

FIGURES = (("words", pa.int32()), ("characters", pa.int32()))


@dataclasses.dataclass(frozen=True)
class TitleLength:
    """Thresholds, both ends included.

    Attributes:
      fewest_words, most_words: of a title, hashtags included.
      most_characters: of a title.
    """

    fewest_words: int = 3
    most_words: int = 60
    most_characters: int = 400

    def __post_init__(self):
        require(
            0 <= self.fewest_words <= self.most_words and self.most_characters > 0,
            f"config.title_length: fewest_words is {self.fewest_words}, most_words "
            f"{self.most_words} and most_characters {self.most_characters}; no title has both.",
        )


def look(batch: pa.RecordBatch, films: Sequence, cfg: TitleLength) -> list[stage.Verdict]:
    """Judges titles by their length."""
    return [_judge(title or "", cfg) for title in batch["title"].to_pylist()]


def _judge(title: str, cfg: TitleLength) -> stage.Verdict:
    words, figures = len(title.split()), {"characters": len(title)}
    figures["words"] = words
    if words < cfg.fewest_words:
        return stage.refuse(
            f"has {counted(words, 'word')}, fewer than {cfg.fewest_words}", **figures
        )
    if words > cfg.most_words:
        return stage.refuse(f"has {counted(words, 'word')}, more than {cfg.most_words}", **figures)
    if len(title) > cfg.most_characters:
        told = f"has {len(title)} characters, more than {cfg.most_characters}"
        return stage.refuse(told, **figures)
    return stage.keep(**figures)
