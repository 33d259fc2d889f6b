"""AIFF and AIFC: big-endian chunks in a FORM, the samples in `SSND`."""

import struct
from typing import BinaryIO

from lb_jax.media.containers import chunks, riff


def mended(file: BinaryIO, held: int) -> dict[int, bytes]:
    """The size that the header of the samples lacks, by offset."""
    for one in chunks.walk(file, riff.BIG, riff.FIRST):
        if one.name == b"SSND":
            samples = one.body + 8  # behind offset and block size
            is_unfilled = one.size in (0, 8) and chunks.is_sound(file, riff.BIG, samples, held)
            return {one.start + 4: struct.pack(">I", held - one.body)} if is_unfilled else {}
    return {}
