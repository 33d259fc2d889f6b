"""MUNIT: sizes, norms by hand, and what a batch is to its pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import munit
from tests import generators

CFG = generators.SMALL_MUNIT


def generator(domain):
    make = lambda: munit.Generator(CFG, rngs=nnx.Rngs(params=0))  # noqa: E731
    graph, _ = nnx.split(nnx.eval_shape(make))
    return nnx.merge(graph, generators.drawn_munit()[domain])


def translate(x, style):
    a, b = map(generator, "ab")
    run = lambda x, style: munit.translate(b.content, a.mlp, a.decoder, x, style)  # noqa: E731
    return jax.jit(run)(x, style)


def pictures(*shape):
    return np.random.default_rng(0).uniform(-1, 1, (*shape, 3)).astype(np.float32)


def test_the_published_generator_has_its_15_million_parameters():
    make = lambda: munit.Generator(munit.MunitConfig(), rngs=nnx.Rngs(params=0))  # noqa: E731
    leaves = jax.tree.leaves(nnx.split(nnx.eval_shape(make))[1])
    assert sum(leaf.size for leaf in leaves) == 15_026_187


def test_a_batch_gives_what_pictures_give():
    x, style = pictures(3, 16, 20), np.random.default_rng(1).random((3, 3), np.float32)
    together = translate(x, style)
    for i in range(3):
        np.testing.assert_allclose(
            together[i], translate(x[i : i + 1], style[i : i + 1])[0], rtol=0, atol=1e-5
        )


def test_a_rest_of_the_sides_is_cut_off():
    assert translate(pictures(1, 17, 21), np.zeros((1, 3), np.float32)).shape == (1, 16, 20, 3)


@pytest.mark.parametrize("shape", [(1, 3, 16, 3), (1, 16, 16, 1), (16, 16, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="sides"):
        translate(np.zeros(shape, np.float32), np.zeros((1, 3), np.float32))


def test_a_shape_that_is_none():
    with pytest.raises(errors.ConfigError, match="blocks 0"):
        munit.MunitConfig(blocks=0)


def test_norm_of_a_picture_by_hand():
    x = pictures(2, 4, 5)
    norm = munit.PictureNorm(3, dtype=jnp.float32)
    expected = [(one - one.mean()) / (one.std(ddof=1) + 1e-5) for one in x.astype(np.float64)]
    np.testing.assert_allclose(norm(jnp.asarray(x)), expected, rtol=0, atol=2e-6)


def test_norm_of_an_instance_by_hand():
    x = pictures(2, 4, 5).astype(np.float64)
    expected = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    found = munit.instance_norm(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
