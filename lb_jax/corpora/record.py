"""A row as bytes with the content of its media files inside: one record of a packed corpus.

msgpack, one map of "id" (string), "texts" (caption kind -> string, or several) and "media"
(modality -> files). A file is its bytes, several for a clip kept as still pictures, or a map of
"file" and "unit" for depth in a unit of its own. Where a corpus has narrations there is also
"narrations", a map of the fields of `subtitles.Narrations`.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, TypeGuard

import msgpack

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import captions
from lb_jax.corpora.rows import Row
from lb_jax.corpora.subtitles import Narrations
from lb_jax.media.sensors import depth_units
from lb_jax.media.sensors.depth_units import Measured


def encode(row: Row) -> bytes:
    """Writes a row whose media are bytes already; the same row always gives the same bytes.

    Raises:
      errors.DataError: the row holds what `decode` would refuse, or more than a record takes.
    """
    fields: dict[str, Any] = {"id": row.id, "texts": dict(row.texts), "media": dict(row.media)}
    if row.narrations is not None:
        fields[_NARRATIONS] = dataclasses.asdict(row.narrations.read())
    if problem := _problem(fields):
        raise errors.DataError(row.id, problem)
    try:
        return msgpack.packb(fields, default=dataclasses.asdict)
    except ValueError as e:  # half a surrogate pair in a caption, a file of 4 GiB
        raise errors.DataError(row.id, f"cannot be written as a record ({e}); mend it") from e


def decode(content: bytes, name: str) -> Row:
    """Reads what `encode` wrote.

    Args:
      content: a record.
      name: how errors call it: its shard and number.

    Raises:
      errors.DataError: damaged, of another format, or with unknown or mistyped fields.
    """
    try:
        fields = msgpack.unpackb(content, use_list=False)
    except ValueError as e:
        raise errors.DataError(
            name, f"is no row of a packed corpus ({e}); pack the corpus again"
        ) from e
    fields = _measured(fields)
    if problem := _problem(fields):
        raise errors.DataError(name, f"{problem}; pack the corpus again with this version")
    if _NARRATIONS in fields:
        fields = {**fields, _NARRATIONS: Narrations(**fields[_NARRATIONS])}
    return Row(**fields)


def _measured(fields: Any) -> Any:
    """Makes what it is of each map that stands for depth in a unit of its own."""
    try:
        depth = fields["media"]["depth"]
        if not any(isinstance(one, dict) for one in depth):
            return fields
        found = tuple(Measured(**one) if isinstance(one, dict) else one for one in depth)
    except (TypeError, LookupError):  # what is wrong with it is told later
        return fields
    return {**fields, "media": {**fields["media"], "depth": found}}


def _problem(fields: object) -> str:
    """What the map of a record has wrong; empty where nothing is."""
    if not isinstance(fields, dict) or set(fields) - {_NARRATIONS} != {"id", *_ENTRIES}:
        found = ", ".join(map(str, fields)) if isinstance(fields, dict) else _kind(fields)
        return f"holds {found or 'nothing'}; expected the fields id, {', '.join(_ENTRIES)}"
    if not isinstance(fields["id"], str):
        return f"has an id that is {_kind(fields['id'])}; expected a string"
    if _NARRATIONS in fields and not _is_narrations(fields[_NARRATIONS]):
        return "has narrations that are none; expected as many starts_s, ends_s and texts"
    for field, (names, is_right, expected) in _ENTRIES.items():
        entries = fields[field]
        if not isinstance(entries, Mapping):
            return f"has {field} that are {_kind(entries)}; expected a map"
        for name, value in entries.items():
            if name not in names:
                return f"has unknown {field} {name!r}; expected some of {', '.join(names)}"
            if not is_right(name, value):
                return f"has {_kind(value)} as {name}; expected {expected}"
    return ""


def _is_narrations(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != {"starts_s", "ends_s", "texts"}:
        return False
    if not all(isinstance(one, tuple) for one in value.values()):
        return False
    if len({len(one) for one in value.values()}) > 1:
        return False
    times = (*value["starts_s"], *value["ends_s"])
    return all(isinstance(one, float) for one in times) and all(
        isinstance(one, str) for one in value["texts"]
    )


def _is_caption(kind: str, value: object) -> bool:
    if kind == "ofa":
        return _is_several(value, str) and len(value) == captions.FRAMES_PER_ITEM
    return isinstance(value, str) or _is_several(value, str)


def _is_files(_: str, value: object) -> bool:
    return _is_several(value, (bytes, tuple, Measured)) and all(
        isinstance(one, bytes) or _is_several(one, bytes) or _is_measured(one) for one in value
    )


def _is_measured(value: object) -> bool:
    return (
        isinstance(value, Measured)
        and isinstance(value.file, bytes)
        and isinstance(value.unit, str)
        and depth_units.unknown([value.unit]) is None
    )


def _is_several(value: object, of: type | tuple[type, ...]) -> TypeGuard[tuple]:
    return isinstance(value, tuple) and value != () and all(isinstance(one, of) for one in value)


def _kind(value: object) -> str:
    if not isinstance(value, tuple):
        return type(value).__name__
    of = ", ".join(sorted({type(one).__name__ for one in value}))
    return f"{len(value)} of {of}" if value else "an empty list"


_NARRATIONS = "narrations"
TEXT_NAMES: Collection[str] = (*captions.TEXT_KINDS, *captions.FRAME_KINDS)

# field -> (names it may hold, whether a value is right, what is)
_ENTRIES = {
    "texts": (TEXT_NAMES, _is_caption, "a string, or several (8 for ofa)"),
    "media": (tuple(MODALITIES), _is_files, "files as bytes, at least one"),
}
