"""The step: parameters move, temperatures stay in range, modalities do not mix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from lb_jax.core import errors, paths
from lb_jax.models.languagebind import LanguageBind
from lb_jax.training import optimizer, recipe, sharding
from lb_jax.training import step as step_lib
from tests.training import plain_step

RUN = "LoRA dropout"
KEY = jax.random.key(plain_step.KEY)


def test_weights_really_lie_on_their_axes():
    _, frozen, _ = plain_step.start(RUN)
    placed = sharding.tree_shardings(frozen, plain_step.mesh_of((2, 2, 2)))
    assert placed["base"]["blocks"]["attn"]["q_proj"]["kernel"].spec == PartitionSpec(
        None, "fsdp", "tensor"
    )
    assert placed["base"]["blocks"]["mlp"]["fc2"]["kernel"].spec == PartitionSpec(
        None, "tensor", "fsdp"
    )
    assert placed["text"]["token_embed"]["embedding"].spec == PartitionSpec("fsdp", None)


def test_a_step_moves_trainable_parameters_and_lowers_the_loss():
    trainable, frozen, batch = plain_step.start(RUN)
    schedule = optax.constant_schedule(3e-3)
    transform = optimizer.make_optimizer(
        trainable, schedule, b1=0.9, b2=0.98, eps=1e-6, weight_decay=0.0
    )
    step = jax.jit(step_lib.make_step(plain_step.plain_gradient(RUN), transform, schedule))
    state = step_lib.initial_state(transform, trainable)
    losses = []
    for _ in range(25):
        state, metrics = step(state, frozen, batch, KEY)
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


def test_losses_of_modalities_do_not_mix():
    """Changing one modality's media leaves the others' losses as they were."""
    trainable, frozen, batch = plain_step.start(RUN)
    gradient = plain_step.plain_gradient(RUN)
    (_, before), _ = gradient(trainable, frozen, batch, KEY)
    batch = {**batch, "depth": {**batch["depth"], "media": -batch["depth"]["media"]}}
    (_, after), _ = gradient(trainable, frozen, batch, KEY)
    assert float(before["loss/depth"]) != float(after["loss/depth"])
    assert float(before["loss/video"]) == float(after["loss/video"])


def test_masked_duplicates_lower_the_loss_of_a_batch_with_equal_captions():
    embeddings = {"depth": dict.fromkeys(("media", "text"), jnp.eye(4)[jnp.array([0, 1, 2, 0])])}
    batch = {"depth": {"text": np.array([[1, 5], [1, 6], [1, 7], [1, 5]], np.int32)}}
    params = {"logit_scale": {"depth": jnp.float32(3)}}
    objective = step_lib.contrastive.symmetric_infonce
    plain, masked = (
        step_lib.make_contrast(objective, mask_duplicates=mask)(params, embeddings, batch)[0]
        for mask in (False, True)
    )
    assert float(masked) < 0.2 < float(plain)


def test_sigmoid_loss_starts_and_trains_a_bias():
    cfg = plain_step.RUNS["sigmoid"]
    trainable, _, _ = plain_step.start("sigmoid")
    assert trainable["logit_bias"] == dict.fromkeys(cfg.batch_sizes, np.float32(-10))
    drawn = jax.eval_shape(lambda: recipe.drawn_params(cfg, LanguageBind(recipe.build(cfg)[0])))
    assert paths.flatten(drawn).keys() >= {f"logit_bias/{name}" for name in cfg.batch_sizes}
    _, gradient = plain_step.plain("sigmoid")
    assert all(gradient[f"logit_bias/{name}"] != 0 for name in cfg.batch_sizes)


def test_rules_that_freeze_the_bias_of_a_sigmoid_loss_are_named():
    cfg = dataclasses.replace(plain_step.RUNS["sigmoid"], trainable=plain_step.BINDING)
    with pytest.raises(errors.ConfigError, match=r"\('logit_bias/\.\*', True\)"):
        recipe.build(cfg)
    rules = ((r"logit_scale/.*", False), *plain_step.BINDING)
    recipe.build(dataclasses.replace(cfg, trainable=rules))  # frozen with the temperature
