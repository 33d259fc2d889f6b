"""One table of vectors: what LanceDB is asked to do for a store, and the approximate index."""

import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lb_jax.core import errors
from lb_jax.search import failures, filters, rows
from lb_jax.search.maker import Maker
from lb_jax.search.stamps import FileStamp, stamp_of

if TYPE_CHECKING:
    from lancedb.table import Table

# Up to so many numbers every row is compared: 26,000 rows of width 768, or 312,000 of 64. LanceDB
# took 0.1 s for them on two cores, which is not worth an index that finds 99 of 100.
EXACT_NUMBERS = 20_000_000
# IVF_RQ (some bits a dimension, then exact distances for the best) was the quickest of LanceDB's
# indices with a recall@10 of 0.95 or more, at 100,000 rows of width 768. With one bit it was built
# in 62 s and found 0.99 in 6 ms. IVF_PQ took twice the time for that recall; IVF_HNSW_SQ took 240 s
# to build and found 0.97. Four bits take 39 MiB and find 0.99 even of random directions, of which
# one bit finds a third: strange data are searched well too.
BITS = 4
PARTITION_ROWS = 1024  # rows of a partition
PROBES = 20  # partitions searched; more when a filter leaves too few rows
REFINE = 10  # candidates a hit, whose distance is then taken from the vectors themselves
RETRAIN = 2.0  # growth since the partitions were drawn, after which they are drawn again

# Each commit leaves a small file and a list of all files. Merging them writes the large ones again
# too, so it is done often while that is little, and later when half of the rows are in small files
# or when searches would open too many.
SMALL_COMMITS, MANY_COMMITS = 64, 256
LITTLE_ROWS = 32_768  # 100 MB at width 768
# Versions are kept this long for readers and writers in other processes that still look at them.
KEEP = datetime.timedelta(minutes=1)

ATTEMPTS = 5  # at a change that other processes' changes keep coming before


