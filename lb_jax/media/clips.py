"""A stretch of a media file, as benchmarks name it, and its array.

Windows are seconds from where the file begins to be shown, `[start_s, end_s)`: sound and pictures
of a file have one clock, the player's. What a benchmark calls a clip is decoded here; how files of
a modality are read stays with `video`, `audio`, `image`.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.media import audio, given, image, imu, specs, video
from lb_jax.media import clock as clock_lib
from lb_jax.media import preprocess as preprocess_lib
from lb_jax.media.sensors import depth_film
from lb_jax.media.sensors.depth_units import Measured


@dataclasses.dataclass(frozen=True)
class Clip:
    """What of a file an item is.

    Attributes:
      path: the file. Audio may lie in a video file, an image may be taken out of one.
      start_s: seconds from its beginning.
      end_s: seconds from its beginning, cut to its length; None is its end.
      depth_unit: of its depth; empty for that of the preprocessing.
    """

    path: Path
    start_s: float = 0.0
    end_s: float | None = None
    depth_unit: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its file."""
        return (self.start_s, self.end_s) == (0.0, None)


@dataclasses.dataclass(frozen=True)
class Views:
    """Several clips out of one video, the scores of which are averaged (spec 7.2).

    Attributes:
      temporal: clips spread evenly over the video; a single one lies in its middle.
      spatial: squares spread evenly over the longer side of each; a single one is its centre.
      stride: every how manyeth frame of the video is looked at.
      mean, std: statistics of the pixels instead of those of the model's spec; None keeps these.
    """

    temporal: int = 5
    spatial: int = 3
    stride: int = 8
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self):
        for name in ("temporal", "spatial", "stride"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(
                    f"views: {name} is {getattr(self, name)}, expected at least 1."
                )

    @property
    def count(self) -> int:
        """How many arrays a video becomes."""
        return self.temporal * self.spatial


def decode(modality: str, clip: Clip, spec: specs.Spec) -> np.ndarray:
    """Decodes the stretch of a file to the compact form of its modality.

    Video takes `spec.frames` frames, first to last of those in the window; audio its samples, at
    the file's own rate; motion its readings, brought to the rate of the spec; an image out of a
    video file is the middle frame. A whole file gives what `preprocess.decode` gives.

    Args:
      modality: a key of `MODALITIES`.
      clip: file and window.
      spec: the modality's preprocessing.

    Returns:
      As `preprocess.decode`.

    Raises:
      errors.DataError: the file cannot be used, nothing of it lies in the window, or a window is
        given for a still picture.
      errors.ConfigError: no such modality.
    """
    return _DECODERS.get(modality, _still)(modality, clip, spec)


def preprocess(modality: str, clip: Clip, spec: specs.Spec) -> np.ndarray:
    """Decodes a clip and makes it the array its encoder takes.

    Returns:
      float32, as `preprocess.transform` gives for one item.

    Raises:
      errors.DataError, errors.ConfigError: as `decode`.
    """
    decoded = decode(modality, clip, spec)
    if isinstance(spec, specs.ImuSpec):
        imu.warn_of_cut(decoded, spec, given.describe(clip.path))
    return preprocess_lib.transform(modality, decoded, spec)


def views(clip: Clip, spec: specs.VideoSpec, views: Views) -> np.ndarray:
    """Several squares of frames out of one video: the protocol of Kinetics (spec 7.2).

    Of the F frames left when every `stride`th is taken (the last one repeated up to `spec.frames`),
    clip c begins at `int(c * (F - spec.frames) / (temporal - 1))`; square s of it begins at
    `int(s * (long - size) / (spatial - 1))` of the longer side.

    A spec with windows and squares of its own (`VideoSpec.clip_s`) says itself which they are.

    Args:
      clip: video file and window.
      spec: frames, size, antialias; mean and std unless the views bring their own.
      views: how many, and how.

    Returns:
      float32 [temporal * spatial, frames, s, s, 3], the squares of a clip lie together; of windows
      of its own [1, ...], the array of the whole film.

    Raises:
      errors.DataError: as `decode`.
    """
    statistics = {name: getattr(views, name) for name in ("mean", "std") if getattr(views, name)}
    spec = dataclasses.replace(spec, **statistics)
    if spec.clip_s is not None:
        return preprocess("video", clip, spec)[None]
    kernel = image.KERNELS["bilinear", spec.antialias]
    resized = video.choose(
        clip.path,
        clock_lib.Choice(
            lambda count: view_frames(count, spec.frames, views),
            clip.start_s,
            clip.end_s,
            keep=lambda frame: image.resize(frame, spec.size, kernel),
            pixel_aspect=spec.pixel_aspect,
            colour=spec.colour,
        ),
    )  # [temporal * frames, h, w, 3]
    scale, shift = image.normaliser(spec, white=255.0)
    height, width = resized.shape[1:3]
    downs = _starts(height - spec.size, views.spatial)
    rights = _starts(width - spec.size, views.spatial)
    shape = (views.temporal, views.spatial, spec.frames, spec.size, spec.size, 3)
    out = np.empty(shape, np.float32)
    for t, frames in enumerate(np.split(resized, views.temporal)):
        for s, (down, right) in enumerate(zip(downs, rights, strict=True)):
            square = frames[:, down : down + spec.size, right : right + spec.size]
            np.add(square * scale, shift, out=out[t, s])
    return out.reshape(-1, *shape[2:])


def view_count(spec: specs.Spec, views: Views) -> int:
    """How many arrays `views` makes of a video."""
    has_own = isinstance(spec, specs.VideoSpec) and spec.clip_s is not None
    return 1 if has_own else views.count


def view_frames(count: int, frames: int, views: Views) -> np.ndarray:
    """Numbers of the frames of all temporal views.

    Args:
      count: frames of the video.
      frames: of one view.
      views: temporal and stride.

    Returns:
      int64 [temporal * frames].
    """
    sampled = np.arange(0, count, views.stride)  # [F]
    sampled = np.pad(sampled, (0, max(frames - len(sampled), 0)), mode="edge")
    starts = _starts(len(sampled) - frames, views.temporal)
    return np.concatenate([sampled[start : start + frames] for start in starts])


def _starts(places: int, count: int) -> list[int]:
    """`count` starts from 0 to `places`, spread evenly; a single one is in the middle."""
    return [i * places // (count - 1) for i in range(count)] if count > 1 else [places // 2]


def _video(modality: str, clip: Clip, spec: specs.VideoSpec) -> np.ndarray:
    del modality
    return video.decode(clip.path, spec, start_s=clip.start_s, end_s=clip.end_s)


def _audio(modality: str, clip: Clip, spec: specs.AudioSpec) -> np.ndarray:
    del modality
    return audio.decode(clip.path, spec, start_s=clip.start_s, end_s=clip.end_s)


def _imu(modality: str, clip: Clip, spec: specs.ImuSpec) -> np.ndarray:
    del modality
    return imu.decode(clip.path, spec, start_s=clip.start_s, end_s=clip.end_s)


def _image(modality: str, clip: Clip, spec: specs.ImageSpec) -> np.ndarray:
    if Path(clip.path).suffix.lower() not in MODALITIES["video"].suffixes:
        return _still(modality, clip, spec)
    middle = clock_lib.Choice(
        lambda count: np.array([count // 2]),
        clip.start_s,
        clip.end_s,
        pixel_aspect="square" if spec.colour == "srgb" else "stored",
        colour=spec.colour,
    )
    return video.choose(clip.path, middle)[0]


def _depth(modality: str, clip: Clip, spec: specs.DepthSpec) -> np.ndarray:
    if clip.is_whole or Path(clip.path).suffix.lower() not in MODALITIES["video"].suffixes:
        return _still(modality, clip, spec)
    stored = depth_film.middle(clip.path, clip.start_s, clip.end_s)
    with depth_film.named(clip.path):
        return preprocess_lib.decode(modality, stored, spec)


def _still(modality: str, clip: Clip, spec: specs.Spec) -> np.ndarray:
    if not clip.is_whole:
        raise errors.DataError(
            clip.path,
            f"is a still picture for {modality}, and has nothing "
            f"{given.window(clip.start_s, clip.end_s)}; leave the window out",
        )
    item = Measured(clip.path, clip.depth_unit) if clip.depth_unit else clip.path
    return preprocess_lib.decode(modality, item, spec)


_DECODERS: dict[str, Callable[..., np.ndarray]] = {
    "video": _video,
    "audio": _audio,
    "image": _image,
    "depth": _depth,
    "imu": _imu,
}
