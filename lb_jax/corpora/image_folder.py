"""A folder of class folders: what a class is called is the caption of its files.

Not only pictures: any modality, its files known by their endings.
"""

from collections.abc import Iterable
from pathlib import Path

from lb_jax.core import errors, names
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora import captions
from lb_jax.corpora import files as files_lib
from lb_jax.corpora.rows import EveryRow, Row

# Endings -> what of them a folder may hold without classes, see `films`.
_LOOSE = {MODALITIES["video"].suffixes: "films, or "}


class ImageFolder(EveryRow):
    """The files of `path/<class>/.../<file>`, sorted by their paths.

    The caption is the name of the class folder with `_` as a space, the row's id the path below
    `path`, both as `names.shown` writes them. Hidden files and files of other endings are left out.
    Links are followed, except back into a folder they lie in.

    Args:
      path: the folder.
      modality: what the files are; None takes image.

    Raises:
      errors.DataError: unreadable folder, a folder without class folders or a class folder without
        files of the modality, such files outside of the class folders.
      errors.ConfigError: unknown modality.
    """

    text_kinds: tuple[str, ...] = ("caption",)

    def __init__(self, path: str | Path, modality: str | None = None):
        modality = modality or "image"
        if modality not in MODALITIES:
            raise errors.ConfigError(
                f"no modality {modality!r}; expected one of {', '.join(MODALITIES)}."
                f"{errors.nearest(modality, MODALITIES)}"
            )
        self._path, self.where = Path(path), str(path)
        self.modalities: tuple[str, ...] = (modality,)
        self._files = _files(self._path, MODALITIES[modality].suffixes)

    def __len__(self) -> int:
        return len(self._files)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`: there are plain captions alone."""
        captions.require_kinds(kinds)
        if lacking := captions.lacking(self.text_kinds, kinds):
            raise errors.DataError(
                self.where,
                f"lacks {', '.join(lacking)}; class folders give caption alone. Train on that",
            )

    def __getitem__(self, index: int) -> Row:
        name = self._files[index]
        shown = names.shown(name)
        label = shown.partition("/")[0].replace("_", " ")
        media = {self.modalities[0]: (self._path / name,)}
        return Row(shown, {"caption": label}, media, label)


def _files(path: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Paths below `path`, after checking that every class folder has some."""
    endings = " ".join(suffixes)
    loose, classes = files_lib.entries(path)
    stray = [name for name in loose if name.lower().endswith(suffixes)]
    if not classes:
        also = "" if stray else _LOOSE.get(suffixes, "")
        raise errors.DataError(
            path,
            f"holds {_listed(loose)} and no class folders; expected {also}<class>/<file> with "
            f"files ending in {endings}",
        )
    if stray:
        raise errors.DataError(
            path / stray[0], "lies in no class folder, so it has no caption; move it into one"
        )
    found = []
    for name in classes:
        inside = [f"{name}/{file}" for file in files_lib.walk(path / name, path)]
        files = [file for file in inside if file.lower().endswith(suffixes)]
        if not files:
            raise errors.DataError(
                path / name,
                f"holds {_listed(inside)}; expected files ending in {endings}. Remove the folder "
                "or say another modality",
            )
        found += files
    return sorted(found)


def _listed(names: list[str]) -> str:
    """How many files there are and what they end in."""
    endings = sorted({Path(name).suffix.lower() or "no ending" for name in names})
    if not names:
        return "no files"
    more = ", ..." if len(endings) > 5 else ""
    return f"{counted(len(names), 'file')} ({', '.join(endings[:5])}{more})"
