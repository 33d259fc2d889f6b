"""Clips of the linear evaluation of MMV on UCF101, out of decoded frames (MMV spec 6.1).

A clip is frames a stride apart; where the film ends it begins again. Training takes clips at drawn
offsets, testing windows spread over the film, resized and cut as TensorFlow does it.
"""

import cv2
import numpy as np

FRAMES, STRIDE, WINDOWS = 32, 2, 10
SHORT_SIDE = CROP = 224


def indices(length: int, offset: int, frames: int = FRAMES, stride: int = STRIDE) -> np.ndarray:
    """Numbers of a clip's frames in a film of so many, int64 [frames]."""
    return (offset + stride * np.arange(frames)) % length


def offsets(length: int, frames: int = FRAMES, stride: int = STRIDE) -> int:
    """Below which number training draws the offset of a clip."""
    span = (frames - 1) * stride
    return length - span if length > span else length


def starts(
    length: int, windows: int = WINDOWS, frames: int = FRAMES, stride: int = STRIDE
) -> np.ndarray:
    """Offsets of the test clips, evenly over the film, int64 [windows]."""
    return np.linspace(0, max(0, length - frames * stride), windows).astype(np.int64)


def resized_shape(height: int, width: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Rows and columns where the shorter side has that length; the other is rounded down."""
    shorter = min(height, width)
    return height * short_side // shorter, width * short_side // shorter


def resize(frames: np.ndarray, short_side: int = SHORT_SIDE) -> np.ndarray:
    """Resizes uint8 [t, h, w, 3], bilinear without antialiasing, fractions of greys cut off."""
    height, width = frames.shape[1:3]
    rows, columns = resized_shape(height, width, short_side)
    if (rows, columns) == (height, width):
        return frames
    resized = [cv2.resize(one.astype(np.float32), (columns, rows)) for one in frames]
    return np.stack(resized).astype(np.uint8)


def centred(frames: np.ndarray, size: int = CROP) -> np.ndarray:
    """Cuts the middle square out of [..., h, w, 3], or fills it up with zeros."""
    for axis in (-3, -2):
        length = frames.shape[axis]
        spare, lack = max(length - size, 0), max(size - length, 0)
        middle = np.arange(min(length, size)) + spare // 2
        padding = [(0, 0)] * frames.ndim
        padding[axis] = (lack // 2, lack - lack // 2)
        frames = np.pad(frames.take(middle, axis), padding)
    return frames


def windows(
    film: np.ndarray,
    *,
    count: int = WINDOWS,
    frames: int = FRAMES,
    stride: int = STRIDE,
    short_side: int = SHORT_SIDE,
    size: int = CROP,
) -> np.ndarray:
    """The test clips of a film.

    Args:
      film: uint8 [t, h, w, 3].
      count, frames, stride: see `starts`.
      short_side: see `resize`.
      size: of the square.

    Returns:
      float32 [count, frames, size, size, 3] in [0, 1].
    """
    cut = centred(resize(film, short_side), size).astype(np.float32) / 255
    length = len(film)
    begin = starts(length, count, frames, stride)
    return np.stack([cut[indices(length, one, frames, stride)] for one in begin])
