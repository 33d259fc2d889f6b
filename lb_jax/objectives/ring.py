"""The losses of `contrastive.py` over a batch spread on many devices, tile by tile.

Every device keeps its rows of `a`. The rows of `b` travel round the ring of devices, and what is
summed per column travels with them, so after one round everything is complete and at home. Within a
device the block of similarities is cut into tiles. The largest thing a device holds beside its own
rows is one tile; nothing grows with the number of devices. The backward pass goes round once more
and computes the tiles again. What the similarity of a tile is, a function says: the product of
embeddings, or that of `fine_grained`, whose rows are trees of arrays.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, PartitionSpec

from lb_jax.objectives.contrastive import Bias, Ids, Present

AXES = ("data", "fsdp")  # mesh axes that the rows lie on; over any other they are replicated
LOWEST = -1e30  # below any logit, and finite: the difference of two is a number
ABSENT = -1  # the number of an item that fills a tile or lacks a side

Totals = dict[str, Any]  # what is summed per row or per column, arrays [tile, ...]


class Kind(NamedTuple):
    """A loss as sums over the rows and over the columns of the logits.

    `positive` marks the pairs that belong together, `counts` those that enter the loss.

    Attributes:
      rows, columns: what each total starts from.
      add: (logits, positive, counts, rows, columns) -> totals with one more tile.
      value: complete totals -> what each item adds to the loss, [b].
      slope: (logits, positive, counts, rows, columns) -> derivative of the sum of all values by
        each logit, [tile, tile].
      close: (rows, columns, items that have both sides) -> the totals that `slope` is given.
      one_sided: whether items with one side alone count, as rows or as columns.
    """

    rows: dict[str, float]
    columns: dict[str, float]
    add: Callable[..., tuple[Totals, Totals]]
    value: Callable[[Totals, Totals], jax.Array]
    slope: Callable[..., jax.Array]
    close: Callable[..., tuple[Totals, Totals]] = lambda rows, columns, both: (rows, columns)
    one_sided: bool = False


def add_softmax(totals: Totals, logits: jax.Array, counts: jax.Array, axis: int) -> Totals:
    """Largest logit so far, and the sum of all exponentials relative to it.

    Kept apart, since their log-sum-exp near 100 would round every probability to 4e-6.
    """
    top = jnp.maximum(totals["top"], jnp.where(counts, logits, LOWEST).max(axis))
    exponentials = jnp.where(counts, jnp.exp(logits - jnp.expand_dims(top, axis)), 0).sum(axis)
    return {"top": top, "sum": totals["sum"] * jnp.exp(totals["top"] - top) + exponentials}


def _add_infonce(logits, positive, counts, rows, columns):
    own = rows["own"] + jnp.where(positive, logits, 0).sum(1)
    return (
        {**add_softmax(rows, logits, counts, 1), "own": own},
        add_softmax(columns, logits, counts, 0),
    )


def _value_infonce(rows, columns):
    losses = [one["top"] - rows["own"] + jnp.log(one["sum"]) for one in (rows, columns)]
    return (losses[0] + losses[1]) / 2


def _slope_infonce(logits, positive, counts, rows, columns):
    rows = jnp.exp(logits - rows["top"][:, None]) / rows["sum"][:, None]
    columns = jnp.exp(logits - columns["top"]) / columns["sum"]
    return jnp.where(counts, (rows + columns) / 2 - positive, 0)


def _add_sigmoid(logits, positive, counts, rows, columns):
    losses = jax.nn.softplus(jnp.where(positive, -logits, logits))
    return {"loss": rows["loss"] + jnp.where(counts, losses, 0).sum(1)}, columns


def _slope_sigmoid(logits, positive, counts, rows, columns):
    return jnp.where(counts, jax.nn.sigmoid(logits) - positive, 0)


KINDS = {
    "infonce": Kind(
        rows={"top": LOWEST, "sum": 0.0, "own": 0.0},
        columns={"top": LOWEST, "sum": 0.0},
        add=_add_infonce,
        value=_value_infonce,
        slope=_slope_infonce,
    ),
    "sigmoid": Kind(
        rows={"loss": 0.0},
        columns={},
        add=_add_sigmoid,
        value=lambda rows, columns: rows["loss"],
        slope=_slope_sigmoid,
    ),
}


def cosine(rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Similarities [m, n] of unit vectors [m, e] and [n, e]."""
    return _product(rows, columns.T)


