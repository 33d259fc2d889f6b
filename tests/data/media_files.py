"""Small real media files, made in memory for the tests of this folder."""

import fractions
import io
from collections.abc import Sequence

import av
import numpy as np
import soundfile
from PIL import Image


def picture(array: np.ndarray, format: str = "PNG", **options: object) -> bytes:
    """Encodes a uint8 [h, w], [h, w, 3 or 4] or uint16 [h, w] array."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, format, **options)
    return file.getvalue()


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    """Returns uint8 [h, w, 3]: slopes of each channel under noise."""
    y, x = np.mgrid[:height, :width]
    rough = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return np.clip(np.stack([3 * x, 4 * y, 2 * x + y], -1) % 256 + rough, 0, 255).astype(np.uint8)


def clip(
    frames: int = 20,
    format: str = "mp4",
    codec: str = "libx264",
    *,
    group: int = 12,
    rotation: int = 0,
    sound: bool = False,
    times: Sequence[int] | None = None,
    rough: bool = False,
    pixels: str = "yuv420p",
) -> bytes:
    """Encodes frames of 64x48 that brighten by 10 each (modulo 256).

    The upper left quarter is black.

    Args:
      frames: how many.
      format: container.
      codec: video codec.
      group: a keyframe every so many frames.
      rotation: degrees in the display matrix.
      sound: whether a second of noise goes with it.
      times: when each frame is shown, in tenths of a second; None shows one after the other.
      pixels: pixel format of the codec.
      rough: noise instead, so that a frame takes many packets of a transport stream.
    """
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        stream.gop_size = group
        if rotation:
            stream.set_display_rotation(rotation)
        track = container.add_stream("aac", rate=16000) if sound else None
        for i in range(frames):
            rgb = np.full((48, 64, 3), i * 10 % 256, np.uint8)
            rgb[:24, :32] = 0
            if rough:
                rgb = np.random.default_rng(i).integers(0, 256, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixels)
            frame.pts = i if times is None else times[i]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if track is not None:
            tone = av.AudioFrame.from_ndarray(noise(16000)[None], format="fltp", layout="mono")
            tone.rate, tone.pts = 16000, 0
            container.mux(track.encode(tone))
            container.mux(track.encode(None))
    return file.getvalue()


def film(
    format: str,
    codec: str,
    pixels: str,
    *,
    transfer: int | None = None,
    aspect: fractions.Fraction | None = None,
) -> bytes:
    """Encodes 6 frames of 64x48 as they are given to FFmpeg, of noise around a rising level.

    Args:
      format, codec, pixels: container, codec and pixel format.
      transfer: number of the transfer characteristic, with the primaries of BT.2020.
      aspect: width of a pixel by its height.
    """
    file, rng = io.BytesIO(), np.random.default_rng(0)
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        context = stream.codec_context
        if transfer is not None:
            context.color_trc, context.color_primaries, context.colorspace = transfer, 9, 9
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        word = np.uint8 if av.VideoFormat(pixels).components[0].bits == 8 else np.uint16
        for i in range(6):
            frame = av.VideoFrame(64, 48, pixels)
            for plane in frame.planes:
                size = plane.buffer_size // np.dtype(word).itemsize
                plane.update((rng.integers(0, 60, size) + 80 + 20 * i).astype(word).tobytes())
            frame.pts = i
            if transfer is not None:
                frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def animation(frames: int = 20) -> bytes:
    """Encodes frames of 64x48 that brighten by 10 each as a GIF."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(np.full((48, 64), 10 * i, np.uint8)) for i in range(frames))
    first.save(file, "GIF", save_all=True, append_images=others, duration=100)
    return file.getvalue()


def coded_sound(format: str, codec: str, **options: str) -> bytes:
    """Encodes three seconds of noise with FFmpeg; options are those of the container."""
    file = io.BytesIO()
    with av.open(file, "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        samples = av.AudioFrame.from_ndarray(noise(48000)[None], format="fltp", layout="mono")
        samples.rate, samples.pts = 16000, 0
        to_codec = av.AudioResampler(
            stream.format, "mono", 16000, frame_size=stream.codec_context.frame_size or None
        )
        for part in (*to_codec.resample(samples), *to_codec.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def sound(
    samples: np.ndarray, rate_hz: int = 16000, format: str = "WAV", subtype: str | None = None
) -> bytes:
    """Encodes float samples [n] or [n, channels]."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype)
    return file.getvalue()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """Returns quiet float32 noise [n]."""
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)
