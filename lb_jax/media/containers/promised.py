"""Where the containers of media say that they end, so that a cut file is found.

Decoders shorten such a file without a word.
"""

import io
from collections.abc import Callable
from typing import BinaryIO

# RIFF sizes from here on mean "unknown": what programs write into the header while they stream.
_RIFF_UNKNOWN = 0x7FFF_F000
# The same of sizes of 64 bits: all ones, or the largest positive number.
_UNKNOWN = 0x7FFF_FFFF_0000_0000


def promised_size(file: BinaryIO) -> int:
    """Returns where a container says its last structure ends, 0 for formats that do not say.

    Comparing this with the real size finds the cut. Knows WAV, RF64, AVI, AIFF, AU, Wave64, CAF,
    MP4 and MOV, Matroska and WebM, Ogg, MP3, GIF and MPEG-TS. An MP3 without a table of contents
    and an MPEG-TS file only tell that their last frame or packet is not whole.
    """
    file.seek(0)
    head = file.read(12)
    for matches, end in _PROMISES:
        if matches(head):
            return end(file)
    return 0


def _riff_end(file: BinaryIO, byteorder: str) -> int:
    """Walks the chunks to the samples: `data` of WAV, `SSND` of AIFF, the list `movi` of AVI."""
    offset, held = 12, file.seek(0, io.SEEK_END)
    while offset + 8 <= held:
        file.seek(offset)
        chunk, length, kind = file.read(4), int.from_bytes(file.read(4), byteorder), file.read(4)
        if chunk in (b"data", b"SSND") or (chunk, kind) == (b"LIST", b"movi"):
            return 0 if length >= _RIFF_UNKNOWN else offset + 8 + length
        offset += 8 + length + length % 2
    return offset


def _rf64_end(file: BinaryIO) -> int:
    """Walks to `data`; its size is in `ds64` where 32 bits say it is (EBU Tech 3306)."""
    offset, held, wide = 12, file.seek(0, io.SEEK_END), 0
    while offset + 8 <= held:
        file.seek(offset)
        chunk, length = file.read(4), int.from_bytes(file.read(4), "little")
        if chunk == b"ds64":
            file.seek(offset + 16)
            wide = int.from_bytes(file.read(8), "little")
        if chunk == b"data":
            length = wide if length == 0xFFFF_FFFF else length
            return 0 if length >= _UNKNOWN else offset + 8 + length
        offset += 8 + length + length % 2
    return offset


def _wave64_end(file: BinaryIO) -> int:
    """Walks to `data`; a chunk counts its header of 24 bytes and is filled up to eight."""
    offset, held = 40, file.seek(0, io.SEEK_END)
    while offset + 24 <= held:
        file.seek(offset)
        chunk, length = file.read(16), int.from_bytes(file.read(8), "little")
        if chunk[:4] == b"data" or length < 24:
            return 0 if length >= _UNKNOWN else offset + length
        offset += length + -length % 8
    return offset


def _caf_end(file: BinaryIO) -> int:
    """Walks to `data`, which may have an unknown size."""
    offset, held = 8, file.seek(0, io.SEEK_END)
    while offset + 12 <= held:
        file.seek(offset)
        chunk, length = file.read(4), int.from_bytes(file.read(8), "big")
        if chunk == b"data":
            return 0 if length >= _UNKNOWN else offset + 12 + length
        offset += 12 + length
    return offset


def _au_end(file: BinaryIO) -> int:
    file.seek(4)
    start, length = (int.from_bytes(file.read(4), "big") for _ in range(2))
    return 0 if length == 0xFFFF_FFFF else start + length


def _iso_end(file: BinaryIO) -> int:
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


def _matroska_end(file: BinaryIO) -> int:
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


def _ogg_end(file: BinaryIO) -> int:
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


