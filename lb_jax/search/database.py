"""A store as a database of LanceDB: its tables of vectors, and the table of models naming them."""

import dataclasses
import datetime
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lb_jax.core import errors, names
from lb_jax.search import captions as captions_lib
from lb_jax.search import failures, filters, rows
from lb_jax.search.maker import Maker
from lb_jax.search.vectors import VectorTable

if TYPE_CHECKING:
    import lancedb


MODELS = "models"
REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://\S+")  # a place on object storage
CURRENT, PREVIOUS, BUILDING = "current", "previous", "building"
MODEL_ROW = pa.schema(
    [
        ("name", pa.string()),
        ("digest", pa.string()),
        ("preprocessing", pa.string()),
        ("dtype", pa.string()),
        ("source", pa.string()),
        ("width", pa.int64()),
        ("window_s", pa.float64()),
        ("stride_s", pa.float64()),
        ("frames", pa.int64()),
        ("settings", pa.string()),
        ("space", pa.string()),
        ("turn", pa.int64()),
        ("created", pa.string()),
        ("fit", pa.string()),
        ("family", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Table:
    """A row of the table of models.

    Attributes:
      name: of the table of vectors.
      maker: what made its vectors.
      state: "current", "previous" or "building".
      turn: rank of the table; the highest is current, 0 is being built.
      created: date and time in UTC.
      fit: how the calibration of the model fits the vectors, see `fits`; empty when unknown.
    """

    name: str
    maker: Maker
    state: str
    turn: int
    created: str
    fit: str = ""


def is_store(uri: str) -> bool:
    """Whether a store is here: a folder that holds one; a place on object storage by its name."""
    if REMOTE.fullmatch(uri):
        return True
    return names.is_text(uri) and os.path.exists(os.path.join(uri, f"{MODELS}.lance"))


class Database:
    """The tables of a store, by `Database.open`.

    What fails in LanceDB comes as a `DataError` that names the store.

    Args:
      uri: of the store.
      connection: of LanceDB.
    """

    def __init__(self, uri: str, connection: "lancedb.DBConnection"):
        self._uri, self._connection = uri, connection

    @classmethod
    def open(cls, uri: str, *, make: bool = False) -> "Database":
        """Opens the database; with `make`, one where nothing is yet.

        Raises:
          ConfigError: without LanceDB.
          DataError: when there is no store, and for a place that holds other things.
        """
        # Its warnings are about retries that it makes itself; what fails comes as an error.
        os.environ.setdefault("LANCEDB_LOG", "error")
        try:
            import lancedb
        except ImportError as error:
            raise errors.ConfigError(
                "a store of vectors needs LanceDB; `pip install 'lb_jax[search]'` brings it."
            ) from error

        if not names.is_text(os.path.abspath(uri)):
            raise errors.DataError(
                uri,
                "its name or folder is not UTF-8, which LanceDB needs; keep the store elsewhere.",
            )
        if "://" not in uri:
            folder, missing = Path(uri), "`lb-jax index build DIR -o STORE` makes one."
            if folder.exists() and not folder.is_dir():
                raise errors.DataError(uri, f"is a file, not a store of vectors; {missing}")
            if not make and not folder.exists():
                raise errors.DataError(uri, f"there is no store of vectors here; {missing}")
            if make and folder.exists() and not is_store(uri):
                other = next((one.name for one in folder.iterdir()), None)
                if other is not None:
                    raise errors.DataError(
                        uri,
                        f"is no store of vectors (it holds {other}); give a new or empty folder.",
                    )
        with failures.told(uri):
            # Each search looks for what other processes have added.
            connection = lancedb.connect(uri, read_consistency_interval=datetime.timedelta(0))
        database = cls(uri, connection)
        if make and MODELS not in database.names():  # one that is there may lack later columns
            with failures.told(uri):
                connection.create_table(MODELS, schema=MODEL_ROW, exist_ok=True)
        return database

    def names(self) -> list[str]:
        """Of all tables, the table of models included."""
        found, token = [], None
        with failures.told(self._uri):
            while True:
                page = self._connection.list_tables(page_token=token)
                found += page.tables
                token = page.page_token
                if not token:
                    return found

    def tables(self) -> list[Table]:
        """The tables of vectors, the current one first.

        Raises:
          DataError: when this is no store.
        """
        with failures.told(self._uri):
            if MODELS not in self.names():
                raise errors.DataError(
                    self._uri,
                    "is no store of vectors; `lb-jax index build DIR -o STORE` makes one.",
                )
            found = self._connection.open_table(MODELS).to_arrow().to_pylist()
        # Two processes that start at once may both write the row of their table.
        one_each = {
            row["name"]: row for row in sorted(found, key=lambda row: (row["turn"], row["name"]))
        }
        order = sorted(
            one_each.values(), key=lambda row: (-row["turn"], row["created"], row["name"])
        )
        fields = [field.name for field in dataclasses.fields(Maker)]
        return [
            Table(
                row["name"],
                Maker(**{name: row[name] for name in fields if name in row}),
                (BUILDING if not row["turn"] else PREVIOUS if place else CURRENT),
                row["turn"],
                row["created"],
                row.get("fit") or "",
            )
            for place, row in enumerate(order)
        ]

    def vectors(self, table: Table) -> VectorTable:
        """Opens a table of vectors."""
        with failures.told(self._uri):
            return VectorTable(self._uri, table.maker, self._connection.open_table(table.name))

    def captions(self, *, make: bool = False) -> captions_lib.Captions | None:
        """The table of captions; None where there is none.

        Args:
          make: makes an empty one where there is none.
        """
        name = captions_lib.NAME
        if not make and name not in self.names():
            return None
        with failures.told(self._uri):
            table = (
                self._connection.create_table(name, schema=captions_lib.SCHEMA, exist_ok=True)
                if make
                else self._connection.open_table(name)
            )
        return captions_lib.Captions(self._uri, table)

    def register(self, maker: Maker, turn: int) -> None:
        """Makes an empty table for the vectors of a maker, and then the row that names it."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        row = {"name": maker.name, "turn": turn, "created": now, **dataclasses.asdict(maker)}
        with failures.told(self._uri):
            self._connection.create_table(
                maker.name, schema=rows.schema(maker.width), exist_ok=True
            )
            models = self._connection.open_table(MODELS)
            _add_column(models, "settings", "space", "family")
            row_of = pa.schema([MODEL_ROW.field(name) for name in models.schema.names])
            models.add(pa.Table.from_pylist([row], schema=row_of))

    def make_current(self, name: str) -> None:
        """Switches the store to the table of this name, in one commit."""
        turn = 1 + max(table.turn for table in self.tables())
        with failures.told(self._uri):
            self._connection.open_table(MODELS).update(
                where=f"name = {filters.quoted(name)}", values={"turn": turn}
            )

    def keep_fit(self, name: str, fit: str) -> None:
        """Keeps how the calibration fits the table of this name."""
        with failures.told(self._uri):
            models = self._connection.open_table(MODELS)
            _add_column(models, "fit")
            models.update(where=f"name = {filters.quoted(name)}", values={"fit": fit})

    def drop(self, state: str) -> list[Maker]:
        """Drops all tables of a state; returns whose they were."""
        dropped = [table for table in self.tables() if table.state == state]
        for table in dropped:
            with failures.told(self._uri):
                # First the row: a table that no row names is not opened any more.
                models = self._connection.open_table(MODELS)
                models.delete(f"name = {filters.quoted(table.name)}")
                if table.name in self.names():
                    self._connection.drop_table(table.name)
        return [table.maker for table in dropped]


def _add_column(models: "lancedb.table.Table", *names: str) -> None:
    """Adds columns of texts to the table of models, where a store is of before it had them."""
    if lacking := [name for name in names if name not in models.schema.names]:
        models.add_columns(dict.fromkeys(lacking, "''"))


def tables(uri: str | os.PathLike[str]) -> list[Table]:
    """The tables of vectors of a store, the current one first.

    Raises:
      DataError: when there is no store.
    """
    return Database.open(os.fspath(uri)).tables()


def current(found: Iterable[Table]) -> Table | None:
    """The table that answers; None before there is one."""
    return next((table for table in found if table.state == CURRENT), None)


def drop(uri: str | os.PathLike[str], state: str) -> list[Maker]:
    """Drops all tables that are "previous" or "building"; returns whose they were.

    Raises:
      ConfigError: for another state.
      DataError: when there is no store.
    """
    if state not in (PREVIOUS, BUILDING):
        raise errors.ConfigError(f"drop takes {PREVIOUS!r} or {BUILDING!r}; got {state!r}.")
    return Database.open(os.fspath(uri)).drop(state)
