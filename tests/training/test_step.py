"""The step: eight devices equal one, frozen parameters stay, temperatures stay in range."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from lb_jax.core import paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import loop, optimizer, recipe, sharding
from lb_jax.training import step as step_lib


def random_ids(rng, size):
    return rng.integers(1, 49407, size=(size, 32)).astype(np.int32)


@pytest.fixture
def setting(tiny_run):
    """(loss function, trainable, frozen, batch, key) of the tiny run; LoRA factors are not zero."""
    model_cfg, _ = recipe.build(tiny_run)
    model = LanguageBind(model_cfg)
    params = recipe.initial_params(tiny_run, model)
    flat = paths.flatten(params)
    for i, path in enumerate(flat):
        if path.endswith("lora_b"):
            flat[path] = 0.02 * jax.random.normal(jax.random.key(i), flat[path].shape)
    trainable, frozen = paths.partition(paths.unflatten(flat), tiny_run.trainable)
    rng = np.random.default_rng(0)
    batch = {}
    for name, tower in model_cfg.towers.items():
        frames = (tower.frames,) if tower.frames > 1 else ()
        size = tiny_run.batch_sizes[name]
        media = rng.normal(size=(size, *frames, *tower.image_size, 3)).astype(np.float32)
        batch[name] = {"media": media, "text": random_ids(rng, size)}
    pair = (random_ids(rng, tiny_run.paraphrase.batch_size) for _ in range(2))
    batch["text"] = dict(zip(("media", "text"), pair, strict=True))
    loss = step_lib.make_loss(
        model, {name: one.patch_dropout for name, one in tiny_run.modalities.items()}
    )
    return loss, trainable, frozen, batch, jax.random.key(5)


@functools.cache
def mesh_of(data, fsdp, tensor):
    return sharding.make_mesh({"data": data, "fsdp": fsdp, "tensor": tensor})


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (2, 2, 2)], ids=["data", "fsdp", "mixed"])
def test_eight_devices_equal_one_in_loss_and_gradient(setting, shape):
    loss, trainable, frozen, batch, key = setting
    gradient = jax.value_and_grad(lambda *args: loss(*args)[0])
    value, grads = jax.jit(gradient)(trainable, frozen, batch, key)
    mesh = mesh_of(*shape)
    placed = (
        jax.device_put(trainable, sharding.tree_shardings(trainable, mesh)),
        jax.device_put(frozen, sharding.tree_shardings(frozen, mesh)),
        loop.put_batch(batch, mesh),
        jax.device_put(key, sharding.replicated(mesh)),
    )
    sharded_value, sharded_grads = jax.jit(gradient)(*placed)
    np.testing.assert_allclose(sharded_value, value, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), sharded_grads, grads)


def test_weights_really_lie_on_their_axes(setting):
    _, _, frozen, _, _ = setting
    mesh = mesh_of(2, 2, 2)
    placed = sharding.tree_shardings(frozen, mesh)
    assert placed["base"]["blocks"]["attn"]["q_proj"]["kernel"].spec == PartitionSpec(
        None, "fsdp", "tensor"
    )
    assert placed["base"]["blocks"]["mlp"]["fc2"]["kernel"].spec == PartitionSpec(
        None, "tensor", "fsdp"
    )
    assert placed["text"]["token_embed"]["embedding"].spec == PartitionSpec("fsdp", None)


def test_a_step_moves_trainable_parameters_and_lowers_the_loss(setting):
    loss, trainable, frozen, batch, key = setting
    schedule = optax.constant_schedule(3e-3)
    transform = optimizer.make_optimizer(
        trainable, schedule, b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.0
    )
    step = jax.jit(step_lib.make_step(loss, transform, schedule))
    state = {"params": trainable, "opt": transform.init(trainable), "step": jnp.int32(0)}
    losses = []
    for _ in range(25):
        state, metrics = step(state, frozen, batch, key)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state["params"], trainable)
    assert all(jax.tree.leaves(moved))
    assert int(state["step"]) == 25


def test_temperature_is_clamped():
    params = {"logit_scale": {"video": jnp.float32(9.0), "audio": jnp.float32(-1.0)}}
    clamped = step_lib.clamp_logit_scales(params)["logit_scale"]
    assert float(clamped["video"]) == pytest.approx(np.log(100))
    assert float(clamped["audio"]) == 0.0


def test_losses_of_modalities_do_not_mix(setting):
    """Changing one modality's media leaves the others' losses as they were."""
    loss, trainable, frozen, batch, key = setting
    before = loss(trainable, frozen, batch, key)[1]
    batch = {**batch, "depth": {**batch["depth"], "media": -batch["depth"]["media"]}}
    after = loss(trainable, frozen, batch, key)[1]
    assert float(before["loss/depth"]) != float(after["loss/depth"])
    assert float(before["loss/video"]) == float(after["loss/video"])
