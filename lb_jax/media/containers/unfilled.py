"""Sound files whose writer never came back to fill in the sizes: pipes, recorders without power.

Their samples run to the end of the file. Libraries read none, or refuse the file.
"""

import io
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from lb_jax.media.containers import spliced

# From here on a size of 64 bits means "unknown" (all ones, or the largest positive number).
_UNKNOWN = 0x7FFF_FFFF_0000_0000
# What RIFF and AU have for "to the end of the file", and libsndfile and FFmpeg take so.
_TO_THE_END = 0xFFFF_FFFF


def filled(file: BinaryIO) -> BinaryIO:
    """Returns the file, or a view of it with the sizes that its header lacks.

    Knows WAV (RIFF, RIFX), RF64 and BW64, AIFF, AU, Wave64 and CAF. A size of 0 with nothing behind
    it, or with further chunks behind it, is a sound without samples, and stays.

    Args:
      file: seekable stream of any media file; it is left at its beginning.
    """
    file.seek(0)
    head, held = file.read(16), file.seek(0, io.SEEK_END)
    mended = next((mend(file, held) for matches, mend in _MENDERS if matches(head)), {})
    file.seek(0)
    if not mended:
        return file
    parts: list[spliced.Part] = []
    done = 0
    for offset, size in sorted(mended.items()):
        parts += [(done, offset), size]
        done = offset + len(size)
    return spliced.spliced(file, [*parts, (done, held)])


def _chunks(
    file: BinaryIO, offset: int, held: int, header: str, align: int = 1
) -> Iterator[tuple[int, bytes, int]]:
    """Walks chunks up to the end of the file; yields where each begins, its name and its size.

    Args:
      header: how name and size are packed.
      align: chunks begin at multiples of so many bytes.
    """
    length = struct.calcsize(header)
    while offset + length <= held:
        file.seek(offset)
        name, size = struct.unpack(header, file.read(length))
        yield offset, name, size
        inner = max(size - length, 0) if align == 8 else size  # Wave64 counts the header
        offset += length + inner
        offset += -offset % align


def _is_sound(file: BinaryIO, offset: int, held: int, header: str, align: int = 1) -> bool:
    """Whether samples lie there, and not further chunks that lead to the end of the file."""
    end = offset
    for start, name, size in _chunks(file, offset, held, header, align):
        if not name[:4].isascii() or not name[:4].decode().isprintable():
            return True
        counted = max(size, 24) if align == 8 else struct.calcsize(header) + size
        end = start + counted
    return held > offset and not held <= end <= held + align


def _riff(file: BinaryIO, held: int, order: str) -> dict[int, bytes]:
    wide = None  # where the sizes of 64 bits lie
    header = order + "4sI"
    for offset, name, size in _chunks(file, 12, held, header, 2):
        start = offset + 8
        if name == b"ds64" and size >= 24:
            wide = start
        if name == b"data":
            if wide is not None:
                return _rf64(file, held, wide, offset, size)
            is_unfilled = size == 0 and _is_sound(file, start, held, header, 2)
            return {offset + 4: struct.pack(order + "I", _TO_THE_END)} if is_unfilled else {}
    return {}


def _rf64(file: BinaryIO, held: int, wide: int, offset: int, size: int) -> dict[int, bytes]:
    file.seek(wide + 8)
    stated = int.from_bytes(file.read(8), "little") if size in (0, _TO_THE_END) else size
    start = offset + 8
    if not (stated >= _UNKNOWN or (stated == 0 and _is_sound(file, start, held, "<4sI", 2))):
        return {}
    sizes = struct.pack("<QQ", held - 8, held - start)
    return {wide: sizes, offset + 4: struct.pack("<I", _TO_THE_END)}


def _aiff(file: BinaryIO, held: int) -> dict[int, bytes]:
    for offset, name, size in _chunks(file, 12, held, ">4sI", 2):
        start = offset + 16  # behind offset and block size
        if name == b"SSND":
            is_unfilled = size in (0, 8) and _is_sound(file, start, held, ">4sI", 2)
            return {offset + 4: struct.pack(">I", held - offset - 8)} if is_unfilled else {}
    return {}


def _au(file: BinaryIO, held: int) -> dict[int, bytes]:
    file.seek(4)
    start, size = struct.unpack(">II", file.read(8))
    return {8: struct.pack(">I", _TO_THE_END)} if size == 0 and 24 <= start < held else {}


def _wave64(file: BinaryIO, held: int) -> dict[int, bytes]:
    for offset, name, size in _chunks(file, 40, held, "<16sQ", 8):
        if name[:4] == b"data":
            start = offset + 24
            is_unfilled = size <= 24 and _is_sound(file, start, held, "<16sQ", 8)
            if not is_unfilled and size < _UNKNOWN:
                return {}
            return {16: struct.pack("<Q", held), offset + 16: struct.pack("<Q", held - offset)}
    return {}


def _caf(file: BinaryIO, held: int) -> dict[int, bytes]:
    for offset, name, size in _chunks(file, 8, held, ">4sQ"):
        if name == b"data":
            start = offset + 12
            if size >= _UNKNOWN or (size == 0 and _is_sound(file, start, held, ">4sQ")):
                return {offset + 4: struct.pack(">Q", held - start)}
            return {}
    return {}


_MENDERS: tuple[
    tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], dict[int, bytes]]], ...
] = (
    (
        lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE",
        lambda file, held: _riff(file, held, "<"),
    ),
    (
        lambda head: head[:4] == b"RIFX" and head[8:12] == b"WAVE",
        lambda file, held: _riff(file, held, ">"),
    ),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _aiff),
    (lambda head: head[:4] == b".snd" and len(head) == 16, _au),
    (lambda head: head == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00", _wave64),
    (lambda head: head[:4] == b"caff", _caf),
)
