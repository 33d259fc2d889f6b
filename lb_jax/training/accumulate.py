"""The gradient of a whole batch from parts of it (GradCache, arXiv 2101.06983).

A contrastive loss is no sum over parts: every item meets every other. It is a function of the
embeddings alone, though, and those are small. So the parts are encoded one after the other and
only their embeddings kept; the loss gives each embedding its gradient; then the parts are encoded
once more, and each pulls its embeddings' gradient back to the parameters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.training import rows


def make_gradient(
    encode: Callable,
    contrast: Callable,
    *,
    parts: int,
    devices: int,
    anchors: Mapping[str, str] = MappingProxyType({}),
) -> Callable:
    """Returns `gradient(trainable, frozen, batch, key) -> ((loss, metrics), gradient)`.

    It equals `jax.value_and_grad` of `step.make_loss(encode, contrast)`, but for LoRA dropout,
    which each part draws anew.

    Args:
      encode, contrast: what `step.make_encode` and `step.make_contrast` return.
      parts: that a batch is cut into; they go through the towers one after the other.
      devices: that a batch is spread on; `parts` x `devices` divides every modality's batch.
      anchors: see `step.make_encode`.
    """

    def gradient(trainable, frozen, batch, key):
        def cut(tree):
            return jax.tree.map(lambda x: rows.cut(x, parts, devices), tree)

        def encode_part(trainable, part):
            return encode(paths.overlay(frozen, trainable), *part, key)

        items = cut({name: jnp.arange(len(sides[TEXT])) for name, sides in batch.items()})

        # 1. Embeddings of the whole batch, nothing else kept.
        _, embeddings = jax.lax.scan(
            lambda _, part: (None, encode_part(trainable, part)), None, (cut(batch), items)
        )
        embeddings = jax.tree.map(lambda x: rows.join(x, devices), embeddings)

        # 2. The loss once, with its gradient by the embeddings and by temperature and bias; by all
        # else it is zero, which is where the sum over the parts starts.
        def contrast_of(trainable, embeddings):
            return contrast(paths.overlay(frozen, trainable), embeddings, batch)

        result, (start, pulled) = jax.value_and_grad(contrast_of, argnums=(0, 1), has_aux=True)(
            trainable, embeddings
        )

        # 3. The same parts again, now with what their embeddings should do. Inputs of frozen
        # towers are left out.
        learn = learning(trainable, batch, anchors)

        def add_part(total, part_and_pulled):
            part, pulled = part_and_pulled
            _, pull = jax.vjp(lambda trainable: encode_part(trainable, part), trainable)
            return jax.tree.map(jnp.add, total, pull(pulled)[0]), None

        chosen = ((cut(only(batch, learn)), items), cut(only(pulled, learn)))
        return result, jax.lax.scan(add_part, start, chosen)[0]

    return gradient


def learning(
    trainable: paths.Tree,
    batch: Mapping[str, Mapping],
    anchors: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, set[str]]:
    """Which sides of each modality go through a tower of which something trains."""

    def learns(tower: str) -> bool:
        if tower == TEXT:
            return TEXT in trainable
        return "base" in trainable or tower in trainable.get("towers", {})

    return {
        name: {side for side in sides if learns(anchors.get(name, TEXT) if side == TEXT else name)}
        for name, sides in batch.items()
    }


def only(tree: Mapping[str, Mapping], sides: Mapping[str, set[str]]) -> dict[str, dict]:
    """What a tree `{modality: {side: ...}}` holds of the given sides."""
    return {
        name: {side: one for side, one in held.items() if side in sides[name]}
        for name, held in tree.items()
    }
