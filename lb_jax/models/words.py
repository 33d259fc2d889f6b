"""A bag of words: ids -> features, the largest of what each word says (MMV spec 1.5)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.convolution import Features
from lb_jax.models.text import Embedding


@dataclasses.dataclass(frozen=True)
class WordsConfig:
    """Shape of the text tower.

    Attributes:
      width: of the features.
      vocab: rows of the table of word vectors, the row of padding among them.
      word_dim: size of a word vector.
    """

    width: int = 2048
    vocab: int = 65536
    word_dim: int = 300

    def __post_init__(self):
        if min(self.width, self.vocab, self.word_dim) < 1:
            raise errors.ConfigError(
                f"width {self.width}, vocab {self.vocab} and word_dim {self.word_dim}; give whole "
                "numbers from 1 on."
            )


class WordBag(nnx.Module):
    """Word ids int [..., n] -> `Features`; ids that fill up a text are words like the others.

    The published table of word vectors was not trained: leave `token_embed` out by a path rule.
    """

    def __init__(self, cfg: WordsConfig, *, rngs: nnx.Rngs, dtype=jnp.float32, **options: str):
        del options  # of towers that convolve
        self.token_embed = Embedding(cfg.vocab, cfg.word_dim, rngs=rngs)
        self.proj = layers.Linear(cfg.word_dim, cfg.width, rngs=rngs, dtype=dtype)

    def __call__(self, ids: jax.Array, counted: jax.Array | None = None) -> Features:
        """Runs the tower; nothing in it counts items, so `counted` changes nothing."""
        del counted
        words = jax.nn.relu(self.proj(self.token_embed(ids)))  # [..., n, d]
        return Features(words.max(axis=-2).astype(jnp.float32), {})
