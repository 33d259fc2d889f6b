"""The store of vectors: one LanceDB database, in a local folder or on object storage.

Everything is in tables of the database; nothing lies beside them, so `s3://…` and `gs://…` work as
a folder does.

    models           a row for each table of vectors: its name, its `Maker`, `turn`, `created`
                     and `fit`, whether the model's calibration fits the vectors
    vectors_<maker>  the vectors that one maker made, with path, times, modality and file stamp
    captions         what was written of windows and stills, where that was asked, see `captions`

`turn` says which table answers: that of the highest turn is current, lower ones are previous, 0 is
still being built. So one change of one row switches from a model to the next, and a reader sees
either the old or the new state.
"""

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc

from lb_jax.core import errors
from lb_jax.search import captions as captions_lib
from lb_jax.search import checking, database, filters, misses, stamps
from lb_jax.search import maker as maker_lib
from lb_jax.search import rows as rows_lib
from lb_jax.search.database import BUILDING, CURRENT, PREVIOUS, Database
from lb_jax.search.filters import EVERYTHING, Filter
from lb_jax.search.maker import Maker
from lb_jax.search.rows import Hit, Row


@dataclasses.dataclass(frozen=True)
class Window:
    """A window or still that a store has a vector of; times are None for a still."""

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    sha256: str
    size: int
    mtime_ns: int


