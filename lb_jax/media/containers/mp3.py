"""MP3: frames, and a table of contents in the first one."""

from typing import BinaryIO

_RATES_HZ = (44_100, 48_000, 32_000)  # of version 1; version 2 has half, 2.5 a quarter
_KBITS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def end(file: BinaryIO) -> int:
    """Reads the byte count of the Xing or Info table.

    Encoders put it into the first frame, behind any ID3 tag.
    """
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + tag_bytes(head[6:])
    file.seek(start)
    frame = file.read(64)
    table = max(frame.find(b"Xing"), frame.find(b"Info"))
    if frame[:1] != b"\xff" or table < 0 or len(frame) < table + 16 or not frame[table + 7] & 2:
        return _frames_end(file, start)
    # behind the flags, and the frame count if there is one
    size_at = table + 8 + 4 * (frame[table + 7] & 1)
    return start + int.from_bytes(frame[size_at : size_at + 4], "big")


def _frames_end(file: BinaryIO, offset: int) -> int:
    """Walks from frame to frame of MPEG audio layer III, to the first place where there is none."""
    file.seek(0)
    data = file.read()
    while length := frame_bytes(data[offset : offset + 4]):
        offset += length
    return offset


def frame_bytes(head: bytes) -> int:
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
    kbits = _KBITS[version == 3][bitrate - 1]
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144_000 if version == 3 else 72_000) * kbits // rate_hz + (bits >> 9 & 1)


def tag_bytes(size: bytes) -> int:
    """Length of an ID3 tag by the four bytes that tell it, of seven bits each (ID3v2, 3.1)."""
    return sum((one & 127) << shift for one, shift in zip(size, (21, 14, 7, 0), strict=True))