def make_contrastive(
    mesh: Mesh | AbstractMesh,
    kind: str | Kind,
    tile: int,
    similarity: Callable[[Any, Any], jax.Array] = cosine,
) -> Callable[..., jax.Array]:
    """Returns `loss(a, b, logit_scale, logit_bias, same, present, column_present)`.

    With the similarity that is the product of embeddings it equals `contrastive.LOSSES[kind]`.

    Args:
      mesh: devices; the batch lies on its axes `data` and `fsdp`, which must divide it.
      kind: a row of `KINDS`, or a kind of one's own.
      tile: most rows and columns of similarities held at a time; it need not divide anything.
      similarity: rows and columns of a tile -> their similarities [m, n], differentiable. `a` and
        `b` are then trees of arrays [b, ...], and reach it as float32. Rows of zeros, which fill
        a tile, may give any finite number.

    `column_present` says which items have the side `b`, of a kind that is one-sided; `present` then
    says it of `a` alone.
    """
    one = kind if isinstance(kind, Kind) else KINDS[kind]
    devices = mesh.shape["data"] * mesh.shape["fsdp"]
    batch, whole = PartitionSpec(AXES), PartitionSpec()

    def on_devices(run, arguments, results):
        # Nothing is differentiated through here, and the results on `whole` are sums over the
        # ring, so the replication that check_vma would verify holds.
        return jax.shard_map(run, mesh=mesh, in_specs=arguments, out_specs=results, check_vma=False)

    def sides(a, b, same, *present):
        """Rows and columns of this device: what they hold, numbers in the batch, caption ids."""
        size = len(jax.tree.leaves(a)[0])
        index = jax.lax.axis_index(AXES) * size + jnp.arange(size)
        ids = {} if same is None else {"id": same.reshape(size, -1)}
        return [
            {"side": side, "index": index if there is None else jnp.where(there, index, ABSENT)}
            | ids
            for side, there in zip((a, b), present, strict=True)
        ]

    def complete(row, column):
        """Which items have both sides."""
        return (row["index"] >= 0) & (column["index"] >= 0)

    def counted(both, *present):
        """Of how many items the loss is the mean, at least 1."""
        if all(there is None for there in present):
            return float(len(both) * devices)
        return jnp.maximum(jax.lax.psum(both.sum(), AXES), 1).astype(jnp.float32)

    def forward(a, b, logit_scale, logit_bias, same, *present):
        def update(row, column, rows, columns):
            similar = jnp.exp(logit_scale) * similarity(row["side"], column["side"])
            return one.add(similar + logit_bias, *_pairs(row, column), rows, columns)

        row, column = sides(a, b, same, *present)
        size, both = len(row["index"]), complete(row, column)
        start = [
            {name: jnp.full(size, value, jnp.float32) for name, value in totals.items()}
            for totals in (one.rows, one.columns)
        ]
        rows, columns = _sweep(update, row, column, *start, tile=tile, devices=devices)
        values = jnp.where(both, one.value(rows, columns), 0.0)
        total = jax.lax.psum(values.sum(), AXES)
        return total / counted(both, *present), one.close(rows, columns, both)

    def backward(a, b, logit_scale, logit_bias, same, *rest):
        *present, totals, cotangent = rest

        def update(row, column, rows, columns):
            found, pull = jax.vjp(similarity, row["side"], column["side"])
            similar = jnp.exp(logit_scale) * found
            pairs = _pairs(row, column)
            slope = one.slope(similar + logit_bias, *pairs, row["totals"], column["totals"])
            by_row, by_column = pull(slope)
            rows = {
                "side": jax.tree.map(jnp.add, rows["side"], by_row),
                "scale": rows["scale"] + (slope * similar).sum(1),
                "bias": rows["bias"] + slope.sum(1),
            }
            return rows, {"side": jax.tree.map(jnp.add, columns["side"], by_column)}

        row, column = sides(a, b, same, *present)
        both = complete(row, column)
        row, column = row | {"totals": totals[0]}, column | {"totals": totals[1]}
        empty = jnp.zeros(len(row["index"]), jnp.float32)
        rows, columns = _sweep(
            update,
            row,
            column,
            {"side": jax.tree.map(jnp.zeros_like, a), "scale": empty, "bias": empty},
            {"side": jax.tree.map(jnp.zeros_like, b)},
            tile=tile,
            devices=devices,
        )
        share = cotangent / counted(both, *present)
        scale, bias = jax.lax.psum((rows["scale"].sum(), rows["bias"].sum()), AXES)
        by_row, by_column = jax.tree.map(
            lambda slope: share * jnp.exp(logit_scale) * slope, (rows["side"], columns["side"])
        )
        return by_row, by_column, share * scale, share * bias

    inputs = (batch, batch, whole, whole, batch, batch, batch)
    run_forward = on_devices(forward, inputs, (whole, (batch, batch)))
    run_backward = on_devices(
        backward, (*inputs, (batch, batch), whole), (batch, batch, whole, whole)
    )

    @jax.custom_vjp
    def loss(*arguments):
        return run_forward(*arguments)[0]

    def loss_forward(*arguments):
        value, totals = run_forward(*arguments)
        return value, (*arguments, totals)

    def loss_backward(kept, cotangent):
        # ids and presence have no gradient
        return *run_backward(*kept, cotangent), None, None, None

    loss.defvjp(loss_forward, loss_backward)

    def contrast(
        a: Any,
        b: Any,
        logit_scale: jax.Array,
        logit_bias: Bias = 0.0,
        same: Ids = None,
        present: Present = None,
        column_present: Present = None,
    ) -> jax.Array:
        if column_present is not None and not one.one_sided:
            raise ValueError("this loss compares items that have both sides; give present alone.")
        column_present = present if column_present is None else column_present
        a, b, logit_scale, logit_bias = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float32), (a, b, logit_scale, logit_bias)
        )
        a, b = (_without(side, there) for side, there in ((a, present), (b, column_present)))
        return loss(a, b, logit_scale, logit_bias, same, present, column_present)

    return contrast


