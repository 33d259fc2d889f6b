"""PGM and PFM: maps of whole numbers of any maximum, and of floating point."""

import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from lb_jax.core import errors
from lb_jax.media import given
from lb_jax.media.sensors import maps


def pgm(file: BinaryIO, name: str) -> np.ndarray | None:
    """PGM of any maximum, the numbers as they are; None where they are of 8 bits."""
    fields, start = _header(file.read(1 << 12), 4, name)
    kind, width, height, largest = fields[0], *map(_whole(name), fields[1:])
    maps.require_size(width, height, name)
    if largest < 256:
        return None
    if largest > 65535:
        raise errors.DataError(name, f"is a PGM of maximum {largest}, expected up to 65535")
    file.seek(start)
    if kind == b"P5":
        data = file.read(2 * width * height)
        if len(data) < 2 * width * height:
            raise errors.DataError(name, f"is a PGM that is cut off; {given.AGAIN}")
        return np.frombuffer(data, ">u2").reshape(height, width)
    # as long as all its numbers of five digits could be; comments make it longer
    words = file.read(64 * width * height + (1 << 16)).split()
    try:
        values = np.array(words[: width * height], np.int64)
    except (ValueError, OverflowError) as e:
        raise errors.DataError(name, f"is a damaged PGM ({maps.short(e)}); write it again") from e
    if len(values) < width * height:
        raise errors.DataError(name, f"is a PGM that is cut off; {given.AGAIN}")
    return values.reshape(height, width)


def pfm(file: BinaryIO, name: str) -> np.ndarray:
    """PFM: rows from the bottom up, byte order by the sign of the scale.

    The size of the scale is not used: Middlebury's maps have 1/255 there, and are meant as stored.
    """
    fields, start = _header(file.read(1 << 12), 4, name)
    if fields[0] == b"PF":
        raise errors.DataError(name, "is a PFM of three colours; expected one channel (Pf)")
    width, height = map(_whole(name), fields[1:3])
    maps.require_size(width, height, name)
    try:
        scale = float(fields[3])
    except ValueError:
        scale = 0.0
    if not 0 < abs(scale) < float("inf"):
        raise errors.DataError(name, f"is a PFM of scale {fields[3]!r}, expected a number but 0")
    file.seek(start)
    data = file.read(4 * width * height)
    if len(data) < 4 * width * height:
        raise errors.DataError(name, f"is a PFM that is cut off; {given.AGAIN}")
    if abs(scale) != 1:
        told = f"has the PFM scale {abs(scale):g}, which programs multiply by, divide by or ignore"
        warnings.warn(
            errors.DataWarning(name, f"{told}; its numbers are taken as they are"), stacklevel=5
        )
    return np.frombuffer(data, "<f4" if scale < 0 else ">f4").reshape(height, width)[::-1]


def _header(head: bytes, count: int, name: str) -> tuple[list[bytes], int]:
    """The first words of a header, without comments, and where the data begin."""
    fields, place = [], 0
    while len(fields) < count and place < len(head):
        if head[place : place + 1].isspace():
            place += 1
        elif head[place : place + 1] == b"#":
            end = head.find(b"\n", place)
            place = len(head) if end < 0 else end
        else:
            end = place
            while end < len(head) and not head[end : end + 1].isspace():
                end += 1
            fields.append(head[place:end])
            place = end
    if len(fields) < count or place >= len(head):
        raise errors.DataError(name, "has a damaged PGM or PFM header; write it again")
    return fields, place + 1  # one white space


def _whole(name: str) -> Callable[[bytes], int]:
    def read(word: bytes) -> int:
        if not word.isdigit() or not 0 < int(word[:20]) < 1 << 31:
            raise errors.DataError(
                name, f"has {word[:20]!r} in its header, expected a whole number above 0"
            )
        return int(word)

    return read
