"""The rows of a table of vectors: what each tells, and how Arrow holds them."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lb_jax.core import errors
from lb_jax.search import maker as maker_lib
from lb_jax.search import stamps
from lb_jax.search.maker import Maker

UNIT_TOLERANCE = 1e-3  # of a length; float32 sums of a thousand squares stay far within


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
        has one (`stamps.with_unit`).
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


def path_of(path: str | os.PathLike[str]) -> str:
    """The name of a file or folder in a store: absolute, with slashes, links not followed."""
    return Path(os.path.abspath(path)).as_posix()


def schema(width: int) -> pa.Schema:
    """Of a table of vectors of this width."""
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


def to_arrow(rows: Sequence[Row], uri: str, maker: Maker) -> pa.Table:
    """The rows as a table of Arrow, of `schema`.

    Args:
      rows: at least one.
      uri: of the store that they are for.
      maker: whose vectors it takes.

    Raises:
      DataError: for rows of another model, vectors that are not finite or not of length 1, and
        file names that are not UTF-8.
    """
    for row in rows:
        made = row.preprocessing.partition(stamps.UNIT)[0]
        if (row.model, made) != (maker.digest, maker.preprocessing):
            other = dataclasses.replace(
                maker, digest=row.model, preprocessing=made, source=row.path
            )
            raise errors.DataError(uri, maker_lib.refusal(uri, maker, other))
        if np.shape(row.vector) != (maker.width,):
            raise errors.DataError(
                row.path,
                f"its vector has shape {list(np.shape(row.vector))}; the store takes width "
                f"{maker.width}.",
            )
        try:
            row.path.encode()
        except UnicodeEncodeError as error:
            raise errors.DataError(
                row.path, "the name is not UTF-8, which a store takes; rename the file."
            ) from error
    vectors = np.stack([np.asarray(row.vector, np.float32) for row in rows])
    fits = is_unit(vectors)
    if not fits.all():
        first = int(np.argmin(fits))
        raise errors.DataError(
            rows[first].path,
            f"its vector has length {np.linalg.norm(vectors[first]):.4g}; a store takes unit "
            "vectors, as `model.embed` gives them.",
        )
    columns = {name: [getattr(row, name) for row in rows] for name in COLUMNS[:-1]}
    columns["vector"] = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.reshape(-1)), maker.width
    )
    return pa.table(columns, schema=schema(maker.width))


def from_arrow(table: pa.Table) -> list[Row]:
    """The rows of a table that has all `COLUMNS`, in its order."""
    columns = table.select(list(COLUMNS)).columns
    return [Row(*row) for row in zip(*map(_values, columns), strict=True)]


def is_unit(vectors: np.ndarray) -> np.ndarray:
    """Which vectors, [n, e], have length 1: bool [n]; those with NaN have not."""
    return np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE


def matrix(column: pa.Array, width: int) -> np.ndarray:
    """Float32 [n, width] of a column of vectors."""
    return np.asarray(column.flatten(), np.float32).reshape(-1, width)


def _values(column: pa.ChunkedArray) -> Sequence[Any] | np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        return matrix(column.combine_chunks(), column.type.list_size)
    return column.to_pylist()
