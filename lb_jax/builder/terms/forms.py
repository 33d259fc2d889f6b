"""The forms in which sets keep their labels and captions, one row each: a new one is a row here.

A form is told by the name and the content of a file. Its reader gives texts with how often each is
there; a label is a term as it stands, a caption is where terms are taken from.
"""

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lb_jax.core import errors
from lb_jax.corpora import json_files, tables

LABEL, CAPTION, EITHER = "label", "caption", "either"
HEAD_BYTES = 1 << 14  # by which a file of text is told


@dataclasses.dataclass(frozen=True)
class Text:
    """A text of a set.

    Attributes:
      text: as it stands there.
      kind: `LABEL`, `CAPTION`, or `EITHER`, which its length tells.
      count: how often it is there.
    """

    text: str
    kind: str
    count: int = 1


@dataclasses.dataclass(frozen=True)
class File:
    """A file or folder that a source names.

    Attributes:
      path: of it.
      column: of a table; empty where none was named.
    """

    path: Path
    column: str = ""

    @functools.cached_property
    def ending(self) -> str:
        """Of its name, in small letters."""
        return self.path.suffix.lower()

    @functools.cached_property
    def head(self) -> str:
        """How it begins, as text; nothing of a folder."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            return file.read(HEAD_BYTES).decode("utf-8-sig", "replace")

    @functools.cached_property
    def json(self) -> Any:
        """Its content, if it is JSON."""
        return json_files.load(self.path, "captions or labels in JSON")

    @property
    def fields(self) -> Mapping[str, Any]:
        """Of a JSON object; none of anything else."""
        return self.json if self.ending == ".json" and isinstance(self.json, dict) else {}

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of those of a table; none of anything else."""
        form = tables.FORMATS.get(self.ending)
        return form.read(self.path, ()).names if form and self.path.is_file() else ()


@dataclasses.dataclass(frozen=True)
class Form:
    """A row.

    Attributes:
      name: of the form.
      what: it looks like, for who has another.
      is_it: whether a file is of it.
      read: its texts, in its order. Raises DataError.
    """

    name: str
    what: str
    is_it: Callable[[File], bool]
    read: Callable[[File], Iterable[Text]]


def _has(key: str, *of_rows: str) -> Callable[[File], bool]:
    """Whether a JSON object has a list of objects with some fields."""

    def is_it(file: File) -> bool:
        rows = file.fields.get(key)
        if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
            return False
        return all(name in rows[0] for name in of_rows)

    return is_it


def _captions(key: str) -> Callable[[File], Iterator[Text]]:
    def read(file: File) -> Iterator[Text]:
        for number, row in enumerate(file.fields[key]):
            text = row.get("caption") if isinstance(row, dict) else None
            if not isinstance(text, str):
                raise errors.DataError(f"{file.path}: {key} {number}", "has no text in 'caption'")
            yield Text(text, CAPTION)

    return read


def _instances(file: File) -> Iterator[Text]:
    """Categories of COCO, as often as they are annotated; once without annotations."""
    counts = collections.Counter(
        row.get("category_id")
        for row in file.fields.get("annotations", [])
        if isinstance(row, dict)
    )
    for row in file.fields["categories"]:
        count = counts[row.get("id")] if counts else 1
        if count:
            yield Text(str(row["name"]), LABEL, count)


_NUMBERED = re.compile(r"^[^\t\n]+\t\d+$")


def _is_categories(file: File) -> bool:
    lines = file.head.splitlines()
    return file.path.name == "category.txt" and bool(lines) and bool(_NUMBERED.match(lines[0]))


def _categories(file: File) -> Iterator[Text]:
    for line in _lines(file.path):
        yield Text(line.rpartition("\t")[0], LABEL)


_SPLIT = re.compile(r"(.+)_test_split(\d+)\.txt")


def _splits(file: File) -> dict[str, dict[int, Path]]:
    """Class -> split -> its file, of a folder of HMDB-51."""
    found: dict[str, dict[int, Path]] = collections.defaultdict(dict)
    if file.path.is_dir():
        for path in sorted(file.path.iterdir()):
            if told := _SPLIT.fullmatch(path.name):
                found[told[1]][int(told[2])] = path
    return dict(found)


