#!/usr/bin/env bash
# flyr (radiometric JPEGs of FLIR cameras) loses records of a file whose directory has no spare entries.
#
# Expected: an FFF block names where its directory begins and how many entries it has (ExifTool's FLIR tags: offset at byte 24, count at
#   byte 28), and a reader reads those entries there: two records, raw data and camera, are found.
# Happens: flyr 5.1.0 seeks to the directory and then reads entries from the beginning of the block instead (`stream.seek(32 * number)`), so
#   that the head of 64 bytes counts as two of them and the last two entries of the directory are never seen. Files of cameras that leave
#   empty entries at the end of the directory work; a block with exactly its two records ends in KeyError, with the same bytes and two
#   empty entries more it is read.
# Why it matters here: writers that pack the directory tight (re-saved and converted files) would be refused, so the readings of FLIR files
#   are read by our own code, with flyr as the peer in the tests.
set -euo pipefail
box=$(mktemp -d)
trap 'rm -rf "$box"' EXIT
python3 -m venv "$box/venv"
"$box/venv/bin/python" -m pip install --quiet flyr==5.1.0 numpy==2.2.6 pillow==12.0.0
"$box/venv/bin/python" - <<'PY'
import importlib.metadata
import io
import struct
import sys

import flyr
import numpy as np
from PIL import Image


def radiometric(spare):
    """A JPEG with an FFF block in APP1: two records, and empty entries behind them in the directory."""
    raw = np.arange(8 * 10, dtype="<u2").reshape(8, 10) + 15000
    camera = bytearray(1100)
    struct.pack_into("<H", camera, 0, 2)
    struct.pack_into("<6f", camera, 32, 1.0, 1.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", camera, 60, 0.5)
    struct.pack_into("<3f", camera, 88, 21106.77, 1501.0, 1.0)
    struct.pack_into("<5f", camera, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", camera, 776, -7340, 0.012545258)
    records = ((1, 2, struct.pack("<HHH", 2, 10, 8) + bytes(26) + raw.tobytes()), (32, 1, bytes(camera)))
    entries, body, first = b"", b"", 64 + 32 * (2 + spare)
    for kind, sub, data in records:
        entries += struct.pack(">HHIIIIIII", kind, sub, 100, 1, first + len(body), len(data), 0, 0, 0)
        body += data
    head = b"FFF\0" + b"CAM".ljust(16, b"\0") + struct.pack(">III", 100, 64, 2 + spare)
    block = b"FLIR\0\x01\0\0" + head.ljust(64, b"\0") + entries + bytes(32 * spare) + body
    file = io.BytesIO()
    Image.new("RGB", (10, 8)).save(file, "JPEG")
    jpeg = file.getvalue()
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


print("flyr", importlib.metadata.version("flyr"), "python", sys.version.split()[0])
seen = {}
for spare in (0, 2):
    try:
        seen[spare] = flyr.unpack(io.BytesIO(radiometric(spare))).celsius.shape
    except KeyError as error:
        seen[spare] = f"KeyError {error}"
    print(f"directory of two records and {spare} empty entries: {seen[spare]}")
sys.exit(0 if seen == {0: "KeyError 1", 2: (8, 10)} else 1)
PY
