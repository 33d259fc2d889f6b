"""Annotation files as they are distributed: lists, tables, JSON and one pickle.

A file that is absent or cannot be read as what it is raises `errors.DataError`, with its line where
there is one; what a row says is the business of the data set's reader.
"""

import csv
import io
import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn, TypeVar

from lb_jax.core import errors

Kind = TypeVar("Kind", list, dict)  # of a JSON value
Rows = list[tuple[str, list[str]]]  # where each row stands, "line 3 of test.csv", and its cells

# What a damaged pickle makes `pickle` raise, besides its own error.
_PICKLE_ERRORS = (
    pickle.UnpicklingError,
    ValueError,  # covers text that cannot be decoded
    TypeError,
    EOFError,
    LookupError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
# Modules and names a pickle of Python 2 or 3 may call: containers without code of their own.
_HARMLESS = {
    (module, kind.__name__): kind
    for module in ("builtins", "__builtin__")
    for kind in (list, dict, set, frozenset, tuple, str)
}


def require_folder(root: Path) -> None:
    """Refuses a data set that is not there.

    Raises:
      errors.DataError: there is no such folder.
    """
    if not root.is_dir():
        raise errors.DataError(root, "no such folder; expected the data set there")


def one_of(root: Path, *names: str) -> Path:
    """Returns the annotation file that is there, of several a data set is distributed with.

    Raises:
      errors.DataError: there is none, or more than one.
    """
    require_folder(root)
    found = [name for name in names if (root / name).is_file()]
    if not found:
        raise errors.DataError(
            root, f"has no {' or '.join(names)}; expected that file in the data set's folder"
        )
    if len(found) > 1:
        raise errors.DataError(root, f"has {' and '.join(found)}; keep the one that is meant")
    return root / found[0]


def no_folder(root: Path, *names: str) -> NoReturn:
    """Refuses a data set without any of some folders.

    Raises:
      errors.DataError: always.
    """
    raise errors.DataError(
        root, f"has no folder {' or '.join(names)}; expected the media of the data set there"
    )


def text(path: Path) -> str:
    """Returns the whole file; a byte order mark is left out, line ends stay as they are.

    Raises:
      errors.DataError: no such file, unreadable, or not UTF-8.
    """
    content = _content(path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise errors.DataError(
            path, f"line {line} is not UTF-8; save the file as UTF-8 or download it again"
        ) from error


def lines(path: Path) -> list[tuple[str, str]]:
    """Returns where each line stands and its text, without white space around; none is empty.

    Raises:
      errors.DataError: as `text`.
    """
    rows = text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [
        (f"line {number} of {path.name}", row.strip())
        for number, row in enumerate(rows, 1)
        if row.strip()
    ]


def cells(path: Path, delimiter: str = ",", *, quoted: bool = True, spaced: bool = False) -> Rows:
    """Returns the rows of a delimited file that are not empty, a header among them.

    Args:
      path: the file.
      delimiter: between cells.
      quoted: whether a cell may stand in double quotes; otherwise they are text.
      spaced: whether white space after a delimiter is left out.

    Raises:
      errors.DataError: as `text`, or a quote that does not end.
    """
    content = io.StringIO(text(path), newline="")
    reader = csv.reader(
        content,
        delimiter=delimiter,
        strict=True,
        skipinitialspace=spaced,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    found = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                found.append((f"line {reader.line_num} of {path.name}", row))
    except csv.Error as error:
        raise errors.DataError(
            path, f"line {reader.line_num} is no row ({error}); download the file again"
        ) from error
    return found


def table(
    path: Path, columns: Iterable[str], delimiter: str = ","
) -> list[tuple[str, dict[str, str] | None]]:
    """Returns the rows below a header as column -> cell; None for a row of another length.

    Args:
      path: the file; its first row names the columns, in any order, others may be there.
      columns: those that are needed.
      delimiter: between cells.

    Raises:
      errors.DataError: as `cells`, or a column is not there.
    """
    rows = cells(path, delimiter)
    header = [name.strip() for name in rows[0][1]] if rows else []
    if lacking := [name for name in columns if name not in header]:
        found = ", ".join(header) or "nothing"
        raise errors.DataError(
            path, f"has no column {', '.join(lacking)}, its first row has {found}; add the header"
        )
    return [
        (where, dict(zip(header, row, strict=True)) if len(row) == len(header) else None)
        for where, row in rows[1:]
    ]


def json_value(path: Path, kind: type[Kind]) -> tuple[Kind, set[str]]:
    """Returns a JSON list or object, and the keys that come twice in an object of it.

    Of such a key the first value counts.

    Raises:
      errors.DataError: as `text`, not JSON, or not of that kind.
    """
    repeated: set[str] = set()

    def first(pairs: list[tuple[str, object]]) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, value in pairs:
            if key in made:
                repeated.add(key)
            made.setdefault(key, value)
        return made

    try:
        value = json.loads(text(path), object_pairs_hook=first)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(path, f"is not JSON ({error}); download it again") from error
    if not isinstance(value, kind):
        expected = {list: "a list", dict: "an object"}[kind]
        raise errors.DataError(path, f"holds a {type(value).__name__}, expected {expected}")
    return value, repeated


class _Harmless(pickle.Unpickler):
    """Loads containers and text; anything else a pickle asks for is refused, never run."""

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _HARMLESS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _HARMLESS[module, name]


def pickled(path: Path) -> dict:
    """Returns the dictionary in a pickle of Python 2 or 3 that holds containers and text alone.

    Raises:
      errors.DataError: no such file, damaged, no dictionary, or it asks for code.
    """
    try:
        value = _Harmless(io.BytesIO(_content(path)), encoding="utf-8").load()
    except _PICKLE_ERRORS as error:
        raise errors.DataError(
            path, f"is no pickle of plain lists and text ({error}); download it again"
        ) from error
    if not isinstance(value, dict):
        raise errors.DataError(path, f"holds a {type(value).__name__}, expected a dictionary")
    return value


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise errors.DataError(path, "no such file; expected the annotation of the data set there")
    try:
        return path.read_bytes()
    except OSError as error:
        raise errors.DataError(path, f"cannot be read ({error.strerror})") from error
