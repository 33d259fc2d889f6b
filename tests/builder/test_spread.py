"""A network on eight devices is that on one, for both generators."""

import jax
import numpy as np
import pytest

from lb_jax.builder import depth, infrared, spread
from lb_jax.core import errors
from tests import generators

DEVICES = {"one": jax.local_devices()[:1], "all": None}


def test_there_are_eight_devices():
    assert jax.local_device_count() == 8


@pytest.mark.parametrize("count", [1, 8, 11])
def test_depth_of_all_devices_is_that_of_one(count):
    frames = np.random.default_rng(0).integers(0, 256, (count, 32, 64, 3), np.uint8)
    one, every = (
        depth.GlpnDepth(
            generators.SMALL_GLPN,
            generators.drawn_glpn(),
            source="drawn",
            devices=devices,
            batch_size=1,
        )
        for devices in DEVICES.values()
    )
    assert (one.batch_size, every.batch_size) == (1, 8)
    assert np.abs(one(frames) - every(frames)).max() <= 1e-5
    assert every(frames).shape == (count, 32, 64)


@pytest.mark.parametrize("count", [1, 8, 11])
def test_infrared_of_all_devices_is_that_of_one(count):
    rng = np.random.default_rng(0)
    pictures = rng.uniform(-1, 1, (count, 16, 20, 3)).astype(np.float32)
    styles = rng.standard_normal((count, 3), np.float32)
    one, every = (
        infrared.Translator(
            generators.SMALL_MUNIT,
            generators.drawn_munit(),
            source="drawn",
            devices=devices,
            batch_size=1,
        )
        for devices in DEVICES.values()
    )
    assert np.abs(one(pictures, styles) - every(pictures, styles)).max() <= 1e-5


def test_a_batch_is_rounded_up_to_the_devices():
    run = spread.Spread(lambda params, x: x + params["a"], {"a": np.ones(3)}, batch_size=9)
    assert run.batch_size == 16
    x = np.arange(60.0, dtype=np.float32).reshape(20, 3)
    np.testing.assert_array_equal(run(x), x + 1)


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_batches_that_are_none(size):
    with pytest.raises(errors.ConfigError, match="batch_size"):
        spread.Spread(lambda params, x: x, {}, batch_size=size)
