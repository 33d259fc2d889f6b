"""BERT as text encoder and as captioning decoder: one module, one set of weights.

VALOR spec 1.4, 4.2 and 4.3. As decoder it also attends to what is seen and heard. A prompt is a
second text beside the first, with positions from 0 again and a type vector of its own; the two lie
in one sequence, text before prompt.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import layers
from lb_jax.models.stack import Tower
from lb_jax.models.text import Embedding

HIDDEN = -10000.0  # added to the score of a token that must not be seen; not infinite, as published

ROLES = ("video", "audio")  # what a decoder attends to, in this order


class Cross(NamedTuple):
    """A form of cross-attention.

    Attributes:
      branches: name -> the roles whose tokens it attends to, in the order in which they run.
      is_parallel: all branches start from the same input and their outputs are added; otherwise
        each continues from the one before.
    """

    branches: Mapping[str, tuple[str, ...]]
    is_parallel: bool = False


# The published forms, by their published names.
CROSS = {
    "va_concate": Cross({"cross": ROLES}),
    "video_audio": Cross({"video": ("video",), "audio": ("audio",)}),
    "audio_video": Cross({"audio": ("audio",), "video": ("video",)}),
    "va_parallel": Cross({"video": ("video",), "audio": ("audio",)}, is_parallel=True),
}


class Sight(NamedTuple):
    """Which tokens of a text see which.

    Attributes:
      allowed: length of the text -> bool [n, n], row sees column.
      positions: length of the text -> int [n].
      prompt_sees_text: whether the prompt's tokens do; the text's always see the prompt's.
    """

    allowed: Callable[[int], np.ndarray]
    positions: Callable[[int], np.ndarray]
    prompt_sees_text: bool


def _slots(n: int) -> np.ndarray:
    """bool [n, n]: words are causal, slot k sees words 0 … k and itself."""
    causal, apart = np.tri(n // 2, dtype=bool), np.eye(n // 2, dtype=bool)
    return np.block([[causal, np.zeros_like(causal)], [causal, apart]])


SIGHTS = {
    # an encoder's, and that of masked language modelling
    "all": Sight(lambda n: np.ones((n, n), bool), np.arange, True),
    # a decoder's: a masked token sees itself and what comes before
    "causal": Sight(lambda n: np.tri(n, dtype=bool), np.arange, False),
    # words and behind them as many masks; mask k has the position of word k + 1, which it predicts
    "slots": Sight(
        _slots,
        lambda n: np.concatenate([np.arange(n // 2), np.arange(n // 2) + 1]),
        False,
    ),
}


@dataclasses.dataclass(frozen=True)
class BertConfig:
    """Shape of the text encoder and decoder.

    Attributes:
      width, depth, heads, mlp_dim: size of the transformer.
      vocab, context: tokens it knows, positions it has.
      cross: a row of `CROSS`; None for an encoder alone.
      dropout: dropped share of the embedding, of attention's weights and of every branch.
      epsilon: of the norms.
      pad, begin, end, mask: ids of the tokens that are no words.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    vocab: int = 30522
    context: int = 512
    cross: str | None = None
    dropout: float = 0.1
    epsilon: float = 1e-12
    pad: int = 0
    begin: int = 101
    end: int = 102
    mask: int = 103

    def __post_init__(self):
        if self.heads < 1 or self.width % self.heads:
            raise errors.ConfigError(
                f"a BERT of width {self.width} does not split into {self.heads} heads."
            )
        if self.cross is not None and self.cross not in CROSS:
            raise errors.ConfigError(
                f"unknown cross-attention {self.cross!r}; known: "
                f"{', '.join(CROSS)}.{errors.nearest(self.cross, CROSS)}"
            )
        special = {"pad": self.pad, "begin": self.begin, "end": self.end, "mask": self.mask}
        for name, token in special.items():
            if not 0 <= token < self.vocab:
                raise errors.ConfigError(
                    f"the {name} token {token} is not in a vocabulary of {self.vocab}."
                )

    @property
    def form(self) -> Cross:
        """The form of cross-attention, without branches where there is none."""
        return CROSS[self.cross] if self.cross else Cross({})

    @property
    def branches(self) -> Mapping[str, tuple[str, ...]]:
        """Branches of cross-attention and the roles they attend to."""
        return self.form.branches


class BertOutput(NamedTuple):
    """Last layer's tokens.

    Attributes:
      text: [b, n, d].
      prompt: [b, p, d]; p is 0 without prompt.
    """

    text: jax.Array
    prompt: jax.Array


