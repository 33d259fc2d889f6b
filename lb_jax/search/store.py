"""The store of vectors: one LanceDB database, in a local folder or on object storage.

Everything is in tables of the database; nothing lies beside them, so `s3://…` and `gs://…` work as
a folder does.

    models           a row for each table of vectors: its name, its `Maker`, `turn`, `created`
    vectors_<maker>  the vectors that one maker made, with path, times, modality and file stamp

`turn` says which table answers: that of the highest turn is current, lower ones are previous, 0 is
still being built. So one change of one row switches from a model to the next, and a reader sees
either the old or the new state.
"""

import collections
import contextlib
import dataclasses
import datetime
import hashlib
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lb_jax.core import errors, names
from lb_jax.media import settings as settings_lib

if TYPE_CHECKING:
    import lancedb

    from lb_jax.inference.api import Model

MODELS = "models"
PREFIX = "vectors_"
CURRENT, PREVIOUS, BUILDING = "current", "previous", "building"
UNIT_TOLERANCE = 1e-3  # of a length; float32 sums of a thousand squares stay far within

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
REFINE = 5  # candidates a hit, whose distance is then taken from the vectors themselves
RETRAIN = 2.0  # growth since the partitions were drawn, after which they are drawn again

# Each commit leaves a small file and a list of all files. Merging them writes the large ones again
# too, so it is done often while that is little, and later when half of the rows are in small files
# or when searches would open too many.
SMALL_COMMITS, MANY_COMMITS = 64, 256
LITTLE_ROWS = 32_768  # 100 MB at width 768
# Versions are kept this long for readers and writers in other processes that still look at them.
KEEP = datetime.timedelta(minutes=1)

ATTEMPTS = 5  # at a change that other processes' changes keep coming before

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
        ("turn", pa.int64()),
        ("created", pa.string()),
    ]
)


@dataclasses.dataclass(frozen=True)
class Maker:
    """What made the vectors of a table; a table takes vectors of no other.

    Attributes:
      digest: of the model: weights, config and preprocessing.
      preprocessing: hash of the preprocessing alone.
      dtype: of the computation, "float32" or "bfloat16".
      source: where the model was loaded from; the same model may lie in several places.
      width: of a vector.
      window_s: length of a window of video or audio, in seconds.
      stride_s: from the start of a window to that of the next, in seconds.
      frames: of a window of video, where they are not as many as in training (`lb_jax.load`).
      settings: of files, given to `lb_jax.load`; see `lb_jax.media.settings.to_json`.
    """

    digest: str
    preprocessing: str
    dtype: str
    source: str
    width: int
    window_s: float
    stride_s: float
    frames: int | None = None
    settings: str = ""

    @classmethod
    def of(cls, model: "Model", window_s: float, stride_s: float) -> "Maker":
        """That of a loaded model.

        Raises:
          ConfigError: for lengths that are not above 0.
        """
        for name, value in (("window", window_s), ("stride", stride_s)):
            if not 0 < value < math.inf:
                raise errors.ConfigError(f"{name} is {value}; expected seconds above 0.")
        return cls(
            digest=model.digest,
            preprocessing=model.preprocessing,
            dtype=np.dtype(model.dtype).name,
            source=str(model.source),
            width=model.config.text.embed_dim,
            window_s=float(window_s),
            stride_s=float(stride_s),
            frames=model.frames,
            settings=settings_lib.to_json(model.settings),
        )

    def load(self, source: str | None = None) -> "Model":
        """Opens the model; `source` says where it lies if it moved."""
        from lb_jax.inference import api

        loading = {"dtype": self.dtype, "frames": self.frames, **self.reading.given}
        return api.load(source or self.source, **loading)

    @property
    def reading(self) -> settings_lib.Settings:
        """The settings of files."""
        return settings_lib.from_json(self.settings)

    @property
    def name(self) -> str:
        """Of its table; equal for makers whose vectors may be mixed."""
        told = repr(self._identity())
        return f"{PREFIX}{self.digest[:16]}_{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    def is_like(self, other: "Maker") -> bool:
        """Whether vectors of both may be mixed: all but the place of the model is equal."""
        return self._identity() == other._identity()

    def _identity(self) -> tuple[Any, ...]:
        return (
            self.digest,
            self.preprocessing,
            self.dtype,
            int(self.width),
            float(self.window_s),
            float(self.stride_s),
        )

    @property
    def options(self) -> str:
        """Of a command line, for the model with its frames and settings."""
        frames = f" --frames {self.frames}" if self.frames else ""
        return f"--model {self.source}{frames}{self.reading.options}"

    def __str__(self) -> str:
        frames = f", {self.frames} frames" if self.frames else ""
        reading = f", {self.reading}" if self.settings else ""
        return f"{self.source} ({self.digest[:12]}{frames}{reading})"


