"""Numeric arrays of MATLAB's `.mat` files before v7.3 (MAT-File Format, version 5).

scipy.io reads them too, and ends the process at some damaged ones.
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

HEADER = 128
MATRIX, COMPRESSED = 14, 15
COMPLEX = 0x800  # of the flags of an array
# data type of an element -> NumPy's
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
# class of an array -> NumPy's type; others hold no numbers
CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
PREVIEW = 4096  # bytes that hold what is said of an array before its numbers


class Entry(NamedTuple):
    """An array of a file.

    Attributes:
      name: of the variable.
      shape: of it.
      dtype: of it.
      start, stop: where its element lies in the file.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int
    stop: int


def entries(content: bytes) -> list[Entry]:
    """Lists the numeric arrays of a file.

    Raises:
      ValueError: damaged.
    """
    order = _order(content)
    found = []
    for kind, start, stop in _elements(content, HEADER, len(content), order):
        body = _body(content, kind, start, stop, PREVIEW)
        if body is None:
            continue
        parts = _parts(body, order)
        flags, dims, name = next(parts), next(parts), next(parts)
        (word,) = struct.unpack_from(f"{order}I", flags[1])
        dtype = CLASSES.get(word & 0xFF)
        if dtype is not None and not word & COMPLEX:
            shape = struct.unpack(f"{order}{len(dims[1]) // 4}i", dims[1])
            found.append(Entry(name[1].decode("latin-1"), shape, np.dtype(dtype), start - 8, stop))
    return found


def read(content: bytes, entry: Entry) -> np.ndarray:
    """Reads one array.

    Raises:
      ValueError: damaged.
    """
    order = _order(content)
    kind, start, stop = next(_elements(content, entry.start, entry.stop, order))
    size = int(np.prod(entry.shape, dtype=object))
    if min(entry.shape) < 0 or size > len(content) * 1100:  # what deflate can make of it
        raise ValueError(f"an array claims the shape {list(entry.shape)}")
    body = _body(content, kind, start, stop, 8 * size + PREVIEW)
    *_, (stored, numbers) = itertools.islice(_parts(body, order), 4)
    if stored not in TYPES:
        raise ValueError(f"an array holds elements of type {stored}")
    values = np.frombuffer(numbers, np.dtype(TYPES[stored]).newbyteorder(order), count=size)
    return values.astype(entry.dtype).reshape(entry.shape, order="F")


def _order(content: bytes) -> str:
    mark = content[126:128]
    if mark not in (b"IM", b"MI"):
        raise ValueError("its header has no byte order")
    return "<" if mark == b"IM" else ">"


def _elements(content: bytes, place: int, end: int, order: str) -> Iterator[tuple[int, int, int]]:
    """Type, start and stop of each element of a file."""
    while place + 8 <= end:
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if place + 8 + size > len(content):
            raise ValueError("it is cut off")
        yield kind, place + 8, place + 8 + size
        place += 8 + size + (0 if kind == COMPRESSED else -size % 8)


def _body(content: bytes, kind: int, start: int, stop: int, limit: int) -> bytes | None:
    """What an array's element holds, its first bytes up to a limit; None for other elements."""
    if kind == COMPRESSED:
        try:
            plain = zlib.decompressobj().decompress(content[start:stop], limit + 8)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        kinds = {plain[:4], plain[3::-1]}
        return plain[8:] if struct.pack(">I", MATRIX) in kinds else None
    return content[start : min(stop, start + limit)] if kind == MATRIX else None


def _parts(body: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element inside an array; the last may be cut off."""
    place = 0
    while place + 8 <= len(body):
        kind, size = struct.unpack_from(f"{order}II", body, place)
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            yield kind, body[place + 4 : place + 4 + min(size, 4)]
            place += 8
        else:
            yield kind, body[place + 8 : place + 8 + size]
            place += 8 + size + -size % 8
    raise ValueError("an array lacks parts")
