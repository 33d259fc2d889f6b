"""Narrations of the rows of a corpus, and those that a clip of a film is learnt with.

They come from a JSON of recognised speech (`asr`), from subtitle files in a folder, or from files
that a row names. A row says where its own lie; they are read when they are asked for, as media are.
"""

import contextlib
import dataclasses
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.corpora import asr, files, subtitles
from lb_jax.corpora.rows import Row, Source
from lb_jax.corpora.subtitles import Narrations

# Rows that are looked at to tell whether narrations are of this corpus at all.
LOOKED_AT = 1000
NAMED = 3  # films without narrations that are named
LACKING = (subtitles.Files(), Narrations())  # what a row has where others have narrations
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]+)*")


@dataclasses.dataclass(frozen=True)
class Bag:
    """The candidates of a clip (MMV spec 2.3).

    Attributes:
      texts: K of them in the order of time; those behind the last are empty.
      present: bool [K], which are there.
    """

    texts: tuple[str, ...]
    present: np.ndarray


def read(row: Row) -> Narrations | None:
    """What is said in a row's film.

    Returns:
      None where the corpus knows of no narration. Of a film without one where others may have it,
      none are said. Where its narration is there and says nothing, an `errors.DataWarning` tells.

    Raises:
      errors.DataError: its narration cannot be read.
    """
    if row.narrations is None:
        return None
    found = row.narrations.read()
    if not found.texts and row.narrations not in LACKING:
        warnings.warn(
            errors.DataWarning(row.id, "has no narration; taken as a film without text"),
            stacklevel=2,
        )
    return found


def without(source: Source, numbers: Sequence[int] | np.ndarray) -> str | None:
    """How many films have no narration where others have one, and which, in words.

    Args:
      source: the corpus.
      numbers: of its rows with films; of more than `LOOKED_AT` so many are looked at.

    Returns:
      None where all have one, or the corpus knows of no narration.
    """
    some = np.linspace(0, len(numbers) - 1, min(len(numbers), LOOKED_AT)).astype(int)
    found = []
    for place in some:
        with contextlib.suppress(errors.DataError):  # told of when the row is loaded
            row = source[int(numbers[place])]
            found += [row.id] if row.narrations in LACKING else []
    if not found:
        return None
    first = ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else "")
    seen = "" if len(some) == len(numbers) else " that were looked at"
    return (
        f"{len(found)} of {counted(len(some), 'film')}{seen} without narration ({first}); they are "
        "taken as films without text"
    )


def nearest(narrations: Narrations, start_s: float, end_s: float, count: int) -> list[int]:
    """Numbers of the narrations nearest in time to a clip, rising; at most `count`.

    Near is a short gap between both, which is 0 where they overlap; among equals the one whose
    middle is nearest to that of the clip; then the earlier one.
    """
    begins, ends = np.array(narrations.starts_s), np.array(narrations.ends_s)
    gaps = np.maximum(np.maximum(begins - end_s, start_s - ends), 0)
    middles = np.abs(begins + ends - start_s - end_s)
    return sorted(np.lexsort((middles, gaps))[:count].tolist())


def bag(narrations: Narrations | None, start_s: float, end_s: float, count: int) -> Bag:
    """The narrations nearest to a clip, padded with empty ones."""
    chosen = [] if narrations is None else nearest(narrations, start_s, end_s, count)
    texts = [narrations.texts[number] for number in chosen] if narrations is not None else []
    empty = count - len(texts)
    return Bag((*texts, *("",) * empty), np.arange(count) < len(texts))


class Folder:
    """Subtitle files of a folder by name: `NAME.vtt`, `NAME.srt`, or `NAME.en.vtt` of a language.

    Args:
      path: the folder; what lies in folders below counts too.

    Raises:
      errors.DataError: it cannot be read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._plain: dict[str, Path] = {}
        self._spoken: dict[str, list[Path]] = {}
        order = list(subtitles.FORMATS)
        found = [one for one in files.walk(self.path) if one.lower().endswith(tuple(order))]
        for name in sorted(found, key=lambda one: order.index(Path(one).suffix.lower())):
            stem = Path(name).stem
            self._plain.setdefault(stem, self.path / name)
            base, _, language = stem.rpartition(".")
            if base and _LANGUAGE.fullmatch(language):
                self._spoken.setdefault(base, []).append(self.path / name)

    def __len__(self) -> int:
        return len(self._plain)

    def find(self, name: str) -> subtitles.Files:
        """The subtitles of a name: its own, else those of its languages, else none."""
        paths = (self._plain[name],) if name in self._plain else tuple(self._spoken.get(name, ()))
        return subtitles.Files(paths)

    def first(self) -> str:
        """The first name, for messages."""
        return next(iter(self._plain))


class Narrated:
    """A corpus whose rows also have narrations, by their id or by the name of their film.

    Args:
      source: the corpus.
      path: a JSON as `asr` reads it, or a folder of subtitle files.

    Raises:
      errors.DataError: it cannot be read, has no narrations, or none of this corpus.
    """

    def __init__(self, source: Source, path: str | Path):
        self._source, self._path = source, Path(path)
        self.where, self.modalities, self.text_kinds = (
            source.where,
            source.modalities,
            source.text_kinds,
        )
        self._held = Folder(path) if self._path.is_dir() else asr.Asr(path)
        if not len(self._held):
            raise errors.DataError(
                path,
                f"holds no narrations; expected a folder of {' or '.join(subtitles.FORMATS)}"
                f" files, or {asr.EXPECTED}",
            )
        if not any(map(self._knows, range(min(len(source), LOOKED_AT)))):
            first = self._held.first() if isinstance(self._held, Folder) else next(iter(self._held))
            raise errors.DataError(
                path,
                f"has narrations of {counted(len(self._held), 'film')} (first {first!r}), none of "
                f"the rows of {source.where}; expected their ids, or the "
                "names of their films",
            )

    def __len__(self) -> int:
        return len(self._source)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not before it is made, as when it is unpickled
            raise AttributeError(name)
        return getattr(self._source, name)

    def having(self, modality: str) -> Sequence[int] | np.ndarray:
        """Numbers of the rows that carry a modality, rising."""
        return self._source.having(modality)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`."""
        self._source.require(kinds)

    def __getitem__(self, index: int) -> Row:
        row = self._source[index]
        return dataclasses.replace(row, narrations=self._place(row))

    def _knows(self, number: int) -> bool:
        """Whether there are narrations of a row; of one that cannot be read, training tells."""
        try:
            return self._place(self._source[number]) != subtitles.Files()
        except errors.DataError:
            return False

    def _place(self, row: Row) -> subtitles.Files | asr.Entry:
        for name in names_of(row):
            if isinstance(self._held, asr.Asr):
                if name in self._held:
                    return asr.Entry(self._held, name)
            elif (found := self._held.find(name)).paths:
                return found
        return subtitles.Files()


def names_of(row: Row) -> list[str]:
    """What narrations of a row may be called: its id, the last part of it, names of its films.

    Media that are only read when they are asked for are left alone; ids are their names.
    """
    media = row.media if isinstance(row.media, dict) else {}
    paths = [ref for refs in media.values() for ref in refs if isinstance(ref, Path)]
    return list(dict.fromkeys([row.id, Path(row.id).name, *(one.stem for one in paths)]))
