"""AdamW with the published decay rule and a warm-up cosine (LanguageBind spec 3.3 and 6.3)."""

import math
import operator
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lb_jax.core import paths

# Whether weight decay applies, by path. The original decides by `ndim < 2` and substrings of its
# names; stacked layers have one axis more, so paths say it here.
DECAY = (
    (r"(.*/)?(bias|scale)|logit_(scale|bias)/.*", False),
    (r"(.*/)?class_embed|(.*/)?patch_embed/kernel", False),
    (r".*", True),
)


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
):
    """An optax transformation over the trainable tree; frozen parameters never reach it.

    Args:
      trainable: the tree it will update; only its paths matter.
      schedule: learning rate by update.
      clip_norm: largest global gradient norm, 0 for no clipping.
      lr_factors: `(path regex, factor)` rules for parameters whose learning rate, and with it their
        decay, is a multiple of the schedule's; none gives all the same.

    Raises:
      ConfigError: for a parameter that no factor is for, or a factor that is for no parameter.
    """
    decays = paths.unflatten(
        {path: paths.match_one(DECAY, path) for path in paths.flatten(trainable)}
    )
    return optax.chain(
        optax.clip_by_global_norm(clip_norm) if clip_norm else optax.identity(),
        optax.scale_by_adam(b1=b1, b2=b2, eps=eps),
        optax.add_decayed_weights(weight_decay, mask=decays),
        scale_leaves(trainable, lr_factors) if lr_factors else optax.identity(),
        optax.scale_by_learning_rate(schedule),
    )


def scale_leaves(trainable: Mapping[str, Any], rules: paths.Rules) -> optax.GradientTransformation:
    """Multiplies the update of every leaf by the factor that the first matching rule gives it."""
    factors = paths.unflatten(
        paths.match(rules, paths.flatten(trainable), "config.optim.lr_factors")
    )
    return optax.stateless(lambda updates, _: jax.tree.map(operator.mul, updates, factors))
