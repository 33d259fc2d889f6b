"""Small real media files, made in memory for the tests of this folder."""

import dataclasses
import fractions
import io
from collections.abc import Iterator, Sequence

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


def coded(
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


def tone(hz: float, seconds: float, rate_hz: int = 48000) -> np.ndarray:
    """Returns a float32 tone [n]."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)
    return wave.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Sounds:
    """A track of sound: waves, each with the second at which it begins."""

    waves: Sequence[tuple[float, np.ndarray]]
    codec: str = "aac"
    rate_hz: int = 48000
    layout: str = "mono"
    flags: int | None = None

    def add(self, out: av.container.OutputContainer) -> av.stream.Stream:
        track = out.add_stream(self.codec, rate=self.rate_hz, layout=self.layout)
        track.codec_context.format = {"flac": "s16", "libopus": "flt"}.get(self.codec, "fltp")
        return track

    def packets(self, track: av.stream.Stream) -> Iterator[av.Packet]:
        context = track.codec_context
        size, planes = context.frame_size or 1024, 2 if self.layout == "stereo" else 1
        for start_s, wave in self.waves:
            for first in range(0, len(wave), size):
                part = np.repeat(wave[None, first : first + size], planes, 0)
                if self.codec == "flac":
                    part = np.round(part * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(part), format=context.format.name, layout=self.layout
                )
                frame.rate, frame.pts = self.rate_hz, round(start_s * self.rate_hz) + first
                frame.time_base = fractions.Fraction(1, self.rate_hz)
                yield from track.encode(frame)
        yield from track.encode(None)


@dataclasses.dataclass(frozen=True)
class Pictures:
    """A track of pictures of one colour each, with the seconds at which they begin."""

    colours: Sequence[tuple[float, tuple[int, int, int]]]
    codec: str = "libx264"
    pixels: str = "yuv420p"
    flags: int | None = None

    def add(self, out: av.container.OutputContainer) -> av.stream.Stream:
        options = {"bf": "0"} if self.codec == "libx264" else {}
        track = out.add_stream(self.codec, rate=25, options=options)
        track.width, track.height, track.pix_fmt = 64, 48, self.pixels
        return track

    def packets(self, track: av.stream.Stream) -> Iterator[av.Packet]:
        for start_s, colour in self.colours:
            rgb = np.full((48, 64, 3), colour, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=self.pixels)
            frame.pts, frame.time_base = round(start_s * 25), fractions.Fraction(1, 25)
            yield from track.encode(frame)
        yield from track.encode(None)


def muxed(format: str, *tracks: Sounds | Pictures, **options: str) -> bytes:
    """Muxes tracks in the order of time; options are those of the container."""
    file = io.BytesIO()
    with av.open(file, "w", format=format, options=options) as out:
        made = [track.add(out) for track in tracks]
        for stream, track in zip(made, tracks, strict=True):
            if track.flags is not None:
                stream.disposition = av.stream.Disposition(track.flags)
        packets = [p for s, t in zip(made, tracks, strict=True) for p in t.packets(s)]
        for packet in sorted(
            (p for p in packets if p.dts is not None),
            key=lambda p: p.dts * p.time_base.numerator / p.time_base.denominator,
        ):
            out.mux(packet)
    return file.getvalue()
