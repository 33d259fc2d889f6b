"""The table of terms: from files of labels and captions to rows, and as a file.

    term      the form that is most frequent
    count     texts of each of its forms, added up
    sources   source -> texts of it that do
    forms     the other forms, most frequent first
    weight    with which a text of it is kept, see `balancing.weight`

The same files and settings give the same bytes.
"""

import collections
import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lb_jax.builder.stage import Package
from lb_jax.builder.store import FULL_DISK
from lb_jax.builder.terms import balancing, forms, keywords, merging
from lb_jax.builder.terms.settings import Terms
from lb_jax.core import errors, logging

SCHEMA = pa.schema(
    [
        ("term", pa.string()),
        ("count", pa.int64()),
        ("sources", pa.map_(pa.string(), pa.int64())),
        ("forms", pa.list_(pa.string())),
        ("weight", pa.float64()),
    ]
)
# Libraries beside those of the package.
PACKAGES = tuple(Package(name, name) for name in ("yake", "snowballstemmer", "rapidfuzz"))


def build(cfg: Terms, *, shown: bool = True) -> pa.Table:
    """Makes the table, most frequent terms first.

    Args:
      cfg: of the sheet.
      shown: whether progress is told.

    Returns:
      Rows of `SCHEMA`.

    Raises:
      ConfigError: no file is named, a library is missing, or there are no stems of the language.
      DataError: a file is of no known form or cannot be read, or no term is left.
    """
    if not cfg.files:
        raise errors.ConfigError(
            "config.terms.files is empty; give NAME=PATH of labels or captions, such as "
            "('coco=captions_train2017.json',)."
        )
    for one in PACKAGES:
        if not one.is_there:
            raise errors.ConfigError(
                f"corpus terms needs {one.name}, which is not here; {one.how}."
            )
    given = [forms.parse(one) for one in cfg.files]
    named = [(name, file, forms.form_of(file)) for name, file in given]
    counts: dict[str, collections.Counter[str]] = {}
    with logging.Progress("terms", len(named), unit="file", shown=shown) as bar:
        for name, file, form in named:
            held = counts.setdefault(name, collections.Counter())
            held.update(_terms(form.read(file), cfg))
            bar.advance(note=f"{name}: {form.name}")
    terms = merging.merge(counts, cfg.similarity, cfg.language)
    terms = [one for one in terms if one.count >= cfg.least_count]
    if not terms:
        raise errors.DataError(
            ", ".join(str(file.path) for _, file in given),
            f"no term is in {cfg.least_count} texts or more (config.terms.least_count)"
            if any(counts.values())
            else "no text was found; expected labels or captions",
        )
    return _rows(balancing.shared(terms, cfg.most), cfg.limit)


def _terms(texts: Iterable[forms.Text], cfg: Terms) -> collections.Counter[str]:
    """Terms of the texts of a file -> how often each is there."""
    counts: collections.Counter[str] = collections.Counter()
    captions = []
    for text in texts:
        plain = " ".join(text.text.split())
        is_term = text.kind == forms.LABEL or (
            text.kind == forms.EITHER and len(plain.split()) <= cfg.longest_words
        )
        if is_term and plain:
            counts[plain] += text.count
        elif plain:
            captions.append(plain)
    if captions:
        counts.update(
            keywords.keywords(
                captions,
                longest_words=cfg.longest_words,
                share=cfg.share,
                language=cfg.language,
            )
        )
    return counts


def _rows(terms: Sequence[merging.Term], limit: int) -> pa.Table:
    rows = [
        {
            "term": one.term,
            "count": one.count,
            "sources": list(one.sources.items()),
            "forms": list(one.forms),
            "weight": balancing.weight(one.count, limit),
        }
        for one in terms
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _parquet(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, compression="zstd")


def _jsonl(rows: pa.Table, path: Path) -> None:
    lines = (
        json.dumps({**row, "sources": dict(row["sources"])}, ensure_ascii=False)
        for row in rows.to_pylist()
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _csv(rows: pa.Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows.schema.names)
        for row in rows.to_pylist():
            sources = json.dumps(dict(row["sources"]), ensure_ascii=False)
            others = json.dumps(row["forms"], ensure_ascii=False)
            writer.writerow([row["term"], row["count"], sources, others, row["weight"]])


# Ending of a name -> what writes it.
FORMATS: Mapping[str, Callable[[pa.Table, Path], None]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _jsonl,
}


def require_format(path: Path) -> None:
    """Checks that a table can be written under a name.

    Raises:
      ConfigError: its ending is none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise errors.ConfigError(
            f"--out is {path}; expected a name that ends in one of {', '.join(FORMATS)}."
            f"{errors.nearest(path.suffix, FORMATS)}"
        )


def write(rows: pa.Table, path: Path) -> None:
    """Writes a table, whole or not at all.

    Raises:
      DataError: it cannot be written, as where the disk is full.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        FORMATS[path.suffix.lower()](rows, partial)
        os.replace(partial, path)
    except OSError as error:
        raise errors.DataError(
            path, f"cannot be written ({error.strerror or error}); {FULL_DISK}"
        ) from error
