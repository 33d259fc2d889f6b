"""CAF, Apple's Core Audio Format: big-endian chunks with sizes of 64 bits."""

import struct
from typing import BinaryIO

from lb_jax.media.containers import chunks

_LAYOUT = chunks.Layout(">4sQ")
_FIRST = 8  # where the first chunk begins


def end(file: BinaryIO) -> int:
    """Walks to `data`, which may have an unknown size."""
    offset = _FIRST
    for one in chunks.walk(file, _LAYOUT, _FIRST):
        if one.name == b"data":
            return 0 if one.size >= chunks.UNKNOWN else one.stop
        offset = one.stop
    return offset


def mended(file: BinaryIO, held: int) -> dict[int, bytes]:
    """The size that the header of the samples lacks, by offset."""
    for one in chunks.walk(file, _LAYOUT, _FIRST):
        if one.name == b"data":
            is_unfilled = one.size == 0 and chunks.is_sound(file, _LAYOUT, one.body, held)
            if not is_unfilled and one.size < chunks.UNKNOWN:
                return {}
            return {one.start + 4: struct.pack(">Q", held - one.body)}
    return {}
