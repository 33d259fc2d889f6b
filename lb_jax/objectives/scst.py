"""Self-critical sequence training: captions that score above the greedy one become likelier.

Rennie et al., arXiv 1612.00563, equations 7 and 8; VALOR trains VATEX and COCO with it (spec 5.4).
Texts are sampled and rewarded elsewhere: rewards are numbers, not functions of parameters.
"""

import jax
import jax.numpy as jnp


def scst(
    log_probabilities: jax.Array,
    ids: jax.Array,
    rewards: jax.Array,
    baseline: jax.Array,
    end: int,
) -> jax.Array:
    """Mean over the samples of -(reward - baseline) times the log-probability of the sample.

    Its gradient is that of the expected reward, turned round, whatever the baseline.

    Args:
      log_probabilities: of each token that was drawn, given those before it, [b, n] or [b, k, n] of
        k samples per item; only through these a gradient goes.
      ids: the tokens drawn, of the same shape; what follows the first `end` does not count.
      rewards: of the samples, [b] or [b, k].
      baseline: reward of the greedy text of each item, [b] or, to go with k samples, [b, 1].
      end: id of the end token, the last that is drawn.

    Returns:
      Scalar loss, float32.
    """
    of_texts = (log_probabilities.astype(jnp.float32) * drawn(ids, end)).sum(-1)
    advantage = jax.lax.stop_gradient(rewards - baseline)
    return -(advantage * of_texts).mean()


def drawn(ids: jax.Array, end: int) -> jax.Array:
    """Bool like `ids`: true up to the first `end` and on it, false behind."""
    ends = ids == end
    return jnp.cumsum(ends, axis=-1) - ends == 0