class Store:
    """The vectors of one maker in a store, by `Store.create` or `Store.open`.

    Several processes may read and write one store at a time.

    Attributes:
      uri: of the store.
      maker: what made the vectors.
      fit: how the calibration of the model fits them, see `fits`; empty when unknown.
    """

    def __init__(self, uri: str, base: Database, table: database.Table):
        self.uri, self.maker, self._base = uri, table.maker, base
        self._name, self.fit = table.name, table.fit
        self._rows = base.vectors(table)

    @classmethod
    def create(cls, uri: str | os.PathLike[str], maker: Maker) -> "Store":
        """Opens the current table for vectors of a maker, and makes a store where there is none.

        Raises:
          DataError: for a store of another maker, naming both, and for a place that holds other
            things.
        """
        uri = os.fspath(uri)
        base = Database.open(uri, make=True)
        found = database.current(base.tables())
        if found is None:
            base.register(maker, turn=1)
            found = database.current(base.tables())  # of two that start at once one is first
            assert found is not None  # a table that has a turn is never dropped while it is current
        if not found.maker.is_like(maker):
            raise errors.DataError(uri, maker_lib.refusal(uri, found.maker, maker))
        return cls(uri, base, found)

    @classmethod
    def open(cls, uri: str | os.PathLike[str], digest: str | None = None) -> "Store":
        """Opens a store to read and search.

        Args:
          uri: a folder, or a place on object storage.
          digest: of the model whose vectors are wanted; the current one's when None. So who has
            loaded a model goes on with its vectors after the store went on to another.

        Raises:
          DataError: when there is no store, or no vectors of the model.
        """
        uri = os.fspath(uri)
        base = Database.open(uri)
        found = base.tables()
        if digest is not None:
            order = (CURRENT, PREVIOUS, BUILDING)
            found = sorted(found, key=lambda table: (order.index(table.state), -table.turn))
            wanted = next((table for table in found if table.maker.digest == digest), None)
        else:
            wanted = database.current(found)
        if wanted is None:
            reason = f"holds no vectors of model {digest[:12]}" if digest else "holds no vectors"
            models = ", ".join(str(table.maker) for table in found) or "none"
            raise errors.DataError(
                uri,
                f"{reason}; it has those of: {models}. Go on with `lb-jax index build` or "
                "`lb-jax index upgrade`.",
            )
        return cls(uri, base, wanted)

    @classmethod
    def upgrade(cls, uri: str | os.PathLike[str], maker: Maker) -> "Store":
        """Opens the table that is built to follow the current one; goes on with what is there.

        Raises:
          DataError: when the store holds this maker's vectors already, or an upgrade to another
            maker is half done.
        """
        uri = os.fspath(uri)
        base = Database.open(uri)
        found = base.tables()
        for table in found:
            if table.maker.is_like(maker) and table.state == CURRENT:
                raise errors.DataError(
                    uri, f"holds the vectors of {maker} already; there is nothing to upgrade."
                )
            if table.state == BUILDING and not table.maker.is_like(maker):
                raise errors.DataError(
                    uri,
                    f"an upgrade to {table.maker} is half done; finish it with `lb-jax index "
                    f"upgrade {uri} {table.maker.options}`, or give --abandon to drop it.",
                )
        # Of two upgrades in a row the older previous table goes; who comes back to a model that
        # was upgraded away embeds anew, as files have changed since.
        base.drop(PREVIOUS)
        if not any(table.state == BUILDING for table in found):
            base.register(maker, turn=0)
        return cls(uri, base, next(table for table in base.tables() if table.state == BUILDING))

    def make_current(self) -> None:
        """Switches the store to this table, in one commit; the one before becomes previous."""
        self._base.make_current(self._name)

    def keep_fit(self, fit: str) -> None:
        """Keeps `fit` in the store."""
        self._base.keep_fit(self._name, fit)
        self.fit = fit

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, modality: str, at_most: int) -> np.ndarray:
        """Vectors of up to so many rows of a modality, evenly from first to last: `[n, e]`."""
        return self._rows.sample(modality, at_most)

    def files(
        self, among: Iterable[tuple[str, str]] | None = None
    ) -> dict[tuple[str, str], stamps.FileStamp]:
        """What is in the store, or of some (path, modality) only: (path, modality) -> stamp."""
        return self._rows.files(among)

    def repeated(self) -> set[tuple[str, str]]:
        """(path, modality) of files with a window that is there more than once.

        Two runs that embed the same file at the same moment leave such.
        """
        keys = ["path", "modality", "start_s"]
        counts = self._rows.columns(keys).group_by(keys).aggregate([([], "count_all")])
        twice = counts.filter(pc.field("count_all") > 1)
        return set(zip(twice["path"].to_pylist(), twice["modality"].to_pylist(), strict=True))

    def add(self, rows: Sequence[Row]) -> None:
        """Adds rows in one commit: all of them, or after a kill none.

        Raises:
          DataError: for rows of another model, vectors that are not finite or not of length 1, and
            file names that are not UTF-8.
        """
        if rows:
            self._rows.add(rows_lib.to_arrow(rows, self.uri, self.maker))

    def remove(self, files: Iterable[tuple[str, str]]) -> None:
        """Removes all rows of files, (path, modality), in one commit."""
        files = list(files)
        if files:
            self._rows.delete(filters.any_of(files))

    def vectors(self, sha256: str, modality: str, depth_unit: str = "") -> list[Row]:
        """Rows of one file with this content and unit, by time; none when no file has it.

        A file that was renamed or copied needs no embedding: these rows under its name do.
        """
        made = stamps.with_unit(self.maker.preprocessing, depth_unit)
        told = {"sha256": sha256, "modality": modality, "preprocessing": made}
        where = " AND ".join(f"{name} = {filters.quoted(it)}" for name, it in told.items())
        rows = rows_lib.from_arrow(self._rows.columns(rows_lib.COLUMNS, where))
        rows.sort(key=lambda row: (row.path, _time(row.start_s)))
        return [row for row in rows if row.path == rows[0].path]

    def direction(self, vector: np.ndarray) -> np.ndarray:
        """A query's vector, [e] of any length above 0, at length 1: float64 [e].

        Raises:
          ConfigError: for a vector of another width, family or without a direction.
        """
        family = getattr(vector, "family", None)  # of one that a model gave
        if family not in (None, self.maker.kind):
            raise errors.ConfigError(
                f"search: a vector of {family}, and {self.uri} holds those of {self.maker.kind}; "
                "vectors of two families do not compare. Embed the query with the store's model."
            )
        vector = np.asarray(vector, np.float64)
        length = np.linalg.norm(vector)
        if vector.shape != (self.maker.width,) or not 0 < length < math.inf:
            raise errors.ConfigError(
                f"search takes one vector of width {self.maker.width} that is finite and not "
                f"zero; got shape {list(vector.shape)} and length {length:g}."
            )
        return vector / length

    def search(
        self,
        vector: np.ndarray,
        k: int,
        where: Filter = EVERYTHING,
        *,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` rows of the highest cosine, best first; equal ones by path, modality and time.

        Args:
          vector: [e], of any length above 0.
          k: how many, fewer when there are not so many.
          where: which rows to look at.
          exact: compare every row, whether there is an index or not.

        Raises:
          ConfigError: for a vector of another width, family or without a direction, and k below 1.
        """
        nearest = self.direction(vector).astype(np.float32)
        if k < 1:
            raise errors.ConfigError(f"search: k is {k}; it must be at least 1.")
        found = self._rows.nearest(nearest, k, where.sql(), exact=exact)
        distances = found["_distance"].to_numpy().astype(np.float64)
        columns = [found[name].to_pylist() for name in rows_lib.HIT]
        hits = [
            Hit(*values, cosine=float(1 - distance))
            for *values, distance in zip(*columns, distances, strict=True)
        ]
        hits.sort(key=lambda hit: (-hit.cosine, hit.path, hit.modality, _time(hit.start_s)))
        return hits[:k]

    def captions(self, *, make: bool = False) -> captions_lib.Captions | None:
        """The captions, see `Database.captions`; None where there are none."""
        found = self._base.captions(make=make)
        return found if make or (found is not None and len(found)) else None

    def windows(self) -> list[Window]:
        """What the rows are of, in order."""
        names = [field.name for field in dataclasses.fields(Window)]
        columns = [column.to_pylist() for column in self._rows.columns(names).columns]
        return [Window(*values) for values in zip(*columns, strict=True)]

    def of_contents(self, hashes: Iterable[str], where: Filter) -> list[Row]:
        """Rows of files with these hashes that pass a filter."""
        among = f"sha256 IN ({', '.join(map(filters.quoted, sorted(set(hashes)))) or 'NULL'})"
        condition = " AND ".join(filter(None, [among, where.sql()]))
        return rows_lib.from_arrow(self._rows.columns(rows_lib.COLUMNS, condition))

    def why_nothing(self, where: Filter) -> str | None:
        """Why no row passes a filter, with what there is instead; None where one does."""
        return misses.why(self._rows, where)

    def build_index(self, *, exact_rows: int | None = None) -> dict[str, Any]:
        """Merges small files, and brings the index up to date where the store has grown to need it.

        Rows that come later are found too: what is not in the index yet is compared row by row.

        Args:
          exact_rows: stores of up to so many rows get none; by `vectors.EXACT_NUMBERS` when None.

        Returns:
          what `info` says of the index.
        """
        return self._rows.build_index(exact_rows=exact_rows)

    def info(self) -> dict[str, Any]:
        """What the store holds, ready for JSON: all its tables, and more of this one."""
        files = self.files()
        by_modality: dict[str, dict[str, int]] = {}
        for modality in self._rows.columns(["modality"])["modality"].to_pylist():
            counts = by_modality.setdefault(modality, {"files": 0, "rows": 0})
            counts["rows"] += 1
        for _, modality in files:
            by_modality[modality]["files"] += 1
        return {
            "uri": self.uri,
            "rows": len(self),
            "files": len(files),
            "bytes": self._rows.size_bytes,
            "modalities": dict(sorted(by_modality.items())),
            "index": self._rows.index(),
            **self._told_captions(),
            "models": [
                {
                    "source": table.maker.source,
                    "digest": table.maker.digest,
                    "state": table.state,
                    "created": table.created,
                    "dtype": table.maker.dtype,
                    "width": table.maker.width,
                    "window_s": table.maker.window_s,
                    "stride_s": table.maker.stride_s,
                    "frames": table.maker.frames,
                    "space": table.maker.space or None,
                    "settings": table.maker.reading.given,
                    "fit": json.loads(table.fit or "null"),
                }
                for table in self._base.tables()
            ],
        }

    def _told_captions(self) -> dict[str, Any]:
        captions = self.captions()
        who = None if captions is None else captions.captioner
        if captions is None or who is None:
            return {}
        known = captions.windows()
        there = [(one.sha256, one.modality, one.start_s) in known for one in self.windows()]
        return {"captions": {"rows": sum(there), "captioner": who.source, "key": who.key}}

    def check(self) -> list[checking.Problem]:
        """Reads every row and looks at every file; what is wrong, serious things first.

        A file counts as changed when its bytes are others; a newer date alone is no change.
        """
        return checking.check(self._base, self._rows)


def _time(start_s: float | None) -> float:
    return -math.inf if start_s is None else start_s
