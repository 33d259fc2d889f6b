"""GLPN: sizes it takes, blocks in a loop as in a scan, and its doubling."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import conv2d
from lb_jax.models.glpn import Glpn, GlpnConfig, doubled
from tests import generators

CFG = generators.SMALL_GLPN


def run(x, **options):
    make = lambda: Glpn(CFG, rngs=nnx.Rngs(params=0), **options)  # noqa: E731
    graph, _ = nnx.split(nnx.eval_shape(make))
    return jax.jit(lambda x: nnx.merge(graph, generators.drawn_glpn())(x))(x)


def pictures(*shape):
    return np.random.default_rng(0).random((*shape, 3), np.float32)


def test_the_published_network_has_its_61_million_parameters():
    make = lambda: Glpn(GlpnConfig(), rngs=nnx.Rngs(params=0))  # noqa: E731
    leaves = jax.tree.leaves(nnx.split(nnx.eval_shape(make))[1])
    statistics = 2 * 3 * (64 + 32)  # mean and variance of each stage that fuses
    assert sum(leaf.size for leaf in leaves) == 61_220_903 + statistics


@pytest.mark.parametrize("options", [{"scan": False}, {"attention": "head_major"}])
def test_ways_of_computing_are_one_function(options):
    x = pictures(2, 32, 64)
    for found, expected in zip(
        jax.tree.leaves(run(x, **options)), jax.tree.leaves(run(x)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "shape", [(1, 61, 64, 3), (1, 60, 96, 3), (1, 80, 96, 3), (1, 64, 64, 1), (64, 64, 3)]
)
def test_other_sizes_are_refused(shape):
    with pytest.raises(ValueError, match="multiples of 32"):
        run(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"heads": (1, 2, 3, 8)}, "does not split"),
        ({"widths": (4, 8, 10)}, "4 numbers"),
        ({"decoder_width": 5}, "even"),
        ({"max_depth_m": 0.0}, "above 0"),
    ],
)
def test_shapes_that_are_none(change, told):
    with pytest.raises(errors.ConfigError, match=told):
        dataclasses.replace(CFG, **change)


def test_doubling_is_bilinear_with_edges_repeated():
    x = np.array([[0.0, 4.0]], np.float32)[None, ..., None]
    np.testing.assert_array_equal(doubled(jnp.asarray(x))[0, :, :, 0], [[0, 1, 3, 4]] * 2)


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 1), (2, 0), (3, 0)])
@pytest.mark.parametrize("border", conv2d.BORDERS)
def test_a_convolution_is_its_sum(stride, padding, border):
    rng = np.random.default_rng(0)
    x, kernel = rng.random((2, 7, 8, 3), np.float32), rng.random((3, 3, 3, 4), np.float32)
    mode = {} if border == "zeros" else {"mode": "reflect"}
    wide = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)], **mode)
    rows, columns = ((size - 3) // stride + 1 for size in wide.shape[1:3])
    expected = np.zeros((2, rows, columns, 4))
    for i in range(rows):
        for j in range(columns):
            part = wide[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
            expected[:, i, j] = np.einsum("bhwi,hwio->bo", part, kernel)
    found = conv2d.convolve(jnp.asarray(x), jnp.asarray(kernel), stride, padding, border)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_depthwise_is_a_convolution_of_each_channel():
    module = conv2d.Depthwise(4, rngs=nnx.Rngs(params=0), dtype=jnp.float32)
    x = pictures(2, 5, 6)[..., [0, 1, 2, 0]]
    expected = jax.lax.conv_general_dilated(
        x,
        module.kernel[...],
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=4,
    )
    np.testing.assert_allclose(module(jnp.asarray(x)), expected, rtol=0, atol=1e-5)
