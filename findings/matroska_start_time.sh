#!/usr/bin/env bash
# Matroska: FFmpeg's start_time of a track that begins late is that of the file.
#
# Expected: `stream.start_time` of a sound track whose first packet is at 6 s says 6 s, as it does for MP4 and MPEG-TS.
# What happens: it is 0, the container's; only the first packet's time tells. (FFmpeg fills in what it did not see.)
# Versions: av 18.1.0.
# Why it matters here: who places tracks by start_time shifts late sound to the beginning in .mkv and .webm only.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/v"
"$dir/v/bin/pip" install --quiet --disable-pip-version-check "av==18.1.0" "numpy<2.4"
"$dir/v/bin/python" - <<'PY'
import fractions, io, sys
import av, numpy as np

def look(format, codec, form):
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        film = out.add_stream("libx264", rate=25, options={"bf": "0"})
        film.width, film.height, film.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream(codec, rate=48000, layout="mono")
        sound.codec_context.format = form
        packets = []
        for n in range(250):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), "rgb24")
            frame.pts, frame.time_base = n, fractions.Fraction(1, 25)
            packets += film.encode(frame)
        size = sound.codec_context.frame_size or 1024
        for n in range(0, 4 * 48000, size):
            kind = np.int16 if form == "s16" else np.float32
            frame = av.AudioFrame.from_ndarray(np.zeros((1, size), kind), format=form, layout="mono")
            frame.rate, frame.pts, frame.time_base = 48000, 6 * 48000 + n, fractions.Fraction(1, 48000)
            packets += sound.encode(frame)
        packets += film.encode(None) + sound.encode(None)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    file.seek(0)
    with av.open(file) as container:
        track = container.streams.audio[0]
        first = next(p for p in container.demux(track) if p.size)
        return round(float(track.start_time * track.time_base), 1), round(float(first.pts * first.time_base), 1)

found = {f: look(f, *how) for f, how in {"mp4": ("aac", "fltp"), "mpegts": ("aac", "fltp"), "matroska": ("flac", "s16")}.items()}
print("av", av.__version__, "(start_time, first packet) in seconds:", found)
sys.exit(found != {"mp4": (6.0, 6.0), "mpegts": (6.0, 6.0), "matroska": (0.0, 6.0)})
PY
echo "still so"
