"""Wave64: chunks named by 16 bytes, whose sizes of 64 bits count their header of 24 bytes."""

import struct
from typing import BinaryIO

from lb_jax.media.containers import chunks

MAGIC = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
_LAYOUT = chunks.Layout("<16sQ", 8, counts_header=True)
_FIRST = 40  # where the first chunk begins


def end(file: BinaryIO) -> int:
    """Walks to `data`."""
    offset = _FIRST
    for one in chunks.walk(file, _LAYOUT, _FIRST):
        if one.name[:4] == b"data" or one.size < one.body - one.start:
            return 0 if one.size >= chunks.UNKNOWN else one.start + one.size
        offset = chunks.following(one.stop, _LAYOUT)
    return offset


def mended(file: BinaryIO, held: int) -> dict[int, bytes]:
    """Sizes that the header lacks, by offset."""
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return {}
    for one in chunks.walk(file, _LAYOUT, _FIRST):
        if one.name[:4] == b"data":
            header = one.body - one.start
            is_unfilled = one.size <= header and chunks.is_sound(file, _LAYOUT, one.body, held)
            if not is_unfilled and one.size < chunks.UNKNOWN:
                return {}
            sizes = {16: held, one.start + 16: held - one.start}
            return {place: struct.pack("<Q", size) for place, size in sizes.items()}
    return {}
