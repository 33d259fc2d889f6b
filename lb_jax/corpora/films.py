"""A folder of films without captions, for what learns from sight and sound alone.

    a17.mp4  a17.vtt  b02.mp4  b03.mkv  b03.en.srt

Subtitles beside a film, of its name, are its narrations.
"""

from collections.abc import Iterable
from pathlib import Path

from lb_jax.core import errors, names
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import captions, files, narrations
from lb_jax.corpora.rows import EveryRow, Row

_FILM = MODALITIES["video"].suffixes


def is_one(path: Path) -> bool:
    """Whether a folder holds films, and no folders, whose names would be classes."""
    if not path.is_dir():
        return False
    loose, folders = files.entries(path)
    return not folders and any(name.lower().endswith(_FILM) for name in loose)


class Films(EveryRow):
    """The films of a folder, sorted by name; the row's id is the name.

    Their sound is their track: a corpus that names none. Other files are left out.

    Args:
      path: the folder.

    Raises:
      errors.DataError: it cannot be read or has no films.
    """

    text_kinds: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ("video",)

    def __init__(self, path: str | Path):
        self._path, self.where = Path(path), str(path)
        self._names = [
            name for name in files.entries(self._path)[0] if name.lower().endswith(_FILM)
        ]
        if not self._names:
            raise errors.DataError(
                path, f"has no films; expected files ending in {' '.join(_FILM)}"
            )
        self._subtitles = narrations.Folder(self._path)

    def __len__(self) -> int:
        return len(self._names)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`: there are no captions.

        Raises:
          errors.DataError: one is asked for.
          errors.ConfigError: unknown kind.
        """
        if captions.require_kinds(kinds):
            raise errors.DataError(
                self.where,
                "is a folder of films, which have no captions; name the films in a manifest with "
                "captions, or train without",
            )

    def __getitem__(self, index: int) -> Row:
        name = self._names[index]
        film = self._path / name
        told = self._subtitles.find(film.stem) if len(self._subtitles) else None
        return Row(names.shown(name), {}, {"video": (film,)}, narrations=told)