@dataclasses.dataclass(frozen=True)
class FileStamp:
    """Which content of a file was embedded."""

    sha256: str
    size: int
    mtime_ns: int
    depth_unit: ClassVar[str] = ""


@dataclasses.dataclass(frozen=True)
class MeasuredStamp(FileStamp):
    """That of a file whose depth was read in a unit of its own."""

    depth_unit: str


def stamp_of(sha256: str, size: int, mtime_ns: int, preprocessing: str) -> FileStamp:
    """The stamp in a row, see `Row`."""
    unit = preprocessing.partition(UNIT)[2]
    told = sha256, size, mtime_ns
    return MeasuredStamp(*told, unit) if unit else FileStamp(*told)


@dataclasses.dataclass(frozen=True)
class Row:
    """One vector: of a still, or of a window of video or audio.

    Attributes:
      path: of the file, see `path_of`.
      modality: what the file was read as.
      start_s: where the window starts; None for a still.
      end_s: where it ends; None for a still.
      sha256: of the file's bytes.
      size: of the file in bytes.
      mtime_ns: when the file was changed last.
      model: `Maker.digest`.
      preprocessing: `Maker.preprocessing`; behind it the unit of depth of the file's own, if it
        has one (`with_unit`).
      vector: float32 [e], of length 1.
    """

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    sha256: str
    size: int
    mtime_ns: int
    model: str
    preprocessing: str
    vector: np.ndarray


UNIT = " depth_unit="
COLUMNS = tuple(field.name for field in dataclasses.fields(Row))
HIT = ("path", "modality", "start_s", "end_s", "sha256")


@dataclasses.dataclass(frozen=True)
class Hit:
    """A row that was found; times are None for a still."""

    path: str
    modality: str
    start_s: float | None
    end_s: float | None
    sha256: str
    cosine: float


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which rows a search looks at; all that is given must hold.

    Attributes:
      modalities: any of these; all when empty.
      under: a file, or a folder with all that is below it.
      after_s: windows that end later than this. Stills have no time and are left out.
      before_s: windows that start earlier than this. Stills are left out.
    """

    modalities: tuple[str, ...] = ()
    under: str | None = None
    after_s: float | None = None
    before_s: float | None = None

    def sql(self) -> str:
        """The condition as SQL; empty when there is none."""
        parts = []
        if self.modalities:
            parts.append(f"modality IN ({', '.join(map(_quoted, self.modalities))})")
        if self.under is not None:
            folder = self.under.rstrip("/")
            # A range rather than LIKE, in which % and _ of a name would stand for anything:
            # "0" follows "/", so all that starts with "folder/" lies between the two.
            below = f"path >= {_quoted(folder + '/')} AND path < {_quoted(folder + '0')}"
            parts.append(f"(path = {_quoted(self.under)} OR ({below}))")
        if self.after_s is not None:
            parts.append(f"end_s > {float(self.after_s)!r}")
        if self.before_s is not None:
            parts.append(f"start_s < {float(self.before_s)!r}")
        return " AND ".join(parts)


EVERYTHING = Filter()


@dataclasses.dataclass(frozen=True)
class Table:
    """A row of the table of models.

    Attributes:
      name: of the table of vectors.
      maker: what made its vectors.
      state: "current", "previous" or "building".
      turn: rank of the table; the highest is current, 0 is being built.
      created: date and time in UTC.
    """

    name: str
    maker: Maker
    state: str
    turn: int
    created: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """What `check` found.

    Attributes:
      what: in words, with what to do.
      path: the file it is about; None for the store as a whole.
      is_serious: whether answers of the store are wrong or incomplete by it.
    """

    what: str
    path: str | None = None
    is_serious: bool = True


def with_unit(preprocessing: str, depth_unit: str) -> str:
    """What `Row.preprocessing` holds for a file with a unit of depth of its own, or without."""
    return f"{preprocessing}{UNIT}{depth_unit}" if depth_unit else preprocessing


def path_of(path: str | os.PathLike[str]) -> str:
    """The name of a file or folder in a store: absolute, with slashes, links not followed."""
    return Path(os.path.abspath(path)).as_posix()


def stamp(path: str | os.PathLike[str]) -> FileStamp:
    """Reads a file's stamp.

    Raises:
      DataError: when the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.DataError(path, f"cannot be read ({error.strerror}).") from error
    return FileStamp(digest, status.st_size, status.st_mtime_ns)


