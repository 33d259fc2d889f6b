"""PNG files with more text or colour profile in them than Pillow takes.

Generators and editors write megabytes of text into a picture. Pillow refuses the whole file where a
text is longer than 1 MiB once inflated, as it might be a bomb. Here such chunks are left out before
Pillow sees the file; nothing is inflated beyond that limit, but a colour profile, up to its own.
"""

import io
import zlib
from typing import BinaryIO

from PIL import PngImagePlugin

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
PROFILE = b"iCCP"
PROFILE_BYTES = 16 << 20  # profiles with large tables have a few MiB
_HEAD, _CRC = 8, 4


def bounded(file: BinaryIO) -> tuple[BinaryIO, bytes | None]:
    """A file that Pillow opens, and the colour profile if that had to be left out of it.

    Args:
      file: of any format, from its beginning, seekable.

    Returns:
      The file itself, at its beginning, if it is no PNG or has nothing that is too large.
    """
    kept, dropped, profile = _sorted(file)
    file.seek(0)
    if not dropped:
        return file, None
    parts = [file.read(len(SIGNATURE))]
    for start, size in kept:
        file.seek(start)
        parts.append(file.read(size))
    return io.BytesIO(b"".join(parts)), profile


def _sorted(file: BinaryIO) -> tuple[list[tuple[int, int]], bool, bytes | None]:
    """(start and size of the chunks to keep, whether others were dropped, their profile)."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return [], False, None
    kept, dropped, profile, held = [], False, None, 0
    total = file.seek(0, io.SEEK_END)
    file.seek(len(SIGNATURE))
    while len(head := file.read(_HEAD)) == _HEAD:
        start, length, kind = file.tell() - _HEAD, int.from_bytes(head[:4], "big"), head[4:]
        end = start + _HEAD + length + _CRC
        if end > total:  # cut off, which Pillow says
            kept.append((start, total - start))
            break
        if kind in TEXTS:
            size = _text_size(file.read(length), kind, PngImagePlugin.MAX_TEXT_MEMORY - held)
            if size is None:
                dropped = True
            else:
                held += size
                kept.append((start, end - start))
        elif kind == PROFILE and length and (whole := _profile(file.read(length))) is not None:
            dropped, profile = True, whole
        else:
            kept.append((start, end - start))
        if kind == b"IEND":
            break
        file.seek(end)
    return kept, dropped, profile


def _text_size(content: bytes, kind: bytes, room: int) -> int | None:
    """Bytes of a text once inflated; None where Pillow does not take it."""
    rest = content.partition(b"\0")[2]
    if kind == b"zTXt":
        packed = rest[1:]
    elif kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]  # language, translated keyword, text
    else:
        return len(content) if len(content) <= room else None
    text = _inflated(packed, min(room, PngImagePlugin.MAX_TEXT_CHUNK))
    return None if text is None else len(text)


def _profile(content: bytes) -> bytes | None:
    """A profile that Pillow would refuse for its size; empty where it is too large here as well."""
    packed = content.partition(b"\0")[2][1:]
    if _inflated(packed, PngImagePlugin.MAX_TEXT_CHUNK) is not None:
        return None
    return _inflated(packed, PROFILE_BYTES) or b""


def _inflated(packed: bytes, room: int) -> bytes | None:
    """Inflated content; None where it fills the room. What is damaged is Pillow's to say."""
    if room <= 0:
        return None
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(packed, room)
    except zlib.error:
        return b""
    return None if len(found) >= room else found
