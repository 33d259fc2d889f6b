#!/usr/bin/env bash
# FFmpeg: raw 16-bit grey in AVI and MOV is read back as RGB of 5 bits, without an error.
#
# Expected: a pixel format that a muxer takes is what the demuxer gives back, or muxing is refused, as
# Matroska refuses it.
# Happens: `rawvideo` of gray16le in AVI and in MOV, and of gray16be in AVI, comes back as rgb555 of
# the same size: 16 bits a pixel is all that the header says. MOV of gray16be (`b16g`) and NUT are right.
# Versions: av 18.1.0 (FFmpeg 8.0).
# Why it matters here: recordings of depth cameras that were written so decode as noise in colours, as
# video, and hold no depth track; nothing in the file tells what they were.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import av

print("av", av.__version__, "libavformat", av.library_versions["libavformat"])
found = {}
for format in ("avi", "mov", "nut"):
    for pixels in ("gray16le", "gray16be"):
        file = io.BytesIO()
        with av.open(file, "w", format=format) as out:
            track = out.add_stream("rawvideo", rate=10)
            track.width, track.height, track.pix_fmt = 64, 48, pixels
            frame = av.VideoFrame(64, 48, pixels)
            frame.planes[0].update(bytes(frame.planes[0].buffer_size))
            frame.pts = 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
        file.seek(0)
        with av.open(file) as container:
            found[format, pixels] = next(container.decode(video=0)).format.name
        print(f"{format}: {pixels} -> {found[format, pixels]}")
lost = [("avi", "gray16le"), ("avi", "gray16be"), ("mov", "gray16le")]
kept = [("mov", "gray16be"), ("nut", "gray16le"), ("nut", "gray16be")]
holds = all(found[one].startswith("rgb555") for one in lost) and all(found[k] == k[1] for k in kept)
sys.exit(0 if holds else 1)
PYTHON
