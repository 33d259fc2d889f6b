#!/usr/bin/env bash
# libswscale: white of 10-bit video range falls short of white in RGB of 16 bits by 0.4 %.
#
# Expected: Y'CbCr 940, 512, 512 of 10 bits (white of the video range, ITU-R BT.2020 table 5) becomes
# 65535 in rgb48, or 65472, 1023 shifted to 16 bits, which 1023 of the full range becomes.
# Happens: 65283, that is 1019 of 1023; values below it are too small by as much or a little more.
# Versions: av 18.1.0 (FFmpeg 8.0, libswscale 9).
# Why it matters here: PQ is steep: what is missing of the signal is 2 to 3 % of the light at paper
# white. HDR is therefore converted from the planes of Y'CbCr, and libswscale only enlarges chroma.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy
"$work/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np

print("av", av.__version__, "libswscale", av.library_versions["libswscale"])


def white(luma, color_range):
    frame = av.VideoFrame(64, 64, "yuv444p10le")
    for plane, code in zip(frame.planes, (luma, 512, 512)):
        plane.update(np.full(plane.buffer_size // 2, code, np.uint16).tobytes())
    frame.colorspace, frame.color_range = 9, color_range
    return int(frame.to_ndarray(format="rgb48le")[32, 32].max())


video, full = white(940, 1), white(1023, 2)
print(f"white of the video range: {video} of 65535; of the full range: {full}")
sys.exit(0 if video < 65300 < full else 1)
PYTHON
