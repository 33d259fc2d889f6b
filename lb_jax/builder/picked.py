"""Which frames of a film depth and infrared are made of, and how they are read."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from lb_jax.core import errors, fields
from lb_jax.media import clock, given, video

# How many there are and how many are wanted -> numbers, int64 [wanted].
RULES: dict[str, Callable[[int, int], np.ndarray]] = {
    # one at the beginning of each of so many equal parts
    "even": lambda available, wanted: np.arange(wanted) * available // wanted,
    # LanguageBind's scripts: a film of fewer frames than wanted is its first one throughout
    "script": lambda available, wanted: np.arange(wanted) * (available // wanted),
}


@dataclasses.dataclass(frozen=True)
class Frames:
    """Frames of a film.

    Attributes:
      count: how many.
      rule: a row of `RULES`.
      as_stored: whether pixels that are not square, HDR and wide gamuts are taken as they lie in
        the file; otherwise frames are what players show.
    """

    count: int = 8
    rule: str = "even"
    as_stored: bool = False

    def __post_init__(self):
        fields.require(self.count >= 1, f"frames is {self.count}, expected at least 1.")
        fields.require_choice("rule", self.rule, tuple(RULES))

    def numbers(self, available: int) -> np.ndarray:
        """Their numbers in a film of so many frames, int64 [count]."""
        return RULES[self.rule](available, self.count)


USUAL = Frames()


def read(media: given.Media, frames: Frames) -> np.ndarray:
    """Decodes frames of a film, upright: uint8 [count, h, w, 3], RGB.

    Args:
      media: path or bytes of a film, or all of its frames, uint8 [t, h, w, 3].
      frames: which.

    Raises:
      DataError: when it cannot be decoded or has no frames.
    """
    if isinstance(media, np.ndarray):
        if media.dtype != np.uint8 or media.ndim != 4 or media.shape[-1] != 3 or not media.size:
            raise errors.DataError(
                given.describe(media), "expected frames as a uint8 array [t, h, w, 3]"
            )
        return media[frames.numbers(len(media))]
    seen = {"pixel_aspect": "stored", "colour": "stored"} if frames.as_stored else {}
    choice = clock.Choice(functools.partial(Frames.numbers, frames), **seen)
    return video.choose(media, choice)
