"""Captions learnt by reward (SCST, `objectives.scst`; VALOR spec 5.4).

Of every item a caption is drawn word by word, and the likeliest one written; the drawn one becomes
likelier by how much more reward it earns, and less likely by how much less. Rewards come from the
host: they compare words with the references of the item.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.generation import Decoding
from lb_jax.models.valor import Valor
from lb_jax.objectives import captioning
from lb_jax.objectives.captioning import Vocabulary
from lb_jax.objectives.scst import drawn, scst

Reward = Callable[[jax.Array, jax.Array], jax.Array]  # items [b], ids [b, n] -> [b]


def on_host(rewards: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Reward:
    """A function of numpy arrays as one that a compiled step calls."""

    def reward(items: jax.Array, ids: jax.Array) -> jax.Array:
        def call(items, ids):
            return np.asarray(rewards(np.asarray(items), np.asarray(ids)), np.float32)

        return jax.pure_callback(call, jax.ShapeDtypeStruct(items.shape, jnp.float32), items, ids)

    return reward


def loss(
    model: Valor,
    params: paths.Tree,
    memory: Mapping[str, jax.Array],
    items: jax.Array,
    there: jax.Array,
    reward: Reward,
    *,
    longest: int,
    prompt: jax.Array | None,
    key: jax.Array,
) -> jax.Array:
    """Mean of -(reward - reward of the likeliest) times the log-probability of what was drawn.

    Nothing is dropped: what is made likelier is what was drawn.

    Args:
      model: with a decoder.
      params: of the model.
      memory: role -> what is attended to.
      items: whose references count, int [b].
      there: bool [b], which items take part.
      reward: of texts without their first token.
      longest: most tokens of a text, the end included.
      prompt: int [p] or [b, p]; None for none.
      key: by which words are drawn.
    """
    text, decoding = model.cfg.text, Decoding(beams=1, longest=longest)
    fixed = jax.lax.stop_gradient((params, memory))
    likeliest = model.generate(*fixed, decoding, prompt=prompt).ids
    ids = model.generate(*fixed, decoding, prompt=prompt, key=key).ids
    words = jnp.where(drawn(ids, text.end), ids, text.pad)
    begins = jnp.full_like(words[:, :1], text.begin)
    vocabulary = Vocabulary(text.vocab, text.pad, text.mask, 0)
    asked, targets = captioning.doubled(jnp.concatenate([begins, words], 1), vocabulary)
    logits = model.write(params, asked, memory, prompt=prompt, sight="slots")
    costs = captioning.cross_entropy(logits, targets)[:, longest + 1 : -1]
    rewards, baseline = (jnp.where(there, reward(items, one), 0.0) for one in (ids, likeliest))
    # the mean over those that take part, of whom scst knows nothing
    share = jnp.maximum(there.sum(), 1) / len(there)
    return scst(-costs, ids, rewards, baseline, text.end) / share
