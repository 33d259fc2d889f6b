"""MP4, MOV and their kin: boxes (ISO/IEC 14496-12, 4.2)."""

import io
from typing import BinaryIO


def end(file: BinaryIO) -> int:
    """Walks the top-level boxes to the last one.

    Size 1 means that a 64-bit size follows, 0 that the box runs to the end of the file. What has no
    type of four letters is no box, but something that was appended.
    """
    offset, held = 0, file.seek(0, io.SEEK_END)
    while offset + 8 <= held:
        file.seek(offset)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if not (kind.isascii() and kind.decode().isprintable()):
            return offset
        if length == 1:
            file.seek(offset + 8)
            length = int.from_bytes(file.read(8), "big")
        if length < 8:
            return offset
        offset += length
    return offset
