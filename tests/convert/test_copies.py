"""Copies on the way from a file to the device: exact, and no more of them than needed."""

import itertools

import jax
import ml_dtypes
import numpy as np
import pytest

from lb_jax.convert import lazy, rules

TYPES = (np.float32, np.float16, np.float64, ml_dtypes.bfloat16, np.int64, np.int8)
SHAPES = ((1, 1), (1, 5), (5, 1), (33, 70), (2, 3, 4), (7,))


@pytest.mark.parametrize(("stored", "wanted"), list(itertools.product(TYPES, TYPES[:4])))
def test_a_transposed_copy_equals_numpy(stored, wanted):
    for shape in SHAPES:
        piece = (np.random.default_rng(0).normal(size=shape) * 5).astype(stored).T
        into, expected = lazy.empty(piece.shape, wanted), np.empty(piece.shape, wanted)
        expected[...] = piece
        rules._copy(into, piece)
        assert into.tobytes() == expected.tobytes(), shape


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="a device has memory of its own")
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_jax_takes_a_leaf_over(dtype):
    leaf = lazy.empty((3, 1000), dtype)
    leaf[...] = 1
    assert jax.device_put(leaf).unsafe_buffer_pointer() == leaf.ctypes.data
