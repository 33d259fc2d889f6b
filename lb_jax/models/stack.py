"""Blocks stacked on a leading layer axis.

Built with `jax.vmap`, run with `jax.lax.scan` or, as the oracle, a Python loop.
"""

from collections.abc import Callable

import jax
from flax import nnx

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
    """
    graphdef, stacked = nnx.split(blocks)
    layers = jax.tree.leaves(stacked)[0].shape[0]
    keys = None if key is None else jax.random.split(key, layers)

    def body(x, layer):
        state, key = layer
        return constrain(nnx.merge(graphdef, state)(constrain(x), key=key)), None

    if REMAT[remat]:
        body = jax.checkpoint(body, prevent_cse=not scan, policy=REMAT[remat])
    if scan:
        return jax.lax.scan(body, x, (stacked, keys))[0]
    for i in range(layers):
        x, _ = body(x, jax.tree.map(lambda leaf: leaf[i], (stacked, keys)))  # noqa: B023
    return x
