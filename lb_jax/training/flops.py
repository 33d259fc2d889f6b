"""Floating-point operations of a program, counted from its jaxpr: 2 per multiplication and sum.

Only matrix products and convolutions count, as is usual for model FLOPs (arXiv 2204.02311,
appendix B); in a transformer the rest is below one per cent. The count is of the whole program on
all devices. The compiler's own figure is no substitute: it takes the body of a loop once, and
scanned layers are a loop.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core

from lb_jax.training import program as program_lib
from lb_jax.training.config import TrainConfig


def step_flops(cfg: TrainConfig, mesh: jax.sharding.Mesh) -> float:
    """Model FLOPs of one training step of the whole batch: loss, gradient and update.

    Nothing is counted that a run does only to save memory: no rematerialisation and no second
    forward pass of accumulation. Divided by what all chips could do in the time of a step it gives
    the model-FLOPs utilisation (MFU).
    """
    cfg = dataclasses.replace(cfg, remat="none", accumulate=1, attention="xla")  # cuDNN is one call
    trainable, frozen = program_lib.shapes(cfg)
    program = program_lib.make_program(cfg, mesh, trainable, frozen)
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(program.initial_state, trainable)
    return count(program.step.trace(state, frozen, program.batch, key).jaxpr)


def count(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> float:
    """FLOPs of a jaxpr.

    A scan counts its body as often as it runs; a `cond` its dearest branch; a `shard_map`, whose
    body is one device's part, that times its devices. A `while` of unknown length counts once.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    return sum(RULES.get(one.primitive.name, _inside)(one) for one in jaxpr.eqns)


def _inside(eqn: core.JaxprEqn) -> float:
    """Calls of every kind (jit, checkpoint, custom derivatives): what they call."""
    return sum(map(count, _jaxprs(eqn.params)))


def _array(one: core.Var | core.Literal) -> jax.core.ShapedArray:
    """What is known of an operand or a result: its shape and type."""
    assert isinstance(one.aval, jax.core.ShapedArray)
    return one.aval


def _dot(eqn: core.JaxprEqn) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = _array(eqn.invars[0]).shape
    return 2 * _array(eqn.outvars[0]).size * math.prod(shape[axis] for axis in contracted)


def _convolution(eqn: core.JaxprEqn) -> float:
    kernel = _array(eqn.invars[1])
    features = kernel.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    return 2 * _array(eqn.outvars[0]).size * kernel.size // features


def _shard_map(eqn: core.JaxprEqn) -> float:
    params = eqn.params
    axes = params["newly_manual_axes" if "newly_manual_axes" in params else "manual_axes"]
    return math.prod(params["mesh"].shape[axis] for axis in axes) * _inside(eqn)


def _jaxprs(params: dict[str, Any]) -> Iterator[core.ClosedJaxpr | core.Jaxpr]:
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, core.ClosedJaxpr | core.Jaxpr):
                yield one


RULES = {
    "dot_general": _dot,
    "conv_general_dilated": _convolution,
    "scan": lambda eqn: eqn.params["length"] * _inside(eqn),
    "cond": lambda eqn: max(map(count, eqn.params["branches"])),
    "shard_map": _shard_map,
}
