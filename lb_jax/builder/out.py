"""What a run leaves beside its store: the table of all items, the corpus that is kept, its card.

items.parquet   every item and what each stage said, see `export`
corpus/         media and annotation.json, as VIDAL (LanguageBind spec 8.6, 8.7)
card.md, .json  counts, yields of the stages, licences, sources, the sheet
stages/         a page of each stage: kept and refused side by side
packed/         the corpus as other formats, where that was asked
"""

import collections
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lb_jax.builder import contact, export, laying, shards
from lb_jax.builder.items import Items
from lb_jax.builder.sheet import CorpusConfig
from lb_jax.builder.stage import ID, KEPT
from lb_jax.builder.stages import STAGES, Planned
from lb_jax.builder.store import FULL_DISK, Store
from lb_jax.builder.texts import views
from lb_jax.core import config, errors, logging
from lb_jax.corpora import pack, tfds_builder, vidal

CORPUS, ANNOTATION, PAGES, PACKED = "corpus", "annotation.json", "stages", "packed"
CARD, CARD_JSON = "card.md", "card.json"


def write(
    plan: Sequence[Planned],
    cfg: CorpusConfig,
    items: Items,
    store: Store,
    out: Path,
    *,
    formats: Sequence[str] = (),
    shown: bool = True,
) -> dict[str, Any]:
    """Writes everything; what is there already and still right is left.

    Args:
      plan: the stages that were run.
      cfg: the sheet.
      items: of the source.
      store: what the stages said.
      out: folder of the run.
      formats: rows of `FORMATS`, beside VIDAL's.
      shown: whether progress is told.

    Returns:
      What `card.json` holds.

    Raises:
      DataError: a kept film cannot be read any more, or the disk is full.
    """
    rows = export.table(plan, store)
    export.write(rows, out)
    kept = export.kept(rows)
    lay_out(rows, cfg, items, out / CORPUS, shown=shown)
    for name in formats:
        FORMATS[name](kept, out / CORPUS, cfg, out / PACKED)
    told = card(plan, cfg, items, rows)
    _replace(out / CARD_JSON, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    _replace(out / CARD, markdown(told))
    with logging.Progress("pages", len(plan), unit="page", shown=shown) as bar:
        for one in plan:
            contact.write(out / PAGES / f"{one.name}.html", one, rows, items, cfg.out.shown)
            bar.advance()
    return told


def lay_out(
    rows: pa.Table, cfg: CorpusConfig, items: Items, folder: Path, *, shown: bool = True
) -> None:
    """Writes the media of what is kept, and last the annotation that names them."""
    kept = export.kept(rows)
    if not len(kept):
        raise errors.DataError(
            folder, "nothing is kept; look at the pages of the stages and at their thresholds"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.DataError(folder, f"cannot be made ({error}); {FULL_DISK}") from error
    out_of_it = [row[ID] for row in rows.select([ID, KEPT]).to_pylist() if not row[KEPT]]
    laying.remove(out_of_it, folder, cfg.out)
    films = {row[ID]: items.path(row["file"]) for row in kept.to_pylist()}
    workers = cfg.engine.workers or os.cpu_count() or 1
    with logging.Progress("media", len(films), unit="item", shown=shown) as bar:
        laying.write(films, folder, cfg.out, workers=workers, progress=bar.advance)
    annotation = {
        row[ID]: {
            "folder": cfg.out.folder,
            **views.of(row),
            **{name: row[name] for name in ("key", "licence", "source")},
        }
        for row in kept.to_pylist()
    }
    _replace(folder / ANNOTATION, json.dumps(annotation, indent=1, ensure_ascii=False) + "\n")


def card(
    plan: Sequence[Planned], cfg: CorpusConfig, items: Items, rows: pa.Table
) -> dict[str, Any]:
    """What there is to say of a corpus, in numbers; nothing of it depends on when it was made."""
    kept = rows.filter(rows[KEPT])

    def counts(column: str) -> dict[str, int]:
        found = collections.Counter(value or "none" for value in kept[column].to_pylist())
        return dict(sorted(found.items()))

    sheet = config.to_dict(cfg)
    hidden = {*STAGES, "engine", "terms", "collect"} - set(cfg.stages)
    return {
        "items": len(rows),
        "kept": len(kept),
        "stages": export.yields(plan, rows),
        "texts": _texts(rows),
        "licences": counts("licence"),
        "sources": counts("source"),
        "left_out_by_licence": dict(sorted(items.unused.items())),
        "sheet": {name: value for name, value in sheet.items() if name not in hidden},
    }


def markdown(told: Mapping[str, Any]) -> str:
    """The card for people."""
    lines = [
        "# Corpus",
        "",
        f"{told['kept']:,} of {told['items']:,} items are kept.",
        "",
        "| stage | asked | kept | refused | bad | yield |",
        "|---|---|---|---|---|---|",
    ]
    for row in told["stages"]:
        share = f"{row['kept'] / row['asked']:.1%}" if row["asked"] else ""
        what = f"`{row['stage']}`: {STAGES[row['stage']].does}"
        numbers = (f"{row[name]:,}" for name in ("asked", "kept", "refused", "bad"))
        lines.append(f"| {what} | {' | '.join(numbers)} | {share} |")
    for title in ("licences", "sources"):
        lines += ["", f"## {title.capitalize()} of what is kept", ""]
        lines += [f"- {name}: {count:,}" for name, count in told[title].items()]
    lines += ["", "## Texts of what is kept", ""]
    lines += [f"- {kind}: {count:,}" for kind, count in told["texts"].items()]
    if told["left_out_by_licence"]:
        lines += ["", "## Left out by licence", ""]
        lines += [f"- {name}: {n:,}" for name, n in told["left_out_by_licence"].items()]
    lines += ["", "## Sheet", "", "```json", json.dumps(told["sheet"], indent=1), "```", ""]
    return "\n".join(lines)


def _texts(rows: pa.Table) -> dict[str, int]:
    """Caption kind -> items that are kept and have it."""
    kept = export.kept(rows).to_pylist()
    found = collections.Counter(kind for row in kept for kind in views.of(row))
    kinds = [kind for kind in views.COLUMNS if views.column(kind) in rows.schema.names]
    return {kind: found[kind] for kind in (views.RAW, *kinds)}


def _replace(path: Path, text: str) -> None:
    """Replaces a file, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise errors.DataError(path, f"cannot be written ({error}); {FULL_DISK}") from error


def _parquet(kept: pa.Table, corpus: Path, cfg: CorpusConfig, packed: Path) -> None:
    """A table that `lb-jax train` takes: captions, and paths of media from the table's folder."""
    packed.mkdir(parents=True, exist_ok=True)
    rows = kept.to_pylist()
    texts = [views.of(row) for row in rows]
    kinds = [kind for kind in (views.RAW, *views.COLUMNS) if any(kind in one for one in texts)]
    columns: dict[str, list[Any]] = {"id": [row[ID] for row in rows]}
    columns |= {kind: [one.get(kind) for one in texts] for kind in kinds}
    columns |= {name: [] for name in MEDIA}
    for row in rows:
        for name, paths in laying.files(corpus, cfg.out, row[ID]).items():
            there = [os.path.relpath(path, packed) for path in paths if path.exists()]
            one = there[0] if there else None
            columns[name].append(there if name == "image" else one)
    types = dict.fromkeys(("image", "ofa"), pa.list_(pa.string()))
    columns = {name: values for name, values in columns.items() if any(values)}
    table = pa.table(
        {name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()}
    )
    pq.write_table(table, packed / "corpus.parquet", compression="zstd")


def _web_dataset(kept: pa.Table, corpus: Path, cfg: CorpusConfig, packed: Path) -> None:
    shards.write(kept, corpus, cfg.out, packed / "webdataset")


def _array_record(kept: pa.Table, corpus: Path, cfg: CorpusConfig, packed: Path) -> None:
    _fresh(packed / "array_record", kept)
    only = _carried(kept, corpus, cfg)
    pack.pack(vidal.Vidal(corpus / ANNOTATION), packed / "array_record", only=only)


def _tfds(kept: pa.Table, corpus: Path, cfg: CorpusConfig, packed: Path) -> None:
    _fresh(packed / "tfds", kept)
    source, only = vidal.Vidal(corpus / ANNOTATION), _carried(kept, corpus, cfg)
    pack.pack(source, packed / "tfds", only=only, to=tfds_builder.shards(source, only))


def _carried(kept: pa.Table, corpus: Path, cfg: CorpusConfig) -> list[str]:
    """What every item has: all, or all but sound."""
    found = [laying.files(corpus, cfg.out, item) for item in kept[ID].to_pylist()]
    return [name for name in MEDIA if all(one[name][0].exists() for one in found)]


def _fresh(folder: Path, kept: pa.Table) -> None:
    """Removes shards of other items or texts; those that are there of these go on."""
    mark = folder.with_name(f"{folder.name}.items")
    now = "\n".join(f"{row[ID]} {_digest(views.of(row))}" for row in kept.to_pylist())
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and (not mark.exists() or mark.read_text(encoding="utf-8") != now):
        shutil.rmtree(folder)
    mark.write_text(now, encoding="utf-8")


def _digest(texts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]


MEDIA = ("video", "image", "audio")
Writer = Callable[[pa.Table, Path, CorpusConfig, Path], None]
# What `lb-jax corpus run --to` takes, beside VIDAL's layout, which is always written.
FORMATS: Mapping[str, Writer] = {
    "parquet": _parquet,
    "webdataset": _web_dataset,
    "array_record": _array_record,
    "tfds": _tfds,
}