class BertBlock(nnx.Module):
    """[b, n, d] -> same: self-attention, cross-attention, MLP, each normed with its input added."""

    def __init__(self, cfg: BertConfig, *, rngs: nnx.Rngs, dtype, attention: str = "xla"):
        self.cfg = cfg

        def attend() -> layers.Attention:
            size = (cfg.width, cfg.heads)
            options = {"rngs": rngs, "dtype": dtype, "attention": attention}
            return layers.Attention(*size, **options, dropout=cfg.dropout)

        def norm() -> layers.LayerNorm:
            return layers.LayerNorm(cfg.width, dtype=dtype, epsilon=cfg.epsilon)

        self.attn, self.norm1 = attend(), norm()
        for name in cfg.branches:
            setattr(self, f"{name}_attn", attend())
            setattr(self, f"{name}_norm", norm())
        self.mlp = layers.Mlp(cfg.width, cfg.mlp_dim, "gelu", rngs=rngs, dtype=dtype)
        self.norm2 = norm()

    def __call__(
        self,
        x: jax.Array,
        *,
        bias: jax.Array,
        memory: Mapping[str, jax.Array],
        key: jax.Array | None = None,
    ) -> jax.Array:
        """[b, n, d] -> same.

        Args:
          x: the sequence.
          bias: [b, 1, n, n], added to the scores of self-attention.
          memory: branch of cross-attention -> what it attends to, [b, m, d].
          key: of the dropout.
        """
        keys = None if key is None else jax.random.split(key, 2 + len(self.cfg.branches))

        def drop(i: int) -> jax.Array | None:
            return None if keys is None else keys[i]

        order = {name: 2 + i for i, name in enumerate(self.cfg.branches)}
        x = self._added(self.norm1, x, self.attn(x, bias=bias, key=drop(0)), drop(0))
        x = self.across(
            x,
            memory,
            lambda attn, x, name: attn(x, memory=memory[name], key=drop(order[name])),
            lambda name: drop(order[name]),
        )
        return self._added(self.norm2, x, self.mlp(x), drop(1))

    def step(
        self, x: jax.Array, own: list[layers.Part], memory: Mapping[str, layers.KeysValues]
    ) -> jax.Array:
        """The same with keys and values that are already there: [b, n, d] -> same.

        Args:
          x: tokens that are new.
          own: what they see of their own sequence.
          memory: branch of cross-attention -> what it attends to.
        """
        x = self.norm1(x + self.attn.over(x, own))
        x = self.across(x, memory, lambda attn, x, name: attn.over(x, [(memory[name], None)]))
        return self.norm2(x + self.mlp(x))

    def across(
        self,
        x: jax.Array,
        memory: Mapping[str, Any],
        attend: Callable[[layers.Attention, jax.Array, str], jax.Array],
        key: Callable[[str], jax.Array | None] = lambda name: None,
    ) -> jax.Array:
        """Cross-attention by the form of the config; without memory x itself."""
        given = [name for name in self.cfg.branches if name in memory]
        results = []
        for name in given:
            found = attend(getattr(self, f"{name}_attn"), x, name)
            results.append(self._added(getattr(self, f"{name}_norm"), x, found, key(name)))
            if not self.cfg.form.is_parallel:
                x = results.pop()
        return sum(results[1:], results[0]) if results else x

    def _added(self, norm, x: jax.Array, branch: jax.Array, key: jax.Array | None) -> jax.Array:
        key = None if key is None else jax.random.fold_in(key, 1)
        return norm(x + layers.dropped(branch, self.cfg.dropout, key))


class Head(nnx.Module):
    """Tokens [..., d] -> logits [..., v] by the table of the embedding, which is given."""

    def __init__(self, cfg: BertConfig, *, rngs: nnx.Rngs, dtype):
        self.dense = layers.Linear(cfg.width, cfg.width, rngs=rngs, dtype=dtype)
        self.norm = layers.LayerNorm(cfg.width, dtype=dtype, epsilon=cfg.epsilon)
        self.bias = nnx.Param(jnp.zeros(cfg.vocab))

    def __call__(self, x: jax.Array, table: jax.Array) -> jax.Array:
        """[..., d], [v, d] -> float32 [..., v]."""
        x = self.norm(layers.ACTIVATIONS["gelu"](self.dense(x)))
        table = table.astype(x.dtype)
        logits = jnp.einsum("...d,vd->...v", x, table, preferred_element_type=jnp.float32)
        return logits + self.bias[...]


