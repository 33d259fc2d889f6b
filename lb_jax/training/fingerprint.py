"""Hashes of arrays computed on their devices: which captions are equal, whether an array changed.

A hash is a sum over elements, modulo 2^32, of each element's bits mixed with its position. Sums of
integers do not depend on their order, so the hash is exact whatever the sharding and nothing but
two words leaves a device. The mixing is one-to-one in the bits: an array in which a single element
of at most 32 bits differs always has another hash; any other change goes unnoticed once in 2^64.
"""

import jax
import jax.numpy as jnp

SEEDS = (0x9E3779B9, 0x85EBCA6B)  # of the two independent words
WORDS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}  # by bytes of an element


def of_array(x: jax.Array) -> jax.Array:
    """Hashes the content of an array of any real dtype: uint32 [2].

    The position is the element's number in row-major order modulo 2^32. Bits count, not values:
    0.0 and -0.0 differ.
    """
    words = _bits(jnp.asarray(x))
    position = jnp.zeros(words.shape, jnp.uint32)
    for axis, size in enumerate(words.shape):  # no reshape: it would move a sharded array
        position = position * jnp.uint32(size) + jax.lax.broadcasted_iota(
            jnp.uint32, words.shape, axis
        )
    return jnp.stack(
        [_mix(words ^ _mix(position + jnp.uint32(seed))).sum(dtype=jnp.uint32) for seed in SEEDS]
    )


def of_rows(x: jax.Array) -> jax.Array:
    """Hashes every row by itself, [b, ...] -> uint32 [b, 2]: ids of captions by their content.

    Rows are token ids, or embeddings that are bitwise equal where the captions are.
    """
    return jax.vmap(of_array)(x)


def _bits(x: jax.Array) -> jax.Array:
    """The bits of every element as uint32; 64-bit elements become two, on a new last axis."""
    if x.dtype == jnp.bool_:
        x = x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, WORDS[x.dtype.itemsize]).astype(jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
    """One-to-one scramble of uint32: each bit of x changes half of the result's.

    The finaliser of MurmurHash3 (public domain, https://github.com/aappleby/smhasher).
    """
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
