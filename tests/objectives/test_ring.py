"""The ring form equals the plain form, in float32 accuracy, and never holds the whole matrix."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives import contrastive, ring
from lb_jax.training import sharding

BATCH, EMBED = 40, 16  # 5 rows on each of 8 devices, 10 on each of 4
MESHES = {"one": (1, 1, 1), "data": (8, 1, 1), "fsdp": (1, 8, 1), "mixed": (2, 2, 2)}
TILES = (1, 4, 1024)  # 4 divides neither 5 nor 10
KINDS = sorted(contrastive.LOSSES)


def mesh_of(name):
    sizes = dict(zip(sharding.AXES, MESHES[name], strict=True))
    return sharding.make_mesh(sizes, devices=jax.devices()[: int(np.prod(MESHES[name]))])


@functools.cache
def unit_pairs(items=BATCH, width=EMBED, alike=1.0):
    """Unit vectors [2, items, width]; partners are alike as in a trained model, or strangers."""
    x = np.random.default_rng(0).normal(size=(2, items, width))
    x[1] += alike * x[0]
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def caption_ids(items=BATCH):
    """Some captions three times, spread over the devices; two words as from a fingerprint."""
    ids = np.random.default_rng(1).integers(0, items // 3, size=items)
    return np.stack([ids % 3, ids], axis=1).astype(np.uint32)


def graded(loss):
    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))


def assert_close(found, expected, relative):
    """Errors relative to the largest element, or to 0.5 where all of it cancels."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=relative * max(0.5, np.abs(b).max()), rtol=0)


def test_every_plain_loss_has_its_ring_form():
    assert set(ring.KINDS) == set(contrastive.LOSSES)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("tile", TILES)
def test_ring_equals_plain_in_value_and_gradient(mesh, tile, kind):
    plain = graded(contrastive.LOSSES[kind])
    tiled = graded(ring.make_contrastive(mesh_of(mesh), kind, tile))
    for same in (None, caption_ids()):
        for scale, bias in ((np.log(1 / 0.07), -3.0), (np.log(100), -10.0)):
            arguments = (*unit_pairs(), np.float32(scale), np.float32(bias), same)
            assert_close(tiled(*arguments), plain(*arguments), 2e-5)


def reference(kind, a, b, scale, bias, same):
    """Value and gradients by (a, b, scale, bias) in float64."""
    a, b, items = a.astype(np.float64), b.astype(np.float64), len(a)
    counts = (same[:, None] != same[None]).any(-1) | np.eye(items, dtype=bool)
    similar = np.exp(scale) * a @ b.T
    logits = similar + bias
    if kind == "infonce":
        weights = np.where(counts, np.exp(logits - logits.max()), 0)
        rows, columns = weights.sum(1, keepdims=True), weights.sum(0, keepdims=True)
        value = (np.log(rows[:, 0]) + np.log(columns[0])) / 2 + logits.max() - np.diagonal(logits)
        slope = (weights / rows + weights / columns) / 2 - np.eye(items)
    else:
        sign = 2 * np.eye(items) - 1
        value = np.where(counts, np.logaddexp(0, -sign * logits), 0).sum(1)
        slope = np.where(counts, -sign / (1 + np.exp(sign * logits)), 0)
    slope = slope / items
    vectors = np.exp(scale) * (slope @ b), np.exp(scale) * (slope.T @ a)
    return value.mean(), (*vectors, (slope * similar).sum(), slope.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alike", [0.0, 1.0])
def test_float32_accuracy_at_the_highest_temperature(kind, alike):
    """Against float64, relative to the largest element even where the loss is 6e-6."""
    a, b = unit_pairs(256, 64, alike)
    same = caption_ids(256)
    scale = np.float32(np.log(100))
    found = graded(ring.make_contrastive(mesh_of("data"), kind, 12))(a, b, scale, -10.0, same)
    expected = reference(kind, a, b, float(scale), -10.0, same)
    leaves = jax.tree.leaves((found, expected), is_leaf=lambda x: not isinstance(x, tuple))
    for ours, exact in zip(leaves[:4], leaves[5:9], strict=True):  # the bias has its own test
        np.testing.assert_allclose(ours, exact, atol=1e-3 * np.abs(exact).max(), rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_batch_has_neither_loss_nor_gradient(kind):
    a = np.eye(16, dtype=np.float32)
    value, gradient = graded(ring.make_contrastive(mesh_of("data"), kind, 1))(
        a, a, 6.0, -200.0, None
    )
    assert float(value) < 1e-6
    assert all(np.abs(one).max() < 1e-6 for one in gradient)


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_one_caption_leave_the_positives(kind):
    same = np.zeros((BATCH, 2), np.uint32)
    arguments = (*unit_pairs(), np.float32(2), np.float32(-1), same)
    tiled = graded(ring.make_contrastive(mesh_of("mixed"), kind, 3))(*arguments)
    assert_close(tiled, graded(contrastive.LOSSES[kind])(*arguments), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.6, 0.0])
def test_absent_items_are_those_of_the_plain_form(kind, share):
    a, b = (np.array(one) for one in unit_pairs())
    present = np.random.default_rng(2).random(BATCH) < share
    a[~present] = np.nan
    arguments = (a, b, np.float32(2), np.float32(-1), caption_ids(), present)
    found = graded(ring.make_contrastive(mesh_of("mixed"), kind, 3))(*arguments)
    assert_close(found, graded(contrastive.LOSSES[kind])(*arguments), 1e-5)


def compiled(loss, mesh, items, width=64):
    batch = sharding.batch_sharding(mesh)
    rows = jax.ShapeDtypeStruct((items, width), jnp.float32, sharding=batch)
    ids = jax.ShapeDtypeStruct((items, 2), jnp.uint32, sharding=batch)
    scalar = jax.ShapeDtypeStruct((), jnp.float32, sharding=sharding.replicated(mesh))
    return graded(loss).lower(rows, rows, scalar, scalar, ids).compile()


@pytest.mark.parametrize("kind", KINDS)
def test_memory_grows_linearly_with_the_batch(kind):
    """The batch times 4: the ring's bytes per device times 4, the plain form's times 16."""
    mesh = mesh_of("data")
    loss = ring.make_contrastive(mesh, kind, 128)
    bytes_of = [
        [compiled(one, mesh, items).memory_analysis().temp_size_in_bytes for items in (2048, 8192)]
        for one in (loss, contrastive.LOSSES[kind])
    ]
    (small, large), (plain_small, plain_large) = bytes_of
    assert large <= 4.5 * small
    assert plain_large > 12 * plain_small
    assert large < plain_large / 8


def test_memory_of_one_device_is_tiles_too():
    mesh = mesh_of("one")
    found = compiled(ring.make_contrastive(mesh, "infonce", 64), mesh, 2048)
    assert found.memory_analysis().temp_size_in_bytes < 2048 * 2048  # a quarter of the matrix


@pytest.mark.parametrize("mesh", ["data", "fsdp", "mixed"])
def test_embeddings_only_travel_from_neighbour_to_neighbour(mesh):
    mesh = mesh_of(mesh)
    text = compiled(ring.make_contrastive(mesh, "infonce", 64), mesh, 1024).as_text()
    exchanges = set(re.findall(r"(all-[a-z]+|collective-[a-z]+|reduce-scatter)\(", text))
    assert exchanges == {"all-reduce", "collective-permute"}
    assert re.findall(r"= (.*) all-reduce\(", text)
    for shape in re.findall(r"= (.*) all-reduce\(", text):
        assert set(re.findall(r"\w+\[[\d,]*\]", shape)) == {"f32[]"}
