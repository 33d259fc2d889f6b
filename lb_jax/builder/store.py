"""What the stages said of every item: a database of Lance tables, a group of columns each.

    items          what is known of an item before the first stage, `stage.ITEM`
    made_by        a row for each stage: its version and its thresholds
    stage_<name>   what that stage said, a row for each item it was asked about
    seen_<name>    of a stage that compares all items: what it saw of each

Rows are only added, in commits of whole batches; a killed run leaves whole commits. A stage that is
added later is another table. A table of a stage that compares all items is one commit, and is
written again where the items that it saw are others.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lb_jax.builder.stage import ID, ITEM, KEPT, Stage
from lb_jax.core import errors, names

if TYPE_CHECKING:
    from lancedb.table import Table

ITEMS, MADE_BY, OF_STAGE, SEEN_BY = "items", "made_by", "stage_", "seen_"
MADE_ROW = pa.schema([("name", pa.string()), ("version", pa.int64()), ("settings", pa.string())])
SEEN = "seen"  # of a stage that compares: digest of what it saw
FULL = ("no space left", "disk quota exceeded", "file too large")
FULL_DISK = (
    "its disk is full; what was committed is whole. Make room, and the same command goes on."
)
MERGE_COMMITS = 64  # commits that are small files each, until they are put into one
# Of an item by a stage, in `verdicts`.
MISSING, REFUSED, STAYS, BAD = -1, 0, 1, 2


class Store:
    """The tables, by `Store.open`. One process writes at a time.

    Attributes:
      uri: of the database.
    """

    def __init__(self, uri: str, connection: Any):
        self.uri, self._connection = uri, connection
        self._tables: dict[str, Table] = {}
        self._adds: dict[str, int] = {}

    @classmethod
    def open(cls, uri: str | os.PathLike[str], *, make: bool = True) -> "Store":
        """Opens a store, or makes one.

        Args:
          uri: a folder, or a place on object storage.
          make: where there is none.

        Raises:
          ConfigError: without LanceDB.
          DataError: there is none, or the place holds something else.
        """
        os.environ.setdefault("LANCEDB_LOG", "error")
        try:
            import lancedb
        except ImportError as error:
            raise errors.ConfigError(
                "the store of a corpus needs LanceDB; `pip install 'lb_jax[corpus]'` brings it."
            ) from error
        uri = os.fspath(uri)
        if "://" not in uri:
            if not names.is_text(os.path.abspath(uri)):
                raise errors.DataError(uri, "its name is not UTF-8, which LanceDB needs; move it.")
            held = sorted(os.listdir(uri)) if os.path.isdir(uri) else []
            strange = [one for one in held if not one.endswith(".lance") and one[0] != "."]
            if strange or (os.path.exists(uri) and not os.path.isdir(uri)):
                what = f"it holds {strange[0]}" if strange else "it is a file"
                raise errors.DataError(uri, f"is no store of a corpus ({what}); give a new folder.")
            if not held and not make:
                raise errors.DataError(
                    uri, "there is no store of a corpus here; `lb-jax corpus run` makes one."
                )
        with told(uri):
            return cls(uri, lancedb.connect(uri))

    def require_sheet(self, stages: Sequence[tuple[Stage, Mapping[str, Any]]]) -> None:
        """Checks that what is there was made by these settings, and notes those of new stages.

        Args:
          stages: each with what tells what it says (`Planned.told`).

        Raises:
          DataError: another version or threshold, by its name.
        """
        known = {row["name"]: row for row in self.table(MADE_BY, MADE_ROW).to_arrow().to_pylist()}
        new = []
        for one, told in stages:
            now, row = json.dumps(told, sort_keys=True), known.get(one.name)
            if row is None:
                new.append({"name": one.name, "version": one.version, "settings": now})
                continue
            if row["version"] != one.version:
                raise errors.DataError(
                    self.uri,
                    f"stage {one.name!r} was run in its version {row['version']}, and this is "
                    f"{one.version}; give a new --out.",
                )
            was, given = json.loads(row["settings"]), json.loads(now)
            for field in sorted({*was, *given}):
                if was.get(field) != given.get(field):
                    raise errors.DataError(
                        self.uri,
                        f"is of another sheet: config.{one.name}.{field} was {was.get(field)!r} "
                        f"and is {given.get(field)!r}; take the old value or give a new --out.",
                    )
        if new:
            self._add(MADE_BY, pa.Table.from_pylist(new, schema=MADE_ROW))

    def names(self) -> set[str]:
        """Of all tables."""
        found, token = set(), None
        with told(self.uri):
            while True:
                page = self._connection.list_tables(page_token=token)
                found |= set(page.tables)
                token = page.page_token
                if not token:
                    return found

    def table(self, name: str, schema: pa.Schema) -> "Table":
        """A table of this schema, made where there is none."""
        if name not in self._tables:
            with told(self.uri):
                self._tables[name] = (
                    self._connection.open_table(name)
                    if name in self.names()
                    else self._connection.create_table(name, schema=schema, exist_ok=True)
                )
        return self._tables[name]

    def add_items(self, items: pa.Table) -> None:
        """Adds items, of `ITEM`."""
        self.table(ITEMS, ITEM)
        self._add(ITEMS, items)

    def items(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Items in the order of the source, each once.

        Args:
          columns: of `ITEM`; None for all.
        """
        wanted = ITEM.names if columns is None else [ID, "place", *columns]
        found = _ordered(self._read(ITEMS, ITEM, list(dict.fromkeys(wanted))), "place")
        return found if columns is None else found.select([*columns])

    def add(self, one: Stage, rows: pa.Table) -> None:
        """Adds what a stage said of some items, in one commit."""
        self.table(OF_STAGE + one.name, one.schema)
        self._add(OF_STAGE + one.name, rows)

    def add_seen(self, one: Stage, rows: pa.Table) -> None:
        """Adds what a stage that compares saw of some items, in one commit."""
        self.table(SEEN_BY + one.name, one.seen_schema)
        self._add(SEEN_BY + one.name, rows)

    def replace(self, one: Stage, rows: pa.Table, seen: str) -> None:
        """Puts what a stage that compares says in the place of what it said, in one commit.

        Args:
          one: the stage.
          rows: of all items that it saw.
          seen: digest of what it saw.
        """
        rows = rows.append_column(SEEN, pa.array([seen] * len(rows), pa.string()))
        name = OF_STAGE + one.name
        with told(self.uri):
            self._tables[name] = self._connection.create_table(
                name, rows, schema=_schema(one), mode="overwrite"
            )

    def digest(self, one: Stage) -> str:
        """Of what a stage saw that compares, when it last did; empty where it never did."""
        name = OF_STAGE + one.name
        if name not in self.names():
            return ""
        rows = self._read(name, _schema(one), [SEEN])
        return rows[SEEN][0].as_py() if len(rows) else ""

    def said(self, one: Stage) -> pa.Table:
        """What a stage said, of `schema`, in the order of the ids, each item once."""
        found = _ordered(self._read(OF_STAGE + one.name, _schema(one)), ID)
        return found.select(one.schema.names)

    def seen(self, one: Stage) -> pa.Table:
        """What a stage that compares saw, of `seen_schema`, as `said`."""
        return _ordered(self._read(SEEN_BY + one.name, one.seen_schema), ID)

    def verdicts(self, one: Stage, ids: Mapping[str, int], *, seen: bool = False) -> np.ndarray:
        """What a stage said of items: int8 [items], `MISSING`, `REFUSED`, `STAYS` or `BAD`.

        Args:
          one: the stage.
          ids: id -> place in the array.
          seen: of a stage that compares, what it said when it looked.
        """
        name, schema = OF_STAGE + one.name, _schema(one)
        if seen:
            name, schema = SEEN_BY + one.name, one.seen_schema
        found = np.full(len(ids), MISSING, np.int8)
        if name not in self.names():
            return found
        rows = self._read(name, schema, [ID, KEPT])
        for item, kept in zip(rows[ID].to_pylist(), rows[KEPT].to_pylist(), strict=True):
            if item in ids:
                found[ids[item]] = code(kept)
        return found

    def _read(self, name: str, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
        table = self.table(name, schema)
        with told(self.uri):
            if columns is None:
                return table.to_arrow()
            return table.search().select(list(columns)).to_arrow()

    def _add(self, name: str, rows: pa.Table) -> None:
        if not len(rows):
            return
        with told(self.uri):
            self._tables[name].add(rows)
            self._adds[name] = self._adds.get(name, 0) + 1
            if self._adds[name] % MERGE_COMMITS == 0:
                self._tables[name].optimize()


def code(kept: bool | None) -> int:
    """What a verdict is in `verdicts`."""
    return BAD if kept is None else STAYS if kept else REFUSED


def _schema(one: Stage) -> pa.Schema:
    """Of the table of a stage."""
    return one.schema if one.compare is None else one.schema.append(pa.field(SEEN, pa.string()))


def _ordered(rows: pa.Table, by: str) -> pa.Table:
    """Rows sorted, the first of each id."""
    rows = rows.sort_by([(by, "ascending")]).combine_chunks()
    ids = rows[ID].to_pylist()
    first = [i for i, item in enumerate(ids) if not i or ids[i - 1] != item]
    return rows if len(first) == len(ids) else rows.take(first)


@contextlib.contextmanager
def told(uri: str) -> Iterator[None]:
    """What LanceDB says becomes one line that names the store."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        text = str(error)
        if any(one in text.lower() for one in FULL):
            raise errors.DataError(uri, FULL_DISK) from error
        line = " ".join(text.split())[:160]
        raise errors.DataError(
            uri, f"the store cannot be used ({line}); if it is damaged, give a new --out."
        ) from error
