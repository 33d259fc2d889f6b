"""GLPN and MUNIT against the numbers of the originals (golden README of vidal_generators)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.convert import glpn as glpn_files
from lb_jax.convert import munit as munit_files
from lb_jax.models import munit
from lb_jax.models.glpn import Glpn
from tests import generators as golden

pytestmark = [pytest.mark.golden, golden.needs_folder]


@functools.cache
def depth():
    """The network as a function of pictures."""
    cfg, params = glpn_files.load(golden.GLPN)
    graph, _ = nnx.split(nnx.eval_shape(lambda: Glpn(cfg, rngs=nnx.Rngs(params=0))))
    run = jax.jit(lambda x: nnx.merge(graph, params)(x))
    return lambda x: run(jnp.asarray(x))


@functools.cache
def translator(domain):
    """A generator, its functions compiled by whoever calls them."""
    cfg, params = munit_files.load(golden.MUNIT)
    graph, _ = nnx.split(nnx.eval_shape(lambda: munit.Generator(cfg, rngs=nnx.Rngs(params=0))))
    return nnx.merge(graph, params[domain])


@pytest.mark.parametrize("case", golden.cases(golden.GLPN, "small_"))
def test_every_stage_of_glpn(case):
    found = depth()(golden.last(golden.io(golden.GLPN, f"{case}/pixel_values")))
    for name, stages in (("hidden", found.hidden), ("decoder", found.fused)):
        for i, stage in enumerate(stages):
            expected = golden.last(golden.io(golden.GLPN, f"{case}/{name}_{i}"))
            assert golden.gap(stage, expected) <= 2e-5, (name, i)
    assert golden.gap(found.depth, golden.io(golden.GLPN, f"{case}/depth")) <= 3e-4


@pytest.mark.parametrize("case", golden.cases(golden.MUNIT, "small_"))
def test_codes_and_pictures_of_munit(case):
    a, b = map(translator, munit_files.DOMAINS)

    def given(name):
        return golden.io(golden.MUNIT, f"{case}/{name}")

    def require(found, name, bar):
        expected = given(name)
        expected = expected[..., 0, 0] if name.startswith("style") else expected
        expected = golden.last(expected) if expected.ndim == 4 else expected
        assert golden.gap(found, expected) <= bar, name

    images, style = jnp.asarray(golden.last(given("images"))), given("style")[..., 0, 0]
    content_b, style_b = jax.jit(b.content)(images), jax.jit(b.style)(images)
    require(content_b, "content_b", 1e-4)
    require(style_b, "style_b", 2e-6)
    require(a.mlp(style), "adain_a", 5e-6)
    decoded_a = jax.jit(a.decode)(content_b, style)
    require(decoded_a, "decoded_a", 3e-5)
    require(jax.jit(b.decode)(content_b, style_b), "recon_b", 3e-5)
    content_a = jax.jit(a.content)(decoded_a)
    require(content_a, "content_a", 4e-4)
    require(jax.jit(a.style)(decoded_a), "style_a", 2e-6)
    require(jax.jit(b.decode)(content_a, style), "decoded_b", 1e-4)
    both = munit.translate(b.content, a.mlp, a.decoder, images, style)
    require(np.asarray(both), "decoded_a", 3e-5)
