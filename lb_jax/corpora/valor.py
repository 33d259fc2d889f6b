"""VALOR's data sets: annotations as `valor_files` reads them, media in a folder for each modality.

    <video>/<id>/*.jpg   frames, or <video>/<id>.mp4 and other films, or a still picture
    <audio>/<id>.wav     sound, of any ending

Nothing needs to be extracted: where there is no folder of sound, that of a film is its track.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora import captions, files, valor_files
from lb_jax.corpora.rows import Ref, Row
from lb_jax.media import stills

# Modality -> names that its folder has in the published data sets.
FOLDERS = {
    "video": ("video", "videos", "raw_videos", "frames", "frames_fps4", "frames_fps1"),
    "audio": ("audio", "audios", "audio_22050hz"),
}
_FILM, _STILL = MODALITIES["video"].suffixes, MODALITIES["image"].suffixes
# Modality -> endings of its files, the best first.
_ENDINGS = {"video": (*_FILM, *_STILL), "audio": (*MODALITIES["audio"].suffixes, *_FILM)}


class Valor:
    """The rows of an annotation: one for each item with captions, or for each question.

    All captions of an item are in its row: training draws one, `captions.all_texts` has them all.
    Rows of questions have the texts "question" and "answer".

    Attributes:
      entries: what the rows are made of, see `valor_files.Entry`.

    Args:
      path: an annotation, or a folder of ids and texts.
      root: folder of the folders of media; None takes that of the annotation.
      columns: modality -> name of its folder below `root`; None takes the one of `FOLDERS` that is
        there.

    Raises:
      errors.DataError: as `valor_files.read`; no folder of media, or none with a file of an item.
      errors.ConfigError: `columns` names something else than a modality of `FOLDERS`.
    """

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        columns: Mapping[str, str] | None = None,
    ):
        self._path, self.where = Path(path), str(path)
        self._arguments = path, root, dict(columns or {})
        own = self._path if self._path.is_dir() else self._path.parent
        self.root = own if root is None else Path(root)
        self.entries = valor_files.read(self._path)
        folders = self._folders(columns or {})
        self._files = {name: _listed(folder, name) for name, folder in folders.items()}
        self._folder_of = folders
        if "audio" not in folders:
            films = self._files["video"].items()
            films = {id_: name for id_, name in films if name.lower().endswith(_FILM)}
            self._files["audio"], self._folder_of["audio"] = films, folders["video"]
        self.modalities = tuple(name for name, held in self._files.items() if held)
        if not any(self._has(entry.id) for entry in self.entries):
            raise errors.DataError(
                self.where,
                f"has {counted(len(self.items), 'item')}, none of them in {self._looked_in()} "
                f"(first {self.items[0]!r}); say where the media lie with root or columns",
            )
        kinds = {kind for entry in self.entries for kind in _texts(entry)}
        self.text_kinds = tuple(kind for kind in captions.TEXT_KINDS if kind in kinds)

    def __reduce__(self):
        return type(self), self._arguments

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def items(self) -> tuple[str, ...]:
        """The ids, each once: an epoch of VALOR is one of items."""
        return tuple(dict.fromkeys(entry.id for entry in self.entries))

    def having(self, modality: str) -> np.ndarray:
        """Numbers of the rows that name a file of a modality, int64, rising."""
        held = self._files.get(modality, {})
        return np.array([n for n, one in enumerate(self.entries) if one.id in held], np.int64)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`, row by row."""
        needed = captions.require_kinds(kinds)
        for entry in self.entries:
            if lacking := captions.lacking(has := _texts(entry), needed):
                raise errors.DataError(
                    f"{self.where}: {entry.id}",
                    f"lacks {', '.join(lacking)}; it has {', '.join(has)}. Train on that or drop "
                    "the row",
                )

    def __getitem__(self, index: int) -> Row:
        entry = self.entries[index]
        media: dict[str, tuple[Ref, ...]] = {}
        for modality, held in self._files.items():
            if entry.id in held:
                found = stills.of_folder(self._folder_of[modality] / held[entry.id])
                media[modality] = (tuple(found) if isinstance(found, list) else found,)
        if not media:
            raise errors.DataError(
                f"{self.where}: {entry.id}",
                f"has no file in {self._looked_in()}; add it, or take the id out",
            )
        return Row(entry.id, _texts(entry), media, weights=entry.weights)

    def _has(self, id_: str) -> bool:
        return any(id_ in held for held in self._files.values())

    def _looked_in(self) -> str:
        return " or ".join(dict.fromkeys(str(one) for one in self._folder_of.values()))

    def _folders(self, columns: Mapping[str, str]) -> dict[str, Path]:
        """Where each modality lies."""
        if wrong := [name for name in columns if name not in FOLDERS]:
            raise errors.ConfigError(
                f"{self.where}: columns name {wrong[0]!r}; expected the folders of "
                f"{' and '.join(FOLDERS)}.{errors.nearest(wrong[0], FOLDERS)}"
            )
        found = {}
        for modality, usual in FOLDERS.items():
            names = [columns[modality]] if modality in columns else usual
            there = next((self.root / one for one in names if (self.root / one).is_dir()), None)
            if there is not None:
                found[modality] = there
            elif modality in columns:
                raise errors.DataError(
                    self.root / columns[modality],
                    f"is no folder; expected that of the {modality} of {self.where}",
                )
        if not found:
            every = ", ".join(one for usual in FOLDERS.values() for one in usual)
            raise errors.DataError(
                self.root,
                f"has no folder of media for {self.where}; expected one of {every}. Say another "
                "folder of them with root, or their names with columns",
            )
        return found


def _texts(entry: valor_files.Entry) -> dict[str, str | tuple[str, ...]]:
    """The texts of a row by kind; a single one as it is."""
    given = {
        "caption": entry.captions,
        "question": (entry.question,) if entry.question else (),
        "answer": entry.answers,
    }
    return {k: v[0] if len(v) == 1 else v for k, v in given.items() if v}


def _listed(folder: Path, modality: str) -> dict[str, str]:
    """Id -> name of its file, or of its folder of frames; of several the best ending counts."""
    names, folders = files.entries(folder)
    rank = {ending: place for place, ending in enumerate(_ENDINGS[modality])}
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda one: rank.get(_ending(one), len(rank))):
        if _ending(name) in rank:
            found.setdefault(name[: -len(_ending(name))], name)
            found.setdefault(name, name)  # ids that bear the ending
    if modality == "video":
        for name in folders:
            found.setdefault(name, name)
    return found


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
