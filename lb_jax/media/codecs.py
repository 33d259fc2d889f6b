"""Whether this machine decodes what people have: tiny media made in memory, read back, compared."""

import dataclasses
import io
import os
from collections.abc import Callable, Iterator

import av
import av.error
import numpy as np
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import preprocess, specs

RATE_HZ = 48_000
FRAMES, HEIGHT, WIDTH = 8, 48, 64
# Bounds on the mean difference: lossy codecs stay far below, another picture or tone far above.
VIDEO_LEVELS = 8.0  # of 255
AUDIO_LOG = 0.5  # of log energy, where there is any
LOUD = 3.0  # filters within this log energy of the loudest


@dataclasses.dataclass(frozen=True)
class Coding:
    """How media of a codec are made.

    Attributes:
      container: FFmpeg's name.
      encoder: FFmpeg's name.
      options: of the encoder.
    """

    container: str
    encoder: str
    options: tuple[tuple[str, str], ...] = ()


VIDEO = {
    "h264": Coding("mp4", "libx264", (("preset", "ultrafast"),)),
    "hevc": Coding("mp4", "libx265", (("preset", "ultrafast"), ("x265-params", "log-level=none"))),
    "vp9": Coding("webm", "libvpx-vp9", (("cpu-used", "8"), ("deadline", "realtime"))),
    "av1": Coding("mp4", "libsvtav1", (("preset", "12"),)),
}
AUDIO = {
    "aac": Coding("mp4", "aac"),
    "mp3": Coding("mp3", "libmp3lame"),
    "opus": Coding("ogg", "libopus"),
    "flac": Coding("flac", "flac"),
}


@dataclasses.dataclass(frozen=True)
class Tried:
    """What came of one codec.

    Attributes:
      codec: its name.
      made: False where this FFmpeg has no encoder to try it with.
      problem: what went wrong; empty when nothing did.
    """

    codec: str
    made: bool
    problem: str


def tried() -> Iterator[Tried]:
    """Tries every codec."""
    for codec, coding in VIDEO.items():
        yield _tried(codec, lambda coding=coding: _encode_video(coding), _video_problem)
    for codec, coding in AUDIO.items():
        yield _tried(codec, lambda coding=coding: _encode_audio(coding), _audio_problem)
    yield _tried("png 16 bit", _encode_depth, _depth_problem)
    yield _tried("webp", _encode_webp, _webp_problem)


def _tried(codec: str, make: Callable[[], bytes], problem: Callable[[bytes], str]) -> Tried:
    try:
        media = make()
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, OSError, KeyError) as error:
        return Tried(codec, False, f"cannot be tried: {error}")
    try:
        return Tried(codec, True, problem(media))
    except errors.DataError as error:
        return Tried(codec, True, error.reason)


def frames() -> np.ndarray:
    """A clip that brightens, its upper left quarter black: uint8 [t, h, w, 3]."""
    clip = np.repeat(30 * np.arange(1, FRAMES + 1, dtype=np.uint8), HEIGHT * WIDTH * 3)
    clip = clip.reshape(FRAMES, HEIGHT, WIDTH, 3)
    clip[:, : HEIGHT // 2, : WIDTH // 2] = 0
    return clip


def tone() -> np.ndarray:
    """A second of two sines: float32 [n]."""
    angle = 2 * np.pi * np.arange(RATE_HZ) / RATE_HZ
    return (0.3 * np.sin(440 * angle) + 0.2 * np.sin(1320 * angle)).astype(np.float32)


def _encode_video(coding: Coding) -> bytes:
    os.environ.setdefault("SVT_LOG", "0")  # libsvtav1 talks on stderr, past FFmpeg
    file = io.BytesIO()
    with av.open(file, "w", format=coding.container) as container:
        stream = container.add_stream(coding.encoder, rate=10, options=dict(coding.options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, frame in enumerate(frames()):
            shown = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            shown.pts = number
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return file.getvalue()


def _video_problem(media: bytes) -> str:
    found = preprocess.decode("video", media, specs.VideoSpec(frames=FRAMES, size=HEIGHT))
    expected = frames()
    if found.shape != expected.shape:
        return f"gives frames {list(found.shape)}, expected {list(expected.shape)}"
    error = np.abs(found.astype(np.float32) - expected).mean()
    return "" if error < VIDEO_LEVELS else f"differs by {error:.1f} of 255 from what was written"


def _encode_audio(coding: Coding) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=coding.container) as container:
        stream = container.add_stream(coding.encoder, rate=RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        sound = av.AudioFrame.from_ndarray(tone()[None], format="fltp", layout="mono")
        sound.rate, sound.pts = RATE_HZ, 0
        resampler = av.AudioResampler(
            stream.format, "mono", RATE_HZ, frame_size=stream.codec_context.frame_size or None
        )
        for part in (*resampler.resample(sound), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return file.getvalue()


def _audio_problem(media: bytes) -> str:
    spec = specs.AudioSpec()
    found, expected = (
        preprocess.decode("audio", one, spec)[20:-20].mean(0) for one in (media, (tone(), RATE_HZ))
    )  # [mel]; the edges have what the codec fills in
    loud = expected > expected.max() - LOUD
    error = np.abs(found - expected)[loud].mean()
    return "" if error < AUDIO_LOG else f"differs by {error:.2f} in log energy"


def depth_map() -> np.ndarray:
    """Every value of a slope, in millimetres: uint16 [h, w]."""
    return np.arange(500, 500 + 3 * HEIGHT * WIDTH, 3, dtype=np.uint16).reshape(HEIGHT, WIDTH)


def _encode_depth() -> bytes:
    file = io.BytesIO()
    Image.fromarray(depth_map()).save(file, "PNG")
    return file.getvalue()


def _depth_problem(media: bytes) -> str:
    found = preprocess.decode("depth", media, specs.DepthSpec())
    expected = depth_map().astype(np.float32) * np.float32(0.001)
    return "" if np.array_equal(found, expected) else "loses the lower bits of its 16"


def _encode_webp() -> bytes:
    file = io.BytesIO()
    Image.fromarray(frames()[3]).save(file, "WEBP", lossless=True)
    return file.getvalue()


def _webp_problem(media: bytes) -> str:
    found = preprocess.decode("image", media, specs.ImageSpec(size=HEIGHT))
    return "" if np.array_equal(found, frames()[3]) else "differs from what was written losslessly"
