"""Tensors that stay on disk: shape and type at once, the numbers one tensor at a time.

A model of several gigabytes then converts in little more memory than its result takes. Nothing is
mapped: pages of a mapping count as resident.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from lb_jax.core import errors

AGAIN = "copy or download it again"
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # the import also teaches numpy the name
MAX_DIMENSIONS = 64  # what numpy 2 can hold
ALIGNMENT = 64  # bytes, where XLA wants an array on CPU to begin


@dataclasses.dataclass(frozen=True)
class LazyTensor:
    """A tensor that is not in memory yet.

    Attributes:
      shape: its dimensions.
      dtype: its numpy type; bfloat16 is that of ml_dtypes.
      read: returns a fresh C-contiguous array of this shape and type, or of the rows that a slice
        of the leading axis chooses; CheckpointError when the file no longer holds it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[..., np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes of the array that `read` returns."""
        return math.prod(self.shape) * self.dtype.itemsize


def are_counts(values: Sequence[Any]) -> bool:
    """Whether these are integers from 0 up to what an offset into a file can be."""
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def is_shape(values: Sequence[Any]) -> bool:
    """Whether numpy can hold an array of these dimensions, as far as numbers go."""
    return (
        len(values) <= MAX_DIMENSIONS
        and are_counts(values)
        and math.prod(max(1, value) for value in values) < 2**56  # bytes then count in 63 bits
    )


def empty(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """A C-contiguous array to be filled, which jax on CPU can take over without a copy."""
    dtype = np.dtype(dtype)
    count = math.prod(shape) * dtype.itemsize
    room = np.empty(count + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + count].view(dtype).reshape(shape)


def read_bytes(path: Path, offset: int, count: int) -> np.ndarray:
    """Reads exactly `count` bytes from byte `offset` on into a fresh uint8 array.

    Raises:
      CheckpointError: when the file cannot be read or ends before.
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(offset)
            found = empty((count,), np.uint8)
            size = file.readinto(found)
    except OSError as error:
        raise errors.CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); give a file that is there."
        ) from error
    if size != count:
        raise errors.CheckpointError(
            f"{path}: truncated: expected {count} bytes from byte {offset} on, "
            f"found {size}; {AGAIN}."
        )
    return found


def on_disk(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> LazyTensor:
    """The tensor that lies in C order at byte `offset`."""

    def read(rows: slice | None = None) -> np.ndarray:
        if rows is None:
            return read_bytes(path, offset, tensor.nbytes).view(dtype).reshape(shape)
        first, end, _ = rows.indices(shape[0])
        row = tensor.nbytes // shape[0]
        found = read_bytes(path, offset + first * row, (end - first) * row)
        return found.view(dtype).reshape(end - first, *shape[1:])

    tensor = LazyTensor(shape, dtype, read)
    return tensor


def parse_json(path: Path, text: bytes) -> dict[str, Any]:
    """The JSON object in these bytes of the file.

    Raises:
      CheckpointError: when they hold anything else.
    """
    try:
        value = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise errors.CheckpointError(f"{path}: not valid JSON ({error}); {AGAIN}.") from error
    if not isinstance(value, dict):
        raise errors.CheckpointError(
            f"{path}: expected a JSON object, found {type(value).__name__}; {AGAIN}."
        )
    return value


def some(items: Iterable[object], limit: int = 8) -> str:
    """The first items, separated by semicolons, and how many more there are."""
    items = [str(item) for item in items]
    more = f"; and {len(items) - limit} more" if len(items) > limit else ""
    return "; ".join(items[:limit]) + more
