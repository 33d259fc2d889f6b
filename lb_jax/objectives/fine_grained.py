"""Similarity of a text and a clip by their parts: words, frames and clips of sound.

Every word looks for the frame it is nearest to, every frame for its word; the mean of both,
weighted by what each part is worth, is the similarity of the pair (grouping alignment, VALOR spec
3). `score` is the definition and writes every word against every frame of the batch; `tiled` equals
it and holds a tile of that. In training, `ring.make_contrastive` takes a row of `FUSIONS` as its
similarity, and neither that nor the matrix of scores is ever whole.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LOWEST = -1e30  # below any product, and finite
MASKED = {"exclude": LOWEST, "zero": 0.0}
"""What a pair with padding counts as: nothing, or 0 that may be the largest, as in VALOR."""


class Side(NamedTuple):
    """One modality of a batch, in parts.

    Attributes:
      features: unit vectors [b, n, d].
      mask: [b, n], true or 1 where there is a part, false or 0 for padding.
      logits: [b, n], a softmax over the parts of an item makes their weights of them. None: all
        parts weigh the same.
    """

    features: jax.Array
    mask: jax.Array
    logits: jax.Array | None = None


class Group(NamedTuple):
    """Which modality is compared with which.

    Attributes:
      rows: the one modality whose items are the rows of the scores.
      columns: those that stand against it, together.
    """

    rows: str
    columns: tuple[str, ...]

    @property
    def modalities(self) -> tuple[str, ...]:
        """All that an item must have to take part."""
        return (self.rows, *self.columns)


GROUPS = {
    "tva": Group("text", ("video", "audio")),
    "tv": Group("text", ("video",)),
    "ta": Group("text", ("audio",)),
    "va": Group("video", ("audio",)),
    "vta": Group("video", ("text", "audio")),
    "atv": Group("audio", ("text", "video")),
}


def score(rows: Side, columns: Side, mask: str = "exclude") -> jax.Array:
    """Similarity of every item of `rows` with every item of `columns`, in one piece (spec 3.1).

    Gradients go to the largest products, in equal parts where several are the largest. Features of
    padding have no influence and no gradient, even where they are no numbers.

    Args:
      rows: of a items with l parts.
      columns: of b items with n parts.
      mask: what padding counts as, a row of `MASKED`.

    Returns:
      [a, b], float32; 0 for an item without parts.
    """
    products = jnp.einsum(
        "ald,bnd->abln", _filled(rows), _filled(columns), precision=jax.lax.Precision.HIGHEST
    )
    both = (rows.mask > 0)[:, None, :, None] & (columns.mask > 0)[:, None]  # [a, b, l, n]
    products = jnp.where(both, products, MASKED[mask])
    by_row = jnp.einsum("abl,al->ab", _largest(products, 3), weights(rows))
    by_column = jnp.einsum("abn,bn->ab", _largest(products, 2), weights(columns))
    return (by_row + by_column) / 2


def weights(side: Side) -> jax.Array:
    """What the parts of each item weigh, [b, n]: 0 for padding, together 1, or 0 without parts."""
    logits = jnp.zeros_like(side.mask, jnp.float32) if side.logits is None else side.logits
    there = side.mask > 0
    return jnp.where(there, jax.nn.softmax(jnp.where(there, logits, LOWEST)), 0.0)


def join(sides: Sequence[Side]) -> Side:
    """Several modalities as one: parts behind one another, and one softmax over all (spec 3.1).

    Raises:
      ValueError: if some sides have logits and others none.
    """
    logits = [side.logits for side in sides if side.logits is not None]
    if logits and len(logits) < len(sides):
        raise ValueError(
            f"logits of the weights on {len(logits)} of {len(sides)} sides: one softmax needs "
            "those of all, or None on each"
        )
    return Side(
        jnp.concatenate([side.features for side in sides], axis=1),
        jnp.concatenate([side.mask for side in sides], axis=1),
        jnp.concatenate(logits, axis=1) if logits else None,
    )


def whole(vectors: jax.Array) -> Side:
    """Items in one part, vectors [b, d]: their score is the product (`contra_type` coarse)."""
    return Side(vectors[:, None], jnp.ones((len(vectors), 1), bool))


def early_fusion(rows: Side, columns: Sequence[Side], mask: str = "exclude") -> jax.Array:
    """`score` with all columns as one, [a, b]."""
    return score(rows, join(columns), mask)


def late_fusion(rows: Side, columns: Sequence[Side], mask: str = "exclude") -> jax.Array:
    """Sum, not mean, of the scores with each of the columns, [a, b].

    All parts weigh the same, whatever the sides say (spec 3.4).
    """
    rows = rows._replace(logits=None)
    scores = (score(rows, one._replace(logits=None), mask) for one in columns)
    return functools.reduce(jnp.add, scores)


FUSIONS = {"early": early_fusion, "late": late_fusion}


def tiled(
    similarity: Callable[[Any, Any], jax.Array], rows: Any, columns: Any, tile: int
) -> jax.Array:
    """The whole matrix of a similarity, [a, b], of which one tile is computed at a time.

    The backward pass computes each tile again, so that nothing but `rows`, `columns` and the matrix
    is kept.

    Args:
      similarity: (rows, columns of a tile) -> [m, n], such as a row of `FUSIONS`.
      rows: tree of arrays [a, ...].
      columns: tree of arrays [b, ...].
      tile: most rows and columns at a time; it need not divide anything.
    """
    again = jax.checkpoint(similarity)

    def meet_row(_, row):
        return None, jax.lax.scan(lambda _, column: (None, again(row, column)), None, cut)[1]

    cut = _cut(columns, tile)
    found = jax.lax.scan(meet_row, None, _cut(rows, tile))[1]  # [a/m, b/n, m, n]
    found = found.swapaxes(1, 2)
    found = found.reshape(found.shape[0] * found.shape[1], -1)
    return found[: _items(rows), : _items(columns)]


def sides_of(group: str, sides: Mapping[str, Side]) -> tuple[Side, tuple[Side, ...]]:
    """Rows and columns of a group, from the sides by modality."""
    return sides[GROUPS[group].rows], tuple(sides[name] for name in GROUPS[group].columns)


def together(group: str, present: Mapping[str, jax.Array]) -> jax.Array:
    """Which items take part in a group, [b]: those that have all its modalities.

    Args:
      group: a row of `GROUPS`.
      present: bool [b] by modality.
    """
    first, *others = (present[name] for name in GROUPS[group].modalities)
    for one in others:
        first = first & one
    return first


def _filled(side: Side) -> jax.Array:
    return jnp.where((side.mask > 0)[..., None], side.features.astype(jnp.float32), 0.0)


def _largest(products: jax.Array, axis: int) -> jax.Array:
    found = products.max(axis)
    return jnp.where(found > LOWEST, found, 0.0)  # of nothing it is 0


def _items(tree: Any) -> int:
    return len(jax.tree.leaves(tree)[0])


def _cut(tree: Any, tile: int) -> Any:
    """[b, ...] -> [tiles, side, ...], tiles of one size with zeros in the last."""
    items = _items(tree)
    tiles = -(-items // tile)
    side = -(-items // tiles)

    def one(x):
        padding = [(0, tiles * side - items)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x, padding).reshape(tiles, side, *x.shape[1:])

    return jax.tree.map(one, tree)