class Store:
    """The vectors of one maker in a store, by `Store.create` or `Store.open`.

    Several processes may read and write one store at a time.

    Attributes:
      uri: of the store.
      maker: what made the vectors.
    """

    def __init__(self, uri: str, database: "lancedb.DBConnection", table: Table):
        self.uri, self.maker, self._database = uri, table.maker, database
        self._name = table.name
        with _told(uri):
            self._table = database.open_table(table.name)
        self._adds = 0

    @classmethod
    def create(cls, uri: str | os.PathLike[str], maker: Maker) -> "Store":
        """Opens the current table for vectors of a maker, and makes a store where there is none.

        Raises:
          DataError: for a store of another maker, naming both, and for a place that holds other
            things.
        """
        uri = os.fspath(uri)
        database = _connect(uri, make=True)
        found = _current(_tables(uri, database))
        if found is None:
            _register(uri, database, maker, turn=1)
            found = _current(_tables(uri, database))  # of two that start at once one is first
        if not found.maker.is_like(maker):
            raise errors.DataError(uri, _refusal(uri, found.maker, maker))
        return cls(uri, database, found)

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
        database = _connect(uri)
        found = _tables(uri, database)
        if digest is not None:
            order = (CURRENT, PREVIOUS, BUILDING)
            found = sorted(found, key=lambda table: (order.index(table.state), -table.turn))
            wanted = next((table for table in found if table.maker.digest == digest), None)
        else:
            wanted = _current(found)
        if wanted is None:
            reason = f"holds no vectors of model {digest[:12]}" if digest else "holds no vectors"
            models = ", ".join(str(table.maker) for table in found) or "none"
            raise errors.DataError(
                uri,
                f"{reason}; it has those of: {models}. Go on with `lb-jax index build` or "
                "`lb-jax index upgrade`.",
            )
        return cls(uri, database, wanted)

    @classmethod
    def upgrade(cls, uri: str | os.PathLike[str], maker: Maker) -> "Store":
        """Opens the table that is built to follow the current one; goes on with what is there.

        Raises:
          DataError: when the store holds this maker's vectors already, or an upgrade to another
            maker is half done.
        """
        uri = os.fspath(uri)
        database = _connect(uri)
        found = _tables(uri, database)
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
        drop(uri, PREVIOUS)
        if not any(table.state == BUILDING for table in found):
            _register(uri, database, maker, turn=0)
        return cls(uri, database, next(t for t in _tables(uri, database) if t.state == BUILDING))

    def make_current(self) -> None:
        """Switches the store to this table, in one commit; the one before becomes previous."""
        turn = 1 + max(table.turn for table in _tables(self.uri, self._database))
        with _told(self.uri):
            self._database.open_table(MODELS).update(
                where=f"name = {_quoted(self._name)}", values={"turn": turn}
            )

    def __len__(self) -> int:
        with _told(self.uri):
            return self._table.count_rows()

    def files(
        self, among: Iterable[tuple[str, str]] | None = None
    ) -> dict[tuple[str, str], FileStamp]:
        """What is in the store, or of some (path, modality) only: (path, modality) -> stamp."""
        where = None if among is None else _any_of(among)
        names = ["path", "modality", "sha256", "size", "mtime_ns", "preprocessing"]
        paths, modalities, *stamps = (
            column.to_pylist() for column in self._columns(names, where).columns
        )
        return {
            (path, modality): stamp_of(*told)
            for path, modality, *told in zip(paths, modalities, *stamps, strict=True)
        }

    def repeated(self) -> set[tuple[str, str]]:
        """(path, modality) of files with a window that is there more than once.

        Two runs that embed the same file at the same moment leave such.
        """
        keys = ["path", "modality", "start_s"]
        counts = self._columns(keys).group_by(keys).aggregate([([], "count_all")])
        twice = counts.filter(pc.field("count_all") > 1)
        return set(zip(twice["path"].to_pylist(), twice["modality"].to_pylist(), strict=True))

    def add(self, rows: Sequence[Row]) -> None:
        """Adds rows in one commit: all of them, or after a kill none.

        Raises:
          DataError: for rows of another model, vectors that are not finite or not of length 1, and
            file names that are not UTF-8.
        """
        if not rows:
            return
        data = self._arrow(rows)
        with _told(self.uri):
            self._table.add(data)
        self._adds += 1
        if self._adds % SMALL_COMMITS == 0:
            self._merge_commits()

    def remove(self, files: Iterable[tuple[str, str]]) -> None:
        """Removes all rows of files, (path, modality), in one commit."""
        files = list(files)
        if files:
            condition = _any_of(files)
            self._persist(lambda: self._table.delete(condition))

    def vectors(self, sha256: str, modality: str, depth_unit: str = "") -> list[Row]:
        """Rows of one file with this content and unit, by time; none when no file has it.

        A file that was renamed or copied needs no embedding: these rows under its name do.
        """
        made = with_unit(self.maker.preprocessing, depth_unit)
        where = (
            f"sha256 = {_quoted(sha256)} AND modality = {_quoted(modality)} AND preprocessing = "
            f"{_quoted(made)}"
        )
        with _told(self.uri):
            found = self._table.search().where(where).select(list(COLUMNS)).to_arrow()
        rows = [Row(*row) for row in zip(*map(_values, found.columns), strict=True)]
        rows.sort(key=lambda row: (row.path, _time(row.start_s)))
        return [row for row in rows if row.path == rows[0].path]

    def search(
        self, vector: np.ndarray, k: int, where: Filter = EVERYTHING, *, exact: bool = False
    ) -> list[Hit]:
        """The `k` rows of the highest cosine, best first; equal ones by path, modality and time.

        Args:
          vector: [e], of any length above 0.
          k: how many, fewer when there are not so many.
          where: which rows to look at.
          exact: compare every row, whether there is an index or not.

        Raises:
          ConfigError: for a vector of another width or without a direction, and k below 1.
        """
        vector = np.asarray(vector, np.float64)
        length = np.linalg.norm(vector)
        if vector.shape != (self.maker.width,) or not 0 < length < math.inf:
            raise errors.ConfigError(
                f"search takes one vector of width {self.maker.width} that is finite and not "
                f"zero; got shape {list(vector.shape)} and length {length:g}."
            )
        if k < 1:
            raise errors.ConfigError(f"search: k is {k}; it must be at least 1.")
        vector, condition, limit = (vector / length).astype(np.float32), where.sql(), k + 1
        with _told(self.uri):
            # Few rows that pass are compared one by one: quicker than an index, and exact.
            exact = exact or bool(
                condition and self._table.count_rows(condition) <= self._exact_rows
            )
            while True:
                found = self._nearest(vector, limit, condition, exact=exact)
                distances = found["_distance"].to_numpy()
                if len(found) < limit or distances[-1] > distances[k - 1]:
                    break
                limit *= 2  # rows that tie with the last hit: all of them, to choose by name
        columns = [found[name].to_pylist() for name in HIT]
        hits = [
            Hit(*values, cosine=float(1 - distance))
            for *values, distance in zip(*columns, distances.astype(np.float64), strict=True)
        ]
        hits.sort(key=lambda hit: (-hit.cosine, hit.path, hit.modality, _time(hit.start_s)))
        return hits[:k]

    def _nearest(self, vector: np.ndarray, limit: int, condition: str, *, exact: bool) -> pa.Table:
        query = self._table.search(vector, vector_column_name="vector").distance_type("dot")
        query = query.select([*HIT, "_distance"]).limit(limit)
        if condition:
            query = query.where(condition, prefilter=True)
        if exact:
            query = query.bypass_vector_index()
        else:  # of no effect without an index
            query = query.minimum_nprobes(PROBES).maximum_nprobes(0).refine_factor(REFINE)
        return query.to_arrow()

    def build_index(self, *, exact_rows: int | None = None) -> dict[str, Any]:
        """Merges small files, and brings the index up to date where the store has grown to need it.

        Rows that come later are found too: what is not in the index yet is compared row by row.

        Args:
          exact_rows: stores of up to so many rows get none; by `EXACT_NUMBERS` when None.

        Returns:
          what `info` says of the index.
        """
        self._merge_commits(force=True)
        self._persist(lambda: self._put_in_index(exact_rows))
        return self._index()

    def _put_in_index(self, exact_rows: int | None) -> None:
        from lancedb import index

        rows, told = len(self), self._index()
        if rows <= (self._exact_rows if exact_rows is None else exact_rows):
            return
        if told["rows"] * RETRAIN >= rows:
            self._table.optimize(cleanup_older_than=KEEP)
            return
        given = {"distance_type": "dot", "num_partitions": max(1, rows // PARTITION_ROWS)}
        if self.maker.width % 8:  # which IVF_RQ does not take
            config = index.IvfSq(**given)
        else:
            config = index.IvfRq(num_bits=BITS, **given)
        self._table.create_index("vector", config=config)
        self._table.create_index("path", config=index.BTree())
        self._table.create_index("modality", config=index.Bitmap())

    def _persist(self, step: Callable[[], None]) -> None:
        """Takes a step again that came between those of another process."""
        for attempt in range(ATTEMPTS):
            try:
                with _told(self.uri):
                    step()
                return
            except errors.DataError as error:
                if not _is_conflict(error):
                    raise
            time.sleep(0.1 * 2**attempt)
        raise errors.DataError(
            self.uri, "other processes keep changing the store; run this again when they are done."
        )

    def info(self) -> dict[str, Any]:
        """What the store holds, ready for JSON: all its tables, and more of this one."""
        files = self.files()
        by_modality: dict[str, dict[str, int]] = {}
        for modality in self._columns(["modality"])["modality"].to_pylist():
            counts = by_modality.setdefault(modality, {"files": 0, "rows": 0})
            counts["rows"] += 1
        for _, modality in files:
            by_modality[modality]["files"] += 1
        with _told(self.uri):
            size = self._table.stats()["total_bytes"]
            size += sum(one.size_bytes or 0 for one in self._table.list_indices())
        return {
            "uri": self.uri,
            "rows": len(self),
            "files": len(files),
            "bytes": size,
            "modalities": dict(sorted(by_modality.items())),
            "index": self._index(),
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
                    "settings": table.maker.reading.given,
                }
                for table in _tables(self.uri, self._database)
            ],
        }

    def check(self) -> list[Problem]:
        """Reads every row and looks at every file; what is wrong, serious things first.

        A file counts as changed when its bytes are others; a newer date alone is no change.
        """
        found = [*self._check_rows(), *self._check_files(), *self._check_tables()]
        return sorted(found, key=lambda one: (not one.is_serious, one.path or "", one.what))

    def _check_rows(self) -> Iterator[Problem]:
        bad, repeated, others = (collections.Counter() for _ in range(3))
        seen: set[tuple[Any, ...]] = set()
        with _told(self.uri):
            for batch in self._table.search().select(list(COLUMNS)).to_batches():
                length = np.linalg.norm(_matrix(batch["vector"], self.maker.width), axis=1)
                fits = np.abs(length - 1) <= UNIT_TOLERANCE  # NaN does not
                told = [
                    batch[name].to_pylist()
                    for name in ("path", "modality", "start_s", "model", "preprocessing")
                ]
                for fit, path, modality, start, digest, made in zip(fits, *told, strict=True):
                    bad[path] += not fit
                    others[digest, made.partition(UNIT)[0]] += 1
                    repeated[path] += (path, modality, start) in seen
                    seen.add((path, modality, start))
        del others[self.maker.digest, self.maker.preprocessing]
        anew = f"build a new store: `lb-jax index build FOLDER -o NEW {self.maker.options}`"
        for path, count in (+bad).items():
            yield Problem(f"{count} vectors are not finite or not of length 1; {anew}", path)
        for path, count in (+repeated).items():
            yield Problem(
                f"{count} windows are there more than once; {self._build()} mends it", path
            )
        for (digest, _), count in others.items():
            yield Problem(
                f"{count} rows are of model {digest[:12]}, the table's is {self.maker}; they do "
                f"not compare; {anew}"
            )

    def _build(self, option: str = "") -> str:
        """The command that brings the store up to date."""
        return f"`lb-jax index build FOLDER -o {self.uri} {self.maker.options}{option}`"

    def _check_files(self) -> Iterator[Problem]:
        stamps: dict[str, FileStamp] = {}
        for (path, modality), known in self.files().items():
            if path not in stamps:
                try:
                    status = os.stat(path)
                except OSError as error:
                    mend = f"{self._build(' --prune')} removes it"
                    yield Problem(f"{modality} file is gone ({error.strerror}); {mend}", path)
                    continue
                told = known.size, known.mtime_ns
                is_same = told == (status.st_size, status.st_mtime_ns)
                stamps[path] = known if is_same else stamp(path)
            if stamps[path].sha256 != known.sha256:
                mend = f"{self._build()} embeds it again"
                yield Problem(f"{modality} file has changed since; {mend}", path)

    def _check_tables(self) -> Iterator[Problem]:
        tables = _tables(self.uri, self._database)
        for table in tables:
            if table.state != CURRENT:
                what = {
                    PREVIOUS: "is kept from before the upgrade; "
                    f"`lb-jax index upgrade {self.uri} --drop-previous` drops it",
                    BUILDING: "is half built; "
                    f"`lb-jax index upgrade {self.uri} {table.maker.options}` goes on with it",
                }[table.state]
                yield Problem(f"a table of {table.maker} {what}", is_serious=False)
        known = {table.name for table in tables}
        for name in _names(self.uri, self._database):
            if name.startswith(PREFIX) and name not in known:
                yield Problem(f"the table {name} belongs to no model", is_serious=False)
        told, rows = self._index(), len(self)
        if rows - told["rows"] > self._exact_rows:
            yield Problem(
                f"{rows - told['rows']} of {rows} rows are not in the index, searches are slow; "
                f"{self._build()} puts them in",
                is_serious=False,
            )

    @property
    def _exact_rows(self) -> int:
        """So many are compared one by one."""
        return EXACT_NUMBERS // self.maker.width

    def _index(self) -> dict[str, Any]:
        """The approximate index: its kind, and how many rows are in it and are not."""
        with _told(self.uri):
            for one in self._table.list_indices():
                if list(one.columns) == ["vector"]:
                    stats = self._table.index_stats(one.name)
                    return {
                        "kind": stats.index_type,
                        "rows": stats.num_indexed_rows,
                        "rows_outside": stats.num_unindexed_rows,
                    }
        return {"kind": "exact", "rows": 0, "rows_outside": len(self)}

    def _merge_commits(self, *, force: bool = False) -> None:
        """Merges what many small commits left, and drops versions that nobody looks at."""
        with _told(self.uri):
            stats = self._table.stats()["fragment_stats"]
            count, lengths = stats["num_fragments"], stats["lengths"]
            cheap = lengths["max"] <= max(LITTLE_ROWS, lengths["mean"] * count / 2)
            if force or count >= (SMALL_COMMITS if cheap else MANY_COMMITS):
                try:
                    self._table.optimize(cleanup_older_than=KEEP)
                except RuntimeError as error:  # another process may merge them just now
                    if not _is_conflict(error):
                        raise

    def _columns(self, names: Sequence[str], where: str | None = None) -> pa.Table:
        with _told(self.uri):
            query = self._table.search().select(list(names))
            if where is not None:
                query = query.where(where)
            return query.to_arrow().combine_chunks()

    def _arrow(self, rows: Sequence[Row]) -> pa.Table:
        for row in rows:
            made = row.preprocessing.partition(UNIT)[0]
            if (row.model, made) != (self.maker.digest, self.maker.preprocessing):
                other = dataclasses.replace(
                    self.maker, digest=row.model, preprocessing=made, source=row.path
                )
                raise errors.DataError(self.uri, _refusal(self.uri, self.maker, other))
            if np.shape(row.vector) != (self.maker.width,):
                raise errors.DataError(
                    row.path,
                    f"its vector has shape {list(np.shape(row.vector))}; the store takes width "
                    f"{self.maker.width}.",
                )
            try:
                row.path.encode()
            except UnicodeEncodeError as error:
                raise errors.DataError(
                    row.path, "the name is not UTF-8, which a store takes; rename the file."
                ) from error
        vectors = np.stack([np.asarray(row.vector, np.float32) for row in rows])
        fits = np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE
        if not fits.all():
            first = int(np.argmin(fits))
            raise errors.DataError(
                rows[first].path,
                f"its vector has length {np.linalg.norm(vectors[first]):.4g}; a store takes unit "
                "vectors, as `model.embed` gives them.",
            )
        columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS[:-1]}
        columns["vector"] = pa.FixedSizeListArray.from_arrays(
            pa.array(vectors.reshape(-1)), self.maker.width
        )
        return pa.table(columns, schema=_schema(self.maker.width))


