"""VIDAL annotations: reading the published JSON, drawing a caption, finding the media file.

Source: LanguageBind spec 5.6, 8.6 and 8.7.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from lb_jax.core import errors

FRAMES_PER_ITEM = 8

# Caption kinds as stored; `ofa` holds one caption per frame.
TEXT_KINDS = ("raw", "mplug", "polish_mplug", "sound_mplug", "ofa")
FRAME_KINDS = {f"ofa_{k}": k for k in range(FRAMES_PER_ITEM)}
MIX_WEIGHTS = {"raw": 0.2, "mplug": 0.2, "polish_mplug": 0.2, "sound_mplug": 0.2} | dict.fromkeys(
    FRAME_KINDS, 0.025
)
# What a config may ask for -> the stored kinds that it reads.
DRAW_KINDS = (
    {kind: (kind,) for kind in TEXT_KINDS}
    | dict.fromkeys(FRAME_KINDS, ("ofa",))
    | {"mix": TEXT_KINDS}
)

# Our layout for audio; the others are those of the corpus (spec 8.7).
MEDIA_PATHS = {
    "video": "{clips}/{id}.mp4",
    "image": "{clips}/{id}_resize256_folder/{frame}.jpg",
    "depth": "{folder}/{id}_depth_f8glpn_folder/{frame}.png",
    "thermal": "{folder}/{id}_thermal_folder/{frame}.jpg",
    "audio": "{folder}_audio/{id}.wav",
}

# Advertising in video titles, removed in this order of preference at each place (spec 5.6).
_TITLE_TAGS = re.compile(
    "#video|video|#shorts|shorts| shorts|#short| "
    "short|#youtubeshorts|youtubeshorts|#youtube| youtube|#ytshorts|"
    "ytshorts|#ytshort|shortvideo|#tiktok|tiktok|#myfirstshorts|#myfirstshort|#viral|viralvideo|viral|#virlshort|#ytviralshorts"
)
_TITLE_LEFTOVERS = re.compile(" s |short|youtube|virlshort|#")
_TITLE_KEEPS = re.compile(r"[^a-zA-Z0-9\s.,;:?!'\"|]")
_HASHTAGS_KEEP = re.compile(r"[^a-zA-Z0-9\s]")


@dataclasses.dataclass(frozen=True)
class Row:
    """One annotated item.

    Attributes:
      id: the item's name in the corpus.
      folder: its folder under the data root.
      texts: stored kind -> caption, or several captions.
    """

    id: str
    folder: str
    texts: Mapping[str, str | tuple[str, ...]]


def read_vidal(
    path: str | Path, kinds_needed: Iterable[str] = (), limit: int | None = None
) -> list[Row]:
    """Reads an annotation file.

    One JSON object, id -> {folder, raw, mplug, polish_mplug, sound_mplug, ofa}.

    Fields other than the folder and the caption kinds are left out.

    Args:
      path: the JSON file.
      kinds_needed: caption kinds that every row must have, any key of `DRAW_KINDS`.
      limit: number of rows taken from the start; None takes all.

    Raises:
      errors.DataError: unreadable or malformed file (with its line), repeated id, a row without
        folder or needed kind.
      errors.ConfigError: unknown kind, negative limit.
    """
    if limit is not None and limit < 0:
        raise errors.ConfigError(f"limit is {limit}, expected 0 or more rows, or None for all")
    needed = sorted(
        {stored for kind in kinds_needed for stored in DRAW_KINDS[_known(kind)]},
        key=TEXT_KINDS.index,
    )
    items = list(_load(path).items())[:limit]
    if not items:
        raise errors.DataError(path, "holds no rows; expected id -> folder and captions")
    return [_row(path, name, fields, needed) for name, fields in items]


def draw_text(row: Row, kind: str, rng: np.random.Generator) -> tuple[str, int]:
    """Draws a caption and the frame that goes with it, by three draws from `rng` whatever the kind.

    "mix" draws the kind by `MIX_WEIGHTS`. A caption of one frame (`ofa`) ties the frame, so depth
    and thermal show what it describes; any other kind takes a uniform frame. Raw titles are
    cleaned, see `clean_title`.

    Args:
      row: the item.
      kind: a key of `DRAW_KINDS`.
      rng: random generator.

    Returns:
      The caption and a frame number in 0..`FRAMES_PER_ITEM` - 1.

    Raises:
      errors.DataError: the row lacks the kind.
      errors.ConfigError: unknown kind.
    """
    _known(kind)
    mix_draw, choice_draw = rng.random(2)
    frame = int(rng.integers(FRAMES_PER_ITEM))
    if kind == "mix":
        kind = _weighted(MIX_WEIGHTS, mix_draw)
    if kind == "ofa":
        kind = f"ofa_{frame}"
    if kind in FRAME_KINDS:
        frame = FRAME_KINDS[kind]
        return _text(row, "ofa")[frame].strip(), frame
    text = _text(row, kind)
    if isinstance(text, tuple):
        text = text[int(choice_draw * len(text))]
    return (clean_title(text) if kind == "raw" else text.strip()), frame


def media_path(root: str | Path, row: Row, modality: str, frame: int) -> Path:
    """Returns where the media of a row lie under the data root.

    Args:
      root: data root.
      row: the item.
      modality: a key of `MEDIA_PATHS`.
      frame: which of the item's frames; unused by video and audio.

    Raises:
      errors.ConfigError: no such modality.
      errors.DataError: the row's folder or id leads out of the data root.
    """
    if modality not in MEDIA_PATHS:
        known = ", ".join(MEDIA_PATHS)
        hint = errors.nearest(modality, MEDIA_PATHS)
        raise errors.ConfigError(
            f"no media path for modality {modality!r}; expected one of {known}.{hint}"
        )
    folder = "new_download" if row.folder.startswith("new_") else row.folder
    fields = {
        "folder": row.folder,
        "clips": f"{folder}_resize256_skip15",
        "id": row.id,
        "frame": frame,
    }
    relative = PurePosixPath(MEDIA_PATHS[modality].format(**fields))
    if relative.is_absolute() or ".." in relative.parts:
        raise errors.DataError(
            row.id, f"its {modality} path {relative} leads out of the data root; mend folder or id"
        )
    return Path(root) / relative


def clean_title(title: str) -> str:
    """Removes advertising from a raw video title; the result is "title, hashtags".

    Unlike the original no comma is left behind where one of the two parts is empty. An empty result
    is returned as such; the tokeniser refuses it.
    """
    head, _, tags = title.partition("#")
    parts = (
        _TITLE_KEEPS.sub("", _strip_tags(head)),
        _HASHTAGS_KEEP.sub("", _strip_tags(f"#{tags}")),
    )
    return ", ".join(p for p in (" ".join(part.split()) for part in parts) if p)


def _strip_tags(text: str) -> str:
    return _TITLE_LEFTOVERS.sub(" ", _TITLE_TAGS.sub(" ", text.lower() + " "))


def _load(path: str | Path) -> dict:
    try:
        content = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as e:
        raise errors.DataError(
            path, f"is not UTF-8 text at byte {e.start}; expected the annotation JSON"
        ) from e
    except OSError as e:
        raise errors.DataError(
            path, f"cannot be read ({e.strerror}); expected the annotation JSON"
        ) from e
    try:
        loaded = json.loads(content, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except json.JSONDecodeError as e:
        raise errors.DataError(
            path, f"line {e.lineno}, column {e.colno}: {e.msg}; mend the JSON there"
        ) from e
    except RecursionError as e:
        raise errors.DataError(path, "is nested too deeply; expected an object of rows") from e
    if not isinstance(loaded, dict):
        found = type(loaded).__name__
        raise errors.DataError(
            path, f"holds a {found}, expected an object: id -> folder and captions"
        )
    return loaded


def _unique(path: str | Path, pairs: list[tuple[str, object]]) -> dict:
    """Refuses an object that repeats a key: JSON itself would silently keep the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        seen = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise errors.DataError(path, f"has {repeated!r} twice in one object; keep one of them")
    return table


