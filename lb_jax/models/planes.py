"""Convolutions of any number of axes out of what XLA's CPU backend computes fast, both ways.

Those are products of matrices and convolutions of planes (two axes); its convolutions in space and
time take up to ten times as long, and so does the gradient of a kernel of one place or along one
axis. Gradients of planes with many channels are products as well: XLA's take up to three times as
long. docs/benchmarks.md has the figures.
"""

import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp

MANY = 96 * 128  # channels before times those behind, from which on products are faster


def convolve(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """[b, *places, i], [*window, i, o] -> [b, *places / strides, o]; borders as SAME."""
    window = kernel.shape[:-2]
    if math.prod(window) == 1:
        return _of_places(x, kernel, strides)
    if math.prod(window[1:]) == 1:
        return _along_the_first_axis(x, kernel, strides)
    if len(window) == 2:
        return _of_planes(x, kernel, strides)
    return _of_frames(x, kernel, strides)


def _of_places(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """One place sees itself: a product of two matrices."""
    x = x[:, *(slice(None, None, step) for step in strides)]
    y = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
    return y.reshape(*x.shape[:-1], -1)


def _along_the_first_axis(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """A product for each place of the window."""
    seen = shifts(x, 1, len(kernel), strides[0])
    rest = (1, *strides[1:])
    return functools.reduce(
        operator.add, (_of_places(*one, rest) for one in zip(seen, kernel, strict=True))
    )


def _of_planes(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    if math.prod(strides) == 1 and math.prod(kernel.shape[-2:]) >= MANY:
        return _of_many_channels(x, kernel)
    return _plain(x, kernel, strides)


def _plain(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)


@jax.custom_vjp
def _of_many_channels(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """As `_plain` at every place; its gradients are products for each place of the window."""
    return _plain(x, kernel, (1, 1))


def _seen(x: jax.Array, window: Sequence[int]) -> list[jax.Array]:
    """What each place of a window sees, rows first."""
    return [one for rows in shifts(x, 1, window[0], 1) for one in shifts(rows, 2, window[1], 1)]


def _keep(x: jax.Array, kernel: jax.Array):
    return _of_many_channels(x, kernel), (x, kernel)


def _gradients(kept, gradient: jax.Array):
    x, kernel = kept
    window, (inputs, outputs) = kernel.shape[:2], kernel.shape[2:]
    flat = gradient.reshape(-1, outputs)
    of_kernel = [one.reshape(-1, inputs).T @ flat for one in _seen(x, window)]
    places = kernel.reshape(-1, inputs, outputs)
    parts = [(flat @ one.T).reshape(x.shape) for one in places]
    spread = jax.linear_transpose(lambda x: _seen(x, window), x)
    return spread(parts)[0], jnp.stack(of_kernel).reshape(kernel.shape)


_of_many_channels.defvjp(_keep, _gradients)


def _of_frames(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """The frames that a window sees lie beside each other as channels; each is one picture."""
    x = jnp.concatenate(shifts(x, 1, len(kernel), strides[0]), -1)  # [b, t', h, w, t i]
    kernel = jnp.concatenate(list(kernel), -2)  # [h, w, t i, o]
    y = _of_planes(x.reshape(-1, *x.shape[2:]), kernel, strides[1:])
    return y.reshape(*x.shape[:2], *y.shape[1:])


def shifts(
    x: jax.Array, axis: int, window: int, stride: int, border: float = 0.0
) -> list[jax.Array]:
    """What a window sees along an axis: for each of its places, what lies there at every step.

    Args:
      x: any array.
      axis: along which the window moves, by `stride`.
      window: its places.
      stride: of it.
      border: what lies beyond both ends, as many places as SAME has.
    """
    size = x.shape[axis]
    steps = -(-size // stride)
    missing = max((steps - 1) * stride + window - size, 0)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (missing // 2, missing - missing // 2)
    x = jnp.pad(x, widths, constant_values=border)
    return [
        jax.lax.slice_in_dim(x, i, i + (steps - 1) * stride + 1, stride, axis)
        for i in range(window)
    ]
