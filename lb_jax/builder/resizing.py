"""Sides and resizes on the way from a frame to a network, and from it to a written picture."""

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from lb_jax.core import fields
from lb_jax.media import kernels

Sides = tuple[int, int]  # height, width


def _script(height: int, width: int, short: int) -> Sides:
    # the order of LanguageBind's operations: some sizes lose a pixel by it
    if height < width:
        return short, int(width * (short / height))
    return int(height * (short / width)), short


def _rounded(height: int, width: int, short: int) -> Sides:
    least = min(height, width)
    return round(height * short / least), round(width * short / least)


# Height, width and the short side wanted -> height and width.
RULES: dict[str, Callable[[int, int, int], Sides]] = {"rounded": _rounded, "script": _script}


def fitting(height: int, width: int, *, short: int, longest: int, multiple: int) -> Sides:
    """Sides that keep the shape, as far as multiples can.

    Args:
      height, width: of the picture.
      short: of the result, about, unless it would then be too long.
      longest: that its longer side may be, about.
      multiple: what both sides are multiples of.
    """
    scale = min(short / min(height, width), longest / max(height, width))
    down, right = (max(round(side * scale / multiple), 1) for side in (height, width))
    return down * multiple, right * multiple


def require_kernel(name: str, antialias: bool) -> None:
    """Raises `ConfigError` for no row of `media.kernels.KERNELS`."""
    fields.require_choice("kernel", name, tuple(dict.fromkeys(one for one, _ in kernels.KERNELS)))
    fields.require(isinstance(antialias, bool), f"antialias is {antialias!r}; give True or False.")


def by_opencv(frame: np.ndarray, sides: Sides) -> np.ndarray:
    """OpenCV's bilinear resize, without antialias: uint8 [h, w, 3] -> [h', w', 3]."""
    return cv2.resize(frame, sides[::-1], interpolation=cv2.INTER_LINEAR)


def by_pillow(frame: np.ndarray, sides: Sides) -> np.ndarray:
    """Pillow's bilinear resize, antialiased: uint8 [h, w, 3] -> [h', w', 3]."""
    resized = Image.fromarray(frame).resize(sides[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


def by_weights(x: np.ndarray, sides: Sides, kernel: str, antialias: bool) -> np.ndarray:
    """Two products with a kernel's weights: float32 [h, w] or [h, w, c] -> [h', w'] and so on.

    Half-pixel centres. Without antialias the edge is repeated, with it left out, as torch does.
    """
    chosen = kernels.KERNELS[kernel, antialias]
    down, right = (
        kernels.bands(chosen, before, after, 0, after)
        for before, after in zip(x.shape[:2], sides, strict=True)
    )
    if x.ndim == 2:
        return kernels.resize(np.ascontiguousarray(x, np.float32), down, right)
    planes = (np.ascontiguousarray(x[..., c], np.float32) for c in range(x.shape[-1]))
    return np.stack([kernels.resize(plane, down, right) for plane in planes], axis=-1)
