"""What of a run is compiled, made from its settings: the same for a run and for a plan of one."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from lb_jax.core import errors, paths
from lb_jax.training import families, sharding
from lb_jax.training import step as step_lib
from lb_jax.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Program:
    """The step of a run and what it is made of.

    Attributes:
      model_cfg, preprocess: shape of the model, and preprocessing spec by modality.
      model: of the run's family.
      mesh: devices the step runs on.
      gradient: `gradient(trainable, frozen, batch, key) -> ((loss, metrics), gradient)`.
      optimizer: over the trainable parameters that have a gradient.
      running: says which have none and are counted, see `families.Family`.
      batch: shapes of a global batch.
      step: jitted `step(state, frozen, batch, key) -> (state, metrics)`; the memory of the old
        state is used for the new one.
    """

    model_cfg: Any
    preprocess: dict[str, Any]
    model: Any
    mesh: jax.sharding.Mesh
    gradient: Callable
    optimizer: optax.GradientTransformation
    running: paths.Rules
    batch: dict[str, dict[str, Any]]
    step: jax.stages.Wrapped

    def initial_state(self, trainable: paths.Tree) -> paths.Tree:
        """The state before the first step; also of shapes, under `jax.eval_shape`."""
        return step_lib.initial_state(self.optimizer, trainable, self.running)

    def lower(self, state: paths.Tree, frozen: paths.Tree, key: jax.Array) -> jax.stages.Lowered:
        """The step for arguments of these shapes, ready to be compiled."""
        return self.step.lower(state, frozen, self.batch, key)


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
    family = families.of(cfg)
    model_cfg, preprocess = family.build(cfg)
    model = family.make_model(cfg, model_cfg, mesh.devices.flat[0].platform)
    optimizer, schedule = family.optimizer(cfg, paths.divide(trainable, family.RUNNING)[1])
    gradient = family.make_gradient(cfg, mesh, model)
    batch = family.batch_shapes(cfg, model_cfg)
    parts = (model_cfg, preprocess, model, mesh, gradient, optimizer, family.RUNNING, batch)
    program = Program(*parts, step=None)
    state = jax.eval_shape(program.initial_state, trainable)
    replicated = sharding.replicated(mesh)
    state_sharding = sharding.tree_shardings(state, mesh)
    step = jax.jit(
        step_lib.make_step(
            gradient, optimizer, schedule, bound=family.bound, running=family.RUNNING
        ),
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


def shapes(cfg: TrainConfig) -> tuple[paths.Tree, paths.Tree]:
    """Shapes of the trainable parameters and of what is `held` of the frozen ones."""
    family = families.of(cfg)
    model = family.make_model(cfg, family.build(cfg)[0])
    params = jax.eval_shape(lambda: family.drawn_params(cfg, model))
    trainable, frozen = paths.partition(params, cfg.trainable)
    return trainable, jax.eval_shape(lambda tree: family.held(tree, cfg), frozen)


def place(tree: Mapping[str, Any], mesh: jax.sharding.Mesh) -> Any:
    """Puts host arrays, the same in every process, onto the devices of the mesh."""
    return jax.tree.map(
        lambda leaf, to: jax.make_array_from_callback(leaf.shape, to, lambda i: leaf[i]),
        tree,
        sharding.tree_shardings(tree, mesh),
    )
