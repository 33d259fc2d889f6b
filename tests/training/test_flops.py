"""FLOPs of a jaxpr against counts made by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

from lb_jax.training import flops, sharding
from lb_jax.training.config import ModalityRecipe, TrainConfig

A, B, C = jnp.zeros((4, 8)), jnp.zeros((8, 16)), jnp.zeros((8, 8))
PRODUCT = 2 * 4 * 8 * 16  # of A and B
SQUARE = 2 * 4 * 8 * 8  # of A and C


def counted(function, *args):
    return flops.count(jax.make_jaxpr(function)(*args))


def layers(x, policy=None):
    def body(x, _):
        return jnp.tanh(x @ C), None

    if policy:
        body = jax.checkpoint(body, policy=policy)
    return jax.lax.scan(body, x, length=5)[0].sum()


@jax.custom_vjp
def custom(x):
    return x @ C


custom.defvjp(lambda x: (x @ C, None), lambda _, g: ((g @ C.T) @ C.T,))


# name: (function of A, FLOPs)
PROGRAMS = {
    "product": (lambda a: a @ B, PRODUCT),
    "elementwise work is free": (lambda a: jnp.exp(a) * a, 0),
    "batched": (
        lambda a: jnp.einsum("bij,bjk->bik", jnp.ones((3, 4, 8)), jnp.ones((3, 8, 16))),
        3 * PRODUCT,
    ),
    "jit": (jax.jit(lambda a: a @ B), PRODUCT),
    "scan": (layers, 5 * SQUARE),
    "value and gradient": (jax.value_and_grad(lambda a: ((a @ B) ** 2).sum()), 2 * PRODUCT),
    "gradient through a scan": (jax.grad(layers), 2 * 5 * SQUARE),
    "scan with everything computed again": (
        jax.grad(lambda a: layers(a, jax.checkpoint_policies.nothing_saveable)),
        3 * 5 * SQUARE,
    ),
    "scan with products kept": (
        jax.grad(lambda a: layers(a, jax.checkpoint_policies.dots_with_no_batch_dims_saveable)),
        2 * 5 * SQUARE,
    ),
    "custom derivative": (custom, SQUARE),
    "gradient of a custom derivative": (jax.grad(lambda a: custom(a).sum()), 3 * SQUARE),
    "dearest branch": (
        lambda a: jax.lax.cond(a[0, 0] > 0, lambda: (a @ C) @ C, lambda: a @ C),
        2 * SQUARE,
    ),
    "convolution": (
        lambda a: jax.lax.conv(jnp.ones((1, 3, 8, 8)), jnp.ones((5, 3, 2, 2)), (2, 2), "VALID"),
        2 * (5 * 4 * 4) * (3 * 2 * 2),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_count_is_the_one_made_by_hand(name):
    function, expected = PROGRAMS[name]
    assert counted(function, A) == expected


@pytest.mark.parametrize("inner", [1, 3])
def test_shard_map_counts_every_device(inner):
    mesh = Mesh(np.array(jax.devices()[:4]), ("x",))

    def body(a):
        return jax.lax.scan(lambda a, _: (a @ C, None), a, length=inner)[0]

    rows = PartitionSpec("x")
    split = jax.shard_map(body, mesh=mesh, in_specs=rows, out_specs=rows)
    assert counted(split, A) == inner * SQUARE


CFG = TrainConfig(
    arch="tiny",
    modalities={"image": ModalityRecipe(patch_dropout=0.5)},
    trainable=((r".*", True),),
    steps=1,
    batch_size=16,
    text_length=24,
)
WIDTH, MLP, HEADS = 64, 128, 2


def tower_flops(tokens, layers):
    """Of one item: four projections, two products of the MLP, two of attention."""
    linear = tokens * (4 * WIDTH * WIDTH + 2 * WIDTH * MLP)
    return layers * 2 * (linear + 2 * tokens * tokens * WIDTH)


def test_step_of_the_tiny_model():
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    kept = 18  # of 36 patches of 8 x 8 x 3
    forward = tower_flops(1 + kept, 3) + tower_flops(24, 2)
    projections = 2 * 2 * WIDTH * 64
    patches = 2 * kept * 8 * 8 * 3 * WIDTH  # no gradient of the pixels
    similarity = 2 * 16 * 64
    expected = 16 * (3 * (forward + projections + similarity) + 2 * patches)
    assert flops.step_flops(CFG, mesh) == pytest.approx(expected, rel=0.01)


def test_rematerialisation_is_no_model_flop():
    mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
    saving = dataclasses.replace(CFG, remat="full")
    assert flops.step_flops(saving, mesh) == flops.step_flops(CFG, mesh)
