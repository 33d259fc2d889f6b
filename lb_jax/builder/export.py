"""What a run came to, as one table: every item, what each stage said of it, whether it is kept.

The same source and sheet give the same bytes, however often the run was killed and whatever engine
ran it. What stages behind a refusal said, or would say, is left out.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lb_jax.builder.stage import ID, ITEM, KEPT, REASON
from lb_jax.builder.stages import Planned
from lb_jax.builder.store import FULL_DISK, Store
from lb_jax.builder.texts import views
from lb_jax.core import errors

REFUSED_BY = "refused_by"
FILE = "items.parquet"


def table(plan: Sequence[Planned], store: Store) -> pa.Table:
    """All items of a store, in the order of their ids.

    Columns: those of `ITEM`, `kept`, `refused_by` and `reason`, and of each stage
    `<stage>.kept`, `<stage>.reason` and its figures; null where it was not asked.
    """
    items = store.items().sort_by(ID)
    ids = items[ID].to_pylist()
    said = [_said(one, store) for one in plan]
    columns: dict[str, list[Any]] = {
        f"{one.name}.{name}": [] for one in plan for name in one.stage.schema.names if name != ID
    }
    kept, refused_by, reasons = [], [], []
    for item in ids:
        by, reason, is_asked = "", "", True
        for one, of_stage in zip(plan, said, strict=True):
            row = of_stage.get(item) if is_asked else None
            for name in one.stage.schema.names[1:]:
                columns[f"{one.name}.{name}"].append(None if row is None else row[name])
            if is_asked and (row is None or row[KEPT] is not True):
                is_asked = False
                by, reason = one.name, "was not looked at" if row is None else row[REASON]
        kept.append(is_asked)
        refused_by.append(by)
        reasons.append(reason)
    types = {f"{one.name}.{field.name}": field.type for one in plan for field in one.stage.schema}
    found = {
        KEPT: pa.array(kept, pa.bool_()),
        REFUSED_BY: pa.array(refused_by, pa.string()),
        REASON: pa.array(reasons, pa.string()),
        **{name: pa.array(values, types[name]) for name, values in columns.items()},
    }
    for name, values in found.items():
        items = items.append_column(name, values)
    return items.combine_chunks()


def write(rows: pa.Table, folder: Path) -> Path:
    """Writes `items.parquet`, whole or not at all.

    Raises:
      DataError: the disk is full.
    """
    path = folder / FILE
    partial = path.with_name(f".{path.name}.partial")
    try:
        pq.write_table(rows, partial, compression="zstd")
        os.replace(partial, path)
    except OSError as error:
        raise errors.DataError(path, f"cannot be written ({error}); {FULL_DISK}") from error
    return path


def kept(rows: pa.Table) -> pa.Table:
    """The items that are kept, in the order of their ids: `ITEM`, and the kinds of `views`."""
    there = {kind: views.column(kind) for kind in views.COLUMNS}
    there = {kind: name for kind, name in there.items() if name in rows.schema.names}
    found = rows.filter(rows[KEPT]).select([*ITEM.names, *there.values()])
    return found.rename_columns([*ITEM.names, *there])


def yields(plan: Sequence[Planned], rows: pa.Table) -> list[dict[str, Any]]:
    """How many items each stage was asked about, kept, refused and could not judge."""
    found = []
    for one in plan:
        said, by = rows[f"{one.name}.{KEPT}"], rows[REFUSED_BY]
        out = by.to_pylist().count(one.name)
        judged = said.to_pylist()
        stays, refused = judged.count(True), judged.count(False)
        found.append(
            {
                "stage": one.name,
                "asked": stays + out,
                "kept": stays,
                "refused": refused,
                "bad": out - refused,
            }
        )
    return found


def _said(one: Planned, store: Store) -> Mapping[str, Mapping[str, Any]]:
    rows = store.said(one.stage).to_pylist()
    return {row[ID]: row for row in rows}
