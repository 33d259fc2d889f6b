"""The causal text tower of CLIP: tokens -> embedding at the end token."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.stack import Tower


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Shape of the text tower.

    Transformer size, vocabulary, longest input in tokens, and size e of the shared space; `end` is
    the token at whose first place a text is pooled, where that is not the largest of the text, as
    in a vocabulary with tokens added behind it; `epsilon` is that of all norms, where it is not
    `layers.LAYER_NORM_EPSILON`.
    """

    width: int
    depth: int
    heads: int
    mlp_dim: int
    embed_dim: int
    vocab: int = 49408
    context: int = 77
    activation: str = "gelu"
    end: int | None = dataclasses.field(default=None, repr=False, metadata=config_lib.OPTIONAL)
    epsilon: float | None = dataclasses.field(
        default=None, repr=False, metadata=config_lib.OPTIONAL
    )

    def __post_init__(self):
        if self.end is not None and not 0 <= self.end < self.vocab:
            raise errors.ConfigError(
                f"the end token {self.end} is not in a vocabulary of {self.vocab}."
            )
        if self.heads < 1 or self.width % self.heads:
            raise errors.ConfigError(
                f"a text tower of width {self.width} does not split into {self.heads} heads."
            )

    @property
    def norms(self) -> dict[str, float]:
        """The epsilon of all norms, as `layers.LayerNorm` takes it."""
        return {"epsilon": self.epsilon or layers.LAYER_NORM_EPSILON}


class TextBlock(layers.Block):
    """[b, n, d] -> same: causal attention, MLP."""

    def __init__(self, cfg: TextConfig, *, rngs: nnx.Rngs, dtype, attention: str = "xla"):
        options = {"rngs": rngs, "dtype": dtype, "attention": attention, "causal": True}
        options |= cfg.norms
        super().__init__(cfg.width, cfg.heads, cfg.mlp_dim, cfg.activation, **options)


class Embedding(nnx.Module):
    """ids [...] -> rows of a table [v, d]."""

    def __init__(self, rows: int, width: int, *, rngs: nnx.Rngs):
        self.embedding = nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width)))

    def __call__(self, ids: jax.Array) -> jax.Array:
        """[...] -> [..., d]."""
        return self.embedding[...][ids]


class TextTower(Tower):
    """ids int [b, n] -> `layers.TowerOutput`, n at most `cfg.context`.

    Attention is causal, so whatever follows the end token changes nothing: shorter padding gives
    the same numbers.

    It is made with the options of `stack.Tower`.
    """

    def __init__(self, cfg: TextConfig, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(**options)
        self.cfg = cfg
        self.token_embed = Embedding(cfg.vocab, cfg.width, rngs=rngs)
        self.position_embed = nnx.Param(
            0.01 * jax.random.normal(rngs.params(), (cfg.context, cfg.width))
        )
        self.blocks = self.stack(TextBlock, cfg, rngs)
        self.final_norm = layers.LayerNorm(cfg.width, dtype=self.dtype, **cfg.norms)
        self.proj = self.projection(cfg, rngs)

    def __call__(self, ids: jax.Array, **options: Any) -> layers.TowerOutput:
        """Runs the tower; options are those of `run_stack`: `constrain`."""
        if ids.ndim != 2 or ids.shape[1] > self.cfg.context:
            raise ValueError(
                f"token ids of shape {ids.shape} where the tower takes [b, n] with n <= "
                f"{self.cfg.context}; use lb_jax.tokenize."
            )
        # added in float32 however they are stored
        x = self.token_embed(ids).astype(jnp.float32) + self.position_embed[: ids.shape[1]]
        x = x.astype(self.dtype)
        x = self.run(x, **options)
        # the end token has the largest id, but for tokens that were added to the vocabulary later
        end = jnp.argmax(ids if self.cfg.end is None else ids == self.cfg.end, axis=-1)
        pooled = self.final_norm(jnp.take_along_axis(x, end[:, None, None], axis=1)[:, 0])
        embed = pooled if self.proj is None else self.proj(pooled)
        return layers.TowerOutput(embed, pooled, hidden=x, tokens=self.final_norm(x))
