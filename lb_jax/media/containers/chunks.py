"""Chunks, of which the containers of sound are made: a name, a size, and so many bytes."""

import dataclasses
import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

# From here on a size of 64 bits means "unknown" (all ones, or the largest positive number).
UNKNOWN = 0x7FFF_FFFF_0000_0000
# What 32 bits have for "to the end of the file", and libsndfile and FFmpeg take so.
TO_THE_END = 0xFFFF_FFFF


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a format writes its chunks.

    Attributes:
      header: how name and size are packed, for `struct`.
      align: chunks begin at multiples of so many bytes.
      counts_header: whether a size counts the header too.
    """

    header: str
    align: int = 1
    counts_header: bool = False


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One chunk of a file; all places are bytes from its beginning.

    Attributes:
      start: where its header begins.
      body: where its content begins.
      name: as stored.
      size: as stored.
      stop: where it ends by its size, before it is filled up.
    """

    start: int
    body: int
    name: bytes
    size: int
    stop: int


def walk(file: BinaryIO, layout: Layout, offset: int) -> Iterator[Chunk]:
    """Walks the chunks from an offset to the end of the file.

    At each, the file stands where its content begins; it may be moved.
    """
    held, length = file.seek(0, io.SEEK_END), struct.calcsize(layout.header)
    while offset + length <= held:
        file.seek(offset)
        name, size = struct.unpack(layout.header, file.read(length))
        body = offset + length
        stop = body + (max(size - length, 0) if layout.counts_header else size)
        yield Chunk(offset, body, name, size, stop)
        offset = following(stop, layout)


def following(stop: int, layout: Layout) -> int:
    """Where the chunk behind one that ends at `stop` begins."""
    return stop + -stop % layout.align


def is_sound(file: BinaryIO, layout: Layout, offset: int, held: int) -> bool:
    """Whether samples lie there, and not further chunks that lead to the end of the file.

    Args:
      file: to look into.
      layout: of its chunks.
      offset: where to look.
      held: bytes of the file.
    """
    end = offset
    for one in walk(file, layout, offset):
        if not one.name[:4].isascii() or not one.name[:4].decode().isprintable():
            return True
        end = one.stop
    return held > offset and not held <= end <= held + layout.align
