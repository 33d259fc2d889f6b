"""One item of a corpus and what every corpus gives, wherever it lies."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Protocol

import numpy as np

from lb_jax.core import names
from lb_jax.corpora import asr, subtitles
from lb_jax.media.sensors.depth_units import Measured, parse

# A media file, its content, the stills that make up one clip, or depth in a unit of its own.
Ref = Path | bytes | tuple[Path | bytes, ...] | Measured


# What is said in a film, or where that stands.
Told = subtitles.Narrations | subtitles.Files | asr.Entry


@dataclasses.dataclass(frozen=True)
class Row:
    """One item; it may carry several modalities and several captions.

    Attributes:
      id: the item's name in its corpus, for messages.
      texts: caption kind -> a caption, or several to draw from; see `captions.TEXT_KINDS`.
      media: modality -> its files: one, or one for each of the item's frames.
      label: its class, for scoring only; empty where the corpus names none.
      weights: of its answers, where it is a question; empty where all count the same.
      narrations: of its film, see `narrations.read`; None where the corpus has none of any.
    """

    id: str
    texts: Mapping[str, str | tuple[str, ...]]
    media: Mapping[str, tuple[Ref, ...]]
    label: str = ""
    weights: tuple[float, ...] = ()
    narrations: Told | None = None


class EveryRow(Sized):
    """A corpus whose rows carry all that the corpus carries, as far as it can say.

    Attributes:
      modalities: what every row carries.
    """

    modalities: tuple[str, ...]

    def having(self, modality: str) -> Sequence[int]:
        """Numbers of the rows that carry a modality: all, or none where the corpus has none."""
        return range(len(self) if modality in self.modalities else 0)


class InUnit:
    """A corpus whose depth is in a unit, but for rows that have one of their own.

    Args:
      source: the corpus.
      unit: see `depth_units.parse`.

    Raises:
      ConfigError: the unit is none.
    """

    def __init__(self, source: "Source", unit: str):
        parse(unit)
        self._source, self._unit = source, unit
        self.where = f"{source.where} (depth unit {unit})"
        self.modalities, self.text_kinds = source.modalities, source.text_kinds

    def __len__(self) -> int:
        return len(self._source)

    def having(self, modality: str) -> Sequence[int] | np.ndarray:
        """Numbers of the rows that carry a modality, rising."""
        return self._source.having(modality)

    def require(self, kinds: Iterable[str]) -> None:
        """Checks that every row has the captions, see `Source.require`.

        Raises:
          DataError: naming a row that lacks one.
          ConfigError: for an unknown kind.
        """
        self._source.require(kinds)

    def __getitem__(self, index: int) -> Row:
        row = self._source[index]
        if "depth" not in row.media:
            return row
        depth = tuple(
            one if isinstance(one, Measured) else Measured(one, self._unit)
            for one in row.media["depth"]
        )
        return dataclasses.replace(row, media={**row.media, "depth": depth})


def name_of(file: Ref, row: str) -> str:
    """What a file is called in messages: its path, or the row it is part of."""
    file = file.file if isinstance(file, Measured) else file
    return names.shown(file) if isinstance(file, Path) else row


class Source(Protocol):
    """A corpus: rows in a fixed order, each read when it is asked for.

    A source is pickled to worker processes: one that holds much opens itself again there.

    Attributes:
      where: what was opened, for messages.
      modalities: what rows may carry.
      text_kinds: caption kinds that rows may carry.
    """

    where: str
    modalities: tuple[str, ...]
    text_kinds: tuple[str, ...]

    def __len__(self) -> int: ...

    def having(self, modality: str) -> Sequence[int] | np.ndarray:
        """Numbers of the rows that carry a modality, rising."""
        ...

    def require(self, kinds: Iterable[str]) -> None:
        """Checks that every row has the captions that training will ask for.

        Args:
          kinds: any keys of `captions.DRAW_KINDS`.

        Raises:
          DataError: naming a row that lacks one.
          ConfigError: for an unknown kind.
        """
        ...

    def __getitem__(self, index: int) -> Row:
        """One row, by a number from 0 to `len - 1`.

        Raises:
          DataError: the row cannot be read; it names the row.
        """
        ...
