"""Own data as a table: CSV, TSV, JSONL or Parquet, one row for each item.

Cells of a CSV or TSV are separated by commas, tabs, semicolons or bars, as its first line tells.

Columns, by their names or by `columns`: one for each modality (`image`, `video`, ...) with paths of
media files, or a single `path`; one for each caption kind (`caption`, `raw`, ..., `ofa_3`); `id`;
`depth_unit`, the unit of the row's depth maps where it is another than the preprocessing says;
`class`, what `lb-jax evaluate` asks for, never trained on; `narrations`, a file of subtitles.
Others are left out. In JSONL and Parquet a cell may be a list: several captions to draw from, or a
file for each frame. An empty cell means that the row lacks it.

The table stays in Arrow's columns: a row becomes Python objects when it is asked for.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted
from lb_jax.corpora import captions, tables
from lb_jax.corpora.rows import Ref, Row
from lb_jax.corpora.subtitles import Files
from lb_jax.media.sensors import depth_units
from lb_jax.media.sensors.depth_units import Measured

UNIT = "depth_unit"
LABEL = "class"
NARRATIONS = "narrations"
# What a column may hold; also the name that its column has unless `columns` says otherwise.
KEYS = (
    "id",
    "path",
    UNIT,
    LABEL,
    NARRATIONS,
    *MODALITIES,
    *captions.TEXT_KINDS,
    *captions.FRAME_KINDS,
)


class Manifest:
    """The rows of a manifest.

    Paths are relative to `root`. They may be absolute or lead out of it: the manifest is the user's
    own, and so are the files it names.

    Args:
      path: the file; its ending, one of `tables.FORMATS`, says how it is read.
      root: folder the media paths are relative to; None takes the file's own folder.
      columns: key of `KEYS` -> name of the column that holds it.
      modality: what the files of column `path` are.

    Raises:
      errors.DataError: unreadable or malformed file (with the line), no rows, a column that is not
        there (with the nearest name) or holds something else than text.
      errors.ConfigError: unknown key, kind or modality; column `path` without a modality.
    """

    def __init__(
        self,
        path: str | Path,
        root: str | Path | None = None,
        columns: Mapping[str, str] | None = None,
        modality: str | None = None,
    ):
        self._path, self.where = Path(path), str(path)
        self.root = self._path.parent if root is None else Path(root)
        named = _named(columns or {}, modality)
        self._arguments = self._path, self.root, dict(columns or {}), modality
        self._format = tables.FORMATS[self._path.suffix.lower()]
        self._stamp = _stamp(self._path)
        table = self._format.read(self._path, set(named.values()))
        if not table.rows:
            raise errors.DataError(path, "holds no rows; expected one for each item")
        mapped = set(columns or ())
        keys = [k for k in KEYS if k in mapped or named[k] in table.columns]
        if LABEL in keys and LABEL not in mapped and not _holds(LABEL, table.columns[LABEL].type):
            keys.remove(LABEL)  # a column of that name may be something else to who trains
        self._media = self._media_columns(keys, named, modality, table)
        self._texts = {
            kind: self._column(kind, named, table) for kind in keys if kind in captions.DRAW_KINDS
        }
        self._ids = self._column("id", named, table) if "id" in keys else None
        self._labels = self._column(LABEL, named, table) if LABEL in keys else None
        self._units = self._unit_column(named, table) if UNIT in keys else None
        self._told = self._column(NARRATIONS, named, table) if NARRATIONS in keys else None
        self._rows, self._named, self._names = table.rows, named, table.names
        self.modalities = tuple(self._media)
        split = captions.FRAME_KINDS if self._has_gaps() else ()
        self.text_kinds = tuple(dict.fromkeys([*self._texts, *split]))

    def __reduce__(self):
        return _reopened, (self._arguments, self._stamp)

    def __len__(self) -> int:
        return self._rows

    def having(self, modality: str) -> np.ndarray:
        """Numbers of the rows that name a file of a modality, int64, rising."""
        if modality not in self._media:
            return np.zeros(0, np.int64)
        column = self._media[modality]
        return np.flatnonzero(np.concatenate([_filled(chunk) for chunk in column.chunks]))

    def require(self, kinds: Iterable[str]) -> None:
        """As `rows.Source.require`, by the columns alone: a cell may still be empty."""
        captions.require_kinds(kinds)
        if lacking := captions.lacking(self._texts, kinds):
            missing = [self._named[kind] for kind in lacking if kind in self._named]
            plain = "" if self._texts else " Plain captions are kind 'caption'."
            raise _no_column(self._path, missing or lacking, self._names, plain)

    def __getitem__(self, index: int) -> Row:
        given = self._ids[index].as_py() if self._ids is not None else None
        texts: dict[str, str | tuple[str, ...]] = {}
        for kind in self._texts:  # columns of single frames come after `ofa`, and count before it
            texts |= self._captions(kind, index)
        media = {name: refs for name in self._media if (refs := self._refs(name, index))}
        if not media:
            raise self._unusable(
                index, f"names no file in {', '.join(self._media)}; fill one in or drop the row"
            )
        label = self._labels[index].as_py() if self._labels is not None else None
        label = "" if label is None else str(label).strip()
        name = str(index if given in (None, "") else given)
        return Row(name, texts, media, label, narrations=self._narrations(index))

    def _has_gaps(self) -> bool:
        """Whether some `ofa` lacks captions, so that its row has those of single frames."""
        return "ofa" in self._texts and any(
            not _filled(pc.call_function("utf8_trim_whitespace", [_flat(chunk)])).all()
            for chunk in self._texts["ofa"].chunks
            if _is_texts(chunk.type)
        )

    def _captions(self, kind: str, index: int) -> dict[str, str | tuple[str, ...]]:
        """What a cell holds, by kind: `ofa` is split where some frames lack their caption."""
        cell = self._texts[kind][index].as_py()
        if not isinstance(cell, list):
            return {kind: cell} if cell and cell.strip() else {}
        given = tuple(text for text in cell if text and text.strip())
        if kind != "ofa" or not given:
            return {kind: given} if given else {}
        if len(cell) != captions.FRAMES_PER_ITEM:
            raise self._unusable(
                index,
                f"holds {counted(len(cell), 'caption')} under ofa, expected "
                f"{captions.FRAMES_PER_ITEM}, one for each frame",
            )
        if len(given) == len(cell):
            return {kind: given}
        return {one: cell[k] for one, k in captions.FRAME_KINDS.items() if cell[k] in given}

    def _refs(self, modality: str, index: int) -> tuple[Ref, ...]:
        cell = self._media[modality][index].as_py()
        names = [name for name in (cell if isinstance(cell, list) else [cell]) if name]
        if any("\0" in name for name in names):
            raise self._unusable(index, f"names a file with a zero byte under {modality}; mend it")
        refs = tuple(self.root / name for name in names)
        if modality == "depth" and self._units is not None and (unit := self._units[index]):
            return tuple(Measured(ref, unit) for ref in refs)
        clip = MODALITIES[modality].has_frames and isinstance(cell, list) and refs
        return (refs,) if clip else refs

    def _narrations(self, index: int) -> Files | None:
        """The subtitles that a row names; none are said where its cell is empty."""
        if self._told is None:
            return None
        name = self._told[index].as_py()
        return Files((self.root / name.strip(),) if name and name.strip() else ())

    def _unit_column(self, named: Mapping[str, str], table: tables.Table) -> list[str]:
        """The unit of each row, empty where none is given."""
        cells = self._column(UNIT, named, table).to_pylist()
        units = ["" if cell is None else str(cell).strip() for cell in cells]
        given = [place for place, unit in enumerate(units) if unit]
        if wrong := depth_units.unknown(units[place] for place in given):
            raise self._unusable(given[wrong[0]], f"{wrong[1]} Mend that cell")
        return units

    def _unusable(self, index: int, reason: str) -> errors.DataError:
        line = f"row {index}" if self._lines is None else f"line {self._lines[index]}"
        return errors.DataError(f"{self.where}: {line}", reason)

    @functools.cached_property
    def _lines(self) -> np.ndarray | None:
        lines = self._format.lines
        return None if lines is None else lines(self._path)

    def _media_columns(
        self, keys: list[str], named: Mapping[str, str], modality: str | None, table: tables.Table
    ) -> dict[str, pa.ChunkedArray]:
        media = {key: self._column(key, named, table) for key in keys if key in MODALITIES}
        if modality is not None and modality not in media:
            media[modality] = self._column("path", named, table)
        if not media and "path" in keys:
            raise errors.ConfigError(
                f"{self.where}: column {named['path']!r} names files of an unknown modality; say "
                f"which: one of {', '.join(MODALITIES)}."
            )
        if not media:
            raise _no_column(self._path, ["path", *MODALITIES], table.names)
        return media

    def _column(self, key: str, named: Mapping[str, str], table: tables.Table) -> pa.ChunkedArray:
        """Returns the column that holds `key` as plain text, after checking that it can."""
        if named[key] not in table.columns:
            raise _no_column(self._path, [named[key]], table.names)
        column = table.columns[named[key]]
        if not _holds(key, column.type):
            raise errors.DataError(
                self._path,
                f"column {named[key]!r} holds {column.type}; expected "
                f"{' or '.join(HOLDS[_role(key)])} for {key}",
            )
        return column.cast(_plain(column.type))


def _is_text(type: pa.DataType) -> bool:
    if pa.types.is_dictionary(type):
        return _is_text(type.value_type)
    return pa.types.is_string(type) or pa.types.is_large_string(type) or type == pa.string_view()


def _is_texts(type: pa.DataType) -> bool:
    lists = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
    return any(is_list(type) for is_list in lists) and (
        _is_text(type.value_type) or pa.types.is_null(type.value_type)
    )


def _plain(type: pa.DataType) -> pa.DataType:
    """The type that Arrow's functions take, for texts that are categories, views or all null."""
    if _is_texts(type):
        is_large = pa.types.is_large_list(type)
        return (pa.large_list if is_large else pa.list_)(_plain(type.value_type))
    if pa.types.is_null(type) or (_is_text(type) and not pa.types.is_large_string(type)):
        return pa.string()
    return type


