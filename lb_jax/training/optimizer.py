"""AdamW as published: decay by path and schedules (LanguageBind spec 3.3, 6.3; VALOR 6.1)."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lb_jax.core import paths
from lb_jax.training.config import OptimConfig

# Whether weight decay applies, by path. The original decides by `ndim < 2` and substrings of its
# names; stacked layers have one axis more, so paths say it here.
DECAY = (
    (r"(.*/)?(bias|scale)|logit_(scale|bias)/.*", False),
    (r"(.*/)?class_embed|(.*/)?patch_embed/kernel", False),
    (r".*", True),
)

# VALOR's decides by substrings alone, and of all norms only BERT's have the name that it asks for;
# that of BERT's head has not. Temperature and class tokens are decayed (VALOR spec 6.1).
VALOR_DECAY = (
    (r"(.*/)?bias", False),
    (r"text/(blocks/.*|embed_norm/)scale", False),
    (r".*", True),
)


class Kind(NamedTuple):
    """An AdamW as one of the originals has it.

    Attributes:
      decay: whether weight decay applies, by path.
      adam: `(b1=, b2=, eps=)` -> the transformation of gradients.
      decays_result: decayed is the value that the step leads to, not the one before it.
    """

    decay: paths.Rules
    adam: Callable[..., optax.GradientTransformation]
    decays_result: bool


def plain_adam(*, b1: float, b2: float, eps: float) -> optax.GradientTransformation:
    """Adam that adds eps to the second moment's root before the bias of both is corrected.

    arXiv 1412.6980, end of section 2. Of gradients near eps it makes smaller steps than
    `optax.scale_by_adam`: in the first of them eps counts 1 / sqrt(1 - b2) times.
    """
    usual = optax.scale_by_adam(b1=b1, b2=b2, eps=eps)

    def update(updates, state, params=None):
        _, state = usual.update(updates, state, params)
        count = state.count.astype(jnp.float32)
        first, second = 1 - b1**count, jnp.sqrt(1 - b2**count)
        found = jax.tree.map(
            lambda mean, square: mean * second / (first * (jnp.sqrt(square) + eps)),
            state.mu,
            state.nu,
        )
        return found, state

    return optax.GradientTransformation(usual.init, update)


KINDS = {
    "languagebind": Kind(DECAY, optax.scale_by_adam, False),
    "valor": Kind(VALOR_DECAY, plain_adam, True),
}


def warmup_cosine(*, lr: float, warmup_steps: int, steps: int) -> optax.Schedule:
    """Learning rate of update i: lr (i + 1) / warmup, then half a cosine to 0 at `steps`."""

    def schedule(step):
        step = jnp.asarray(step, jnp.float32)
        rising = lr * (step + 1) / max(warmup_steps, 1)
        falling = (
            0.5 * lr * (1 + jnp.cos(math.pi * (step - warmup_steps) / max(steps - warmup_steps, 1)))
        )
        return jnp.where(step < warmup_steps, rising, falling)

    return schedule


def warmup_linear(*, lr: float, warmup_steps: float, steps: int) -> optax.Schedule:
    """Learning rate of update i: lr (i + 1) / warmup, then in a line to 0, which the last one has.

    `warmup_steps` need not be a whole number, being a share of `steps`.
    """

    def schedule(step):
        number = jnp.asarray(step, jnp.float32) + 1
        rising = number / max(warmup_steps, 1e-9)
        falling = (steps - number) / max(steps - warmup_steps, 1e-9)
        return lr * jnp.where(number < warmup_steps, rising, jnp.clip(falling, 0, 1))

    return schedule


SCHEDULES = {"cosine": warmup_cosine, "linear": warmup_linear}


def make_optimizer(
    trainable: Mapping[str, Any],
    schedule: optax.Schedule,
    *,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    clip_norm: float = 0.0,
    lr_factors: paths.Rules = (),
    kind: str = "languagebind",
):
    """An optax transformation over the trainable tree; frozen parameters never reach it.

    Args:
      trainable: the tree it will update; only its paths matter.
      schedule: learning rate by update.
      clip_norm: largest global gradient norm, 0 for no clipping.
      lr_factors: `(path regex, factor)` rules for parameters whose learning rate, and with it their
        decay, is a multiple of the schedule's; none gives all the same.
      kind: a row of `KINDS`.

    Raises:
      ConfigError: for a parameter that no factor is for, or a factor that is for no parameter.
    """
    one = KINDS[kind]
    decays = paths.unflatten(
        {path: paths.match_one(one.decay, path) for path in paths.flatten(trainable)}
    )
    added = optax.add_decayed_weights(weight_decay, mask=decays)
    rate = optax.chain(
        scale_leaves(trainable, lr_factors) if lr_factors else optax.identity(),
        optax.scale_by_learning_rate(schedule),
    )
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        one.adam(b1=b1, b2=b2, eps=eps),
        *((rate, of_result(optax.chain(added, rate))) if one.decays_result else (added, rate)),
    )


def of_run(
    optim: OptimConfig,
    trainable: Mapping[str, Any],
    schedule: optax.Schedule,
    kind: str = "languagebind",
):
    """`make_optimizer` by the settings of a run."""
    return make_optimizer(
        trainable,
        schedule,
        b1=optim.b1,
        b2=optim.b2,
        eps=optim.eps,
        weight_decay=optim.weight_decay,
        clip_norm=optim.clip_norm,
        lr_factors=optim.lr_factors,
        kind=kind,
    )


def of_result(decay: optax.GradientTransformation) -> optax.GradientTransformation:
    """Adds what a decay takes from the values that an update leads to, not from those before it.

    Args:
      decay: updates of 0 and parameters -> what the decay adds to the parameters.
    """

    def update(updates, state, params):
        zeros = jax.tree.map(jnp.zeros_like, updates)
        added, state = decay.update(zeros, state, optax.apply_updates(params, updates))
        return jax.tree.map(jnp.add, updates, added), state

    return optax.GradientTransformation(decay.init, update)


def scale_leaves(trainable: Mapping[str, Any], rules: paths.Rules) -> optax.GradientTransformation:
    """Multiplies the update of every leaf by the factor that the first matching rule gives it."""
    factors = paths.unflatten(
        paths.match(rules, paths.flatten(trainable), "config.optim.lr_factors")
    )
    return optax.stateless(lambda updates, _: jax.tree.map(operator.mul, updates, factors))
