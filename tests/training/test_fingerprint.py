"""Content hashes: any change shows, no sharding does."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from lb_jax.training import fingerprint, sharding

DTYPES = (jnp.float32, jnp.bfloat16, jnp.float16, jnp.int32, jnp.uint8, jnp.int8, jnp.bool_)
of_array, of_rows = jax.jit(fingerprint.of_array), jax.jit(fingerprint.of_rows)


def values(dtype, shape=(8, 6)):
    x = 3 * jax.random.normal(jax.random.key(0), shape)
    return np.array(x > 0 if dtype == jnp.bool_ else x.astype(dtype))


def same(a, b):
    return bool((of_array(a) == of_array(b)).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_one_flipped_bit_changes_both_words(dtype):
    x = values(dtype)
    before = of_array(x)
    bits = 1 if dtype == jnp.bool_ else 8 * x.dtype.itemsize
    for byte, bit in itertools.product(range(0, x.nbytes, 7), range(min(bits, 8))):
        damaged = x.copy()
        damaged.view(np.uint8).reshape(-1)[byte] ^= 1 << bit
        assert (of_array(damaged) != before).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_two_swapped_elements_change_the_hash(dtype):
    x = values(dtype)
    for i, j in [((0, 0), (0, 1)), ((0, 0), (7, 5)), ((2, 3), (3, 2))]:
        swapped = x.copy()
        swapped[i], swapped[j] = x[j], x[i]
        assert same(x, swapped) == (x[i] == x[j])


def test_zeros_of_both_signs_differ():
    assert not same(np.zeros(3, np.float32), np.array([0, -0.0, 0], np.float32))


def test_not_a_number_equals_itself():
    x = np.array([np.nan, 1], np.float32)
    assert same(x, x.copy())


def test_scalars_and_empty_arrays_have_a_hash():
    assert of_array(np.float32(2)).shape == of_array(np.zeros((0, 3), np.float32)).shape == (2,)
    assert not same(np.float32(2), np.float32(3))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("spec", [("data",), (None, "fsdp"), (("data", "fsdp"), "tensor")], ids=str)
def test_sharding_does_not_show(dtype, spec):
    mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
    x = values(dtype)
    placed = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*spec)))
    np.testing.assert_array_equal(of_array(placed), of_array(x))


def test_sharded_array_stays_where_it_is():
    """Only the two words are exchanged between devices."""
    mesh = sharding.make_mesh({"data": 2, "fsdp": 4, "tensor": 1})
    x = jax.device_put(values(jnp.float32), NamedSharding(mesh, PartitionSpec("fsdp", "data")))
    compiled = of_array.lower(x).compile().as_text()
    assert "all-reduce" in compiled
    assert "all-gather" not in compiled
    assert "collective-permute" not in compiled


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.float32])
def test_equal_rows_have_equal_ids(dtype):
    rows = values(dtype, (50, 7))
    rows[30], rows[41] = rows[3], rows[3]
    ids = np.asarray(of_rows(rows))
    assert ids.shape == (50, 2)
    equal = (ids[:, None] == ids[None]).all(-1)
    np.testing.assert_array_equal(equal, (rows[:, None] == rows[None]).all(-1))


def test_ids_collide_no_more_often_than_random_words():
    """2^16 captions that differ in little: 0.5 equal pairs expected in either word."""
    rows = np.zeros((2**16, 5), np.int32)
    rows[:, 1:3] = np.stack(np.divmod(np.arange(2**16), 256), axis=1)
    ids = np.asarray(of_rows(rows))
    for word in ids.T:
        assert len(rows) - len(np.unique(word)) <= 8
    assert len(np.unique(ids, axis=0)) == len(rows)
