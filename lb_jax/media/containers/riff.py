"""WAV and AVI: chunks of 32 bits in a RIFF, RIFX (big-endian), or RF64 and BW64 (EBU Tech 3306)."""

import struct
from typing import BinaryIO

from lb_jax.media.containers import chunks

LITTLE, BIG = chunks.Layout("<4sI", 2), chunks.Layout(">4sI", 2)
FIRST = 12  # where the first chunk begins
# Sizes from here on mean "unknown": what programs write into the header while they stream.
_UNKNOWN = 0x7FFF_F000


def end(file: BinaryIO, layout: chunks.Layout = LITTLE) -> int:
    """Walks the chunks to the samples: `data` of WAV, `SSND` of AIFF, the list `movi` of AVI."""
    offset = FIRST
    for one in chunks.walk(file, layout, FIRST):
        is_list = one.name == b"LIST" and file.read(4) == b"movi"
        if is_list or one.name in (b"data", b"SSND"):
            return 0 if one.size >= _UNKNOWN else one.stop
        offset = chunks.following(one.stop, layout)
    return offset


def big_end(file: BinaryIO) -> int:
    """`end` of RIFX and AIFF."""
    return end(file, BIG)


def wide_end(file: BinaryIO) -> int:
    """Walks to `data` of RF64; its size is in `ds64` where 32 bits say it is."""
    offset, wide = FIRST, 0
    for one in chunks.walk(file, LITTLE, FIRST):
        size = one.size
        if one.name == b"ds64":
            file.seek(one.body + 8)
            wide = int.from_bytes(file.read(8), "little")
        if one.name == b"data":
            size = wide if size == chunks.TO_THE_END else size
            return 0 if size >= chunks.UNKNOWN else one.body + size
        offset = chunks.following(one.stop, LITTLE)
    return offset


def mended(file: BinaryIO, held: int, layout: chunks.Layout = LITTLE) -> dict[int, bytes]:
    """Sizes that the header of a WAV lacks, by offset; for RF64 too."""
    wide = None  # where the sizes of 64 bits lie
    for one in chunks.walk(file, layout, FIRST):
        if one.name == b"ds64" and one.size >= 24:
            wide = one.body
        if one.name == b"data":
            if wide is not None:
                return _wide_mended(file, held, wide, one)
            is_unfilled = one.size == 0 and chunks.is_sound(file, layout, one.body, held)
            if not is_unfilled:
                return {}
            return {one.start + 4: struct.pack(layout.header[0] + "I", chunks.TO_THE_END)}
    return {}


def big_mended(file: BinaryIO, held: int) -> dict[int, bytes]:
    """`mended` of RIFX."""
    return mended(file, held, BIG)


def _wide_mended(file: BinaryIO, held: int, wide: int, data: chunks.Chunk) -> dict[int, bytes]:
    file.seek(wide + 8)
    is_elsewhere = data.size in (0, chunks.TO_THE_END)
    stated = int.from_bytes(file.read(8), "little") if is_elsewhere else data.size
    is_unfilled = stated == 0 and chunks.is_sound(file, LITTLE, data.body, held)
    if stated < chunks.UNKNOWN and not is_unfilled:
        return {}
    sizes = struct.pack("<QQ", held - 8, held - data.body)
    return {wide: sizes, data.start + 4: struct.pack("<I", chunks.TO_THE_END)}
