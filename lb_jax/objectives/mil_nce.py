"""NCE and MIL-NCE of MMV: an item of one side against a bag of candidates of the other (spec 4).

`mil_nce` is the plain form, which holds all scores at once and defines the loss; `make_mil_nce`
computes the same tile by tile over the ring of devices and is tested against it. NCE is the case of
one candidate. A pair of items has one logit, the log-sum-exp over its candidates, so that the loss
of item i is made of three numbers: its own pair's logit, and the log-sum-exp of those of its row
(other bags) and of its column (other items with its bag), i left out.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh

from lb_jax.objectives import ring
from lb_jax.objectives.contrastive import Present

TEMPERATURE = 0.07  # fixed (MMV spec 4.1)

# How often the positives stand in the denominator, and whether rows and columns have one each ->
# the loss by (own, row, column). "once" is MMV's formula; "twice" is VATT's AsymmetricNCE, whose
# floor is log 2; "symmetric" is its SymmetricNCE, which for one candidate is twice `infonce`.
POSITIVES: dict[str, Callable[[jax.Array, jax.Array, jax.Array], jax.Array]] = {
    "once": lambda own, row, column: jax.nn.softplus(jnp.logaddexp(row, column) - own),
    "twice": lambda own, row, column: jnp.logaddexp(math.log(2), jnp.logaddexp(row, column) - own),
    "symmetric": lambda own, row, column: (
        jax.nn.softplus(row - own) + jax.nn.softplus(column - own)
    ),
}


def mil_nce(
    items: jax.Array,
    bags: jax.Array,
    *,
    present: Present = None,
    candidates: jax.Array | None = None,
    temperature: float = TEMPERATURE,
    positives: str = "once",
) -> jax.Array:
    """Mean over all items that have both sides, of -log of the share of the item's own pairs.

    Args:
      items: unit vectors [b, e], of videos.
      bags: unit vectors [b, k, e]; the candidates of row i belong to item i.
      present: bool [b], items that there are; the others are no negatives either.
      candidates: bool [b, k], those that there are, the others fill a bag up; a bag of none is a
        missing one: its item costs nothing, and is still a negative for other bags.
      temperature: by which scores are divided.
      positives: a row of `POSITIVES`.

    Returns:
      Scalar, float32; 0 if no item has both sides.
    """
    there, bagged, candidates = _sides(items, bags, present, candidates)
    items = jnp.where(there[:, None], items.astype(jnp.float32), 0.0)
    bags = jnp.where(candidates[..., None], bags.astype(jnp.float32), 0.0)
    logits = _pair_logits({"items": items}, {"bags": bags, "there": candidates}, temperature)
    others = ~jnp.eye(len(items), dtype=bool) & there[:, None] & bagged
    negatives = jnp.where(others, logits, ring.LOWEST)
    row, column = (jax.nn.logsumexp(negatives, axis=axis) for axis in (1, 0))
    own = jnp.where(there & bagged, jnp.diagonal(logits), 0.0)
    losses = jnp.where(there & bagged, POSITIVES[positives](own, row, column), 0.0)
    return losses.sum() / jnp.maximum((there & bagged).sum(), 1)


def make_mil_nce(
    mesh: Mesh | AbstractMesh,
    tile: int,
    *,
    temperature: float = TEMPERATURE,
    positives: str = "once",
) -> Callable[..., jax.Array]:
    """Returns `loss(items, bags, present=None, candidates=None)`, equal to `mil_nce`.

    Args:
      mesh: devices; the batch lies on its axes `data` and `fsdp`, which must divide it.
      tile: most items and bags whose scores are held at a time.
      temperature: by which scores are divided.
      positives: a row of `POSITIVES`.
    """

    def similarity(rows: Any, columns: Any) -> jax.Array:
        return _pair_logits(rows, columns, temperature)

    contrast = ring.make_contrastive(mesh, _kind(positives), tile, similarity)

    def loss(
        items: jax.Array,
        bags: jax.Array,
        present: Present = None,
        candidates: jax.Array | None = None,
    ) -> jax.Array:
        there, bagged, candidates = _sides(items, bags, present, candidates)
        bags = jnp.where(candidates[..., None], bags, 0.0)
        sides = {"items": items}, {"bags": bags, "there": candidates}
        return contrast(*sides, 0.0, present=there, column_present=bagged)

    return loss


def total(losses: Mapping[str, jax.Array], weights: Mapping[str, float]) -> jax.Array:
    """Sum of the terms, each the mean over the items that have it, times their weights.

    An item that lacks a modality so costs nothing in that term, and the others weigh the more.
    """
    return sum((weights[name] * one for name, one in losses.items()), jnp.float32(0.0))


def _sides(
    items: jax.Array, bags: jax.Array, present: Present, candidates: jax.Array | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Which items, bags and candidates there are: [b], [b], [b, k]."""
    there = jnp.ones(len(items), bool) if present is None else present
    if candidates is None:
        candidates = jnp.ones(bags.shape[:2], bool)
    return there, candidates.any(-1), candidates


def _pair_logits(rows: Any, columns: Any, temperature: float) -> jax.Array:
    """Logits [m, n] of pairs: items [m, e], and bags [n, k, e] of candidates that are there."""
    bags, there = columns["bags"], columns["there"] > 0
    flat = ring.cosine(rows["items"], bags.reshape(-1, bags.shape[-1]))
    scores = flat.reshape(len(flat), *bags.shape[:2]) / temperature
    return jax.nn.logsumexp(jnp.where(there, scores, ring.LOWEST), axis=-1)


def _kind(positives: str) -> ring.Kind:
    """The loss as sums over rows and columns, see `ring.Kind`."""
    form = POSITIVES[positives]
    apart = positives == "symmetric"

    def add(logits, positive, counts, rows, columns):
        own = rows["own"] + jnp.where(positive, logits, 0).sum(1)
        negative = counts & ~positive
        return (
            {**ring.add_softmax(rows, logits, negative, 1), "own": own},
            ring.add_softmax(columns, logits, negative, 0),
        )

    def parts(rows, columns):
        return rows["own"], *(one["top"] + jnp.log(one["sum"]) for one in (rows, columns))

    def close(rows, columns, both):
        """The logarithm of each item's denominator, and whether it has a loss at all."""
        own, row, column = parts(rows, columns)
        if apart:
            logs = [jnp.logaddexp(own, one) for one in (row, column)]
        else:
            twice = own + (math.log(2) if positives == "twice" else 0.0)
            logs = [jnp.logaddexp(twice, jnp.logaddexp(row, column))] * 2
        row, column = ({"log": one, "both": both} for one in logs)
        return row, column

    def slope(logits, positive, counts, rows, columns):
        by_row = jnp.where(rows["both"][:, None], jnp.exp(logits - rows["log"][:, None]), 0)
        by_column = jnp.where(columns["both"], jnp.exp(logits - columns["log"]), 0)
        # "once" has an item's own pair in one denominator only
        own = by_row - 1 if positives == "once" else by_row + by_column - (2 if apart else 1)
        return jnp.where(counts, jnp.where(positive, own, by_row + by_column), 0)

    return ring.Kind(
        rows={"top": ring.LOWEST, "sum": 0.0, "own": 0.0},
        columns={"top": ring.LOWEST, "sum": 0.0},
        add=add,
        value=lambda rows, columns: form(*parts(rows, columns)),
        slope=slope,
        close=close,
        one_sided=True,
    )
