"""The published VIDAL annotations and where the media of an item lie (LanguageBind spec 8.6, 8.7).

One JSON object, id -> {folder, raw, mplug, polish_mplug, sound_mplug, ofa}.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import captions, json_files
from lb_jax.corpora.rows import EveryRow, Row

# Our layout for audio and motion; the others are those of the corpus (spec 8.7).
MEDIA_PATHS = {
    "video": "{clips}/{id}.mp4",
    "image": "{clips}/{id}_resize256_folder/{frame}.jpg",
    "depth": "{folder}/{id}_depth_f8glpn_folder/{frame}.png",
    "thermal": "{folder}/{id}_thermal_folder/{frame}.jpg",
    "audio": "{folder}_audio/{id}.wav",
    "imu": "{folder}_imu/{id}.csv",
}


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    id: str
    folder: str
    texts: Mapping[str, str | tuple[str, ...]]


class Vidal(EveryRow):
    """The rows of an annotation file.

    Fields other than the folder and the caption kinds are left out.

    Args:
      path: the JSON file.
      root: folder the media paths are relative to; None takes the file's own folder.

    Raises:
      errors.DataError: unreadable or malformed file (with its line), repeated id, a row without
        folder.
    """

    modalities = tuple(MODALITIES)

    def __init__(self, path: Path, root: Path | None = None):
        self.where, self.root = str(path), Path(path).parent if root is None else Path(root)
        self._items = [_item(path, name, fields) for name, fields in _load(path).items()]
        if not self._items:
            raise errors.DataError(path, "holds no rows; expected id -> folder and captions")
        held = {kind for item in self._items for kind in item.texts}
        self.text_kinds = tuple(kind for kind in captions.TEXT_KINDS if kind in held)

    def __reduce__(self):
        return type(self), (Path(self.where), self.root)

    def __len__(self) -> int:
        return len(self._items)

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`, row by row."""
        needed = captions.require_kinds(kinds)
        for item in self._items:
            if lacking := [kind for kind in needed if kind not in item.texts]:
                has = ", ".join(item.texts) or "no captions"
                raise errors.DataError(
                    f"{self.where}: {item.id}",
                    f"lacks {', '.join(lacking)}; it has {has}. Train on another kind or drop the "
                    "row",
                )

    def __getitem__(self, index: int) -> Row:
        item = self._items[index]
        folder = "new_download" if item.folder.startswith("new_") else item.folder
        clips = f"{folder}_resize256_skip15"
        if escapes(item.folder) or escapes(item.id):
            raise errors.DataError(
                item.id,
                f"its folder {item.folder!r} or its id leads out of the data root; mend it",
            )
        fields = {"folder": item.folder, "clips": clips, "id": item.id}
        return Row(item.id, item.texts, _Media(self.root, fields))


class _Media(Mapping[str, tuple[Path, ...]]):
    """The files of an item; paths are made when asked for, since most are of other modalities."""

    def __init__(self, root: Path, fields: Mapping[str, str]):
        self._root, self._fields = root, fields

    def __getitem__(self, modality: str) -> tuple[Path, ...]:
        path = MEDIA_PATHS[modality]
        return tuple(
            self._root / path.format(**self._fields, frame=frame)
            for frame in range(captions.FRAMES_PER_ITEM if "{frame}" in path else 1)
        )

    def __iter__(self) -> Iterator[str]:
        return iter(MEDIA_PATHS)

    def __len__(self) -> int:
        return len(MEDIA_PATHS)


def escapes(name: str) -> bool:
    """Whether a path of a corpus leads out of the folder it is relative to."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def _load(path: str | Path) -> dict:
    loaded = json_files.load(path, "the annotation JSON")
    if not isinstance(loaded, dict):
        found = type(loaded).__name__
        raise errors.DataError(
            path, f"holds a {found}, expected an object: id -> folder and captions"
        )
    return loaded


def _item(path: Path, name: str, fields: object) -> _Item:
    where = f"{path}: {name}"
    if not isinstance(fields, dict) or not isinstance(fields.get("folder"), str):
        raise errors.DataError(
            where, 'has no "folder" string; expected {"folder": ..., "mplug": ..., ...}'
        )
    texts = {
        kind: stored(where, kind, fields[kind]) for kind in captions.TEXT_KINDS if kind in fields
    }
    return _Item(name, fields["folder"], texts)


def stored(where: str, kind: str, value: object) -> str | tuple[str, ...]:
    """A caption, or several, as a row holds them.

    Raises:
      DataError: neither text nor a list of texts, or not one for each frame; it names `where`.
    """
    if kind != "ofa" and isinstance(value, str):
        return value
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, str) for v in value)
        and (kind != "ofa" or len(value) == captions.FRAMES_PER_ITEM)
    ):
        return tuple(value)
    found = f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
    expected = (
        f"a list of {captions.FRAMES_PER_ITEM} strings"
        if kind == "ofa"
        else "a string or a list of strings"
    )
    raise errors.DataError(where, f"{kind} is {found}, expected {expected}")
