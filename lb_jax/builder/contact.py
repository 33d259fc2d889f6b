"""A page of a stage: what it kept and what it refused, side by side, with its figures."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lb_jax.builder.items import Items
from lb_jax.builder.stage import KEPT, REASON
from lb_jax.builder.stages import Planned
from lb_jax.builder.texts.captioning import LACKS
from lb_jax.core import config, errors
from lb_jax.core.words import counted
from lb_jax.evaluation.reports import page, thumbnails
from lb_jax.evaluation.reports.page import escaped
from lb_jax.media import clips

FRAMES = 3  # of a film, side by side
SHOWN_BYTES = 32  # of a figure that is no number or text
TEXTS = ("text", "texts")  # figures that are read, not compared


def write(path: Path, one: Planned, rows: pa.Table, items: Items, shown: int) -> None:
    """Writes the page of a stage.

    Args:
      path: the HTML file.
      one: the stage.
      rows: of `export.table`.
      items: of the source.
      shown: items of each kind.
    """
    said = rows.to_pylist()
    name = f"{one.name}.{KEPT}"
    kinds = {
        "Refused": [row for row in said if row[name] is False],
        "Kept": [row for row in said if row[name] is True],
        "Bad": [row for row in said if row[name] is None and row["refused_by"] == one.name],
    }
    facts = {
        "stage": one.stage.does,
        **{kind.lower(): len(found) for kind, found in kinds.items()},
        **config.to_dict(one.settings),
    }
    parts = ["<style>.two{display:grid;gap:20px;grid-template-columns:1fr 1fr}</style>"]
    parts.append('<div class="two">')
    for kind in ("Kept", "Refused"):
        parts += _section(kind, kinds[kind], one, items, shown)
    parts.append("</div>")
    without = [row for row in kinds["Kept"] if row.get(f"{one.name}.{LACKS}")]
    if without:
        parts += _section("Without a text", without, one, items, shown)
    if kinds["Bad"]:
        parts += _section("Bad", kinds["Bad"], one, items, shown)
    numbers = {kind.lower(): len(found) for kind, found in kinds.items()}
    page.write(path, f"Stage {one.name}", facts, parts, numbers)


def _section(
    kind: str, found: Sequence[Mapping[str, Any]], one: Planned, items: Items, shown: int
) -> Iterator[str]:
    step = max(len(found) // shown, 1)
    some = found[::step][:shown]
    note = f"{len(some)} of {counted(len(found), 'item')}."
    yield from page.section(
        kind, note, '<div class="grid3">', *(_card(row, one, items) for row in some), "</div>"
    )


def _card(row: Mapping[str, Any], one: Planned, items: Items) -> str:
    strip = _strip(items.path(row["file"]))
    picture = f'<img alt="" src="{strip}">' if strip else ""
    figures = {
        name: row[f"{one.name}.{name}"]
        for name, _ in one.stage.figures
        if row[f"{one.name}.{name}"] is not None
    }
    written = [figures.pop(name) for name in TEXTS if name in figures]
    texts = [text for one in written for text in ([one] if isinstance(one, str) else one)]
    shown = "".join(f"<p><b>{escaped(text)}</b></p>" for text in texts)
    told = ", ".join(f"{name} {_figure(value)}" for name, value in figures.items() if value != "")
    reason = row[f"{one.name}.{REASON}"] or ""
    return (
        f'<div class="panel film">{picture}<p>{escaped(row["title"])}</p>{shown}'
        f"<p><b>{escaped(reason)}</b></p><small>{escaped(told)}<br>{escaped(row['key'])}</small></div>"
    )


@functools.lru_cache(maxsize=1024)
def _strip(path: str) -> str:
    """Frames of a film side by side; empty for one that cannot be decoded."""
    try:
        return thumbnails.strip_uri(clips.Clip(Path(path)), FRAMES)
    except errors.DataError:
        return ""


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value[:SHOWN_BYTES].hex() if isinstance(value, bytes) else str(value)
