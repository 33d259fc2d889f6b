"""Files of thermal cameras, written byte by byte from the published descriptions of their layouts.

FLIR: ExifTool's tag tables, Thermimage. DJI: ExifTool's tag tables. InfiRay: the pages of
infiray_irg.
"""

import io
import struct

import numpy as np
from PIL import Image

from tests.media import media_files

# Constants of a FLIR E40, as published with Thermimage.
R1, B, F, OFFSET, R2 = 21106.77, 1501.0, 1.0, -7340, 0.012545258
STOPS = (0.0, 0.15, 0.35, 0.6, 1.0)
RAINBOW = ((60, 20, 250, 230, 120), (60, 200, 230, 40, 0), (200, 240, 30, 20, 40))


def rainbow(warm, side=96):
    """[h, w] from 0 to 1 -> a JPEG of false colours whose brightness does not follow the warmth."""
    rgb = np.stack([np.interp(warm, STOPS, band) for band in RAINBOW], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).resize((side, side)).save(file, "JPEG", quality=92)
    return file.getvalue()


def counts(celsius):
    """What the sensor of that camera counts, without air and window."""
    radiation = R1 / (R2 * (np.exp(B / (np.asarray(celsius) + 273.15)) - F)) - OFFSET
    return np.rint(radiation).astype(np.uint16)


def segments(marker, content, head=lambda number, count: b"", size=65_000):
    parts = [content[i : i + size] for i in range(0, len(content), size)]
    whole = b""
    for number, part in enumerate(parts):
        body = head(number, len(parts)) + part
        whole += b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
    return whole


def flir(jpeg, raw, *, form="raw", spare=0, order="<", camera=True, **changes):
    """A radiometric JPEG.

    Args:
      jpeg: to look at.
      raw: counts, uint16 [h, w].
      form: "raw", or "png" with its bytes swapped.
      spare: empty entries of the directory.
      order: of the numbers in the records.
      camera: whether there is a record of the camera.
      **changes: of its fields.
    """
    height, width = raw.shape
    record = struct.pack(f"{order}HHH", 2, width, height) + bytes(26)
    if form == "raw":
        record += raw.astype(f"{order}u2").tobytes()
    else:
        record += media_files.picture(raw.byteswap())
    records = [(1, {"raw": 2, "png": 3}[form], record)]
    if camera:
        records.append((32, 1, flir_camera(order, changes)))
    entries, body, first = b"", b"", 64 + 32 * (len(records) + spare)
    for number, sub, data in records:
        place = first + len(body)
        entries += struct.pack(">HHIIIIIII", number, sub, 100, 1, place, len(data), 0, 0, 0)
        body += data
    head = b"FFF\0" + b"CAM".ljust(16, b"\0") + struct.pack(">III", 100, 64, len(records) + spare)
    block = head.ljust(64, b"\0") + entries + bytes(32 * spare) + body
    app1 = segments(0xE1, block, lambda i, n: b"FLIR\0\x01" + bytes([i, n - 1]))
    return jpeg[:2] + app1 + jpeg[2:]


def flir_camera(order, changes):
    given = {"emissivity": 1.0, "distance": 0.0, "reflected": 293.15, "humidity": 0.5} | changes
    camera = bytearray(1100)
    for place, form, *values in (
        (0, "H", 2),
        (32, "3f", *(given[name] for name in ("emissivity", "distance", "reflected"))),
        (44, "3f", 293.15, 293.15, 1.0),
        (60, "f", given["humidity"]),
        (88, "3f", R1, B, F),
        (112, "5f", 0.006569, 0.01262, -0.002276, -0.00667, 1.9),
        (776, "i", OFFSET),
        (780, "f", R2),
    ):
        struct.pack_into(f"{order}{form}", camera, place, *values)
    return bytes(camera)


def dji(jpeg, raw, size=65_533):
    """A radiometric JPEG: the counts in pieces, nothing else."""
    return jpeg[:2] + segments(0xE3, raw.astype("<u2").tobytes(), size=size) + jpeg[2:]


def irg(celsius, *, per_kelvin=16, magic=b"\xca\xac", flag=0):
    """An IRG file of a C200 (16 to a kelvin) or of another model (`\\xba\\xab`, 10 to a kelvin)."""
    height, width = np.shape(celsius)
    fine = np.rint((np.asarray(celsius) + 273.15) * per_kelvin).astype("<u2")
    grey = np.zeros((height, width), np.uint8)
    photo = rainbow(np.zeros((8, 8)), 8)
    head = struct.pack(
        "<IHHHHHHHIHHI", height * width, height, width, flag, 0, 0, 0, 0, len(photo), 0, 0, 10_000
    )
    head += struct.pack("<9IHHI", *(0,) * 9, 0, 0, 0)
    length = 4 + len(head) + 2
    head = magic + struct.pack("<H", length) + head + b"\xac\xca"
    return head + grey.tobytes() + fine.tobytes() + photo