def _without(side: Any, present: Present) -> Any:
    """Zeros for whatever stands for an absent item, not a number included."""
    if present is None:
        return side
    return jax.tree.map(lambda x: jnp.where(present.reshape(-1, *[1] * (x.ndim - 1)), x, 0.0), side)


def _pairs(row: Any, column: Any) -> tuple[jax.Array, jax.Array]:
    """Which pairs of a tile are positive and which count; neither those of filling or absent."""
    filled = (row["index"] >= 0)[:, None] & (column["index"] >= 0)
    positive = (row["index"][:, None] == column["index"]) & filled
    if "id" in row:
        filled &= (row["id"][:, None] != column["id"]).any(-1) | positive
    return positive, filled


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Float32 product with float32 accuracy.

    Accelerators multiply float32 as bfloat16 (TPU) or TF32 (GPU) unless told otherwise; at a logit
    scale of 100 that would put errors of 0.4 and 0.05 into the exponent.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def _sweep(
    update: Callable[..., tuple[Totals, Totals]],
    rows: Any,
    columns: Any,
    row_totals: Totals,
    column_totals: Totals,
    *,
    tile: int,
    devices: int,
) -> tuple[Totals, Totals]:
    """Brings every row of this device together with every column of all devices.

    Args:
      update: (row tile, column tile, their totals so far) -> their totals with this tile.
      rows, columns: dicts of trees of arrays [b, ...] of this device; `index` is the item's
        number in the global batch, or `ABSENT`.
      row_totals, column_totals: what to start from, arrays [b, ...].
      tile: most rows and columns in a tile.
      devices: length of the ring.

    Returns:
      The totals of this device's rows and columns.
    """
    size = len(rows["index"])
    tiles = -(-size // tile)
    side = -(-size // tiles)  # equal tiles: at most `tiles - 1` rows are padding
    following = [(i, (i + 1) % devices) for i in range(devices)]

    def cut(tree):
        def one(path, x):
            padding = [(0, tiles * side - size)] + [(0, 0)] * (x.ndim - 1)
            fill = ABSENT if path[0].key == "index" else 0
            return jnp.pad(x, padding, constant_values=fill).reshape(tiles, side, *x.shape[1:])

        return jax.tree_util.tree_map_with_path(one, tree)

    def travel(tree):
        return jax.lax.ppermute(tree, AXES, following) if devices > 1 else tree

    rows = cut(rows)

    def meet_column(row_totals, column_and_totals):
        column, totals = column_and_totals

        def meet_row(totals, row_and_own):
            own, totals = update(row_and_own[0], column, row_and_own[1], totals)
            return totals, own

        totals, row_totals = jax.lax.scan(meet_row, totals, (rows, row_totals))
        return row_totals, totals

    def meet_device(carry, _):
        columns, row_totals, column_totals = carry
        coming = travel(columns)  # on its way while the tiles are computed
        row_totals, column_totals = jax.lax.scan(meet_column, row_totals, (columns, column_totals))
        return (coming, row_totals, travel(column_totals)), None

    start = (cut(columns), cut(row_totals), cut(column_totals))
    (_, *totals), _ = jax.lax.scan(meet_device, start, length=devices)
    return jax.tree.map(lambda x: x.reshape(tiles * side, *x.shape[2:])[:size], tuple(totals))
