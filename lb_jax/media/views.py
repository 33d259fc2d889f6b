"""Windows of a film and squares of its frames, whose embeddings a model averages (ImageBind 5.2).

Of each window some frames are taken, from its first to its last, and of each frame squares along
its longer side.
"""

import dataclasses
import fractions
import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from lb_jax.media import image, specs

CLOSE_S = 1e-6  # times this close are one: a frame at 185/30 s begins with a window of 6.1666 s


@dataclasses.dataclass(frozen=True)
class Shown:
    """Frames of a stretch of film.

    Attributes:
      seconds: when each is shown, rising.
      begins_s, ends_s: of the stretch.
      rate: frames per second on average, as the container says; None if it does not.
    """

    seconds: Sequence[float]
    begins_s: float
    ends_s: float
    rate: fractions.Fraction | None


def picker(
    spec: specs.VideoSpec, rng: np.random.Generator | None = None
) -> Callable[[Shown], np.ndarray]:
    """Which frames of a stretch are taken: `Shown` -> int64 [clips * frames].

    Args:
      spec: clips, clip_s, frames and bounds.
      rng: draws a window in each of as many equal parts of the places that there are, always as
        many draws as there are clips; None spreads them from the first place to the last.
    """
    draws = None if rng is None else rng.random(spec.clips)
    return functools.partial(_BOUNDS[spec.bounds], spec=spec, draws=draws)


def of_frames(count: int, spec: specs.VideoSpec) -> np.ndarray:
    """Which of frames without times are taken: windows are equal parts of them.

    Returns:
      int64 [clips * frames].
    """
    starts = np.arange(spec.clips) * count // spec.clips
    stops = np.maximum((np.arange(spec.clips) + 1) * count // spec.clips, starts + 1)
    return np.concatenate([_spread(*part, spec) for part in zip(starts, stops, strict=True)])


def shares(clips: int, draws: np.ndarray | None = None) -> np.ndarray:
    """Where windows begin, as shares of the places that there are; a single one in the middle."""
    if draws is not None:
        return (np.arange(clips) + draws) / clips
    return np.arange(clips) / (clips - 1) if clips > 1 else np.array([0.5])


def transform(
    decoded: np.ndarray, spec: specs.VideoSpec, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Resizes the short side (bilinear), cuts squares out and normalises.

    Args:
      decoded: uint8 [clips * frames, h, w, 3].
      spec: size, antialias, mean, std, clips, crops, train_crop and train_flip.
      rng: draws a place in each of as many equal parts of the longer side, and whether all is
        mirrored; always `crops` and one draws. None takes the fixed places.

    Returns:
      float32 [clips * crops, frames, s, s, 3], the squares of a window together.
    """
    draws, flip = None, False
    if rng is not None:
        draws, flip = rng.random(spec.crops), float(rng.random()) < spec.train_flip
    draws = draws if spec.train_crop == "random" else None
    out = joined([squares(frame, spec, draws) for frame in decoded], spec)
    return np.ascontiguousarray(out[..., ::-1, :]) if flip else out


def squares(
    frame: np.ndarray, spec: specs.VideoSpec, draws: np.ndarray | None = None
) -> np.ndarray:
    """One frame, uint8 [h, w, 3], as squares along its longer side, float32 [crops, s, s, 3]."""
    height, width = frame.shape[:2]
    sides = image.resized_sides(height, width, spec.size)
    if spec.bounds == "published":
        long = math.floor(max(height, width) / min(height, width) * spec.size)
        sides = (long, spec.size) if width < height else (spec.size, long)
    resized = image.resize(frame, spec.size, image.KERNELS["bilinear", spec.antialias], sides=sides)
    scale, shift = image.normaliser(spec, white=255.0)
    places = max(sides) - spec.size
    starts = [
        math.ceil(places * share - 1e-9) if draws is None else int((places + 1) * share)
        for share in shares(spec.crops, draws)
    ]
    out = np.empty((spec.crops, spec.size, spec.size, 3), np.float32)
    for place, start in zip(out, starts, strict=True):
        stop = start + spec.size
        shown = resized[start:stop] if sides[0] > spec.size else resized[:, start:stop]
        np.add(shown * scale, shift, out=place)
    return out


def joined(frames: Sequence[np.ndarray], spec: specs.VideoSpec) -> np.ndarray:
    """Frames [crops, s, s, 3] of all windows -> [clips * crops, frames, s, s, 3]."""
    crops, *square = frames[0].shape
    stacked = np.stack(frames).reshape(spec.clips, spec.frames, crops, *square)
    return stacked.swapaxes(1, 2).reshape(spec.clips * crops, spec.frames, *square)


def _exact(shown: Shown, *, spec: specs.VideoSpec, draws: np.ndarray | None) -> np.ndarray:
    """By when frames are shown; where none begins in a window, the one that stands there."""
    seconds = np.asarray(shown.seconds)
    places_s = max(shown.ends_s - shown.begins_s - spec.clip_s, 0.0)
    found = []
    for share in shares(spec.clips, draws):
        start_s = shown.begins_s + share * places_s
        stop_s = start_s + spec.clip_s
        first, last = np.searchsorted(seconds, (start_s - CLOSE_S, stop_s - CLOSE_S))
        first = min(first, max(last - 1, 0))
        found.append(_spread(int(first), max(int(last), int(first) + 1), spec))
    return np.concatenate(found)


def _published(shown: Shown, *, spec: specs.VideoSpec, draws: np.ndarray | None) -> np.ndarray:
    """By numbers of frames at their average rate, as PyTorchVideo counts them."""
    count = len(shown.seconds)
    if shown.rate is None:
        return _exact(shown, spec=spec, draws=draws)
    rate = float(shown.rate)
    places = fractions.Fraction(max(count / rate - spec.clip_s, 0.0))
    found = []
    for number, share in enumerate(shares(spec.clips, draws)):
        start = places * fractions.Fraction(share)
        if draws is None and spec.clips > 1:
            start = places / (spec.clips - 1) * number
        first = math.ceil(rate * start)
        last = min(math.ceil(rate * (start + fractions.Fraction(spec.clip_s))), count)
        found.append(_spread(min(first, last - 1), last, spec))
    return np.concatenate(found)


def _spread(first: int, stop: int, spec: specs.VideoSpec) -> np.ndarray:
    """Numbers from the first to the last of a window, int64 [frames]."""
    return np.linspace(first, stop - 1, spec.frames).astype(np.int64)


_BOUNDS = {"exact": _exact, "published": _published}
