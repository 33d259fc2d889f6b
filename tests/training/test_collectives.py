"""Bytes that small programs on eight devices send and move, against bytes known beforehand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lb_jax.training import collectives, hlo, traffic

N, ROWS, COLUMNS = 8, 32, 128
WHOLE = ROWS * COLUMNS * 4  # bytes of an array; a device brings an eighth of it
PART = WHOLE / N


@pytest.fixture(scope="module")
def mesh():
    return Mesh(np.array(jax.devices()[:N]).reshape(4, 2), ("x", "y"))


def compiled(mesh, body, out=None, axes=("x", "y")):
    split = PartitionSpec(axes)
    mapped = jax.shard_map(
        body, mesh=mesh, in_specs=split, out_specs=split if out is None else out, check_vma=False
    )
    x = jax.ShapeDtypeStruct((ROWS, COLUMNS), jnp.float32, sharding=NamedSharding(mesh, split))
    return hlo.parse(jax.jit(mapped).lower(x).compile().as_text())


def looped(collective):
    return lambda x: jax.lax.scan(lambda x, _: (collective(x) + 1.0, None), x, length=5)[0]


BOTH = ("x", "y")
RING = [(i, (i + 1) % N) for i in range(N)]
# name: (what a device does with its part, axes it is split on, spec of the result, kind, bytes)
PROGRAMS = {
    "all-gather": (
        lambda x: jax.lax.all_gather(x, BOTH, tiled=True),
        *(BOTH, PartitionSpec(), "all-gather", (N - 1) * PART),
    ),
    "all-gather in groups of four": (
        lambda x: jax.lax.all_gather(x, "x", tiled=True),
        *(BOTH, PartitionSpec("y"), "all-gather", 3 * PART),
    ),
    "all-reduce": (
        lambda x: jax.lax.psum(x, BOTH),
        *(BOTH, PartitionSpec(), "all-reduce", 2 * (N - 1) / N * PART),
    ),
    "all-reduce in pairs": (
        lambda x: jax.lax.psum(x, "y"),
        *(BOTH, PartitionSpec("x"), "all-reduce", 2 * 1 / 2 * PART),
    ),
    "reduce-scatter": (
        lambda x: jax.lax.psum_scatter(x, "x", tiled=True),
        *(("y",), PartitionSpec(("y", "x")), "reduce-scatter", 3 / 4 * WHOLE / 2),
    ),
    "all-to-all": (
        lambda x: jax.lax.all_to_all(x, "x", 1, 0, tiled=True),
        *(BOTH, None, "all-to-all", 3 / 4 * PART),
    ),
    "collective-permute": (
        lambda x: jax.lax.ppermute(x, BOTH, RING),
        *(BOTH, None, "collective-permute", PART),
    ),
    "a ring of five steps": (
        looped(lambda x: jax.lax.ppermute(x, BOTH, RING)),
        *(BOTH, None, "collective-permute", 5 * PART),
    ),
    "a sum in every step": (
        looped(lambda x: jax.lax.psum(x, "x")),
        *(BOTH, None, "all-reduce", 5 * 2 * 3 / 4 * PART),
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_bytes_sent(mesh, name):
    body, axes, out, kind, expected = PROGRAMS[name]
    assert collectives.sent(compiled(mesh, body, out, axes)) == {kind: pytest.approx(expected)}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("replica_groups={{0,1},{2,3},{4,5},{6,7}}, x=1", 2),
        ("replica_groups=[2,4]<=[8]", 4),
        ("replica_groups=[4,2]<=[2,4]T(1,0), dimensions={0}", 2),
        ("replica_groups=mesh['a'=4,'b'=2] {'a'}, use_global_device_ids=true", 4),
        ("replica_groups=mesh['a'=4,'b'=2] {'a','b'}", 8),
        ("replica_groups=mesh['a'=8,'b'=2] {'a':(2)4}", 4),
        ("replica_groups={}, channel_id=1", 16),
        ("channel_id=1", 16),
    ],
)
def test_group_size_in_every_way_of_writing(text, size):
    assert collectives.group_size(text, 16) == size


# A TPU program in small: one gather that runs beside a loop of three steps, and whose text stands
# in every fusion that it overlaps with; the loop's length is only in its condition.
TPU = """HloModule jit_f, is_scheduled=true, num_partitions=4

%start (p: f32[8,128]) -> (f32[8,128], f32[32,128]) {
  %p = f32[8,128]{1,0:T(8,128)} parameter(0)
  %g = f32[32,128]{1,0:T(8,128)} all-gather(%p), channel_id=7, replica_groups=mesh['a'=4] {'a'}
  ROOT %c = (f32[8,128]{1,0}, f32[32,128]{1,0}) custom-call(%g), \
custom_call_target="AsyncCollectiveStart"
}

%beside (q: f32[8,128]) -> f32[8,128] {
  %q = f32[8,128]{1,0:T(8,128)} parameter(0)
  %g.1 = f32[32,128]{1,0:T(8,128)} all-gather(%q), channel_id=7, replica_groups=mesh['a'=4] {'a'}
  ROOT %n = f32[8,128]{1,0:T(8,128)} negate(%q)
}

%body (s: (s32[], f32[8,128])) -> (s32[], f32[8,128]) {
  %s = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%s), index=0
  %x = f32[8,128]{1,0:T(8,128)} get-tuple-element(%s), index=1
  %f = f32[8,128]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%beside
  %r = f32[8,128]{1,0:T(8,128)S(1)} all-reduce(%f), channel_id=8, replica_groups={{0,1},{2,3}}
  ROOT %t = (s32[]{:T(128)}, /*index=1*/f32[8,128]{1,0:T(8,128)}) tuple(%i, %r)
}

%condition (u: (s32[], f32[8,128])) -> pred[] {
  %u = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) parameter(0)
  %k = s32[]{:T(128)} get-tuple-element(%u), index=0
  %three = s32[]{:T(128)} constant(3)
  ROOT %less = pred[]{:T(512)} compare(%k, %three), direction=LT
}

ENTRY %main (a: f32[8,128]) -> (s32[], f32[8,128]) {
  %a = f32[8,128]{1,0:T(8,128)} parameter(0)
  %zero = s32[]{:T(128)} constant(0)
  %fusion = (f32[8,128]{1,0}, f32[32,128]{1,0}) fusion(%a), kind=kCustom, calls=%start
  %tuple = (s32[]{:T(128)}, f32[8,128]{1,0:T(8,128)}) tuple(%zero, %a)
  ROOT %while = (s32[], f32[8,128]{1,0:T(8,128)}) while(%tuple), condition=%condition, body=%body
}
"""


def test_tpu_program_counts_an_overlapped_collective_once():
    module = hlo.parse(TPU)
    assert module.devices == 4
    assert module.runs() == {"main": 1, "condition": 3, "body": 3}
    array = 8 * 128 * 4
    assert collectives.sent(module) == {"all-gather": 3 * array, "all-reduce": 3 * array}


def test_memory_traffic_of_a_scan_is_its_slices():
    """Five layers of a product with a kernel of their own: each kernel is read once."""
    layers, batch, width = 5, 64, 256

    def f(x, kernels):
        return jax.lax.scan(lambda x, kernel: (x @ kernel, None), x, kernels)[0]

    shapes = (batch, width), (layers, width, width)
    text = jax.jit(f).lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)).compile()
    kernels, rows = layers * width * width * 4, layers * batch * width * 4
    found = traffic.moved(hlo.parse(text.as_text()))
    # a kernel is read as a slice, written to be handed on, and read by the product
    assert kernels + 2 * rows <= found <= 3.2 * kernels + 4 * rows