class VectorTable:
    """The rows of one table of vectors, and its approximate index.

    What fails in LanceDB comes as a `DataError` that names the store.

    Args:
      uri: of the store.
      maker: what made the vectors.
      table: of LanceDB.

    Attributes:
      uri, maker: as given.
    """

    def __init__(self, uri: str, maker: Maker, table: "Table"):
        self.uri, self.maker, self._table = uri, maker, table
        self._adds = 0

    def __len__(self) -> int:
        return self.count("")

    def count(self, condition: str) -> int:
        """How many rows fulfil a condition; all when it is empty."""
        with failures.told(self.uri):
            return self._table.count_rows(condition or None)

    def columns(self, names: Sequence[str], where: str | None = None) -> pa.Table:
        """Some columns of all rows, or of those that fulfil a condition."""
        with failures.told(self.uri):
            query = self._table.search().select(list(names))
            if where is not None:
                query = query.where(where)
            return query.to_arrow().combine_chunks()

    def sample(self, modality: str, at_most: int) -> np.ndarray:
        """Vectors of rows of a modality, evenly from first to last: float32 `[n, e]`."""
        with failures.told(self.uri):
            where = f"modality = {filters.quoted(modality)}"
            query = self._table.search().where(where).with_row_id(True).select(["modality"])
            ids = query.to_arrow()["_rowid"].to_numpy()
            places = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), at_most)).astype(int))
            if not len(places):
                return np.zeros((0, self.maker.width), np.float32)
            taken = self._table.take_row_ids(ids[places].tolist()).select(["vector"]).to_arrow()
        return rows.matrix(taken["vector"].combine_chunks(), self.maker.width)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, some at a time."""
        with failures.told(self.uri):
            yield from self._table.search().select(list(rows.COLUMNS)).to_batches()

    def files(
        self, among: Iterable[tuple[str, str]] | None = None
    ) -> dict[tuple[str, str], FileStamp]:
        """What is in the table, or of some (path, modality) only: (path, modality) -> stamp."""
        where = None if among is None else filters.any_of(among)
        names = ["path", "modality", "sha256", "size", "mtime_ns", "preprocessing"]
        paths, modalities, *stamps = (
            column.to_pylist() for column in self.columns(names, where).columns
        )
        return {
            (path, modality): stamp_of(*told)
            for path, modality, *told in zip(paths, modalities, *stamps, strict=True)
        }

    def add(self, data: pa.Table) -> None:
        """Adds rows, of `rows.schema`, in one commit."""
        with failures.told(self.uri):
            self._table.add(data)
        self._adds += 1
        if self._adds % SMALL_COMMITS == 0:
            self._merge_commits()

    def delete(self, condition: str) -> None:
        """Removes the rows that fulfil a condition, in one commit."""
        self._persist(lambda: self._table.delete(condition))

    def nearest(self, vector: np.ndarray, k: int, condition: str, *, exact: bool) -> pa.Table:
        """The rows nearest to a vector, those that tie with the last of them included.

        Args:
          vector: float32 [e], of length 1.
          k: how many.
          condition: that they fulfil; empty for none.
          exact: compare every row, whether there is an index or not.

        Returns:
          columns `rows.HIT` and `_distance`, which is 1 less the cosine; nearest first.
        """
        limit = k + 1
        with failures.told(self.uri):
            # Few rows that pass are compared one by one: quicker than an index, and exact.
            exact = exact or bool(
                condition and self._table.count_rows(condition) <= self.exact_rows
            )
            while True:
                found = self._nearest(vector, limit, condition, exact=exact)
                distances = found["_distance"].to_numpy()
                if len(found) < limit or distances[-1] > distances[k - 1]:
                    return found
                limit *= 2  # rows that tie with the last hit: all of them, to choose by name

    def _nearest(self, vector: np.ndarray, limit: int, condition: str, *, exact: bool) -> pa.Table:
        from lancedb.query import LanceVectorQueryBuilder

        query = self._table.search(vector, vector_column_name="vector")
        assert isinstance(query, LanceVectorQueryBuilder)  # as it is for every vector
        query = query.distance_type("dot").select([*rows.HIT, "_distance"]).limit(limit)
        if condition:
            query = query.where(condition, prefilter=True)
        if exact:
            query = query.bypass_vector_index()
        else:  # of no effect without an index
            query = query.minimum_nprobes(PROBES).maximum_nprobes(0).refine_factor(REFINE)
        return query.to_arrow()

    @property
    def exact_rows(self) -> int:
        """So many are compared one by one."""
        return EXACT_NUMBERS // self.maker.width

    @property
    def size_bytes(self) -> int:
        """Of its files and indices."""
        with failures.told(self.uri):
            size = self._stats()["total_bytes"]
            return size + sum(one.size_bytes or 0 for one in self._table.list_indices())

    def _stats(self) -> dict[str, Any]:
        stats = self._table.stats()
        assert isinstance(stats, dict)  # LanceDB announces a class of its own, and gives this
        return stats

    def index(self) -> dict[str, Any]:
        """The approximate index: its kind, and how many rows are in it and are not."""
        with failures.told(self.uri):
            for one in self._table.list_indices():
                if list(one.columns) == ["vector"]:
                    stats = self._table.index_stats(one.name)
                    if stats is None:  # another process dropped it just now
                        break
                    return {
                        "kind": stats.index_type,
                        "rows": stats.num_indexed_rows,
                        "rows_outside": stats.num_unindexed_rows,
                    }
        return {"kind": "exact", "rows": 0, "rows_outside": len(self)}

    def build_index(self, *, exact_rows: int | None = None) -> dict[str, Any]:
        """Merges small files, and brings the index up to date where the store has grown to need it.

        Rows that come later are found too: what is not in the index yet is compared row by row.

        Args:
          exact_rows: stores of up to so many rows get none; by `EXACT_NUMBERS` when None.

        Returns:
          what `index` says then.
        """
        self._merge_commits(force=True)
        self._persist(lambda: self._put_in_index(exact_rows))
        return self.index()

    def _put_in_index(self, exact_rows: int | None) -> None:
        from lancedb import index

        count, told = len(self), self.index()
        if count <= (self.exact_rows if exact_rows is None else exact_rows):
            return
        if told["rows"] * RETRAIN >= count:
            self._table.optimize(cleanup_older_than=KEEP)
            return
        given = {"distance_type": "dot", "num_partitions": max(1, count // PARTITION_ROWS)}
        if self.maker.width % 8:  # which IVF_RQ does not take
            config = index.IvfSq(**given)
        else:
            config = index.IvfRq(num_bits=BITS, **given)
        self._table.create_index("vector", config=config)
        self._table.create_index("path", config=index.BTree())
        self._table.create_index("modality", config=index.Bitmap())

    def _persist(self, step: Callable[[], object]) -> None:
        """Takes a step again that came between those of another process."""
        for attempt in range(ATTEMPTS):
            try:
                with failures.told(self.uri):
                    step()
                return
            except errors.DataError as error:
                if not failures.is_conflict(error):
                    raise
            time.sleep(0.1 * 2**attempt)
        raise errors.DataError(
            self.uri, "other processes keep changing the store; run this again when they are done."
        )

    def _merge_commits(self, *, force: bool = False) -> None:
        """Merges what many small commits left, and drops versions that nobody looks at."""
        with failures.told(self.uri):
            stats = self._stats()["fragment_stats"]
            count, lengths = stats["num_fragments"], stats["lengths"]
            cheap = lengths["max"] <= max(LITTLE_ROWS, lengths["mean"] * count / 2)
            if force or count >= (SMALL_COMMITS if cheap else MANY_COMMITS):
                try:
                    self._table.optimize(cleanup_older_than=KEEP)
                except RuntimeError as error:  # another process may merge them just now
                    if not failures.is_conflict(error):
                        raise
