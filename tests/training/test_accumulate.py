"""Parts of a batch: what is encoded when, and that no row moves between devices."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.training import accumulate, rows, sharding
from tests.training import plain_step

DEVICES = 8


def test_parts_have_the_items_of_every_device_in_order():
    parts = np.asarray(rows.cut(jnp.arange(12), parts=2, devices=3))
    np.testing.assert_array_equal(parts, [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]])
    np.testing.assert_array_equal(rows.join(parts, devices=3), np.arange(12))


def test_batches_are_joined_device_by_device():
    small, large = jnp.arange(4), 10 + jnp.arange(8)
    both = rows.concatenate([small, large], devices=2)
    np.testing.assert_array_equal(both, [0, 1, 10, 11, 12, 13, 2, 3, 14, 15, 16, 17])
    for one, back in zip((small, large), rows.split(both, [4, 8], devices=2), strict=True):
        np.testing.assert_array_equal(one, back)


@pytest.mark.parametrize("shape", [(8, 1, 1), (4, 2, 1), (2, 2, 2)], ids=str)
def test_no_row_leaves_its_device(shape):
    mesh = plain_step.mesh_of(shape)
    devices, batch = sharding.batch_devices(mesh), sharding.batch_sharding(mesh)

    def there_and_back(x, y):
        _, x = jax.lax.scan(lambda _, part: (None, part * 2), None, rows.cut(x, 4, devices))
        both = rows.concatenate([rows.join(x, devices), y], devices)
        return rows.split(both + 1, [len(y) * 2, len(y)], devices)

    x, y = (jnp.ones((size, 3)) for size in (64, 32))
    placed = [jax.device_put(one, batch) for one in (x, y)]
    compiled = jax.jit(there_and_back, out_shardings=batch).lower(*placed).compile()
    assert not re.findall(r"all-[a-z]+\(|collective-[a-z]+\(", compiled.as_text())


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("binding", {"video": {"media"}, "depth": {"media"}, "text": set()}),
        ("cached texts", {"video": {"media"}, "depth": {"media"}}),
        ("everything trains", {key: {"media", "text"} for key in ("video", "depth", "text")}),
    ],
)
def test_only_what_learns_is_encoded_again(name, again):
    """The second pass leaves out whatever goes through a frozen tower."""
    trainable, frozen, batch = plain_step.start(name)
    seen = []

    def encode(params, batch, items, key):
        seen.append({modality: set(sides) for modality, sides in batch.items()})
        scale = jnp.sum(params["towers"]["video"]["proj"]["kernel"])
        return jax.tree.map(lambda x: scale * jnp.ones((len(x), 2)), dict(batch))

    def contrast(params, embeddings, batch):
        return sum(one.sum() for one in jax.tree.leaves(embeddings)), {}

    gradient = accumulate.make_gradient(encode, contrast, parts=2, devices=1)
    jax.eval_shape(gradient, trainable, frozen, batch, jax.random.key(0))
    assert seen[0] == {modality: {"media", "text"} for modality in batch}
    assert seen[1:] == [again] * (len(seen) - 1)
    assert len(seen) > 1


def test_batches_that_do_not_split_into_parts_are_named():
    mesh = plain_step.mesh_of((4, 2, 1))
    sharding.require_divisible({"video": 32, "depth": 16}, mesh, accumulate=2)
    with pytest.raises(errors.ConfigError, match=r"'depth': 24.*8 devices.*2 parts.*of 16"):
        sharding.require_divisible({"video": 32, "depth": 24}, mesh, accumulate=2)


def test_activations_of_one_part_are_held_at_a_time():
    """Four times the parts: far less memory for the same batch."""
    mesh = plain_step.mesh_of((1, 1, 1))
    whole, parts = (
        gradient.lower(*arguments).compile().memory_analysis().temp_size_in_bytes
        for gradient, arguments in (
            plain_step.prepared("cached texts", mesh, accumulate=count) for count in (1, 8)
        )
    )
    assert parts < whole / 2
