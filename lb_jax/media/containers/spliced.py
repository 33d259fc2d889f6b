"""Stretches of a file read as one stream: without what lies between them, or with bytes mended."""

import bisect
import io
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Part = bytes | tuple[int, int]


def spliced(file: BinaryIO, parts: Sequence[Part]) -> BinaryIO:
    """Opens parts of a file as one stream; closing it leaves the file open.

    Args:
      file: seekable; nobody else reads it meanwhile.
      parts: bytes as they are, or stretches (start, stop) of the file.
    """
    return io.BufferedReader(_Spliced(file, parts), buffer_size=1 << 16)


class _Spliced(io.RawIOBase):
    def __init__(self, file: BinaryIO, parts: Sequence[Part]):
        super().__init__()
        self._file, self._parts, self._at = file, parts, 0
        lengths = (len(p) if isinstance(p, bytes) else p[1] - p[0] for p in parts)
        self._starts = list(itertools.accumulate(lengths, initial=0))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError(f"seek to {base + offset}, expected 0 or more")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        number = bisect.bisect_right(self._starts, self._at) - 1
        if number >= len(self._parts):
            return 0
        part, inside = self._parts[number], self._at - self._starts[number]
        length = min(len(view), self._starts[number + 1] - self._at)
        if isinstance(part, bytes):
            found = part[inside : inside + length]
        else:
            self._file.seek(part[0] + inside)
            found = self._file.read(length)
        view[: len(found)] = found
        self._at += len(found)
        return len(found)