def _flat(cells: pa.Array) -> pa.Array:
    """The elements of lists, one list after the other."""
    return pc.call_function("list_flatten", [cells])


def _lengths(function: str, cells: pa.Array) -> np.ndarray:
    """What an Arrow function says of each cell, int [cells]; 0 of a null."""
    return pc.fill_null(pc.call_function(function, [cells]), 0).to_numpy(zero_copy_only=False)


def _filled(cells: pa.Array) -> np.ndarray:
    """Which cells hold a text that is not empty, bool [cells]."""
    texts = _flat(cells) if _is_texts(cells.type) else cells
    filled = _lengths("binary_length", texts) > 0
    if texts is cells:
        return filled
    lengths = _lengths("list_value_length", cells)
    rows = np.repeat(np.arange(len(cells)), lengths)
    return np.bincount(rows[filled], minlength=len(cells)) > 0


_ONE, _SEVERAL = {"text": _is_text}, {"lists of text": _is_texts}
# What the cells of a column may be: in words -> whether an Arrow type is that.
HOLDS = {
    "id": _ONE | {"whole numbers": pa.types.is_integer},
    LABEL: _ONE | {"whole numbers": pa.types.is_integer},
    NARRATIONS: _ONE,
    UNIT: _ONE | {"numbers": lambda type: pa.types.is_integer(type) or pa.types.is_floating(type)},
    "ofa": _SEVERAL,
    "frame caption": _ONE,
    "other": _ONE | _SEVERAL,
}


