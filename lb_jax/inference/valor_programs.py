"""The compiled programs of a VALOR model."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lb_jax.core.modalities import TEXT
from lb_jax.models.valor import Valor, ValorConfig
from lb_jax.objectives import fine_grained
from lb_jax.objectives.fine_grained import Side


class Programs(NamedTuple):
    """Compiled once for all weights of one config.

    Attributes:
      model: the functions they are made of.
      write: (params, arrays, prompt, decoding) -> ids [b, r].
      read: (params, ids, prompt) -> the side of texts.
      look: (params, arrays) -> the sides of items.
      compare: (side of texts, sides of items) -> scores [t, b].
    """

    model: Valor
    write: Callable[..., jax.Array]
    read: Callable[..., Side]
    look: Callable[..., tuple[Side, ...]]
    compare: Callable[..., jax.Array]


@functools.lru_cache(maxsize=8)
def compiled(cfg: ValorConfig, dtype: jnp.dtype, late: bool, mask: str) -> Programs:
    """The programs of a model.

    Args:
      cfg: its shape.
      dtype: of compute.
      late: whether scores of video and audio are added instead of found together.
      mask: a row of `fine_grained.MASKED`.
    """
    model, coarse = Valor(cfg, dtype=dtype), cfg.alignment == "coarse"

    def write(params, arrays, prompt, decoding):
        tokens = {role: model.perceive(params, role, x).tokens for role, x in arrays.items()}
        memory = model.hand_over(params, tokens)
        return model.generate(params, memory, decoding, prompt=prompt).ids

    def read(params, ids, prompt):
        found = model.align(params, TEXT, model.read(params, ids, prompt=prompt))
        if coarse:
            return fine_grained.whole(found.features)
        return Side(found.features, ids != cfg.text.pad, found.weight_logits)

    def look(params, arrays):
        found = {
            role: model.align(params, role, model.perceive(params, role, x).pooled)
            for role, x in arrays.items()
        }
        if coarse and cfg.fusion and len(found) > 1:
            both = (found[role].features for role in ("video", "audio"))
            return (fine_grained.whole(model.fuse(params, *both)),)
        if coarse:
            return tuple(fine_grained.whole(one.features) for one in found.values())
        return tuple(
            Side(one.features, jnp.ones(one.features.shape[:2], bool), one.weight_logits)
            for one in found.values()
        )

    fusion = fine_grained.FUSIONS["late" if late or (coarse and not cfg.fusion) else "early"]
    return Programs(
        model,
        jax.jit(write, static_argnames="decoding"),
        jax.jit(read),
        jax.jit(look),
        jax.jit(functools.partial(_compare, fusion, mask)),
    )


def _compare(fusion, mask: str, rows: Side, columns: tuple[Side, ...]) -> jax.Array:
    return fusion(rows, columns, mask)
