"""Captions and references from files, whatever wrote them, and their figures.

A file is JSON (a list of objects, such an "annotations" of an object, or an object of id and text),
JSONL, CSV or Parquet. An object names its item by one of `IDS` and its caption by one of `TEXTS`.
Items named by a path go by the file's name without its ending.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import tables
from lb_jax.evaluation.benchmarks.layouts import annotations
from lb_jax.evaluation.benchmarks.writing import Line
from lb_jax.evaluation.metrics import captions, java_scorers, words

PATHS = ("path", "file", "file_name")
IDS = ("id", "video_id", "image_id", "videoID", *PATHS)
TEXTS = ("caption", "desc", "text", "captions", "enCap")

_Pairs = list[tuple[object, object]]  # id and caption


def score(
    candidates: Path, references: Path, scorers: Sequence[str] = ()
) -> tuple[dict, list[Line]]:
    """Scores a file of captions against one of references.

    Args:
      candidates: a caption of each item.
      references: those of people, one or more of each item.
      scorers: Java programs to be asked too, some of `java_scorers.SCORERS`.

    Returns:
      `{"metrics", "interval", "per_item", "n", "references", "tokeniser"}`, ready for JSON, and
      each caption beside its references.

    Raises:
      ConfigError: a scorer cannot run here.
      DataError: a file cannot be read, an id is missing or comes twice, or an item is in one
        file alone.
    """
    java_scorers.require(scorers)
    truth = read(references, several=True)
    said = {id_: texts[0] for id_, texts in read(candidates, several=False).items()}
    try:
        found = captions.score(truth, said)
    except errors.DataError as error:  # of which file
        of = {"candidates": candidates, "references": references}
        raise error.renamed(of.get(str(error.path), error.path)) from error
    java = java_scorers.score(truth, said, scorers)
    headline = captions.NAMES[0]
    lines = [
        Line(id_, said[id_], tuple(texts), found.per_item[id_][headline])
        for id_, texts in truth.items()
    ]
    return {
        "metrics": found.corpus | java.corpus,
        "interval": {name: list(limits) for name, limits in found.interval.items()},
        "per_item": {id_: one | java.per_item[id_] for id_, one in found.per_item.items()},
        "n": len(truth),
        "references": sum(map(len, truth.values())),
        "tokeniser": words.NAME,
    }, lines


def read(path: Path, *, several: bool) -> dict[str, list[str]]:
    """Reads a file of captions by item, see `captions.by_id`.

    Raises:
      DataError: it cannot be read, or an id is missing or comes twice where it may not.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        pairs = _json(path)
    elif suffix in tables.FORMATS:
        pairs = _table(path)
    else:
        known = ", ".join((".json", *tables.FORMATS))
        raise errors.DataError(path, f"has the ending {suffix!r}, expected one of {known}")
    return captions.by_id(pairs, str(path), several=several)


def _table(path: Path) -> _Pairs:
    table = tables.FORMATS[path.suffix.lower()].read(path, (*IDS, *TEXTS))
    id_, text = (_column(path, table.columns, some) for some in (IDS, TEXTS))
    rows = zip(table.columns[id_].to_pylist(), table.columns[text].to_pylist(), strict=True)
    return _each((_name(id_, name), said) for name, said in rows)


def _json(path: Path) -> _Pairs:
    try:
        value = json.loads(annotations.text(path))
    except (ValueError, RecursionError) as error:
        raise errors.DataError(path, f"is not JSON ({error}); write it again") from error
    value = value.get("annotations", value) if isinstance(value, dict) else value
    if isinstance(value, dict):
        return _each(value.items())
    if not isinstance(value, list):
        raise errors.DataError(
            path, f"holds a {type(value).__name__}, expected a list or an object"
        )
    pairs: list[tuple[object, object]] = []
    for place, row in enumerate(value, 1):
        if not isinstance(row, dict):
            raise errors.DataError(
                path, f"entry {place} is a {type(row).__name__}, expected an object"
            )
        id_ = next((name for name in IDS if name in row), None)
        text = next((name for name in TEXTS if name in row), None)
        pairs.append((_name(id_, row[id_]) if id_ else None, row[text] if text else None))
    return _each(pairs)


def _each(pairs: Iterable[tuple[object, object]]) -> _Pairs:
    """Each caption with its item, of items that have lists of them."""
    return [
        (id_, text) for id_, said in pairs for text in (said if isinstance(said, list) else [said])
    ]


def _column(path: Path, columns: Mapping[str, object], names: Sequence[str]) -> str:
    found = next((name for name in names if name in columns), None)
    if found is None:
        raise errors.DataError(
            path, f"has no column {', '.join(names)}; name one of its columns so"
        )
    return found


def _name(column: str, value: object) -> object:
    """The item that a cell names; of a path the file's name without the ending of media."""
    if column not in PATHS or not isinstance(value, str):
        return value
    path = Path(value)
    endings = {suffix for one in MODALITIES.values() for suffix in one.suffixes}
    return path.stem if path.suffix.lower() in endings else path.name
