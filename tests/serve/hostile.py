"""Files that want more than they may."""

import io
import struct
import zlib

import numpy as np

from tests.media import media_files


def bomb(side=50_000):
    """A small PNG that claims `side` x `side` pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def array_bomb(side=200_000):
    """A NumPy file that claims `side` x `side` depths."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<u2", "fortran_order": False, "shape": (side, side)}
    )
    return out.getvalue()


def long_clip(hours=10):
    """A clip whose headers claim that it lasts for hours."""
    data = bytearray(media_files.clip())
    for kind, scale_at, length_at in ((b"mvhd", 12, 16), (b"mdhd", 12, 16), (b"tkhd", None, 20)):
        start = 0
        while (place := data.find(kind, start)) >= 0:
            body = place + 4
            scale = (
                struct.unpack_from(">I", data, body + scale_at)[0] if scale_at else _timescale(data)
            )
            struct.pack_into(">I", data, body + length_at, min(hours * 3600 * scale, 0xFFFF_FFFE))
            start = body
    # the duration of the edit list, and of one frame, so that the track itself lasts as long
    place = data.find(b"stts")
    count, scale = struct.unpack_from(">I", data, place + 8)[0], _media_timescale(data)
    for entry in range(count):
        at = place + 12 + 8 * entry
        frames = struct.unpack_from(">I", data, at)[0]
        struct.pack_into(">I", data, at + 4, hours * 3600 * scale // max(frames, 1))
    place = data.find(b"elst")
    if place >= 0:
        struct.pack_into(">I", data, place + 12, hours * 3600 * _timescale(data))
    return bytes(data)


def _timescale(data):
    return struct.unpack_from(">I", data, data.find(b"mvhd") + 16)[0]


def _media_timescale(data):
    return struct.unpack_from(">I", data, data.find(b"mdhd") + 16)[0]


def playlists(address):
    """Playlists that lead to a file or an address, as FFmpeg reads them."""
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
    return [
        f"{head}{target}\n#EXT-X-ENDLIST\n".encode() for target in (address, "file:///etc/passwd")
    ] + [b"ffconcat version 1.0\nfile '/etc/passwd'\n"]


def fuzzed(data, rng, flips=24):
    """A copy with drawn bytes overwritten, or its end cut away."""
    data = bytearray(data)
    for place in rng.integers(0, len(data), flips):
        data[place] = rng.integers(256)
    return bytes(data[: rng.integers(len(data) // 4, len(data))] if rng.random() < 0.3 else data)