def tables(uri: str | os.PathLike[str]) -> list[Table]:
    """The tables of vectors of a store, the current one first.

    Raises:
      DataError: when there is no store.
    """
    uri = os.fspath(uri)
    return _tables(uri, _connect(uri))


def drop(uri: str | os.PathLike[str], state: str) -> list[Maker]:
    """Drops all tables that are "previous" or "building"; returns whose they were."""
    if state not in (PREVIOUS, BUILDING):
        raise errors.ConfigError(f"drop takes {PREVIOUS!r} or {BUILDING!r}; got {state!r}.")
    uri = os.fspath(uri)
    database = _connect(uri)
    dropped = [table for table in _tables(uri, database) if table.state == state]
    for table in dropped:
        with _told(uri):
            # First the row: a table that no row names is not opened any more.
            database.open_table(MODELS).delete(f"name = {_quoted(table.name)}")
            if table.name in _names(uri, database):
                database.drop_table(table.name)
    return [table.maker for table in dropped]


def _register(uri: str, database: "lancedb.DBConnection", maker: Maker, turn: int) -> None:
    """Makes an empty table for the vectors of a maker, and then the row that names it."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    row = {"name": maker.name, "turn": turn, "created": now, **dataclasses.asdict(maker)}
    with _told(uri):
        database.create_table(maker.name, schema=_schema(maker.width), exist_ok=True)
        models = database.open_table(MODELS)
        if "settings" not in models.schema.names:  # a store of before there were settings
            models.add_columns({"settings": "''"})
        row_of = pa.schema([MODEL_ROW.field(name) for name in models.schema.names])
        models.add(pa.Table.from_pylist([row], schema=row_of))


def _tables(uri: str, database: "lancedb.DBConnection") -> list[Table]:
    with _told(uri):
        if MODELS not in _names(uri, database):
            raise errors.DataError(
                uri, "is no store of vectors; `lb-jax index build DIR -o STORE` makes one."
            )
        rows = database.open_table(MODELS).to_arrow().to_pylist()
    # Two processes that start at once may both write the row of their table.
    rows = {row["name"]: row for row in sorted(rows, key=lambda row: (row["turn"], row["name"]))}
    order = sorted(rows.values(), key=lambda row: (-row["turn"], row["created"], row["name"]))
    fields = [field.name for field in dataclasses.fields(Maker)]
    return [
        Table(
            row["name"],
            Maker(**{name: row[name] for name in fields if name in row}),
            (BUILDING if not row["turn"] else PREVIOUS if place else CURRENT),
            row["turn"],
            row["created"],
        )
        for place, row in enumerate(order)
    ]


def _current(found: Sequence[Table]) -> Table | None:
    return next((table for table in found if table.state == CURRENT), None)


def _connect(uri: str, *, make: bool = False) -> "lancedb.DBConnection":
    """Opens the database; with `make`, one where nothing is yet."""
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
        if make and folder.exists() and not (folder / f"{MODELS}.lance").exists():
            other = next((one.name for one in folder.iterdir()), None)
            if other is not None:
                raise errors.DataError(
                    uri,
                    f"is no store of vectors (it holds {other}); give a new or empty folder.",
                )
    with _told(uri):
        # Each search looks for what other processes have added.
        database = lancedb.connect(uri, read_consistency_interval=datetime.timedelta(0))
    if make and MODELS not in _names(uri, database):  # one that is there may lack later columns
        with _told(uri):
            database.create_table(MODELS, schema=MODEL_ROW, exist_ok=True)
    return database


def _names(uri: str, database: "lancedb.DBConnection") -> list[str]:
    names, token = [], None
    with _told(uri):
        while True:
            page = database.list_tables(page_token=token)
            names += page.tables
            token = page.page_token
            if not token:
                return names


def _schema(width: int) -> pa.Schema:
    times = [pa.field(name, pa.float64()) for name in ("start_s", "end_s")]
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("modality", pa.string(), nullable=False),
            *times,
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("size", pa.int64(), nullable=False),
            pa.field("mtime_ns", pa.int64(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("preprocessing", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float32(), width), nullable=False),
        ]
    )


# field of a maker: how it is told, and the option of a command line that sets it
SETTINGS = {
    "frames": ("frames: {}", "--frames"),
    "window_s": ("window {} s", "--window"),
    "stride_s": ("stride {} s", "--stride"),
    "dtype": ("dtype {}", None),
    "width": ("width {}", None),
    "preprocessing": ("preprocessing {}", None),
    "settings": ("settings {}", None),
}


def differing(holds: Maker, given: Maker) -> str:
    """Why vectors of two makers of other digests do not compare, in words."""
    if holds.source == given.source:
        return (
            f"holds vectors of {holds}, which has other weights now, or files are prepared "
            f"otherwise since an update ({given.digest[:12]}); they do not compare"
        )
    return f"holds vectors of {holds}, not of {given}; they do not compare"


def _refusal(uri: str, holds: Maker, given: Maker) -> str:
    values = {name: (getattr(holds, name), getattr(given, name)) for name in SETTINGS}
    differ = {name: pair for name, pair in values.items() if pair[0] != pair[1]}
    other_loading = holds.source == given.source and bool({"frames", "settings"} & differ.keys())
    upgrade = f"go over to it with `lb-jax index upgrade {uri} {given.options}`"
    if holds.digest != given.digest and not other_loading:
        return f"{differing(holds, given)}. Give another store with -o, or {upgrade}."
    # the number of frames and settings of files are a part of the preprocessing
    names = [name for name in differ if not (other_loading and name == "preprocessing")]
    if "settings" in names:
        made, now = holds.reading, given.reading
        remedy = f"give{made.options}" if made.given else f"leave out{now.options}"
        return (
            f"holds vectors of {holds} made with {made or 'the settings of the model'}, not "
            f"{now or 'those of the model'}; they are not mixed. Give another store with -o, "
            f"{remedy}, or {upgrade}."
        )
    told = ", ".join(
        f"{SETTINGS[name][0].format(_shown(differ[name][0]))}, not {_shown(differ[name][1])}"
        for name in names
    )
    if names == ["frames"]:
        remedy = upgrade
    else:
        same = [
            f"{SETTINGS[name][1]} {_shown(differ[name][0])}"
            for name in names
            if SETTINGS[name][1] and differ[name][0] is not None
        ]
        remedy = " ".join(same) or "the model as it was"
    return (
        f"holds vectors of {holds} made with {told}; they do not compare. Give another store with "
        f"-o, or {remedy}."
    )


def _shown(value: Any) -> str:
    """A setting in words; frames that are not given are those of training."""
    return (
        "as trained" if value is None else f"{value:g}" if isinstance(value, float) else f"{value}"
    )


@contextlib.contextmanager
def _told(uri: str) -> Iterator[None]:
    """What LanceDB says becomes one line that names the store."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if any(one in str(error).lower() for one in FULL):
            reason = "its disk is full; make room and run the same command again."
            raise errors.DataError(uri, reason) from error
        raise errors.DataError(
            uri,
            f"the store cannot be used ({_sentence(str(error))}). If it is damaged, build another "
            "with `lb-jax index build FOLDER -o NEW`.",
        ) from error


