"""AU, Sun's sound files: one header, then samples."""

import struct
from typing import BinaryIO

from lb_jax.media.containers import chunks

_HEADER = 24  # bytes, at least


def end(file: BinaryIO) -> int:
    """Adds the size of the samples to where they begin; it may be unknown."""
    file.seek(4)
    start, length = (int.from_bytes(file.read(4), "big") for _ in range(2))
    return 0 if length == chunks.TO_THE_END else start + length


def mended(file: BinaryIO, held: int) -> dict[int, bytes]:
    """The size that the header lacks, by offset."""
    if held < _HEADER:
        return {}
    file.seek(4)
    start, size = struct.unpack(">II", file.read(8))
    is_unfilled = size == 0 and _HEADER <= start < held
    return {8: struct.pack(">I", chunks.TO_THE_END)} if is_unfilled else {}