def _row(path: str | Path, name: str, fields: object, needed: list[str]) -> Row:
    where = f"{path}: {name}"
    if not isinstance(fields, dict) or not isinstance(fields.get("folder"), str):
        raise errors.DataError(
            where, 'has no "folder" string; expected {"folder": ..., "mplug": ..., ...}'
        )
    texts = {kind: _stored(where, kind, fields[kind]) for kind in TEXT_KINDS if kind in fields}
    lacking = [kind for kind in needed if kind not in texts]
    if lacking:
        has = ", ".join(texts) or "no captions"
        raise errors.DataError(
            where,
            f"lacks {', '.join(lacking)}; it has {has}. Train on another kind or drop the row",
        )
    return Row(name, fields["folder"], texts)


def _stored(where: str, kind: str, value: object) -> str | tuple[str, ...]:
    if kind != "ofa" and isinstance(value, str):
        return value
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, str) for v in value)
        and (kind != "ofa" or len(value) == FRAMES_PER_ITEM)
    ):
        return tuple(value)
    found = f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
    expected = (
        f"a list of {FRAMES_PER_ITEM} strings" if kind == "ofa" else "a string or a list of strings"
    )
    raise errors.DataError(where, f"{kind} is {found}, expected {expected}")


def _text(row: Row, kind: str) -> str | tuple[str, ...]:
    if kind not in row.texts:
        has = ", ".join(row.texts) or "no captions"
        raise errors.DataError(
            row.id, f"lacks {kind}; it has {has}. Train on another kind or drop the row"
        )
    return row.texts[kind]


def _weighted(weights: Mapping[str, float], draw: float) -> str:
    """Returns the key whose share of [0, 1) holds `draw`."""
    ends = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(ends / ends[-1], draw, side="right"))]


def _known(kind: str) -> str:
    if kind not in DRAW_KINDS:
        known = ", ".join(DRAW_KINDS)
        raise errors.ConfigError(
            f"no text kind {kind!r}; expected one of {known}.{errors.nearest(kind, DRAW_KINDS)}"
        )
    return kind
