"""Several clips of a video for a classifier on frozen features (MMV spec 6.1).

Training looks at a video several times, at drawn places; a test at windows spread evenly over it.
The frame numbers are those of MMV's `eval_ucf101.py`.
"""

import dataclasses
import os

import numpy as np

from lb_jax.core import errors
from lb_jax.media import clips, image, specs, video
from lb_jax.media import clock as clock_lib

FLIP = 0.5  # share of the drawn clips that are mirrored


@dataclasses.dataclass(frozen=True)
class Passes:
    """How clips are taken out of a video.

    Attributes:
      count: clips of each video.
      drawn: whether place, crop and mirroring of each are drawn, as in training; otherwise they are
        windows from the first frame to the last, of which the centre is cut out.
      frames: of a clip. A tower of fewer takes its own number of them, from the first to the last.
      stride: every how manyeth frame of the video is looked at.
      fps: frames per second of the grid that frames are counted on; None counts those of the file.
      longest_s: seconds of a video that are looked at, from its beginning; None is all of it.
      short: pixels that the short side is resized to.
      crop: side of the square that is cut out. A tower of another size keeps the ratio of both.
      seed: of the draws. Beside it they go by the size of the file, so that a video has its own
        wherever it lies and whatever else is embedded.
    """

    count: int = 10
    drawn: bool = False
    frames: int = 32
    stride: int = 2
    fps: float | None = 25.0
    longest_s: float | None = 20.0
    short: int = 224
    crop: int = 224
    seed: int = 0

    def __post_init__(self):
        for name in ("count", "frames", "stride", "crop"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(
                    f"passes: {name} is {getattr(self, name)}, expected at least 1."
                )
        if self.short < self.crop:
            raise errors.ConfigError(
                f"passes: a square of {self.crop} does not fit a short side of {self.short}."
            )

    def starts(self, length: int, draws: np.ndarray) -> np.ndarray:
        """Frames at which the clips begin, int64 [count].

        Args:
          length: frames of the video.
          draws: float in [0, 1) [count]; of windows they are not used.
        """
        if not self.drawn:
            last = max(length - self.frames * self.stride, 0)
            return np.linspace(0, last, self.count).astype(np.int64)
        return (draws * self.places(length)).astype(np.int64)

    def places(self, length: int) -> int:
        """At how many frames of a video of `length` a drawn clip may begin."""
        reach = (self.frames - 1) * self.stride
        return length - reach if length > reach else length

    def numbers(self, length: int, starts: np.ndarray) -> np.ndarray:
        """Numbers of the frames of all clips, int64 [count, frames]; a short video is repeated."""
        return (starts[:, None] + np.arange(self.frames) * self.stride) % length


def arrays(clip: clips.Clip, spec: specs.VideoSpec, given: Passes) -> np.ndarray:
    """The clips of a video as its encoder takes them.

    Args:
      clip: video file and window.
      spec: frames, size, antialias, mean, std, pixel_aspect and colour.
      given: which clips.

    Returns:
      float32 [count, frames, s, s, 3].

    Raises:
      errors.DataError: as `clips.decode`.
    """
    size = os.stat(clip.path).st_size if os.path.isfile(clip.path) else 0
    draws = np.random.default_rng([given.seed, size]).random((given.count, 4))
    short = round(spec.size * given.short / given.crop)
    kernel = image.KERNELS["bilinear", spec.antialias]
    taken = video.frame_indices(given.frames, spec.frames)
    end_s = clip.end_s
    if given.longest_s is not None:
        cut_s = clip.start_s + given.longest_s
        end_s = cut_s if end_s is None else min(end_s, cut_s)

    def pick(length: int) -> np.ndarray:
        starts = given.starts(length, draws[:, 0])
        return given.numbers(length, starts)[:, taken].reshape(-1)

    def shrink(frame: np.ndarray) -> np.ndarray:
        resized = np.clip(image.resize(frame, short, kernel), 0, 255)
        return resized.astype(np.uint8)  # the fraction is cut off, as TensorFlow's cast does

    frames = video.choose(
        clip.path,
        clock_lib.Choice(
            pick,
            clip.start_s,
            end_s,
            keep=shrink,
            pixel_aspect=spec.pixel_aspect,
            colour=spec.colour,
            fps=given.fps,
        ),
    )  # [count * frames, h, w, 3]
    scale, shift = image.normaliser(spec, white=255.0)
    sides = frames.shape[1:3]
    out = np.empty((given.count, spec.frames, spec.size, spec.size, 3), np.float32)
    for place, (shown, draw) in enumerate(zip(np.split(frames, given.count), draws, strict=True)):
        shares = draw[1:3] if given.drawn else (None, None)
        square = shown[:, *(_band(n, spec.size, one) for n, one in zip(sides, shares, strict=True))]
        if given.drawn and draw[3] < FLIP:
            square = square[:, :, ::-1]
        np.add(square * scale, shift, out=out[place])
    return out


def _band(length: int, size: int, share: float | None) -> slice:
    """`size` of `length` pixels: at a share of the places there are, or in the middle for None."""
    places = length - size
    start = places // 2 if share is None else int(share * (places + 1))
    return slice(start, start + size)
