"""Matroska and WebM: EBML elements."""

from typing import BinaryIO


def end(file: BinaryIO) -> int:
    """Adds up the EBML header and the segment after it.

    All ones mean an unknown size, as in live recordings.
    """
    offset = 0
    for id_bytes in (4, 4):
        file.seek(offset + id_bytes)
        head = file.read(8)
        width = 9 - head[0].bit_length() if head and head[0] else 9
        if width > len(head):
            return 0
        size = int.from_bytes(head[:width], "big") & ((1 << 7 * width) - 1)
        if size == (1 << 7 * width) - 1:
            return 0
        offset += id_bytes + width + size
    return offset
