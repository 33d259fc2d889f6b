"""Batches joined and cut so that no row leaves its device.

A batch [B, ...] lies on d devices in d runs of B / d rows, so every array is handled as
[d, B / d, ...] and only the second axis is touched.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange


def concatenate(parts: Sequence[jax.Array], devices: int) -> jax.Array:
    """Joins batches into one in which every device's rows are those it had, part after part."""
    runs = [rearrange(one, "(d b) ... -> d b ...", d=devices) for one in parts]
    return rearrange(jnp.concatenate(runs, axis=1), "d b ... -> (d b) ...")


def split(x: jax.Array, sizes: Sequence[int], devices: int) -> list[jax.Array]:
    """Inverse of `concatenate` for parts of the given sizes."""
    runs = rearrange(x, "(d b) ... -> d b ...", d=devices)
    ends = np.cumsum(sizes)[:-1] // devices
    return [rearrange(one, "d b ... -> (d b) ...") for one in jnp.split(runs, ends, axis=1)]


def cut(x: jax.Array, parts: int, devices: int) -> jax.Array:
    """Cuts a batch [B, ...] into equal parts [a, B / a, ...], each evenly on all devices."""
    return rearrange(x, "(d a b) ... -> a (d b) ...", a=parts, d=devices)


def join(x: jax.Array, devices: int) -> jax.Array:
    """Inverse of `cut`: the rows in their first order."""
    return rearrange(x, "a (d b) ... -> (d a b) ...", d=devices)
