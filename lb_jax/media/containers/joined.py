"""Sound files joined end to end, which decoders stop at or stumble over.

Ogg may hold one stream behind the other ("chained", RFC 3533 section 4): radio captures, `cat`. MP3
and FLAC files are joined with `cat` too; each MP3 may bring tags and a table of its own.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

from lb_jax.media.containers import mp3, spliced

_BLOCK = 1 << 20  # bytes looked through at a time


def ogg_links(file: BinaryIO) -> list[BinaryIO]:
    """Returns the links of a chained Ogg file as streams of their own; one is the file itself.

    A link begins with the first pages of its streams, which are marked; pages that go on lie
    between the marks of two links.
    """
    starts, went_on, offset = [0], False, 0
    while (offset := _ogg_page(file, offset)) is not None:
        file.seek(offset)
        page = file.read(27)
        begins = bool(page[5] & 2)
        if begins and went_on:
            starts.append(offset)
        went_on = not begins
        offset += 27 + page[26] + sum(file.read(page[26]))
    return _cut(file, starts)


def ogg_is_whole(file: BinaryIO) -> bool:
    """Whether no page is lost: those of each stream are numbered through (RFC 3533, section 6)."""
    following, offset = {}, 0
    while (offset := _ogg_page(file, offset)) is not None:
        file.seek(offset)
        page = file.read(27)
        stream, number = struct.unpack("<II", page[14:22])
        if number != following.get(stream, number):
            return False
        following[stream] = (number + 1) % (1 << 32)
        offset += 27 + page[26] + sum(file.read(page[26]))
    return True


def flac_links(file: BinaryIO) -> list[BinaryIO]:
    """Returns the streams of joined FLAC files; one is the file itself.

    Each begins with its mark and the header of STREAMINFO (RFC 9639, section 8).
    """
    starts = _found(file, (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22"))
    return _cut(file, starts if starts[:1] == [0] else [0])


def _cut(file: BinaryIO, starts: list[int]) -> list[BinaryIO]:
    """The stretches that begin at some places; the file itself where there is one."""
    held = file.seek(0, io.SEEK_END)
    file.seek(0)
    if len(starts) == 1:
        return [file]
    stretches = zip(starts, [*starts[1:], held], strict=True)
    return [spliced.spliced(file, [stretch]) for stretch in stretches]


def _ogg_page(file: BinaryIO, offset: int) -> int | None:
    """Where the next whole header of a page begins, from an offset on."""
    file.seek(offset)
    head = file.read(27)
    while len(head) == 27 and head[:4] != b"OggS":  # a tag between two links
        more = head + file.read(_BLOCK)
        found = more.find(b"OggS", 1)
        offset += found if found >= 0 else max(len(more) - 26, 1)
        file.seek(offset)
        head = file.read(27)
    return offset if len(head) == 27 else None


def is_mpeg_audio(head: bytes) -> bool:
    """Whether a file begins as MPEG audio does: MP3, AAC in ADTS, or a tag in front of them."""
    return head.startswith((b"ID3", b"APETAGEX")) or _is_frame(head)


def without_tags(file: BinaryIO) -> BinaryIO:
    """Returns MPEG audio without the tags between its frames, which a decoder takes for damage.

    Left out are ID3 and APE tags that are followed by a frame, and behind each the frame that holds
    a table of contents and no sound. The tags that a file begins with stay.
    """
    held, first = file.seek(0, io.SEEK_END), _behind_tags(file, 0)
    parts, done = [], 0
    for start, stop in _tags(file):
        if start > max(done, first):
            parts.append((done, start))
            done = stop
    file.seek(0)
    return spliced.spliced(file, [*parts, (done, held)]) if parts else file


def _tags(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where tags lie that a frame follows, with the frame of its table."""
    for at in _found(file, (b"ID3", b"APETAGEX", b"TAG")):
        file.seek(at)
        head = file.read(128)
        mark, (start, stop) = head[:3], _tag(head, at)
        stop = _behind_tags(file, stop)
        file.seek(stop)
        frame = file.read(64)
        if stop <= start or not _is_frame(frame):
            continue
        if mark == b"TAG" and not _are_frames(file, stop):  # three letters come by chance
            continue
        if b"Xing" in frame or b"Info" in frame:
            stop += mp3.frame_bytes(frame)
        yield start, stop


def _found(file: BinaryIO, marks: tuple[bytes, ...]) -> list[int]:
    """Offsets of any of some short byte strings, rising."""
    found, offset, tail = set(), 0, b""
    file.seek(0)
    while block := file.read(_BLOCK):
        text = tail + block
        for mark in marks:
            at = text.find(mark)
            while at >= 0:
                found.add(offset - len(tail) + at)
                at = text.find(mark, at + 1)
        offset, tail = offset + len(block), text[-8:]
    return sorted(found)


def _tag(head: bytes, at: int) -> tuple[int, int]:
    """Where a tag begins and ends, equal where it is none. ID3v2 section 3.1, APEv2 tag header."""
    if head[:3] == b"ID3" and len(head) >= 10:
        sizes = head[6:10]
        if head[3] not in (2, 3, 4) or head[5] & 0x0F or max(sizes) > 127:
            return at, at
        return at, at + 10 + mp3.tag_bytes(sizes) + (10 if head[5] & 0x10 else 0)
    if head[:3] == b"TAG" and len(head) == 128:
        return at, at + 128
    if head[:8] == b"APETAGEX" and len(head) >= 32:
        version, length, _, flags = struct.unpack("<4I", head[8:24])
        if version not in (1000, 2000):
            return at, at
        if flags & 1 << 29:  # the header; the footer of 32 bytes is counted
            return at, at + 32 + length
        return max(at + 32 - length, 0), at + 32
    return at, at


def _behind_tags(file: BinaryIO, offset: int) -> int:
    """Goes on behind further tags."""
    while True:
        file.seek(offset)
        head = file.read(128)
        stop = _tag(head, offset)[1]
        if stop <= offset or (head[:8] == b"APETAGEX" and stop == offset + 32):
            return max(offset, stop)
        offset = stop


def _are_frames(file: BinaryIO, offset: int) -> bool:
    """Whether two frames of MP3 follow each other."""
    for _ in range(2):
        file.seek(offset)
        length = mp3.frame_bytes(file.read(4))
        if not length:
            return False
        offset += length
    return True


def _is_frame(head: bytes) -> bool:
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0
