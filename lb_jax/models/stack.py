"""Blocks stacked on a leading layer axis, and a tower of them.

Built with `jax.vmap`, run with `jax.lax.scan` or, as the oracle, a Python loop.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.models import layers as layers_lib

# What the backward pass computes again, layer by layer, instead of keeping it: nothing; everything
# but the results of matrix products with parameters; everything.
REMAT = {
    "none": None,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


def make_stack(
    make_block: Callable[[nnx.Rngs], nnx.Module], layers: int, *, rngs: nnx.Rngs
) -> nnx.Module:
    """A module like the block whose every parameter has a leading axis of size `layers`."""

    def state(key: jax.Array):
        return nnx.split(make_block(nnx.Rngs(params=key)))[1]

    graphdef, _ = nnx.split(nnx.eval_shape(lambda: make_block(nnx.Rngs(params=0))))
    return nnx.merge(graphdef, jax.vmap(state)(jax.random.split(rngs.params(), layers)))


def run_stack(
    blocks: nnx.Module,
    x: jax.Array,
    *,
    key: jax.Array | None = None,
    scan: bool = True,
    remat: str = "none",
    constrain: Callable[[jax.Array], jax.Array] = lambda x: x,
    each: Mapping[str, jax.Array] = MappingProxyType({}),
    **beside: Any,
) -> jax.Array:
    """Sends x through all layers in order.

    Args:
      blocks: what `make_stack` returned.
      x: the input of the first layer; every layer keeps its shape.
      key: split into one key per layer for LoRA dropout; None runs without dropout.
      scan: compile one layer and scan it, instead of unrolling all.
      remat: a row of `REMAT`.
      constrain: says on which devices the input and the output of every layer lie. Without it the
        compiler may let the activations follow the weights: with those split over `fsdp` it then
        sums partial products of the whole batch in every layer instead of gathering the weights.
      each: what the layers are given besides, with a leading axis of layers.
      **beside: what every layer is given besides, the same for all.
    """
    graphdef, stacked = nnx.split(blocks)
    layers = jax.tree.leaves(stacked)[0].shape[0]
    keys = None if key is None else jax.random.split(key, layers)

    def body(x, layer):
        state, key, own = layer
        return constrain(nnx.merge(graphdef, state)(constrain(x), key=key, **own, **beside)), None

    if REMAT[remat]:
        body = jax.checkpoint(body, prevent_cse=not scan, policy=REMAT[remat])
    if scan:
        return jax.lax.scan(body, x, (stacked, keys, dict(each)))[0]
    for i in range(layers):
        layer = jax.tree.map(lambda leaf: leaf[i], (stacked, keys, dict(each)))  # noqa: B023
        x, _ = body(x, layer)
    return x


def visit_stack(
    blocks: nnx.Module,
    x: Any,
    visit: Callable[[Any, Any, Any], tuple[Any, Any]],
    each: Any = None,
) -> tuple[Any, Any]:
    """Scans the layers with a function of one's own.

    Args:
      blocks: what `make_stack` returned.
      x: what goes from layer to layer.
      visit: (layer, x, that layer's row of `each`) -> (x, what is kept of that layer).
      each: arrays with a leading axis of layers.

    Returns:
      x behind the last layer, and what was kept, with a leading axis of layers.
    """
    graphdef, stacked = nnx.split(blocks)

    def body(x, layer):
        state, row = layer
        return visit(nnx.merge(graphdef, state), x, row)

    return jax.lax.scan(body, x, (stacked, each))


class Size(Protocol):
    """What a stack and its projection need of a tower's shape."""

    width: int
    depth: int
    embed_dim: int


class Tower(nnx.Module):
    """What both towers are: a way to compute, a stack of blocks, a projection.

    Args:
      dtype: compute dtype.
      scan, remat: see `run_stack`.
      attention: a row of `layers.ATTENTION`.
    """

    blocks: nnx.Module

    def __init__(
        self,
        *,
        dtype=jnp.float32,
        scan: bool = True,
        remat: str = "none",
        attention: str = "xla",
    ):
        self.dtype, self.scan, self.remat, self.attention = dtype, scan, remat, attention

    def stack(self, block: Callable[..., nnx.Module], cfg: Size, rngs: nnx.Rngs) -> nnx.Module:
        """Draws `cfg.depth` blocks, each made as `block(cfg, rngs=, dtype=, attention=)`."""
        options = {"dtype": self.dtype, "attention": self.attention}
        return make_stack(lambda rngs: block(cfg, rngs=rngs, **options), cfg.depth, rngs=rngs)

    def projection(self, cfg: Size, rngs: nnx.Rngs) -> layers_lib.Linear | None:
        """Draws what brings [..., d] into the shared space [..., e]; None where e is 0."""
        if not cfg.embed_dim:
            return None
        return layers_lib.Linear(cfg.width, cfg.embed_dim, rngs=rngs, dtype=self.dtype, bias=False)

    def run(self, x: jax.Array, **options: Any) -> jax.Array:
        """Sends x through all blocks; options are those of `run_stack`."""
        return run_stack(self.blocks, x, scan=self.scan, remat=self.remat, **options)
