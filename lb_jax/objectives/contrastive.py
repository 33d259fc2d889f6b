"""Contrastive losses in their plain form, which holds the whole similarity matrix at once.

They are the definition; `ring.py` computes the same without the matrix and is tested against them.
All take `(a, b, logit_scale, logit_bias, same)`.
"""

import jax
import jax.numpy as jnp

MAX_LOGIT_SCALE = (
    4.605170185988092  # ln 100, upper end of the clamp; the lower is 0 (LanguageBind `train.py`)
)
INITIAL_LOGIT_BIAS = -10.0  # most pairs are negatives: start near that prior (SigLIP, section 3.2)

Bias = jax.Array | float  # scalar
Ids = jax.Array | None  # captions' ids [b], or [b, k] of items with several


def symmetric_infonce(
    a: jax.Array, b: jax.Array, logit_scale: jax.Array, logit_bias: Bias = 0.0, same: Ids = None
) -> jax.Array:
    """Mean of two cross-entropies: pick b_i for a_i among all b, and a_i for b_i among all a.

    CLIP, arXiv 2103.00020, figure 3; LanguageBind spec 6.1.

    Args:
      a: unit vectors [b, e].
      b: unit vectors [b, e], row i belonging to row i of `a`.
      logit_scale: scalar, log of the inverse temperature.
      logit_bias: without effect, since no softmax sees it.
      same: caption ids [b] or [b, k]; items i != j of equal ids are left out of each other's
        softmax. None leaves out nothing.

    Returns:
      Scalar loss, float32.
    """
    logits = jnp.where(counted(same, len(a)), _logits(a, b, logit_scale), -jnp.inf)
    diagonal = jnp.diagonal(logits)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return (rows.mean() + columns.mean()) / 2


def sigmoid_loss(
    a: jax.Array, b: jax.Array, logit_scale: jax.Array, logit_bias: Bias = 0.0, same: Ids = None
) -> jax.Array:
    """Every pair decided by itself: -1/b sum_ij log sigmoid(z_ij (exp(scale) a_i b_j + bias)).

    SigLIP, arXiv 2303.15343, equation 1; z_ij is 1 for i = j and -1 otherwise.

    Args:
      a: as of `symmetric_infonce`, and so are `b` and `logit_scale`.
      b: unit vectors [b, e].
      logit_scale: scalar.
      logit_bias: scalar, starts at `INITIAL_LOGIT_BIAS`.
      same: as of `symmetric_infonce`; a left-out pair adds nothing.

    Returns:
      Scalar loss, float32.
    """
    sign = 2 * jnp.eye(len(a)) - 1
    logits = sign * (_logits(a, b, logit_scale) + logit_bias)
    return -jnp.where(counted(same, len(a)), jax.nn.log_sigmoid(logits), 0).sum() / len(a)


def counted(same: jax.Array | None, items: int) -> jax.Array:
    """Which pairs enter a loss, bool [b, b]: the diagonal, and items whose ids differ."""
    if same is None:
        return jnp.ones((items, items), bool)
    ids = same.reshape(items, -1)
    return (ids[:, None] != ids[None]).any(-1) | jnp.eye(items, dtype=bool)


def _logits(a: jax.Array, b: jax.Array, logit_scale: jax.Array) -> jax.Array:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    return jnp.exp(logit_scale) * jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


LOSSES = {"infonce": symmetric_infonce, "sigmoid": sigmoid_loss}