FULL = ("no space left", "disk quota exceeded")
# What LanceDB puts behind a reason: the place in its own source, frames of the stack.
BEHIND = re.compile(r",?\s*(?:at\s+)?\S*/\S*\.rs:\d+|\s*\b(?:stack )?backtrace\b|\n", re.IGNORECASE)
# What it puts before: names of errors that wrap others.
BEFORE = re.compile(
    r"\b(?:\w+Error\([^)]*\)|(?:lance|wrapped|external|execution|generic [\w/]+) error): ?",
    re.IGNORECASE,
)
LONGEST = 160  # of a reason, in characters


def _sentence(text: str) -> str:
    """The reason that LanceDB gives, without what it says of its own source."""
    reason = BEFORE.sub("", BEHIND.split(text.strip(), maxsplit=1)[0])
    reason = re.sub(r"(\b[\w ]+: )\1+", r"\1", reason)  # each wrapper says it again
    reason = " ".join(reason.split()).rstrip(" .,:")
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST].rstrip()}…"


def _is_conflict(error: Exception) -> bool:
    return "commit conflict" in str(error.__cause__ or error).lower()


def _matrix(column: pa.Array, width: int) -> np.ndarray:
    return np.asarray(column.flatten(), np.float32).reshape(-1, width)


def _values(column: pa.ChunkedArray) -> Sequence[Any]:
    if pa.types.is_fixed_size_list(column.type):
        return _matrix(column.combine_chunks(), column.type.list_size)
    return column.to_pylist()


def _time(start_s: float | None) -> float:
    return -math.inf if start_s is None else start_s


def _any_of(files: Iterable[tuple[str, str]]) -> str:
    """The condition that a row is of one of the files, (path, modality)."""
    grouped: dict[str, list[str]] = {}
    for path, modality in files:
        grouped.setdefault(modality, []).append(_quoted(path))
    parts = (
        f"(modality = {_quoted(modality)} AND path IN ({', '.join(paths)}))"
        for modality, paths in grouped.items()
    )
    return " OR ".join(parts) or "false"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