def _hmdb(file: File) -> Iterator[Text]:
    """Classes of HMDB-51; every split names all films of one."""
    for name, splits in _splits(file).items():
        yield Text(_spaced(name), LABEL, len(list(_lines(splits[min(splits)]))))


def _folders(file: File) -> list[Path]:
    if not file.path.is_dir():
        return []
    return sorted(one for one in file.path.iterdir() if one.is_dir() and one.name[0] != ".")


def _classes(file: File) -> Iterator[Text]:
    """Folders of one class each, as often as there are files in it."""
    for folder in _folders(file):
        count = sum(one.is_file() for one in folder.iterdir())
        yield Text(_spaced(folder.name), LABEL, max(1, count))


_SYNSET = re.compile(r"^n\d{8}[ \t]+\S")


def _is_synsets(file: File) -> bool:
    lines = file.head.splitlines()
    return file.ending == ".txt" and bool(lines) and bool(_SYNSET.match(lines[0]))


def _synsets(file: File) -> Iterator[Text]:
    """`LOC_synset_mapping.txt` and `words.txt` of ImageNet: a synset and its synonyms a line."""
    for number, line in enumerate(_lines(file.path), 1):
        if not _SYNSET.match(line):
            raise errors.DataError(
                file.path, f"line {number}: has no synset; expected n01440764 and its names"
            )
        for name in re.split(r"\s+", line, maxsplit=1)[1].split(","):
            if name.strip():
                yield Text(_spaced(name), LABEL)


def _is_class_index(file: File) -> bool:
    rows = list(itertools.islice(file.fields.values(), 1))
    is_pair = bool(rows) and isinstance(rows[0], list) and len(rows[0]) == 2
    return is_pair and bool(re.fullmatch(r"n\d{8}", str(rows[0][0])))


def _class_index(file: File) -> Iterator[Text]:
    """`imagenet_class_index.json`: number -> [synset, name]."""
    for pair in file.fields.values():
        for name in str(pair[1]).split(","):
            yield Text(_spaced(name), LABEL)