def _mp3_end(file: BinaryIO) -> int:
    """Reads the byte count of the Xing or Info table.

    Encoders put it into the first frame, behind any ID3 tag.
    """
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + sum(
            (size & 127) << shift for size, shift in zip(head[6:], (21, 14, 7, 0), strict=True)
        )
    file.seek(start)
    frame = file.read(64)
    table = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[:1] != b"\xff" or table < 0 or len(frame) < table + 16 or not frame[table + 7] & 2:
        return _mp3_frames_end(file, start)
    size_at = (
        table + 8 + 4 * (frame[table + 7] & 1)
    )  # behind the flags, and the frame count if there is one
    return start + int.from_bytes(frame[size_at : size_at + 4], "big")


def _mp3_frames_end(file: BinaryIO, offset: int) -> int:
    """Walks from frame to frame of MPEG audio layer III, to the first place where there is none."""
    file.seek(0)
    data = file.read()
    while length := mp3_frame_bytes(data[offset : offset + 4]):
        offset += length
    return offset


def mp3_frame_bytes(head: bytes) -> int:
    """Length of a frame of MPEG audio layer III by its first four bytes, 0 where there is none.

    Header and lengths: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3; 13818-3 for the lower rates.
    """
    if len(head) < 4:
        return 0
    bits = int.from_bytes(head[:4], "big")
    version, layer = bits >> 19 & 3, bits >> 17 & 3
    bitrate, rate = bits >> 12 & 15, bits >> 10 & 3
    if bits >> 21 != 0x7FF or version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbits = _MP3_KBITS[version == 3][bitrate - 1]
    rate_hz = _MP3_RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144_000 if version == 3 else 72_000) * kbits // rate_hz + (bits >> 9 & 1)


_MP3_RATES_HZ = (44_100, 48_000, 32_000)  # of version 1; version 2 has half, 2.5 a quarter
_MP3_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def _gif_end(file: BinaryIO) -> int:
    """Walks the blocks to the trailer; a colour table and data sub-blocks may follow a header.

    Layout: GIF89a specification, sections 15 to 27.
    """
    file.seek(0)
    data = file.read()

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    offset = 13 + (table(data[10]) if len(data) > 10 else 0)
    while offset < len(data):
        match data[offset]:
            case 0x21:  # extension: label, sub-blocks
                offset += 2
            case 0x2C if offset + 9 < len(data):  # image: place, flags, colour table, code size
                offset += 11 + table(data[offset + 9])
            case 0x3B:
                return offset + 1
            case _:
                return offset
        while offset < len(data) and data[offset]:
            offset += 1 + data[offset]
        offset += 1
    return offset + 1


def _mpegts_end(file: BinaryIO) -> int:
    """Rounds up to whole packets, if it is MPEG-TS: every packet begins with the same byte."""
    held = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(4 + 3 * 208)
    for start, size in ((0, 188), (4, 192), (0, 204)):  # broadcast, disc, with error correction
        if {head[start + i * size : start + i * size + 1] for i in range(3)} == {b"G"}:
            return -(-held // size) * size
    return 0


_PROMISES: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], int]], ...] = (
    (
        lambda head: head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "),
        lambda file: _riff_end(file, "little"),
    ),
    (
        lambda head: head[:4] == b"RIFX" and head[8:12] == b"WAVE",
        lambda file: _riff_end(file, "big"),
    ),
    (lambda head: head[:4] in (b"RF64", b"BW64") and head[8:12] == b"WAVE", _rf64_end),
    (lambda head: head == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb", _wave64_end),
    (lambda head: head[:4] == b"caff", _caf_end),
    (lambda head: head[:4] == b".snd", _au_end),
    (
        lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"),
        lambda file: _riff_end(file, "big"),
    ),
    (lambda head: head[:6] in (b"GIF87a", b"GIF89a"), _gif_end),
    (lambda head: head[:1] == b"G" or head[4:5] == b"G", _mpegts_end),
    (lambda head: head[4:8] in (b"ftyp", b"styp", b"moov"), _iso_end),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _matroska_end),
    (lambda head: head[:4] == b"OggS", _ogg_end),
    (
        lambda head: (
            head[:3] == b"ID3" or head[:2] in (b"\xff\xfb", b"\xff\xf3", b"\xff\xfa", b"\xff\xf2")
        ),
        _mp3_end,
    ),
)
