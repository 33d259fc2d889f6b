"""Depth in films: recordings of depth cameras, one map a frame.

They are grey of 9 to 16 bits in stored units, or floating point in metres, in Matroska, AVI, MOV or
MP4: FFV1 and PNG, `b16g` (the recorders of Azure Kinect and Femto), HEVC of 12 bits. The values are
taken as they are coded, never stretched to the range of the format.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np

from lb_jax.core import errors
from lb_jax.media import clock as clock_lib
from lb_jax.media import display, given, tracks, video

# Brands of ISO files (`ftyp`) that hold still pictures.
STILL_BRANDS = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"jxl ")


def is_film(file: BinaryIO) -> bool:
    """Tells by its first bytes whether a file is a container of films."""
    file.seek(0)
    head = file.read(12)
    file.seek(0)
    if head[4:8] == b"ftyp":
        return head[8:12] not in STILL_BRANDS
    return (
        head[:4] == b"\x1a\x45\xdf\xa3"  # Matroska
        or (head[:4], head[8:]) == (b"RIFF", b"AVI ")
        or head[4:8] in (b"moov", b"wide", b"mdat", b"free", b"skip")  # QuickTime before brands
        or head.startswith(b"nut/")
    )


def middle(media: given.Media, start_s: float = 0.0, end_s: float | None = None) -> np.ndarray:
    """Decodes the middle map of a film or of a stretch of it.

    Args:
      media: path or bytes.
      start_s, end_s: the stretch, as for `video.decode`.

    Returns:
      uint16 [h, w] in stored units, or float32 [h, w] in metres; upright.

    Raises:
      errors.DataError: no depth track, damaged, cut off, or nothing in the stretch.
    """
    return video.choose(media, dataclasses.replace(MIDDLE, start_s=start_s, end_s=end_s))[0]


@contextlib.contextmanager
def named(media: given.Media) -> Iterator[None]:
    """Makes errors about a map name the film that it is out of."""
    try:
        yield
    except errors.DataError as e:
        raise e.renamed(given.describe(media)) from e


def stored(frame: av.VideoFrame, shown: display.Display) -> np.ndarray:
    """Reads the values of a frame, uint16 or float32 [h, w], upright."""
    shown.require_size(frame)
    bits, code = tracks.grey_bits(frame.format), "f" if "grayf" in frame.format.name else "u"
    if not bits:
        raise errors.DataError(
            shown.name, f"changes to frames of format {frame.format.name}; export it in one format"
        )
    order, words = ">" if frame.format.is_big_endian else "<", max(bits, 16) // 8
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    row_bytes = plane.width * words * len(frame.format.components)  # transparency is in between
    values = rows[:, :row_bytes].copy().view(f"{order}{code}{words}")
    values = values[:, :: len(frame.format.components)]
    return shown.upright(values.astype(np.float32 if code == "f" else np.uint16))


# The map in the middle, as it is stored.
MIDDLE = clock_lib.Choice(lambda count: np.array([count // 2]), kind="depth", read=stored)
