"""Symmetric InfoNCE (CLIP, arXiv 2103.00020, figure 3; LanguageBind spec 6.1)."""

import jax
import jax.numpy as jnp

MAX_LOGIT_SCALE = (
    4.605170185988092  # ln 100, upper end of the clamp; the lower is 0 (LanguageBind `train.py`)
)


def symmetric_infonce(a: jax.Array, b: jax.Array, logit_scale: jax.Array) -> jax.Array:
    """Mean of two cross-entropies: pick b_i for a_i among all b, and a_i for b_i among all a.

    Args:
      a, b: unit vectors [b, e], row i of one belonging to row i of the other.
      logit_scale: scalar, log of the inverse temperature.

    Returns:
      Scalar loss, float32.
    """
    logits = jnp.exp(logit_scale) * a.astype(jnp.float32) @ b.astype(jnp.float32).T
    diagonal = jnp.diagonal(logits)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return (rows.mean() + columns.mean()) / 2