def _role(key: str) -> str:
    return key if key in HOLDS else "frame caption" if key in captions.FRAME_KINDS else "other"


def _holds(key: str, type: pa.DataType) -> bool:
    return pa.types.is_null(type) or any(fits(type) for fits in HOLDS[_role(key)].values())


def _named(columns: Mapping[str, str], modality: str | None) -> dict[str, str]:
    """Every key and the name of its column."""
    for key in columns:
        if key not in KEYS:
            raise errors.ConfigError(
                f"no column can hold {key!r}; expected one of {', '.join(KEYS)}."
                f"{errors.nearest(key, KEYS)}"
            )
    if modality is not None and modality not in MODALITIES:
        raise errors.ConfigError(
            f"no modality {modality!r}; expected one of {', '.join(MODALITIES)}."
            f"{errors.nearest(modality, MODALITIES)}"
        )
    return dict(zip(KEYS, KEYS, strict=True)) | dict(columns)


def _no_column(
    path: Path, missing: list[str], names: Iterable[str], remark: str = ""
) -> errors.DataError:
    names = tuple(names)
    hints = [hint for name in missing if (hint := errors.nearest(name, names))]
    hints = hints or [tables.other_separator(names)]
    return errors.DataError(
        path,
        f"has no column {' or '.join(map(repr, missing))}; it has {', '.join(names)}."
        f"{''.join(hints[:1])}{remark} Name another one with columns",
    )


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected a manifest") from e
    return status.st_size, status.st_mtime_ns


def _reopened(arguments: tuple, stamp: tuple[int, int]) -> Manifest:
    """Opens a manifest again in another process, where it must still be what it was."""
    if _stamp(arguments[0]) != stamp:
        raise errors.DataError(
            arguments[0], "has changed since this run opened it; leave it as it is and start again"
        )
    return Manifest(*arguments)
