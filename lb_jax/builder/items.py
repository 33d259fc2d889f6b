"""The items of a source: what is known of each before the first stage."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from lb_jax.builder.sheet import Source
from lb_jax.builder.stage import ITEM
from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.corpora import json_files, tables

FIELDS = ("title", "file", "licence", "source")
KEY = "id"  # of a table
DIGITS = 20  # of an id, hexadecimal: of a billion items two are equal with a chance of 1e-7


@dataclasses.dataclass(frozen=True)
class Items:
    """All items of a source, in its order.

    Attributes:
      rows: of `ITEM`.
      root: folder that files are relative to.
      unused: licence -> items that were left out for it.
    """

    rows: pa.Table
    root: Path
    unused: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.rows)

    def path(self, file: str) -> str:
        """Where a file of an item lies."""
        return os.path.join(self.root, file)


def read(given: Source) -> Items:
    """Reads a source.

    Raises:
      DataError: unreadable or malformed, a field missing, a key that comes twice, an item without
        licence where one is asked for, nothing that may be used.
    """
    path = Path(given.path)
    read_one = _of_json if path.suffix.lower() == ".json" else _of_table
    found, seen = [], set()
    unused: collections.Counter[str] = collections.Counter()
    for place, (key, fields) in enumerate(read_one(path)):
        for name in ("title", "file"):
            if not isinstance(fields.get(name), str):
                raise errors.DataError(
                    f"{path}: {key}",
                    f"has no {name!r}; expected a text of each of {', '.join(FIELDS)}",
                )
        if key in seen:
            raise errors.DataError(f"{path}: {key}", "comes twice; keep one of them")
        seen.add(key)
        licence = fields.get("licence") or ""
        if not licence and given.require_licence:
            raise errors.DataError(
                f"{path}: {key}",
                "has no licence, and config.source.require_licence asks for one; add it or leave "
                "the item out",
            )
        if given.licences and licence not in given.licences:
            unused[licence] += 1
            continue
        origin = fields.get("source") or str(path.name)
        found.append(
            {
                "id": item_id(origin, key),
                "place": place,
                "key": key,
                "title": fields["title"],
                "file": fields["file"],
                "licence": licence,
                "source": origin,
            }
        )
    if not found:
        left_out = counted(sum(unused.values()), "item")
        raise errors.DataError(
            path,
            f"has no item that may be used ({left_out} of other licences than "
            f"{', '.join(given.licences)})"
            if unused
            else "has no items",
        )
    return Items(
        pa.Table.from_pylist(found, schema=ITEM), Path(given.root or path.parent), dict(unused)
    )


def item_id(source: str, key: str) -> str:
    """The id of an item: the same in every run, and in every source of that name."""
    return hashlib.sha256(f"{source}\0{key}".encode()).hexdigest()[:DIGITS]


def _of_json(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    loaded = json_files.load(path, "a JSON object: key -> title, file, licence, source")
    if not isinstance(loaded, dict):
        found = type(loaded).__name__
        raise errors.DataError(path, f"holds a {found}, expected an object: key -> title, file, …")
    for key, fields in loaded.items():
        if not isinstance(fields, dict):
            raise errors.DataError(f"{path}: {key}", "is no object; expected title, file, …")
        yield key, fields


def _of_table(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix.lower() not in tables.FORMATS:
        raise errors.DataError(
            path, f"is no source; expected .json or one of {', '.join(tables.FORMATS)}"
        )
    found = tables.FORMATS[path.suffix.lower()].read(path, (KEY, *FIELDS))
    if lacking := [name for name in ("title", "file") if name not in found.columns]:
        raise errors.DataError(
            path,
            f"has no column {lacking[0]!r}; it has {', '.join(found.names)}."
            f"{errors.nearest(lacking[0], found.names)}",
        )
    columns = {name: column.to_pylist() for name, column in found.columns.items()}
    for row in range(found.rows):
        fields = {name: column[row] for name, column in columns.items()}
        yield str(fields.pop(KEY, None) or fields["file"]), fields
