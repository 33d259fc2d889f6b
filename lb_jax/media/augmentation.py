"""Augmentation of clips: scale, place and colour, one draw for all frames (MMV spec 2.1).

The values are the defaults of DMVR, the library that the authors of MMV published; those of MMV
itself are not known. Where the library says nothing, what is done here says so.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

from lb_jax.media import image


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How a clip is changed in training.

    Attributes:
      short: of the resized picture, its short side by that of the square cut out of it.
      scale: least and largest factor of height and of width, each its own draw.
      scale_p: probability that the two are drawn; else both are 1.
      colour_p: probability that the colours are changed.
      brightness: most that is added to values of a 0..1 scale, or taken from them.
      saturation: least and largest factor of the saturation.
      contrast: least and largest factor of the distance to the mean of a frame's channel.
      hue: most by which hues turn, in whole turns of the wheel.
    """

    short: float = 224 / 200
    scale: tuple[float, float] = (0.8, 1.2)
    scale_p: float = 0.8
    colour_p: float = 0.8
    brightness: float = 32 / 255
    saturation: tuple[float, float] = (0.6, 1.4)
    contrast: tuple[float, float] = (0.6, 1.4)
    hue: float = 0.2


# By `VideoSpec.augmentation`; "none" is without.
AUGMENTATIONS = {"dmvr": Augmentation()}


@dataclasses.dataclass(frozen=True)
class Colour:
    """A change of colours; that of the fields' defaults changes nothing.

    Attributes:
      brightness: added to values of a 0..1 scale.
      saturation, contrast: factors.
      hue: in whole turns of the wheel.
      contrast_first: whether contrast comes before saturation; they do not commute.
    """

    brightness: float = 0.0
    saturation: float = 1.0
    contrast: float = 1.0
    hue: float = 0.0
    contrast_first: bool = False


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What was drawn for a clip.

    Attributes:
      sides: height and width that its frames are resized to; neither is below the square's side.
      colour: None leaves the colours alone.
    """

    sides: tuple[int, int]
    colour: Colour | None


def draw(
    settings: Augmentation, height: int, width: int, size: int, rng: np.random.Generator
) -> Drawn:
    """Draws the change of a clip; always nine draws.

    Args:
      settings: a row of `AUGMENTATIONS`.
      height, width: of its frames.
      size: side of the square that is cut out of them.
      rng: random generator.
    """
    scales, down, right, colours, first, *changes = rng.random(9).tolist()
    sides = image.resized_sides(height, width, round(settings.short * size))
    if scales < settings.scale_p:
        factors = (_between(settings.scale, one) for one in (down, right))
        # A smaller picture would hold no square; the library does not say what it does then.
        scaled = [max(round(s * f), size) for s, f in zip(sides, factors, strict=True)]
        sides = scaled[0], scaled[1]
    if colours >= settings.colour_p:
        return Drawn(sides, None)
    brightness, saturation, contrast, hue = changes
    return Drawn(
        sides,
        Colour(
            _between((-settings.brightness, settings.brightness), brightness),
            _between(settings.saturation, saturation),
            _between(settings.contrast, contrast),
            _between((-settings.hue, settings.hue), hue),
            first < 0.5,
        ),
    )


def recolour(frames: np.ndarray, colour: Colour) -> np.ndarray:
    """Changes the colours of frames, float32 [t, h, w, 3] of a 0..1 scale.

    Brightness, saturation and contrast in the drawn order, then hue. Values are cut to 0..1 after
    each, for hue and saturation are of values within it.

    Returns:
      float32 [t, h, w, 3].
    """
    middle = (_saturation, _contrast)[:: -1 if colour.contrast_first else 1]
    for change in (_brightness, *middle, _hue):
        frames = np.clip(change(frames, colour), 0, 1)
    return frames


def _brightness(frames: np.ndarray, colour: Colour) -> np.ndarray:
    return frames + np.float32(colour.brightness)


def _contrast(frames: np.ndarray, colour: Colour) -> np.ndarray:
    mean = frames.mean((1, 2), keepdims=True, dtype=np.float64).astype(np.float32)
    return (frames - mean) * np.float32(colour.contrast) + mean


def _saturation(frames: np.ndarray, colour: Colour) -> np.ndarray:
    def change(hsv: np.ndarray) -> None:
        np.clip(hsv[..., 1] * np.float32(colour.saturation), 0, 1, out=hsv[..., 1])

    return _in_hsv(frames, change)


def _hue(frames: np.ndarray, colour: Colour) -> np.ndarray:
    def change(hsv: np.ndarray) -> None:
        np.mod(hsv[..., 0] + np.float32(360 * colour.hue), 360, out=hsv[..., 0])

    return _in_hsv(frames, change)


def _in_hsv(frames: np.ndarray, change: Callable[[np.ndarray], None]) -> np.ndarray:
    """Changes hue [0, 360), saturation and value [0, 1] of RGB of a 0..1 scale."""
    rows = np.ascontiguousarray(frames, np.float32).reshape(-1, frames.shape[2], 3)
    hsv = cv2.cvtColor(rows, cv2.COLOR_RGB2HSV)
    change(hsv)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(frames.shape)


def _between(ends: tuple[float, float], share: float) -> float:
    low, high = ends
    return low + (high - low) * share
