"""A few out of many in a row: one of each chunk (VALOR spec 2.1, 2.2), or a run (MMV spec 2.1)."""

from collections.abc import Sequence

import numpy as np


def choose(available: int, wanted: int, draws: np.ndarray | None = None) -> np.ndarray:
    """Cuts the numbers below `available` into consecutive chunks and takes one of each.

    Chunk sizes differ by at most one, the longer ones come first. Where there are fewer than
    wanted, the last one is repeated.

    Args:
      available: how many there are, at least 1.
      wanted: how many are taken.
      draws: float [wanted] in [0, 1), the place inside each chunk, in training; None takes the
        middle one, of an even number the one before it.

    Returns:
      int64 [wanted], not falling.
    """
    sizes = np.full(wanted, max(available, wanted) // wanted)
    sizes[: max(available, wanted) % wanted] += 1
    starts = np.cumsum(sizes) - sizes
    inside = (sizes + 1) // 2 - 1 if draws is None else (np.asarray(draws) * sizes).astype(np.int64)
    return np.minimum(starts + inside, available - 1)


def run(available: int, wanted: int, draw: float | None = None) -> np.ndarray:
    """Takes numbers below `available` that follow each other, from the first again at the end.

    Args:
      available: how many there are, at least 1.
      wanted: how many are taken.
      draw: in [0, 1), the place of the run, in training; None takes the middle.

    Returns:
      int64 [wanted].
    """
    places = max(available - wanted, 0) + 1
    start = (places - 1) // 2 if draw is None else int(draw * places)
    return (start + np.arange(wanted)) % available


def on_grid(seconds: Sequence[float], begins_s: float, ends_s: float, fps: float) -> np.ndarray:
    """Which frames a grid of so many a second shows, as FFmpeg's filter `fps` takes them.

    Place k of the grid shows the last frame that begins before (k + 1/2) / fps; there are as many
    places as the length has, rounded.

    Args:
      seconds: when frames are shown, rising, at least one.
      begins_s, ends_s: of the grid.
      fps: its places per second.

    Returns:
      Numbers of frames, int64 [n], not falling, at least one.
    """
    count = max(int((ends_s - begins_s) * fps + 0.5), 1)
    places_s = begins_s + (np.arange(count) + 0.5) / fps
    return np.maximum(np.searchsorted(np.asarray(seconds), places_s) - 1, 0)
