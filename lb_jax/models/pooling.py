"""The largest of each window, axis by axis; XLA's CPU backend is slow at its own gradient of it.

The same function as `convolution.max_pool`, ties included: the gradient goes to the first of the
largest. docs/benchmarks.md has the figures.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from lb_jax.models.planes import shifts


def max_pool(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
    """[b, *places, c] -> [b, *places / strides, c]; borders as SAME."""
    for axis in reversed(range(len(window))):  # of several largest ones the first in every axis
        if window[axis] > 1 or strides[axis] > 1:
            x = _along(x, axis + 1, window[axis], strides[axis])
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _along(x: jax.Array, axis: int, window: int, stride: int) -> jax.Array:
    return functools.reduce(jnp.maximum, shifts(x, axis, window, stride, -jnp.inf))


def _forward(x: jax.Array, axis: int, window: int, stride: int):
    largest = _along(x, axis, window, stride)
    return largest, (x, largest)


def _backward(axis: int, window: int, stride: int, kept, gradient: jax.Array):
    x, largest = kept
    is_found, parts = jnp.zeros(largest.shape, bool), []
    for seen in shifts(x, axis, window, stride, -jnp.inf):
        is_first = (seen == largest) & ~is_found
        parts.append(jnp.where(is_first, gradient, 0))
        is_found |= is_first
    spread = jax.linear_transpose(lambda x: shifts(x, axis, window, stride), x)
    return spread(parts)


_along.defvjp(_forward, _backward)
