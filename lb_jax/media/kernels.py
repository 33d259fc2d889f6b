"""Resizing of planes by kernels, as products with the kernels' weights."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Outputs computed by one multiplication: few enough that their weights are mostly not zero.
BAND = 16
# From twice as many multiplications on OpenBLAS uses a second thread (interface/gemm.c).
PRODUCT = (1 << 19) - 1
UNROLLED = 48  # rows that its kernels take at once divide it: parts round as the whole does


class Kernel(NamedTuple):
    """A resampling kernel.

    Attributes:
      weight: distance in pixels, float64 [...] -> weight, same shape.
      radius: distance from which the weight is 0.
      antialias: whether it widens when shrinking.
    """

    weight: Callable[[np.ndarray], np.ndarray]
    radius: int
    antialias: bool


def _cubic(a: float) -> Callable[[np.ndarray], np.ndarray]:
    """Returns Keys' cubic convolution kernel (1981, equation 4), whose slope at 1 is `a`."""

    def weight(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x**2 + 1
        far = a * (((x - 5) * x + 8) * x - 4)
        return np.where(x < 1, near, np.where(x < 2, far, 0))

    return weight


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


# (name, antialias) -> kernel. torch interpolates with the cubic of OpenCV, or antialiased with that
# of Pillow.
KERNELS = {
    ("bicubic", False): Kernel(_cubic(-0.75), 2, False),
    ("bicubic", True): Kernel(_cubic(-0.5), 2, True),
    ("bilinear", False): Kernel(_triangle, 1, False),
    ("bilinear", True): Kernel(_triangle, 1, True),
}


class Band(NamedTuple):
    """Neighbouring outputs of a resize along one axis.

    Attributes:
      start, stop: the inputs that they are sums of.
      weights: float32 [outputs, stop - start].
    """

    start: int
    stop: int
    weights: np.ndarray


@functools.lru_cache(maxsize=256)  # a corpus has few sizes of pictures
def bands(kernel: Kernel, before: int, after: int, first: int, count: int) -> tuple[Band, ...]:
    """Weights of outputs `first` to `first + count` of a resize from `before` to `after` pixels.

    The antialiased kernel leaves out what lies beyond the edge, the other repeats the edge (spec
    5.1).
    """
    step = before / after
    width = max(step, 1.0) if kernel.antialias else 1.0
    reach = int(np.ceil(kernel.radius * width))
    found = []
    for start in range(first, first + count, BAND):
        centres = (np.arange(start, min(start + BAND, first + count)) + 0.5) * step  # [n]
        taps = np.floor(centres).astype(int)[:, None] + np.arange(-reach - 1, reach + 2)
        weights = kernel.weight((taps + 0.5 - centres[:, None]) / width)  # [n, taps]
        inside = np.clip(taps, 0, before - 1)
        if kernel.antialias:
            weights = np.where(inside == taps, weights, 0)
        low, high = int(inside.min()), int(inside.max()) + 1
        dense = np.zeros((len(centres), high - low))
        np.add.at(dense, (np.arange(len(centres))[:, None], inside - low), weights)
        dense /= dense.sum(axis=1, keepdims=True)
        found.append(Band(low, high, dense.astype(np.float32)))
    return tuple(found)


def resize(plane: np.ndarray, down: tuple[Band, ...], right: tuple[Band, ...]) -> np.ndarray:
    """Resizes what the bands show, float32 [h, w] -> [h', w']."""
    top, left = down[0].start, right[0].start
    narrow = np.concatenate(
        [_product(plane[:, b.start - left : b.stop - left], b.weights.T) for b in right], axis=1
    )
    return np.concatenate([_product(b.weights, narrow[b.start - top : b.stop - top]) for b in down])


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b, float32 [n, k] and [k, m], the same bit by bit however many threads BLAS has.

    OpenBLAS cuts a large product into a part for each thread, and rounds otherwise where its parts
    end: so it gets small ones.
    """
    longer = max(len(a), b.shape[1])
    size = max(PRODUCT // (a.size * b.shape[1] // longer) // UNROLLED, 1) * UNROLLED
    if longer <= size:
        return a @ b
    out = np.empty((len(a), b.shape[1]), np.float32)
    for part in (slice(start, start + size) for start in range(0, longer, size)):
        if len(a) == longer:
            np.matmul(a[part], b, out=out[part])
        else:
            np.matmul(a, b[:, part], out=out[:, part])
    return out
