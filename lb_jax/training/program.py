"""What of a run is compiled, made from its settings: the same for a run and for a plan of one."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.models import layers
from lb_jax.models.languagebind import LanguageBind, ModelConfig
from lb_jax.objectives import ring
from lb_jax.training import accumulate, recipe, sharding
from lb_jax.training import optimizer as optimizer_lib
from lb_jax.training import step as step_lib
from lb_jax.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Program:
    """The step of a run and what it is made of.

    Attributes:
      model_cfg, preprocess: shapes of the towers, and preprocessing spec by modality.
      model: the towers.
      mesh: devices the step runs on.
      gradient: `gradient(trainable, frozen, batch, key) -> ((loss, metrics), gradient)`.
      optimizer: over the trainable parameters.
      batch: shapes of a global batch.
      step: jitted `step(state, frozen, batch, key) -> (state, metrics)`; the memory of the old
        state is used for the new one.
    """

    model_cfg: ModelConfig
    preprocess: dict[str, Any]
    model: LanguageBind
    mesh: jax.sharding.Mesh
    gradient: Callable
    optimizer: optax.GradientTransformation
    batch: dict[str, dict[str, Any]]
    step: jax.stages.Wrapped

    def initial_state(self, trainable: paths.Tree) -> paths.Tree:
        """The state before the first step; also of shapes, under `jax.eval_shape`."""
        return step_lib.initial_state(self.optimizer, trainable)

    def lower(self, state: paths.Tree, frozen: paths.Tree, key: jax.Array) -> jax.stages.Lowered:
        """The step for arguments of these shapes, ready to be compiled."""
        return self.step.lower(state, frozen, self.batch, key)


def make_model(
    cfg: TrainConfig, model_cfg: ModelConfig, platform: str | None = None
) -> LanguageBind:
    """The towers with the run's options, for this machine or for devices of another platform."""
    platform = platform or jax.default_backend()
    attention = layers.usual_attention(platform) if cfg.attention == "auto" else cfg.attention
    dtype = compute_dtype(cfg, platform)
    if attention == "cudnn" and (platform != "gpu" or dtype.itemsize != 2):
        raise errors.ConfigError(
            f"config.attention=cudnn runs on a GPU in bfloat16 or float16, not on {platform} in "
            f"{dtype}; take auto."
        )
    return LanguageBind(model_cfg, dtype=dtype, remat=cfg.remat, attention=attention)


def make_program(
    cfg: TrainConfig, mesh: jax.sharding.Mesh, trainable: paths.Tree, frozen: paths.Tree
) -> Program:
    """Builds the step of a run.

    Args:
      cfg: the run.
      mesh: devices, also of a machine that is not there.
      trainable, frozen: arrays or their shapes, see `shapes`.
    """
    if not paths.flatten(trainable):
        raise errors.ConfigError(
            "config.trainable leaves no parameter to train; give a rule (path regex, True)."
        )
    model_cfg, preprocess = recipe.build(cfg)
    model = make_model(cfg, model_cfg, mesh.devices.flat[0].platform)
    schedule = optimizer_lib.warmup_cosine(
        lr=cfg.optim.lr, warmup_steps=cfg.optim.warmup_steps, steps=cfg.steps
    )
    optimizer = optimizer_lib.make_optimizer(
        trainable,
        schedule,
        b1=cfg.optim.b1,
        b2=cfg.optim.b2,
        eps=cfg.optim.eps,
        weight_decay=cfg.optim.weight_decay,
        clip_norm=cfg.optim.clip_norm,
        lr_factors=cfg.optim.lr_factors,
    )
    gradient = make_gradient(cfg, mesh, model)
    batch = batch_shapes(cfg, model_cfg)
    program = Program(model_cfg, preprocess, model, mesh, gradient, optimizer, batch, None)
    state = jax.eval_shape(program.initial_state, trainable)
    replicated = sharding.replicated(mesh)
    state_sharding = sharding.tree_shardings(state, mesh)
    step = jax.jit(
        step_lib.make_step(gradient, optimizer, schedule),
        in_shardings=(
            state_sharding,
            sharding.tree_shardings(frozen, mesh),
            sharding.batch_sharding(mesh),
            replicated,
        ),
        out_shardings=(state_sharding, replicated),
        donate_argnums=0,
    )
    return dataclasses.replace(program, step=step)


def make_gradient(cfg: TrainConfig, mesh: jax.sharding.Mesh, model: LanguageBind) -> Callable:
    """Loss, metrics and gradient of a run, see `Program.gradient`."""
    devices = sharding.batch_devices(mesh)
    encode = step_lib.make_encode(
        model, {name: one.patch_dropout for name, one in cfg.modalities.items()}, mesh
    )
    contrast = step_lib.make_contrast(
        ring.make_contrastive(mesh, cfg.loss.kind, cfg.loss.tile),
        mask_duplicates=cfg.loss.mask_duplicates,
    )
    if cfg.accumulate > 1:
        return accumulate.make_gradient(encode, contrast, parts=cfg.accumulate, devices=devices)
    return jax.value_and_grad(step_lib.make_loss(encode, contrast), has_aux=True)


def shapes(cfg: TrainConfig) -> tuple[paths.Tree, paths.Tree]:
    """Shapes of the trainable parameters and of what is `held` of the frozen ones."""
    model = make_model(cfg, recipe.build(cfg)[0])
    params = jax.eval_shape(lambda: recipe.drawn_params(cfg, model))
    trainable, frozen = paths.partition(params, cfg.trainable)
    return trainable, jax.eval_shape(lambda tree: held(tree, cfg), frozen)


def batch_shapes(cfg: TrainConfig, model_cfg: ModelConfig) -> dict[str, dict[str, Any]]:
    """Shapes of a global batch; texts are embeddings where the run has a text cache."""
    found = {}
    for name, size in cfg.batch_sizes.items():
        ids = jax.ShapeDtypeStruct((size, cfg.text_length), jnp.int32)
        text, media = ids, ids
        if cfg.data.text_cache:
            text = jax.ShapeDtypeStruct((size, model_cfg.text.embed_dim), jnp.float32)
        if name != TEXT:
            tower = model_cfg.towers[name]
            frames = (tower.frames,) if tower.frames > 1 else ()
            media = jax.ShapeDtypeStruct((size, *frames, *tower.image_size, 3), jnp.float32)
        found[name] = {"media": media, "text": text}
    return found


def compute_dtype(cfg: TrainConfig, platform: str) -> jnp.dtype:
    """Compute dtype of the run: XLA's CPU backend has no fast bfloat16 product."""
    automatic = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(automatic if cfg.dtype == "auto" else cfg.dtype)


def held(frozen: paths.Tree, cfg: TrainConfig) -> paths.Tree:
    """Frozen parameters as the step takes them.

    In the run's `frozen_dtype`, temperatures in float32; without a text tower whose embeddings come
    from the text cache.
    """
    dtype = jnp.dtype(cfg.frozen_dtype)
    return paths.unflatten(
        {
            path: leaf if path.startswith(("logit_scale/", "logit_bias/")) else leaf.astype(dtype)
            for path, leaf in paths.flatten(frozen).items()
            if not (cfg.data.text_cache and path.startswith(f"{TEXT}/"))
        }
    )


def place(tree: Mapping[str, Any], mesh: jax.sharding.Mesh) -> Any:
    """Puts host arrays, the same in every process, onto the devices of the mesh."""
    return jax.tree.map(
        lambda leaf, to: jax.make_array_from_callback(leaf.shape, to, lambda i: leaf[i]),
        tree,
        sharding.tree_shardings(tree, mesh),
    )
