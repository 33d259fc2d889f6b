#!/usr/bin/env bash
# PyAV 19 gives time bases and rates as a type of its own, not as fractions.Fraction.
#
# Expected: `stream.time_base` and `stream.average_rate` are fractions.Fraction, as in PyAV 18, or do
#   whatever a Fraction does.
# Happens: they are av.rational.AVRational without as_integer_ratio, //, %, abs, int and round; what
#   multiplies or compares them goes on working, so only some code breaks, and late.
# Versions: av 18.1.0 beside av 19.0.2 (which needs Python 3.12).
# Here: the times of frames were computed with `as_integer_ratio`; with PyAV 19 every video was
#   refused. Numbers are made plain where they enter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'PY'
import fractions
import io
import sys

import av
import numpy as np

held = io.BytesIO()
with av.open(held, "w", format="mp4") as container:
    stream = container.add_stream("mpeg4", rate=fractions.Fraction(30000, 1001))
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    for _ in range(5):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
    container.mux(stream.encode())
held.seek(0)
with av.open(held) as container:
    rate = container.streams.video[0].average_rate
uses = {
    "as_integer_ratio": lambda: rate.as_integer_ratio(),
    "//": lambda: rate // 1,
    "%": lambda: rate % 1,
    "abs": lambda: abs(rate),
    "int": lambda: int(rate),
    "round": lambda: round(rate),
    "*": lambda: rate * 2,
    "float": lambda: float(rate),
    "Fraction": lambda: fractions.Fraction(rate),
}
lacks = []
for name, use in uses.items():
    try:
        use()
    except (AttributeError, TypeError):
        lacks.append(name)
print(f"av {av.__version__}: average_rate is {type(rate).__module__}.{type(rate).__name__}, "
      f"lacks {lacks or 'nothing'}")
expected = [] if sys.argv[1] == "18" else ["as_integer_ratio", "//", "%", "abs", "int", "round"]
sys.exit(lacks != expected)
PY
python=$(command -v python3)
for name in python3.13 python3.12 "$(pyenv prefix 3.12 2>/dev/null)/bin/python"; do
    if "$name" -c "import ensurepip" 2>/dev/null; then python=$name; break; fi
done
python=${PYTHON:-$python}
for version in 18.1.0 19.0.2; do
    "$python" -m venv "$folder/$version"
    "$folder/$version/bin/python" -m pip install --quiet --disable-pip-version-check \
        "av==$version" numpy==2.4.6
    "$folder/$version/bin/python" "$folder/look.py" "${version%%.*}"
done
