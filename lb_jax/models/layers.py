"""The parts both towers share: linear with optional LoRA, attention, MLP, the block of these.

Parameters are float32, compute runs in `dtype`.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from lb_jax.models.lora import LoraConfig

# For the backward pass an activation keeps its input alone, and not what it computed on the way:
# of all that a block keeps, these are the largest arrays (docs/benchmarks.md).
ACTIVATIONS = {
    name: jax.checkpoint(function, prevent_cse=False)
    for name, function in {
        # exact erf: LAION CLIP and LanguageBind
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        # OpenAI CLIP weights only
        "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    }.items()
}

LAYER_NORM_EPSILON = 1e-5


def dropped(x: jax.Array, share: float, key: jax.Array | None) -> jax.Array:
    """With a key, sets a share of the numbers to 0 and enlarges the others to keep the mean."""
    if key is None or not share:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - share, x.shape), x / (1 - share), 0)


def by_item(key: jax.Array, items: jax.Array, shape: Sequence[int]) -> jax.Array:
    """Uniform numbers of every item, [b, *shape], which depend on its number `items[i]` alone."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, items)
    return jax.vmap(lambda one: jax.random.uniform(one, tuple(shape)))(keys)


def drop_path(draws: jax.Array, rate: float) -> jax.Array:
    """What a residual branch of an item is multiplied by: 0 where it is dropped.

    Stochastic depth (arXiv 1603.09382): the rate rises in a line from 0 in the first layer, and a
    branch that is kept is enlarged by what its layer drops on average.

    Args:
      draws: uniform, [b, layers, branches].
      rate: share that the last layer drops.

    Returns:
      [layers, branches, b].
    """
    kept = 1 - rate * jnp.linspace(0.0, 1.0, draws.shape[1])[:, None, None]
    return jnp.where(rearrange(draws, "b l k -> l k b") < kept, 1 / kept, 0.0)


def scaled(x: jax.Array, branches: jax.Array | None, branch: int) -> jax.Array:
    """Multiplies the items [b, ...] of a branch by its row of [branches, b]; by 1 where None."""
    if branches is None:
        return x
    return x * branches[branch].reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype)


