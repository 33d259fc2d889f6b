"""The columns of CSV, TSV, JSONL and Parquet files as Arrow arrays, with the line of any fault.

Arrow reads a million rows in about a second and knows no line numbers. What it refuses is therefore
read again, line by line, to say where the fault is.
"""

import codecs
import contextlib
import csv
import dataclasses
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from lb_jax.core import errors
from lb_jax.core.words import counted

BLOCK_BYTES = 1 << 20  # the longest row; larger blocks are no faster and take more memory
_DEPTH = 1000  # of nested JSON; some thousands make Arrow's parser overflow the stack
_BATCH_ROWS = 1 << 16
# What separates cells, in words. A file whose first line has the usual one of its ending nowhere is
# separated by that of the others which makes the most columns of it.
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "vertical bars"}
# A row of these cells is put behind every CSV file: an open quote would swallow it.
_END = "\x03end"


@dataclasses.dataclass(frozen=True)
class Table:
    """Some columns of a file.

    Attributes:
      names: every column of the file.
      columns: those that were wanted and are there.
      rows: how many.
    """

    names: tuple[str, ...]
    columns: Mapping[str, pa.ChunkedArray]
    rows: int


@dataclasses.dataclass(frozen=True)
class Format:
    """How files of one kind are read.

    Attributes:
      read: path and names of columns -> those of the columns that the file has. Raises DataError.
      lines: path -> the number of the line that each row starts on; None where there are no lines.
    """

    read: Callable[[Path, Collection[str]], Table]
    lines: Callable[[Path], np.ndarray] | None


def read_csv(path: Path, wanted: Collection[str], usual: str = ",") -> Table:
    """Reads columns of text; the first row names them, and tells what separates cells.

    Cells may be quoted by `"` and then hold line breaks. Lines without anything are skipped.

    Raises:
      DataError: unreadable file, no header, a wanted name twice in it, a row with more or fewer
        cells than the header, a quote left open, bytes that are not UTF-8; with the line.
    """
    delimiter, names = _header(path, usual)
    kept = [name for name in dict.fromkeys(names) if name in wanted]
    twice = [name for name in kept if names.count(name) > 1]
    if twice:
        raise errors.DataError(path, f"line 1: has two columns {twice[0]!r}; rename one of them")
    end = delimiter.join([_END] * len(names))
    try:
        with _open(path) as file:
            reader = pa.csv.open_csv(
                _Appended(file, f"\n{end}\n".encode()),
                read_options=pa.csv.ReadOptions(block_size=BLOCK_BYTES),
                parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=kept or names[:1],
                    column_types=dict.fromkeys(kept or names[:1], pa.string()),
                    strings_can_be_null=False,
                ),
            )
            table = reader.read_all()
    except (pa.ArrowInvalid, pa.ArrowKeyError) as e:
        raise _csv_fault(path, delimiter, len(names), e) from e
    rows = table.num_rows - 1
    if table.column(0)[rows].as_py() != _END:
        raise _csv_fault(path, delimiter, len(names), None)
    return Table(tuple(names), {name: table.column(name).slice(0, rows) for name in kept}, rows)


def csv_lines(path: Path, usual: str = ",") -> np.ndarray:
    """The line on which each row of a CSV file starts, from 1; the header is no row."""
    delimiter, _ = _header(path, usual)
    with _text(path) as file:
        return np.fromiter((line for line, _ in _records(file, delimiter)), np.int64)[1:]


def read_jsonl(path: Path, wanted: Collection[str]) -> Table:
    """Reads fields of JSON objects, one object to a line; a field that a line lacks is null there.

    Raises:
      DataError: unreadable file, a line that is no JSON object, repeats a field, holds a field of
        another type than the lines before it or bytes that are not UTF-8; with the line.
    """
    names: dict[str, None] = {}
    chunks: dict[str, list[pa.Array]] = {}
    schema, rows, line = pa.schema([]), 0, 1
    with _open(path) as file:
        while block := file.read(4 * BLOCK_BYTES) + file.readline(BLOCK_BYTES):
            lines = block.count(b"\n") + (not block.endswith(b"\n"))
            _check_depth(path, block, line)
            try:
                table = _parse(block, schema, wanted)
            except pa.ArrowInvalid as e:
                raise _jsonl_fault(path, block, line, schema, wanted, str(e)) from e
            if not _is_one_to_a_line(block, table.num_rows, lines):
                raise _jsonl_fault(path, block, line, schema, wanted, "not one object to a line")
            names |= dict.fromkeys(table.column_names)
            for field in table.schema:
                if field.name in wanted and _is_known(field.type):
                    if field.name not in chunks:
                        chunks[field.name] = [pa.nulls(rows, field.type)]
                        schema = schema.append(field)
                    chunks[field.name] += table.column(field.name).chunks
            rows, line = rows + table.num_rows, line + lines
    empty = pa.chunked_array([pa.nulls(rows, pa.string())])
    return Table(
        tuple(names),
        {
            name: pa.chunked_array(chunks[name]) if name in chunks else empty
            for name in names
            if name in wanted
        },
        rows,
    )


