"""Linear with LoRA, norms, activations against their formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import paths
from lb_jax.models import layers
from lb_jax.models.lora import LoraConfig, merge_lora


def linear(lora: LoraConfig | None, key: int = 0) -> layers.Linear:
    return layers.Linear(5, 3, rngs=nnx.Rngs(params=key), dtype=jnp.float32, lora=lora)


def with_random_factors(layer: layers.Linear) -> layers.Linear:
    layer.lora_b[...] = jax.random.normal(jax.random.key(7), layer.lora_b.shape)
    return layer


def test_lora_starts_as_the_identity():
    x = jnp.ones((2, 5))
    layer = linear(LoraConfig(rank=2))
    np.testing.assert_array_equal(layer(x), x @ layer.kernel[...] + layer.bias[...])


def test_lora_adds_alpha_over_rank_times_the_product():
    layer = with_random_factors(linear(LoraConfig(rank=2, alpha=6)))
    x = jax.random.normal(jax.random.key(1), (4, 5))
    expected = (
        x @ (layer.kernel[...] + 3.0 * layer.lora_a[...] @ layer.lora_b[...]) + layer.bias[...]
    )
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_merged_kernel_computes_the_same():
    lora = LoraConfig(rank=2, alpha=6)
    layer = with_random_factors(linear(lora))
    _, state = nnx.split(layer)
    merged = merge_lora({"layer": nnx.to_pure_dict(state)}, lora)
    assert sorted(paths.flatten(merged)) == ["layer/bias", "layer/kernel"]
    x = jax.random.normal(jax.random.key(1), (4, 5))
    np.testing.assert_allclose(
        x @ merged["layer"]["kernel"] + merged["layer"]["bias"], layer(x), atol=1e-5
    )


def test_lora_dropout_touches_only_the_adapter_and_keeps_its_mean():
    layer = with_random_factors(linear(LoraConfig(rank=2, dropout=0.5)))
    x = jnp.ones((1, 5))
    runs = jnp.stack([layer(x, key=jax.random.key(i))[0] for i in range(400)])
    assert runs.std() > 0.1
    standard_error = runs.std(0) / 20
    assert (jnp.abs(runs.mean(0) - layer(x)[0]) < 4 * standard_error).all()
    np.testing.assert_array_equal(layer(x, key=None), layer(x))


def test_layer_norm_equals_its_formula():
    x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    norm = layers.LayerNorm(8, dtype=jnp.float32)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(norm(x), expected, atol=1e-5)


def test_a_layer_norm_may_have_another_epsilon():
    x = jnp.array([[1e-3, -1e-3]])  # of variance 1e-6
    usual, small = (
        layers.LayerNorm(2, dtype=jnp.float32, **more)(x) for more in ({}, {"epsilon": 1e-12})
    )
    np.testing.assert_allclose(usual[0, 0], 1e-3 / np.sqrt(1e-6 + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(small[0, 0], 1.0, rtol=1e-5)


def test_both_gelus_differ_and_equal_their_formulas():
    x = jnp.linspace(-3, 3, 13)
    np.testing.assert_allclose(
        layers.ACTIVATIONS["gelu"](x), x * jax.scipy.stats.norm.cdf(x), atol=1e-6
    )
    np.testing.assert_allclose(
        layers.ACTIVATIONS["quick_gelu"](x), x / (1 + jnp.exp(-1.702 * x)), atol=1e-6
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [None, (1, 3, 7, 7), (2, 1, 7, 7)])
def test_ways_to_compute_attention_agree_in_value_and_gradient(causal, bias):
    q, k, v, g = jax.random.normal(jax.random.key(0), (4, 2, 7, 3, 4))
    added = [] if bias is None else [jax.random.normal(jax.random.key(1), bias)]

    def value_and_gradient(name):
        attend = functools.partial(layers.ATTENTION[name], is_causal=causal)
        value, gradient = jax.vjp(attend, q, k, v, *added)
        return value, gradient(g)

    expected = value_and_gradient("xla")
    for a, b in zip(
        jax.tree.leaves(value_and_gradient("head_major")), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("name", ["xla", "head_major"])
def test_attention_equals_the_loop_over_heads(name):
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    options = {"dtype": jnp.float32, "causal": True, "attention": name}
    attention = layers.Attention(8, 2, rngs=nnx.Rngs(params=0), **options)
    q, k, v = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)
    heads = []
    for h in range(2):
        part = slice(4 * h, 4 * h + 4)
        scores = q[..., part] @ k[..., part].transpose(0, 2, 1) / 2.0  # sqrt of head width 4
        scores = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), scores, -jnp.inf)
        heads.append(jax.nn.softmax(scores) @ v[..., part])
    np.testing.assert_allclose(
        attention(x), attention.out_proj(jnp.concatenate(heads, -1)), atol=1e-5
    )


def test_a_bias_far_below_the_scores_hides_a_place():
    x = jax.random.normal(jax.random.key(0), (2, 5, 8))
    attention = layers.Attention(8, 2, rngs=nnx.Rngs(params=0), dtype=jnp.float32)
    hidden = jnp.where(jnp.arange(5) < 3, 0.0, -1e9)[None, None, None]
    hidden = jnp.broadcast_to(hidden, (1, 1, 5, 5))
    np.testing.assert_allclose(attention(x, bias=hidden)[:, :3], attention(x[:, :3]), atol=1e-6)


def test_drop_path_rises_in_a_line_and_keeps_the_mean():
    draws = layers.by_item(jax.random.key(0), jnp.arange(4000), (5, 2))
    found = np.asarray(layers.drop_path(draws, 0.6))  # [layers, branches, items]
    assert found.shape == (5, 2, 4000)
    rates = 0.6 * np.arange(5) / 4
    np.testing.assert_allclose((found == 0).mean((1, 2)), rates, atol=0.02)
    for rate, one in zip(rates, found, strict=True):
        np.testing.assert_allclose(one[one > 0], 1 / (1 - rate), rtol=1e-6)
    np.testing.assert_array_equal(found[0], 1)


def test_what_an_item_drops_depends_on_its_number_alone():
    whole = layers.by_item(jax.random.key(1), jnp.arange(6), (3,))
    part = layers.by_item(jax.random.key(1), jnp.array([4, 1]), (3,))
    np.testing.assert_array_equal(part, whole[jnp.array([4, 1])])