_BLOCK = re.compile(r"\b(?:label|item)\s*\{(.*?)\}", re.DOTALL)
_NAME = re.compile(r"""\bname\s*:\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


def _actions(file: File) -> Iterator[Text]:
    """AVA's list of actions: `label {name: "…" label_id: 1}` (v2.1) or `item {name: "…" id: 1}`."""
    text = "\n".join(_lines(file.path))
    for block in _BLOCK.findall(text):
        if told := _NAME.search(block):
            yield Text(_spaced(re.sub(r"\\(.)", r"\1", told[1] or told[2] or "")), LABEL)


def _columned(*names: str) -> Callable[[File], bool]:
    return lambda file: not file.column and set(names) <= set(file.columns)


def _table(text: str, count: str = "", kind: str = LABEL) -> Callable[[File], Iterator[Text]]:
    """Reads a column, the one that was named where `text` is empty; another says how often."""

    def read(file: File) -> Iterator[Text]:
        column = text or file.column
        found = tables.FORMATS[file.ending].read(file.path, {column, count} - {""})
        if column not in found.columns:
            raise errors.DataError(
                file.path,
                f"has no column {column!r}; it has {', '.join(found.names)}."
                f"{errors.nearest(column, found.names)}",
            )
        texts = found.columns[column].to_pylist()
        counts = found.columns[count].to_pylist() if count else [1] * len(texts)
        for row, (one, number) in enumerate(zip(texts, counts, strict=True), 1):
            if one is None or not str(one).strip():
                continue
            try:
                yield Text(_spaced(str(one)) if kind == LABEL else str(one), kind, int(number))
            except (TypeError, ValueError) as error:
                raise errors.DataError(
                    f"{file.path}: row {row}", f"has {number!r} in {count!r}, which is no number"
                ) from error

    return read


def _plain(file: File) -> Iterator[Text]:
    for line in _lines(file.path):
        yield Text(line, EITHER)


FORMS = (
    Form(
        "COCO captions",
        'JSON {"annotations": [{"caption": …}]}',
        _has("annotations", "caption"),
        _captions("annotations"),
    ),
    Form(
        "COCO instances",
        'JSON {"categories": [{"id", "name"}], "annotations": [{"category_id"}]}',
        _has("categories", "name"),
        _instances,
    ),
    Form(
        "MSR-VTT",
        'JSON {"sentences": [{"caption": …}]}',
        _has("sentences", "caption"),
        _captions("sentences"),
    ),
    Form("MSR-VTT categories", "category.txt: name and number a line", _is_categories, _categories),
    Form(
        "HMDB-51 splits",
        "folder of CLASS_test_split1.txt",
        lambda file: bool(_splits(file)),
        _hmdb,
    ),
    Form(
        "class folders", "folder with a folder a class", lambda file: bool(_folders(file)), _classes
    ),
    Form(
        "ImageNet synsets",
        "LOC_synset_mapping.txt or words.txt: synset and names a line",
        _is_synsets,
        _synsets,
    ),
    Form(
        "ImageNet class index",
        'JSON {"0": ["n01440764", "tench"]}',
        _is_class_index,
        _class_index,
    ),
    Form(
        "AVA actions",
        'pbtxt: label {name: "…"} or item {name: "…"}',
        lambda file: bool(_BLOCK.search(file.head)) and file.ending in (".pbtxt", ".txt"),
        _actions,
    ),
    Form(
        "YouTube-8M vocabulary",
        "CSV with the columns Index,TrainVideoCount,Name",
        _columned("TrainVideoCount", "Name"),
        _table("Name", "TrainVideoCount"),
    ),
    Form(
        "YouTube-8M label names",
        "CSV with the columns label_id,label_name",
        _columned("label_id", "label_name"),
        _table("label_name"),
    ),
    Form(
        "column",
        "CSV, JSONL or Parquet as PATH:COLUMN",
        lambda file: bool(file.column),
        _table("", kind=EITHER),
    ),
    Form(
        "lines",
        "text file, one a line",
        lambda file: file.ending == ".txt" and file.path.is_file(),
        _plain,
    ),
)


def form_of(file: File) -> Form:
    """The form of a file.

    Raises:
      DataError: it is not there, or of none; with what was found and what forms there are.
    """
    if not file.path.exists():
        raise errors.DataError(file.path, "is not there; config.terms.files names it")
    if file.column and file.ending not in tables.FORMATS:
        raise errors.DataError(
            file.path,
            f"is no table, of which :{file.column} could be a column; expected one of "
            f"{', '.join(tables.FORMATS)}",
        )
    for form in FORMS:
        if form.is_it(file):
            return form
    known = "; ".join(f"{form.name} ({form.what})" for form in FORMS)
    raise errors.DataError(file.path, f"is of no known form: {_found(file)}. There are {known}")


def _found(file: File) -> str:
    """What a file of no form is."""
    if file.path.is_dir():
        held = sorted(one.name for one in file.path.iterdir())[:3]
        return f"a folder with {', '.join(held) or 'nothing'}"
    if file.columns:
        return f"a table without a named column, with {', '.join(file.columns)}; add :COLUMN"
    if file.ending == ".json":
        if isinstance(file.json, dict):
            return f"a JSON object with {', '.join(list(file.json)[:5]) or 'nothing'}"
        return f"JSON, a {type(file.json).__name__}"
    return f"a file {file.ending or 'without an ending'}"


def parse(given: str) -> tuple[str, File]:
    """Reads NAME=PATH, PATH, or either with :COLUMN behind it.

    Returns:
      Name of the source, and the file.
    """
    name, sign, where = given.partition("=")
    if not sign:
        name, where = "", given
    path, column = Path(where), ""
    if not path.exists() and ":" in where:
        before, _, column = where.rpartition(":")
        path = Path(before)
    if not where or not path.name:
        raise errors.ConfigError(
            f"config.terms.files has {given!r}; expected NAME=PATH or NAME=PATH:COLUMN."
        )
    return name or path.stem, File(path, column)


def _lines(path: Path) -> Iterator[str]:
    """Lines that hold something."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                if line.strip():
                    yield line.strip()
    except UnicodeDecodeError as error:
        raise errors.DataError(path, "is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise errors.DataError(path, f"cannot be read ({error.strerror})") from error


def _spaced(name: str) -> str:
    """A label with spaces where names of files have underscores."""
    return " ".join(name.replace("_", " ").split())