def jsonl_lines(path: Path) -> np.ndarray:
    """The line on which each object of a JSONL file stands, from 1."""
    with _open(path) as file:
        return np.fromiter((n for n, line in enumerate(file, 1) if line.strip()), np.int64)


def read_parquet(path: Path, wanted: Collection[str]) -> Table:
    """Reads columns of a Parquet file.

    Raises:
      DataError: unreadable or damaged file, a wanted name twice in it.
    """
    try:
        with _open(path) as opened:
            file = pa.parquet.ParquetFile(opened, pre_buffer=False, buffer_size=BLOCK_BYTES)
            names = file.schema_arrow.names
            kept = [name for name in dict.fromkeys(names) if name in wanted]
            twice = [name for name in kept if names.count(name) > 1]
            if twice:
                raise errors.DataError(path, f"has two columns {twice[0]!r}; rename one of them")
            # by batches and one thread: half the memory of reading it at once
            table = pa.Table.from_batches(
                file.iter_batches(_BATCH_ROWS, columns=kept, use_threads=False),
                pa.schema([file.schema_arrow.field(name) for name in kept]),
            )
            table.validate(full=True)
            rows = file.metadata.num_rows
    except (pa.ArrowException, OSError) as e:
        raise errors.DataError(
            path, f"is no Parquet file that can be read ({_one_line(e)}); write it again"
        ) from e
    return Table(tuple(names), {name: table.column(name) for name in kept}, rows)


FORMATS = {
    ".csv": Format(read_csv, csv_lines),
    ".tsv": Format(
        lambda path, wanted: read_csv(path, wanted, "\t"), lambda path: csv_lines(path, "\t")
    ),
    ".jsonl": Format(read_jsonl, jsonl_lines),
    ".ndjson": Format(read_jsonl, jsonl_lines),
    ".parquet": Format(read_parquet, None),
}


class _Appended(io.RawIOBase):
    """A file with some bytes behind its end."""

    def __init__(self, file: io.BufferedIOBase, tail: bytes):
        super().__init__()
        self._parts: list[io.BufferedIOBase] = [file, io.BytesIO(tail)]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer, /) -> int:
        while self._parts:
            if count := self._parts[0].readinto(buffer):
                return count
            del self._parts[0]
        return 0


