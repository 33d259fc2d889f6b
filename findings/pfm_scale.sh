#!/usr/bin/env bash
# Expected: a PFM whose scale is not 1 gives the same numbers in every library.
# What happens: Pillow 12.3.0 ignores the size of the scale, OpenCV 5.0.0 and FFmpeg (PyAV 18.1.0) divide by it. Netpbm's page on PFM says to
# multiply. All agree only where the scale is 1 or -1.
# Why it matters here: Middlebury's stereo maps are PFM with the scale 0.003922 and are meant as stored. Read by OpenCV their numbers are 255
# times too large, without a word; a depth map in metres would be taken for one in millimetres.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.4.6 pillow==12.3.0 opencv-python-headless==5.0.0.93 av==18.1.0
"$work/venv/bin/python" - <<'PYTHON'
import io
import sys

import av
import cv2
import numpy as np
import PIL
from PIL import Image

stored = np.linspace(1, 2, 64 * 32, dtype="<f4").reshape(32, 64)


def read(scale):
    data = b"Pf\n64 32\n%g\n" % -scale + stored[::-1].tobytes()
    frame = next(av.open(io.BytesIO(data)).decode(video=0))
    return {
        f"Pillow {PIL.__version__}": np.asarray(Image.open(io.BytesIO(data))).mean(),
        f"OpenCV {cv2.__version__}": cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).mean(),
        f"FFmpeg of PyAV {av.__version__}": np.frombuffer(frame.planes[0], "<f4").mean(),
    }


for scale in (1, 0.003922):
    print(f"scale {scale}: stored mean {stored.mean():.3f}")
    for name, mean in read(scale).items():
        print(f"  {name}: {mean:.3f}")
means = [mean / stored.mean() for mean in read(0.003922).values()]
print("as multiples of what is stored:", ", ".join(f"{one:.3f}" for one in means))
sys.exit(int(np.ptp(means) < 1))
PYTHON
