"""Ogg: pages (RFC 3533, section 6)."""

import io
from typing import BinaryIO


def end(file: BinaryIO) -> int:
    """Returns the end of the last page: 27 bytes of header, one size per segment, segments."""
    held = file.seek(0, io.SEEK_END)
    start = max(0, held - (1 << 17))  # a page has at most 65,307 bytes
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    segments = tail[page + 26] if page + 26 < len(tail) else 0
    return start + page + 27 + segments + sum(tail[page + 27 : page + 27 + segments])
