#!/usr/bin/env bash
# PyAV: a frame's `rotation` does not tell a mirror, and its side data cannot be read beside EXIF.
#
# Expected: `VideoFrame.rotation` of an MP4 whose track header mirrors the picture (front cameras)
# differs from that of one that turns it, or is refused; `VideoFrame.side_data` can be read of any
# frame, so that the display matrix can be had itself.
# Happens: mirrored left-right reads as -180, which is a half turn; mirrored top-bottom reads as 0.
# And where FFmpeg 8 puts EXIF data beside a frame (MJPEG of cameras), PyAV 18.1 raises ValueError
# for the whole of `side_data`: its enumeration ends before FFmpeg's. PyAV 19 knows these types.
# Versions: av 18.1.0 (FFmpeg 8.0).
# Why it matters here: whoever turns frames by the angle embeds selfies upside down or unmirrored, and
# whoever mends that by the matrix loses MJPEG films of cameras.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy pillow==12.3.0
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import numpy as np
from av.sidedata.sidedata import Type
from PIL import Image

print("av", av.__version__, "libavutil", av.library_versions["libavutil"])
ONE, W, H = 1 << 16, 64, 48
picture = np.full((H, W, 3), 90, np.uint8)


def film(a, b, c, d, x, y):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        track = out.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = W, H, "yuv420p"
        track.set_display_matrix([a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, x * ONE, y * ONE, 1 << 30])
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = 0
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    file.seek(0)
    return file


seen = {}
for name, matrix in {
    "half turn": (-1, 0, 0, -1, W, H),
    "mirror left-right": (-1, 0, 0, 1, W, 0),
    "mirror top-bottom": (1, 0, 0, -1, 0, H),
}.items():
    with av.open(film(*matrix)) as container:
        frame = next(container.decode(video=0))
        held = np.frombuffer(bytes(frame.side_data.get(Type.DISPLAYMATRIX)), np.int32)
        seen[name] = frame.rotation
        print(f"{name}: rotation {frame.rotation}, matrix a, b, c, d {(held[[0, 1, 3, 4]] // ONE).tolist()}")

exif = Image.Exif()
exif[0x010F] = "maker"
jpeg = io.BytesIO()
Image.fromarray(picture).save(jpeg, "JPEG", exif=exif)
file = io.BytesIO()
with av.open(file, "w", format="avi") as out:
    track = out.add_stream("mjpeg", rate=10)
    track.width, track.height, track.pix_fmt = W, H, "yuvj420p"
    track.codec_context.open(strict=False)
    packet = av.Packet(jpeg.getvalue())
    packet.stream, packet.pts, packet.dts, packet.is_keyframe = track, 0, 0, True
    out.mux(packet)
file.seek(0)
with av.open(file) as container:
    try:
        next(container.decode(video=0)).side_data
        beside = "read"
    except ValueError as error:
        beside = str(error)
print("side data of a frame with EXIF:", beside)
same = abs(seen["mirror left-right"]) == abs(seen["half turn"]) and seen["mirror top-bottom"] == 0
sys.exit(0 if same and beside.endswith("is not a valid Type") else 1)
PYTHON
