"""Contrastive losses in their plain form, which holds the whole similarity matrix at once.

They are the definition; `ring.py` computes the same without the matrix and is tested against them.
`LOSSES` take embeddings, `(a, b, logit_scale, logit_bias, same, present)`; `of_scores` takes the
similarities themselves, from whatever they come, and `of_groups` is the mean of several losses.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

MAX_LOGIT_SCALE = (
    4.605170185988092  # ln 100, upper end of the clamp; the lower is 0 (LanguageBind `train.py`)
)
INITIAL_LOGIT_BIAS = -10.0  # most pairs are negatives: start near that prior (SigLIP, section 3.2)

Bias = jax.Array | float  # scalar
Ids = jax.Array | None  # captions' ids [b], or [b, k] of items with several
Present = jax.Array | None  # bool [b], items that have both sides; None: all


def symmetric_infonce(
    a: jax.Array,
    b: jax.Array,
    logit_scale: jax.Array,
    logit_bias: Bias = 0.0,
    same: Ids = None,
    present: Present = None,
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
      present: bool [b], items that count, as rows and as columns; nothing reaches the others,
        neither value nor gradient. None: all.

    Returns:
      Scalar loss, float32; 0 if no item is present.
    """
    return _infonce(_logits(a, b, logit_scale, present), same, present)


def of_scores(
    scores: jax.Array, temperature: Bias, same: Ids = None, present: Present = None
) -> jax.Array:
    """`symmetric_infonce` of a matrix of similarities, such as those of `fine_grained`.

    Args:
      scores: [b, b], row i belonging to column i.
      temperature: scalar that divides them (VALOR spec 3.2).
      same: as of `symmetric_infonce`, and so is `present`.
      present: bool [b].

    Returns:
      Scalar loss, float32; 0 if no item is present.
    """
    return _infonce(scores.astype(jnp.float32) / temperature, same, present)


def of_groups(
    losses: Mapping[str, jax.Array], valid: Mapping[str, jax.Array], at_least: int
) -> jax.Array:
    """Mean of the losses of those groups that have enough items in this batch.

    In place of VALOR's rule of one data set, and so one list of groups, per step (spec 8.1).

    Args:
      losses: scalar loss of each group.
      valid: how many items of the batch have all modalities of the group, scalars; same names.
      at_least: fewest items of a group that counts: 2 where items are compared, else 1.

    Returns:
      Scalar; 0, without a gradient, if no group has enough.
    """
    each = jnp.stack([losses[name] for name in losses])
    enough = jnp.stack([jnp.asarray(valid[name]) >= at_least for name in losses])
    return jnp.where(enough, each, 0.0).sum() / jnp.maximum(enough.sum(), 1)


def sigmoid_loss(
    a: jax.Array,
    b: jax.Array,
    logit_scale: jax.Array,
    logit_bias: Bias = 0.0,
    same: Ids = None,
    present: Present = None,
) -> jax.Array:
    """Every pair decided by itself: -1/b sum_ij log sigmoid(z_ij (exp(scale) a_i b_j + bias)).

    SigLIP, arXiv 2303.15343, equation 1; z_ij is 1 for i = j and -1 otherwise.

    Args:
      a: as of `symmetric_infonce`, and so are `b` and `logit_scale`.
      b: unit vectors [b, e].
      logit_scale: scalar.
      logit_bias: scalar, starts at `INITIAL_LOGIT_BIAS`.
      same: as of `symmetric_infonce`; a left-out pair adds nothing.
      present: as of `symmetric_infonce`; the number of these items is the b of the formula.

    Returns:
      Scalar loss, float32; 0 if no item is present.
    """
    sign = 2 * jnp.eye(len(a)) - 1
    logits = sign * (_logits(a, b, logit_scale, present) + logit_bias)
    counts, items = counted(same, len(a), present)
    return -jnp.where(counts, jax.nn.log_sigmoid(logits), 0).sum() / items


def counted(same: Ids, items: int, present: Present = None) -> tuple[jax.Array, jax.Array | float]:
    """Which pairs enter a loss, and of how many items it is the mean (at least 1).

    Returns:
      Bool [b, b]: of the present items the diagonal, and those whose ids differ. A number.
    """
    counts = jnp.ones((items, items), bool)
    if same is not None:
        ids = same.reshape(items, -1)
        counts = (ids[:, None] != ids[None]).any(-1) | jnp.eye(items, dtype=bool)
    if present is None:
        return counts, float(items)
    return counts & present[:, None] & present, jnp.maximum(present.sum(), 1)


def _infonce(logits: jax.Array, same: Ids, present: Present) -> jax.Array:
    counts, items = counted(same, len(logits), present)
    # A row of an absent item keeps its diagonal alone, at 0: it costs nothing, without a gradient.
    alone = jnp.where(jnp.eye(len(logits), dtype=bool), 0.0, -jnp.inf)
    logits = jnp.where(counts, logits, alone)
    diagonal = jnp.diagonal(logits)
    rows = jax.nn.logsumexp(logits, axis=1) - diagonal
    columns = jax.nn.logsumexp(logits, axis=0) - diagonal
    return (rows.sum() + columns.sum()) / (2 * items)


def _logits(a: jax.Array, b: jax.Array, logit_scale: jax.Array, present: Present) -> jax.Array:
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    if present is not None:  # whatever stands for an absent item, not a number included
        a, b = (jnp.where(present[:, None], one, 0.0) for one in (a, b))
    return jnp.exp(logit_scale) * jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)


LOSSES = {"infonce": symmetric_infonce, "sigmoid": sigmoid_loss}
