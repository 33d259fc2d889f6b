"""What thermal cameras keep inside their pictures: the sensor's readings beside a rendering.

A radiometric JPEG is a rendering in false colours to look at, with the readings in segments that
viewers skip. Layouts as ExifTool's tag tables (FLIR, DJI) and the readers named below describe them.

| camera | where | what is read | kelvin |
|---|---|---|---|
| FLIR | APP1 `FLIR`, an FFF file in pieces; record 1 is 16 bits raw, or a PNG with its bytes swapped | counts | by the Planck constants and the air of record 32 |
| DJI | APP3, uint16 without a header, in pieces | counts | dji-thermal-cli, if it is installed |
| InfiRay and its brands | IRG: a header, 8-bit grey, 16 bits | kelvin | in the file (library infiray_irg) |

FLIR files are read here rather than by flyr: it leaves out the last two entries of a directory, and
has no wheel. Tests compare with it.
"""

import dataclasses
import io
import math
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.data import temperatures
from lb_jax.data.temperatures import Readings

JPEG = b"\xff\xd8"
MAX_PIXELS = 1 << 24  # thermal sensors have up to 1280 x 1024
FLIR, FFF, AFF = b"FLIR\0", b"FFF\0", b"AFF\0"
RAW_DATA, CAMERA_INFO = 1, 32  # types of FFF records
IRG_HEADS = (b"\xca\xac", b"\xba\xab", b"\x04\xa0")
DAMAGED = "export the picture again, or take the readings out with the camera's own software"


class Layout(Exception):
    """A block is not laid out as its format says; what was found."""


def read(file: BinaryIO, name: str) -> Readings | None:
    """The readings of a camera's file; None for any other file.

    Args:
      file: from its beginning, seekable; it is left anywhere.
      name: for errors.

    Raises:
      errors.DataError: the file has readings that cannot be used.
      errors.MissingExtra: a library has to be installed first.
    """
    head = file.read(2)
    file.seek(0)
    if head == JPEG:
        return _from_jpeg(file, name)
    if head in IRG_HEADS:
        return _irg(file.read(), name)
    return None
