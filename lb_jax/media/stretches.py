"""Stretches of films for what sees and hears at once: where they lie, cut out of all modalities.

Times are seconds from where the file begins to be shown, its sound included, so what is seen and
what is heard of a stretch belong together. Unlike `clips`, which benchmarks name by their files,
these are also of bytes, as packed corpora hold them.
"""

import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from lb_jax.core import errors
from lb_jax.media import audio, given, specs, tracks, video


@dataclasses.dataclass(frozen=True)
class Stretch:
    """What of a film or sound is taken.

    Attributes:
      media: path or bytes of the file.
      start_s, end_s: in seconds.
    """

    media: str | os.PathLike | bytes
    start_s: float
    end_s: float


def drawn(film_s: float, clip_s: float, draw: float) -> float:
    """Where a stretch of training begins, in seconds.

    Args:
      film_s: length of the film; a shorter one than the stretch is taken from its beginning.
      clip_s: length of the stretch.
      draw: in [0, 1), the share of the places there are.
    """
    return max(film_s - clip_s, 0.0) * draw


def evenly(film_s: float, clip_s: float, count: int) -> list[float]:
    """Where so many stretches begin, from the first that there is to the last, in seconds.

    A single one lies in the middle.
    """
    last_s = max(film_s - clip_s, 0.0)
    return np.linspace(0, last_s, count).tolist() if count > 1 else [last_s / 2]


def length_s(film: given.Media) -> float:
    """How long the pictures of a film last, by its container.

    Raises:
      errors.DataError: no film, or one whose container does not say.
    """
    found = tracks.duration_s(_timed(film), "video")
    if found is None:
        raise errors.DataError(
            given.describe(film), "does not say how long it lasts; convert it to mp4"
        )
    return found


def cut(media: Mapping[str, given.Media], start_s: float, clip_s: float) -> dict[str, Stretch]:
    """The same stretch of every file of an item.

    Args:
      media: modality -> path or bytes of its file; a film is its own sound.
      start_s: where it begins, in seconds.
      clip_s: its length.

    Raises:
      errors.DataError: something that has no times.
    """
    return {
        modality: Stretch(_timed(one), start_s, start_s + clip_s) for modality, one in media.items()
    }


def decode(modality: str, stretch: Stretch, spec: specs.Spec) -> np.ndarray:
    """Decodes a stretch to the compact form of its modality, see `video.decode`, `audio.decode`.

    Raises:
      errors.DataError: the file cannot be used, or nothing of it lies there.
      errors.ConfigError: a modality without times.
    """
    within = {"start_s": stretch.start_s, "end_s": stretch.end_s}
    match spec:
        case specs.VideoSpec():
            return video.decode(stretch.media, spec, **within)
        case specs.AudioSpec():
            return audio.decode(stretch.media, spec, **within)
    raise errors.ConfigError(f"a stretch is of video or audio; {modality} has no time.")


def _timed(media: given.Media) -> str | os.PathLike | bytes:
    if not isinstance(media, str | os.PathLike | bytes):
        raise errors.DataError(given.describe(media), "has no times; expected a film or a sound")
    return media
