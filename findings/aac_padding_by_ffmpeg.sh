#!/usr/bin/env bash
# AAC in MP4: how much sound a decoder gives depends on the version of FFmpeg inside PyAV.
#
# Expected: one second of AAC in MP4 decodes to one second of samples. The file says how long it is, by its
# edit list and by the duration of the last packet (68 of 1024 samples).
# What happens: FFmpeg 8 (PyAV 18) takes the delay at the front away, but gives all of the last frame: 956
# samples of padding. FFmpeg 9 (PyAV 19) cuts it. Opus in MP4 keeps its padding in both: 648 samples.
# Versions: av 18.1.0 (Python >= 3.11), av 19.0.2 (Python >= 3.12 for a wheel).
# Why it matters here: features of the same file differ between installations; we cut by the file's own word.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
cat >"$dir/look.py" <<'PY'
import io, sys
import av, numpy as np

def samples(codec, rate):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        track = out.add_stream(codec, rate=rate, layout="mono")
        form = track.codec_context.format = "flt" if codec == "libopus" else "fltp"
        size = track.codec_context.frame_size or 1024
        wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
        for n in range(0, rate, size):
            frame = av.AudioFrame.from_ndarray(wave[None, n : n + size], format=form, layout="mono")
            frame.rate, frame.pts = rate, n
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    file.seek(0)
    with av.open(file) as container:
        stated = container.streams.audio[0].duration
        return stated, sum(f.samples for f in container.decode(audio=0))

found = {codec: samples(codec, rate) for codec, rate in (("aac", 44100), ("libopus", 48000))}
print("av", av.__version__, "libavcodec", av.library_versions["libavcodec"], "(stated, decoded):", found)
expected = {"aac": (44100, int(sys.argv[1])), "libopus": (48000, 48648)}
sys.exit(found != expected)
PY
python=python3
for one in python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[23]*/bin/python3; do
  if "$one" -c "" 2>/dev/null; then python=$one; break; fi
done
versions="18.1.0:45056 19.0.2:44100"
if ! "$python" -c "import sys; sys.exit(sys.version_info < (3, 12))"; then
  echo "no Python 3.12 or later here: only the older version is looked at"
  versions=18.1.0:45056
fi
for pair in $versions; do
  "$python" -m venv "$dir/${pair%:*}"
  "$dir/${pair%:*}/bin/pip" install --quiet --disable-pip-version-check "av==${pair%:*}" "numpy<2.4"
  "$dir/${pair%:*}/bin/python" "$dir/look.py" "${pair#*:}"
done
echo "still so"