@contextlib.contextmanager
def _open(path: Path) -> Iterator[io.BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected a manifest") from e


def _text(path: Path) -> TextIO:
    return path.open(encoding="utf-8-sig", newline="")


def _header(path: Path, usual: str) -> tuple[str, list[str]]:
    """What separates the cells of a CSV file, and the names of its columns."""
    with _open(path):
        pass
    found, fitting = {}, []
    for delimiter in sorted(SEPARATORS, key=lambda one: one != usual):  # the usual one first
        with _text(path) as file:
            records = _records(file, delimiter)
            try:
                _, found[delimiter] = next(records, (1, None))
            except UnicodeDecodeError as e:
                raise _encoding_fault(path) or e from e
            except csv.Error as e:
                raise errors.DataError(path, f"line 1: {e}; expected names of columns") from e
            if found[delimiter] is None:
                raise errors.DataError(
                    path, "is empty; expected a first line that names the columns"
                )
            if len(found[delimiter]) > 1 and _fits(records, len(found[delimiter])):
                fitting.append(delimiter)
        if fitting == [usual]:
            break
    if len(found[usual]) > 1 and not fitting:
        delimiter = usual
    else:
        delimiter = max(fitting or found, key=lambda one: len(found[one]))  # the first of equals
    first = found[usual][0].strip()
    if len(found[usual]) == 1 and first.lower().startswith("sep="):
        raise errors.DataError(
            path,
            f"line 1: is {first!r}, a note to a spreadsheet; delete it, so that the names of the "
            "columns come first",
        )
    return delimiter, found[delimiter]


def _fits(records: Iterator[tuple[int, list[str]]], width: int) -> bool:
    """Whether the next record, if there is one, has as many cells as the header."""
    try:
        return len(next(records, (1, [""] * width))[1]) == width
    except (csv.Error, UnicodeDecodeError):  # told when the table is read
        return False


def other_separator(names: Iterable[str]) -> str:
    """A remark on names of columns that hold what separates cells elsewhere; "" otherwise."""
    held = [words for one, words in SEPARATORS.items() if any(one in name for name in names)]
    return f" Names hold {' and '.join(held)}: separate all cells by the same." if held else ""


def _records(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a CSV file as Arrow sees them, with the line each starts on."""
    limit = csv.field_size_limit(BLOCK_BYTES)  # of the whole process
    try:
        reader, line = csv.reader(file, delimiter=delimiter), 1
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    finally:
        csv.field_size_limit(limit)


def _csv_fault(
    path: Path, delimiter: str, width: int, cause: pa.ArrowException | None
) -> errors.DataError:
    """Finds what Arrow could not read; without a cause, a quote is still open at the end."""
    if (fault := _encoding_fault(path)) is not None:
        return fault
    line = 1
    with _text(path) as file:
        try:
            for line, cells in _records(file, delimiter):
                if len(cells) != width:
                    others = [
                        words
                        for one, words in SEPARATORS.items()
                        if len(cells) == 1 and cells[0].count(one) == width - 1 > 0
                    ]
                    remedy = (
                        f"it has {others[0]}, the header {SEPARATORS[delimiter]}: separate all "
                        "cells by the same"
                        if others
                        else f"put cells that hold {delimiter!r} or line breaks into double quotes"
                    )
                    return errors.DataError(
                        path,
                        f"line {line}: has {counted(len(cells), 'cell')}, the header {width}; "
                        f"{remedy}",
                    )
        except csv.Error as e:
            return errors.DataError(path, f"after line {line}: {e}; close the quotes there")
    if cause is None:
        return errors.DataError(path, f"line {line}: a quote opens and never closes; close it")
    return errors.DataError(path, f"cannot be read ({_one_line(cause)}); mend it")


def _encoding_fault(path: Path) -> errors.DataError | None:
    """Where a file is not UTF-8, None where it is."""
    decoder, read, lines = codecs.getincrementaldecoder("utf-8")(), 0, 0
    with path.open("rb") as file:
        while True:
            block, held = file.read(BLOCK_BYTES), len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as e:
                start = e.start - held  # in this block
                line = lines + block[: max(start, 0)].count(b"\n") + 1
                return errors.DataError(
                    path,
                    f"line {line}: is not UTF-8 text at byte {read + start} of the file; save it "
                    "as UTF-8",
                )
            if not block:
                return None
            read, lines = read + len(block), lines + block.count(b"\n")


def _parse(content: bytes, schema: pa.Schema, wanted: Collection[str]) -> pa.Table:
    """Parses JSON objects; what looks like a date stays the text it is."""
    while True:
        table = pa.json.read_json(
            pa.BufferReader(content),
            pa.json.ReadOptions(block_size=BLOCK_BYTES),
            pa.json.ParseOptions(explicit_schema=schema),
        )
        dates = [f for f in table.schema if f.name in wanted and _as_text(f.type) != f.type]
        if not dates:
            table.validate(full=True)  # Arrow reads JSON without looking at its UTF-8
            return table
        for field in dates:
            schema = schema.append(pa.field(field.name, _as_text(field.type)))


def _check_depth(path: Path, block: bytes, first: int) -> None:
    """Refuses a line whose brackets, those in texts counted too, open deeper than `_DEPTH`."""
    for number, line in enumerate(block.split(b"\n"), first):
        if len(line) > _DEPTH and line.count(b"[") + line.count(b"{") > _DEPTH:
            marks = np.frombuffer(line, np.uint8)
            opened = np.isin(marks, list(b"[{")).astype(int) - np.isin(marks, list(b"]}"))
            if opened.cumsum().max() > _DEPTH:
                raise errors.DataError(
                    path, f"line {number}: is nested too deeply; expected an object of texts"
                )


def _as_text(type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(type):
        return pa.string()
    return pa.list_(_as_text(type.value_type)) if pa.types.is_list(type) else type


def _jsonl_fault(
    path: Path, block: bytes, first: int, schema: pa.Schema, wanted: Collection[str], cause: str
) -> errors.DataError:
    """Finds the line that Arrow could not read, by reading one after the other."""
    known = {field.name: field.type for field in schema}
    for number, line in enumerate(block.split(b"\n"), first):
        if not line.strip():
            continue
        if len(line) >= BLOCK_BYTES:
            return errors.DataError(
                path,
                f"line {number}: is longer than {BLOCK_BYTES} bytes; expected one short object",
            )
        try:
            table = _parse(line, pa.schema(list(known.items())), wanted)
        except pa.ArrowInvalid as e:
            reason = _one_line(e).removeprefix("JSON parse error: ").removesuffix(" in row 0")
            return errors.DataError(
                path, f"line {number}: {reason}; expected one JSON object, typed as those before"
            )
        if table.num_rows != 1:
            return errors.DataError(
                path, f"line {number}: expected one JSON object with fields to a line"
            )
        for field in table.schema:
            known.setdefault(field.name, _wide(field.type))
        known = {name: type for name, type in known.items() if _is_known(type)}
    return errors.DataError(path, f"cannot be read from line {first} on ({cause}); mend it")


def _is_one_to_a_line(block: bytes, rows: int, lines: int) -> bool:
    """Whether every line of valid JSON that is not blank is one object.

    Between `}` and `{` JSON has a line break only where an object ends. So a line from `{` to `}`
    is one object or several.
    """
    if rows == lines == block.count(b"}\n{") + 1:
        return True
    filled = [text for line in block.split(b"\n") if (text := line.strip(b" \t\r\xef\xbb\xbf"))]
    return rows == len(filled) and all(
        text.startswith(b"{") and text.endswith(b"}") for text in filled
    )


def _is_known(type: pa.DataType) -> bool:
    """Whether some cell told the type; nulls and empty lists do not."""
    return type not in (pa.null(), pa.list_(pa.null()))


def _wide(type: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_integer(type) else type  # whole numbers may precede others


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
