"""One item of a corpus and what every corpus gives, wherever it lies."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lb_jax.core import names

# A media file, its content, or the stills that make up one clip.
Ref = Path | bytes | tuple[Path | bytes, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """One item; it may carry several modalities and several captions.

    Attributes:
      id: the item's name in its corpus, for messages.
      texts: caption kind -> a caption, or several to draw from; see `captions.TEXT_KINDS`.
      media: modality -> its files: one, or one for each of the item's frames.
    """

    id: str
    texts: Mapping[str, str | tuple[str, ...]]
    media: Mapping[str, tuple[Ref, ...]]


def name_of(file: Ref, row: str) -> str:
    """What a file is called in messages: its path, or the row it is part of."""
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

    def having(self, modality: str) -> Sequence[int]:
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
