"""Writers of the media files.

The same arrays give the same bytes: one encoder thread, no timestamps.
"""

import fractions
import os
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile

_JPEG = [
    cv2.IMWRITE_JPEG_QUALITY,
    93,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
]
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_X264 = {
    "preset": "veryfast",
    "crf": "16",  # colours and edges survive in small pictures
    "bf": "0",
    "rc-lookahead": "0",  # looking ahead reads past small pictures, and the bytes differ by chance
    "threads": "1",
}
_SENSORS = (("accel", "m/s2"), ("gyro", "rad/s"))
_AAC, _AAC_BITS = {"aac_coder": "fast"}, 64_000  # half the time of the usual one


def write_video(path: Path, frames: np.ndarray, rate_hz: int) -> None:
    """Writes uint8 [t, h, w, 3] RGB as H.264 yuv420p in an mp4."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = _pictures(container, frames, rate_hz)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def write_film(
    path: Path,
    frames: np.ndarray,
    samples: np.ndarray,
    *,
    rate_hz: int,
    sound_hz: int,
    crf: str = _X264["crf"],
) -> None:
    """Writes frames as `write_video`, and int16 [n] as their sound track, mono AAC.

    A larger `crf` is a smaller and poorer picture.
    """
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        pictures = _pictures(container, frames, rate_hz, crf)
        track = container.add_stream("aac", rate=sound_hz, options=_AAC)
        track.layout, track.bit_rate = "mono", _AAC_BITS
        for frame in frames:
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(pictures.encode(None))
        heard = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        heard.sample_rate, heard.time_base, heard.pts = sound_hz, fractions.Fraction(1, sound_hz), 0
        container.mux(track.encode(heard))
        container.mux(track.encode(None))


def write_jpegs(folder: Path, frames: np.ndarray) -> None:
    """Writes uint8 [k, h, w, 3] RGB as `0.jpg`, `1.jpg`, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(frames):
        _write_picture(folder / f"{k}.jpg", frame[..., ::-1], _JPEG)  # OpenCV wants BGR


def write_depth_pngs(folder: Path, frames: np.ndarray) -> None:
    """Writes uint16 [k, h, w] in millimetres as single-channel `0.png`, `1.png`, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(frames):
        _write_picture(folder / f"{k}.png", frame, _PNG)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Writes uint8 [h, w, 3] RGB.

    Raises:
      OSError: it cannot be encoded or written.
    """
    _write_picture(path, pixels[..., ::-1], _PNG)


def write_sound(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """Writes int16 [n] as a mono 16-bit wav."""
    # the name as bytes: soundfile takes no other that is not UTF-8
    soundfile.write(os.fsencode(path), samples, rate_hz, format="WAV", subtype="PCM_16")


def write_motion(path: Path, readings: np.ndarray, rate_hz: int) -> None:
    """Writes float [n, 6] in m/s2 and rad/s as CSV, with times, units and the rate."""
    names = [f"{kind}_{axis} [{unit}]" for kind, unit in _SENSORS for axis in "xyz"]
    lines = [f"# rate_hz: {rate_hz}", ",".join(("time_s", *names))]
    times = np.arange(len(readings)) / rate_hz
    for time, row in zip(times.tolist(), readings.tolist(), strict=True):
        lines.append(f"{time:g}," + ",".join(f"{value:.4f}" for value in row))
    path.write_bytes(("\n".join(lines) + "\n").encode("ascii"))


def _pictures(container, frames: np.ndarray, rate_hz: int, crf: str = _X264["crf"]):
    stream = container.add_stream("libx264", rate=rate_hz, options=_X264 | {"crf": crf})
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.thread_count = 1
    stream.time_base = fractions.Fraction(1, rate_hz)
    return stream


def _write_picture(path: Path, pixels: np.ndarray, options: list[int]) -> None:
    # not `imwrite`, which crashes on a name that is not UTF-8
    is_done, content = cv2.imencode(path.suffix, pixels, options)
    if not is_done:
        raise OSError(f"{path}: OpenCV could not encode this picture")
    path.write_bytes(content)
