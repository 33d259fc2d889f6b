"""How a run computes on a platform: options that all models take."""

from typing import Any

import jax
import jax.numpy as jnp

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.training.config import TrainConfig


def compute_dtype(cfg: TrainConfig, platform: str) -> jnp.dtype:
    """Compute dtype of the run: XLA's CPU backend has no fast bfloat16 product."""
    automatic = "float32" if platform == "cpu" else "bfloat16"
    return jnp.dtype(automatic if cfg.dtype == "auto" else cfg.dtype)


def options(cfg: TrainConfig, platform: str | None = None) -> dict[str, Any]:
    """`dtype`, `remat` and `attention` of a model.

    Args:
      cfg: the run.
      platform: of the devices; None is this machine's.

    Raises:
      ConfigError: for an attention that the platform does not have.
    """
    platform = platform or jax.default_backend()
    attention = layers.usual_attention(platform) if cfg.attention == "auto" else cfg.attention
    dtype = compute_dtype(cfg, platform)
    if attention == "cudnn" and (platform != "gpu" or dtype.itemsize != 2):
        raise errors.ConfigError(
            f"config.attention=cudnn runs on a GPU in bfloat16 or float16, not on {platform} in "
            f"{dtype}; take auto."
        )
    return {"dtype": dtype, "remat": cfg.remat, "attention": attention}