class Bert(Tower):
    """ids int [b, n] -> `BertOutput`.

    It is made with the options of `stack.Tower`.
    """

    def __init__(self, cfg: BertConfig, *, rngs: nnx.Rngs, **options: Any):
        super().__init__(**options)
        self.cfg = cfg

        def table(*shape: int) -> nnx.Param:
            return nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))

        self.token_embed = Embedding(cfg.vocab, cfg.width, rngs=rngs)
        self.position_embed = table(cfg.context, cfg.width)
        self.type_embed = table(2, cfg.width)  # the second row is of no use, and published
        self.prompt_embed = table(cfg.width)
        self.embed_norm = layers.LayerNorm(cfg.width, dtype=self.dtype, epsilon=cfg.epsilon)
        self.blocks = self.stack(BertBlock, cfg, rngs)
        self.head = Head(cfg, rngs=rngs, dtype=self.dtype)

    def __call__(
        self,
        ids: jax.Array,
        *,
        prompt: jax.Array | None = None,
        memory: Mapping[str, jax.Array] | None = None,
        sight: str = "all",
        key: jax.Array | None = None,
        **options: Any,
    ) -> BertOutput:
        """Runs the encoder, or with `memory` the decoder.

        Args:
          ids: int [b, n], padded with `cfg.pad`.
          prompt: int [b, p], padded likewise; None for none.
          memory: role -> what is attended to, [b, m, d]; an absent role is not attended to.
          sight: a row of `SIGHTS`, of the text.
          key: of the dropout; None is inference.
          **options: of `run_stack`: `constrain`.
        """
        prompt = ids[:, :0] if prompt is None else prompt
        way = SIGHTS[sight]
        drop = None if key is None else jax.random.split(key, 3)
        positions = way.positions(ids.shape[1])
        self.require_positions(max(prompt.shape[1], 1 + int(positions.max(initial=0))))
        x = jnp.concatenate(
            [
                self.embed(ids, positions, key=None if drop is None else drop[0]),
                self.embed_prompt(prompt, key=None if drop is None else drop[1]),
            ],
            axis=1,
        )
        x = self.run(
            x,
            key=None if drop is None else drop[2],
            bias=self._bias(ids, prompt, way),
            memory=self.joined(memory or {}),
            **options,
        )
        return BertOutput(x[:, : ids.shape[1]], x[:, ids.shape[1] :])

    def embed(
        self, ids: jax.Array, positions: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """ids int [..., n] at positions [n] -> [..., n, d]."""
        return self._embedded(ids, positions, self.type_embed[0], key)

    def embed_prompt(self, ids: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """ids int [b, p] -> [b, p, d]."""
        return self._embedded(ids, jnp.arange(ids.shape[1]), self.prompt_embed[...], key)

    def require_positions(self, count: int) -> None:
        """Checks that there are so many positions.

        Raises:
          ConfigError: when there are not.
        """
        if count > self.cfg.context:
            raise errors.ConfigError(
                f"a text of {count} tokens where the model has {self.cfg.context} positions; "
                "shorten it."
            )

    def logits(self, x: jax.Array) -> jax.Array:
        """Tokens [..., d] -> float32 [..., v]."""
        return self.head(x, self.token_embed.embedding[...])

    def joined(self, memory: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Role -> [b, m, d] as branch of cross-attention -> [b, m, d].

        Raises:
          ValueError: for roles of another name, or a memory where there is no cross-attention.
        """
        if strange := set(memory) - {
            role for roles in self.cfg.branches.values() for role in roles
        }:
            raise ValueError(
                f"a memory of {', '.join(sorted(strange))}, and the decoder's cross-attention is "
                f"{self.cfg.cross!r}, which attends to {', '.join(ROLES)}."
            )
        found = {}
        for name, roles in self.cfg.branches.items():
            if given := [memory[role] for role in roles if role in memory]:
                found[name] = jnp.concatenate(given, axis=1)
        return found

    def _embedded(
        self, ids: jax.Array, positions: jax.Array, kind: jax.Array, key: jax.Array | None
    ) -> jax.Array:
        # added in float32 however they are stored
        x = self.token_embed(ids).astype(jnp.float32) + self.position_embed[positions] + kind
        return layers.dropped(self.embed_norm(x), self.cfg.dropout, key)

    def _bias(self, ids: jax.Array, prompt: jax.Array, sight: Sight) -> jax.Array:
        """float32 [b, 1, n + p, n + p]: 0 where the row sees the column, else `HIDDEN`."""
        n, p = ids.shape[1], prompt.shape[1]
        allowed = np.block(
            [
                [sight.allowed(n), np.ones((n, p), bool)],
                [np.full((p, n), sight.prompt_sees_text), np.ones((p, p), bool)],
            ]
        )
        is_word = jnp.concatenate([ids, prompt], axis=1) != self.cfg.pad  # [b, n + p]
        allowed = allowed & rearrange(is_word, "b n -> b 1 1 n")
        return jnp.where(allowed, 0.0, HIDDEN)