def head_major(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    bias: jax.Array | None = None,
    *,
    is_causal: bool,
    dropout: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Softmax attention [b, n, h, c] -> same, with products of whole heads, one after the other.

    XLA's CPU backend multiplies [n, c] matrices that lie together faster than strided ones. `bias`,
    [b or 1, h or 1, n, m], is added to the scaled scores. With a key, a share of the weights is
    dropped, which no other row of `ATTENTION` can.
    """
    q, k, v = (rearrange(one, "b n h c -> b h n c") for one in (q, k, v))
    scores = jnp.einsum("bhqc,bhkc->bhqk", q, k, preferred_element_type=jnp.float32)
    scores *= q.shape[-1] ** -0.5
    if bias is not None:
        scores += bias
    if is_causal:
        scores = jnp.where(jnp.tri(*scores.shape[-2:], dtype=bool), scores, -jnp.inf)
    weights = dropped(jax.nn.softmax(scores).astype(v.dtype), dropout, key)
    return rearrange(jnp.einsum("bhqk,bhkc->bhqc", weights, v), "b h n c -> b n h c")


def cudnn(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None = None, *, is_causal: bool
) -> jax.Array:
    """The same by cuDNN's fused kernel, which takes half precision only, the bias too."""
    bias = None if bias is None else bias.astype(q.dtype)
    return jax.nn.dot_product_attention(q, k, v, bias, is_causal=is_causal, implementation="cudnn")


# How attention is computed; the same function, but for rounding.
ATTENTION = {
    "xla": functools.partial(jax.nn.dot_product_attention, implementation="xla"),
    "cudnn": cudnn,
    "head_major": head_major,
}


def usual_attention(platform: str) -> str:
    """The row of `ATTENTION` that is fast on "cpu", "gpu" or "tpu" (docs/benchmarks.md)."""
    return "head_major" if platform == "cpu" else "xla"


class TowerOutput(NamedTuple):
    """What a tower returns; unused fields cost nothing under `jax.jit`.

    Attributes:
      embed: [b, e] projection, not normalised.
      pooled: [b, d] normed class token averaged over frames, or normed end token of a text.
      hidden: [b, t, n, d] (text: [b, n, d]) output of the last block, not normalised; vision token
        0 is the class token.
      tokens: the same, normalised as the pooled one is.
    """

    embed: jax.Array
    pooled: jax.Array
    hidden: jax.Array
    tokens: jax.Array


class Linear(nnx.Module):
    """x [..., i] -> x kernel + bias + (alpha / rank) (dropout(x) lora_a) lora_b, [..., o].

    The factors exist from construction, so that stacked layers scan over them; `lora_b` starts at
    zero and `lora_a` as PEFT draws it (Kaiming uniform, a = sqrt 5).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rngs: nnx.Rngs,
        dtype,
        bias: bool = True,
        lora: LoraConfig | None = None,
    ):
        self.dtype, self.lora = dtype, lora
        self.kernel = nnx.Param(inputs**-0.5 * jax.random.normal(rngs.params(), (inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None
        if lora:
            bound = 1 / math.sqrt(inputs)
            self.lora_a = nnx.LoRAParam(
                jax.random.uniform(rngs.params(), (inputs, lora.rank), minval=-bound, maxval=bound)
            )
            self.lora_b = nnx.LoRAParam(jnp.zeros((lora.rank, outputs)))

    def __call__(self, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """[..., i] -> [..., o] in the compute dtype; with a key, LoRA drops some of its input."""
        x = x.astype(self.dtype)
        y = x @ self.kernel[...].astype(self.dtype)
        if self.bias is not None:
            y += self.bias[...].astype(self.dtype)
        if self.lora:
            x = dropped(x, self.lora.dropout, key)
            y += (
                self.lora.scale
                * (x @ self.lora_a[...].astype(self.dtype))
                @ self.lora_b[...].astype(self.dtype)
            )
        return y


class LayerNorm(nnx.Module):
    """Layer normalisation over the last axis, in float32 whatever the compute dtype."""

    def __init__(self, width: int, *, dtype, epsilon: float = LAYER_NORM_EPSILON):
        self.dtype, self.epsilon = dtype, epsilon
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., d] -> same, in the compute dtype."""
        x = x.astype(jnp.float32)
        x = x - x.mean(-1, keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + self.epsilon)
        return (x * self.scale[...] + self.bias[...]).astype(self.dtype)


class Attention(nnx.Module):
    """Multi-head attention over the second-last axis: [..., n, d] -> [..., n, d].

    Args:
      width, heads: of the queries and of the result.
      inputs: width of what the keys and values are made of; None is `width`.
      causal: no token sees a later one.
      attention: a row of `ATTENTION`.
      dropout: share of the weights that is dropped when a key is given.
      bias_kv: whether one more key and value, the same for all items and queries, stand behind
        those of the tokens; they are learned and not projected (ImageBind spec 1.5).
      path, lora: as for `LoraConfig.at`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        rngs: nnx.Rngs,
        dtype,
        inputs: int | None = None,
        causal: bool = False,
        attention: str = "xla",
        dropout: float = 0.0,
        bias_kv: bool = False,
        path: str = "",
        lora: LoraConfig | None = None,
    ):
        if bias_kv and causal:
            raise ValueError("a causal tower has no bias key and value")
        self.heads, self.causal, self.attention, self.dropout = heads, causal, attention, dropout
        given = {"k_proj": inputs or width, "v_proj": inputs or width}

        def linear(name: str) -> Linear:
            return Linear(
                given.get(name, width),
                width,
                rngs=rngs,
                dtype=dtype,
                lora=lora.at(f"{path}/{name}") if lora else None,
            )

        self.q_proj, self.k_proj, self.v_proj, self.out_proj = map(
            linear, ("q_proj", "k_proj", "v_proj", "out_proj")
        )

        def row() -> nnx.Param | None:
            if not bias_kv:
                return None
            return nnx.Param(width**-0.5 * jax.random.normal(rngs.params(), (width,)))

        self.bias_k, self.bias_v = row(), row()

    def __call__(
        self,
        x: jax.Array,
        *,
        key: jax.Array | None = None,
        bias: jax.Array | None = None,
        memory: jax.Array | None = None,
    ) -> jax.Array:
        """[..., n, d] -> same.

        Args:
          x: what asks.
          key: of the dropout, LoRA's too; None runs without.
          bias: [b or 1, h or 1, n, m] with all leading axes of x as one, added to the scores.
          memory: [..., m, i], what is asked; None is `x` itself.
        """
        keys = [None] * 4 if key is None else jax.random.split(key, 4)
        lead = x.shape[:-2]
        x = x.reshape(-1, *x.shape[-2:])  # [b, n, d]
        asked = x if memory is None else memory.reshape(-1, *memory.shape[-2:])
        given = ((self.q_proj, x), (self.k_proj, asked), (self.v_proj, asked))
        q, k, v = (
            rearrange(project(one, key=drop), "b n (h c) -> b n h c", h=self.heads)
            for (project, one), drop in zip(given, keys[:3], strict=True)
        )
        k, v = behind(k, self.bias_k), behind(v, self.bias_v)  # [b, m + 1, h, c] where they are
        if key is None or not self.dropout:
            attend = ATTENTION[self.attention]
        else:
            drop = jax.random.fold_in(key, len(keys))
            attend = functools.partial(head_major, dropout=self.dropout, key=drop)
        x = attend(q, k, v, bias, is_causal=self.causal)  # scaled by c ** -0.5
        x = self.out_proj(rearrange(x, "b n h c -> b n (h c)"), key=keys[3])
        return x.reshape(*lead, *x.shape[-2:])

    def keys_values(self, x: jax.Array) -> "KeysValues":
        """Keys and values of [b, m, i], to be kept for `over`."""
        k, v = (
            rearrange(project(x), "b m (h c) -> b h m c", h=self.heads)
            for project in (self.k_proj, self.v_proj)
        )
        return KeysValues(k, v)

    def over(self, x: jax.Array, parts: "Sequence[Part]") -> jax.Array:
        """As `__call__`, over keys that lie in several places: [b, n, d] -> same."""
        q = rearrange(self.q_proj(x), "b n (h c) -> b h n c", h=self.heads)
        scores = []
        for (k, _), bias in parts:
            one = jnp.einsum("bhqc,bhmc->bhqm", q, k, preferred_element_type=jnp.float32)
            scores.append(one * q.shape[-1] ** -0.5 + (0 if bias is None else bias))
        weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1)).astype(x.dtype)
        ends = np.cumsum([one.shape[-1] for one in scores])[:-1]
        found = [
            jnp.einsum("bhqm,bhmc->bhqc", one, v)
            for one, ((_, v), _) in zip(jnp.split(weights, ends, axis=-1), parts, strict=True)
        ]
        return self.out_proj(rearrange(sum(found[1:], found[0]), "b h n c -> b n (h c)"))


def behind(x: jax.Array, row: nnx.Param | None) -> jax.Array:
    """Keys or values [b, m, h, c] and one more behind them, [h c], in all items; None adds none."""
    if row is None:
        return x
    one = row[...].astype(x.dtype).reshape(1, 1, *x.shape[2:])
    return jnp.concatenate([x, jnp.broadcast_to(one, (len(x), *one.shape[1:]))], axis=1)


class KeysValues(NamedTuple):
    """Of tokens that are asked: each [b, h, m, c]."""

    keys: jax.Array
    values: jax.Array


# Tokens that are asked, and what is added to the scores, broadcast to [b, h, n, m]; or None.
Part = tuple[KeysValues, jax.Array | None]


class Mlp(nnx.Module):
    """[..., d] -> [..., mlp_dim] -> [..., d]."""

    def __init__(self, width: int, mlp_dim: int, activation: str, *, rngs: nnx.Rngs, dtype):
        self.activation = activation
        self.fc1 = Linear(width, mlp_dim, rngs=rngs, dtype=dtype)
        self.fc2 = Linear(mlp_dim, width, rngs=rngs, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., d] -> same."""
        return self.fc2(ACTIVATIONS[self.activation](self.fc1(x)))


class Block(nnx.Module):
    """[..., n, d] -> same: attention over the second-last axis, MLP, each on its normed input.

    Args:
      width, heads, mlp_dim, activation: as of the tower.
      epsilon: of the norms.
      dropout: share of attention's weights and of both branches' results that is dropped when a key
        is given.
      **options: of `Attention`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_dim: int,
        activation: str,
        *,
        rngs: nnx.Rngs,
        dtype,
        epsilon: float = LAYER_NORM_EPSILON,
        dropout: float = 0.0,
        **options: Any,
    ):
        self.dropout = dropout
        self.norm1 = LayerNorm(width, dtype=dtype, epsilon=epsilon)
        self.attn = Attention(width, heads, rngs=rngs, dtype=dtype, dropout=dropout, **options)
        self.norm2 = LayerNorm(width, dtype=dtype, epsilon=epsilon)
        self.mlp = Mlp(width, mlp_dim, activation, rngs=rngs, dtype=dtype)

    def __call__(
        self, x: jax.Array, *, key: jax.Array | None = None, branches: jax.Array | None = None
    ) -> jax.Array:
        """[b, ..., n, d] -> same.

        Args:
          x: the input.
          key: of the dropout, LoRA's too.
          branches: [2, b], what each item's attention and MLP are multiplied by (`drop_path`); None
            is 1.
        """
        drops = [None] * 2 if key is None else jax.random.split(jax.random.fold_in(key, 1))
        x += scaled(dropped(self.attn(self.norm1(x), key=key), self.dropout, drops[0]), branches, 0)
        return x + scaled(dropped(self.mlp(self.norm2(x)), self.dropout, drops[1]), branches, 1)
