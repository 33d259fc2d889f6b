"""What is embedded: the media files of folders and manifests, and which modality each one is."""

import collections
import dataclasses
import os
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

import pyarrow as pa

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.data import depth_units, tables
from lb_jax.data import files as files_lib
from lb_jax.data.manifest import UNIT

# A picture has the endings of three modalities; those that are told apart otherwise come after it.
STILLS = MODALITIES["image"].suffixes
MAPS = tuple(one for one in MODALITIES["depth"].suffixes if one not in STILLS)
PNG = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Source:
    """A file and what becomes of it.

    Attributes:
      path: absolute, with forward slashes.
      modalities: it is embedded as; a video with sound is both.
      depth_unit: of its depth, as a manifest gives it; empty for that of the model.
    """

    path: str
    modalities: tuple[str, ...]
    depth_unit: str = ""


@dataclasses.dataclass(frozen=True)
class Rule:
    """One way to tell a file's modality.

    Attributes:
      what: of the file, in words.
      applies: path as named, from the folder it was found in on, and the absolute path -> whether.
      modalities: what such a file is.
    """

    what: str
    applies: Callable[[PurePath, Path], bool]
    modalities: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is to embed.

    Attributes:
      sources: in the order of the arguments, each file once.
      skipped: why files are left out -> how many.
      folders: those that were searched, absolute.
      closed: those below them that could not be read, absolute.
      wanted: modalities that were looked for.
    """

    sources: tuple[Source, ...]
    skipped: Mapping[str, int]
    folders: tuple[str, ...]
    wanted: tuple[str, ...]
    closed: tuple[str, ...] = ()


def _ends_in(suffixes: Sequence[str]) -> Callable[[PurePath, Path], bool]:
    return lambda shown, path: shown.suffix.lower() in suffixes


def _lies_in(*words: str) -> Callable[[PurePath, Path], bool]:
    """Stills below a folder with one of the words in its name: `scene1_depth`, `Depth-2`."""

    def applies(shown: PurePath, path: Path) -> bool:
        del path
        parts = re.split(r"[^a-z0-9]+", "/".join(shown.parts[:-1]).lower())
        return shown.suffix.lower() in STILLS and not set(words).isdisjoint(parts)

    return applies


def _is_map(*words: str) -> Callable[[PurePath, Path], bool]:
    """Arrays and the like with one of the words in the name of a folder or in their own."""

    def applies(shown: PurePath, path: Path) -> bool:
        del path
        parts = re.split(r"[^a-z0-9]+", shown.with_suffix("").as_posix().lower())
        return shown.suffix.lower() in MAPS and not set(words).isdisjoint(parts)

    return applies


def _is_deep(shown: PurePath, path: Path) -> bool:
    """A PNG of one channel of 16 bits, by its header; a file that cannot be read is not."""
    if shown.suffix.lower() != ".png":
        return False
    if not path.is_file():  # a pipe would keep whoever opens it waiting
        return False
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except OSError:  # decoding it will say what is wrong
        return False
    if len(head) < 26 or not head.startswith(PNG):
        return False
    bits, colour = struct.unpack_from("BB", head, 24)
    return (bits, colour) == (16, 0)


# First match wins. `--as` rules come before them.
RULES = (
    Rule("the endings of sound", _ends_in(MODALITIES["audio"].suffixes), ("audio",)),
    Rule("the endings of video", _ends_in(MODALITIES["video"].suffixes), ("video", "audio")),
    Rule("pictures in a folder named depth", _lies_in("depth"), ("depth",)),
    Rule(f"{', '.join(MAPS)} with depth in the name or folder", _is_map("depth"), ("depth",)),
    Rule(
        "pictures in a folder named thermal, infrared or ir",
        _lies_in("thermal", "infrared", "ir"),
        ("thermal",),
    ),
    Rule("PNG files of one channel of 16 bits", _is_deep, ("depth",)),
    Rule("other pictures", _ends_in(STILLS), ("image",)),
)


def told(rules: Sequence[Rule] = RULES) -> str:
    """The rules as a sentence, for help texts."""
    return "; ".join(f"{rule.what}: {' and '.join(rule.modalities)}" for rule in rules)


def parse_rule(given: str) -> Rule:
    """`REGEX=MODALITY` as a rule; the expression is searched for in the absolute path.

    Raises:
      ConfigError: for another form, a wrong expression or an unknown modality.
    """
    pattern, equals, modality = given.rpartition("=")
    if not equals or not pattern:
        raise errors.ConfigError(
            f"--as is {given!r}; expected REGEX=MODALITY, such as '/fusion/=thermal'."
        )
    if modality not in MODALITIES:
        raise errors.ConfigError(
            f"--as {given!r}: no modality {modality!r}; expected one of {', '.join(MODALITIES)}."
            f"{errors.nearest(modality, MODALITIES)}"
        )
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise errors.ConfigError(
            f"--as {given!r}: {pattern!r} is no regular expression ({error}); mend it."
        ) from error
    return Rule(
        f"paths with {pattern}",
        lambda shown, path: expression.search(path.as_posix()) is not None,
        (modality,),
    )


def find(
    arguments: Sequence[str | Path],
    modalities: Sequence[str],
    *,
    rules: Sequence[Rule] = (),
    only: str | None = None,
    root: str | Path | None = None,
) -> Found:
    """Lists what is to be embedded.

    Args:
      arguments: folders, media files, and manifests (CSV, TSV, JSONL, Parquet): a column `path`,
        with `modality` or without, or one column of paths for each modality; `depth_unit`.
      modalities: those that the model has.
      rules: come before `RULES`.
      only: leaves out the other modalities.
      root: folder that the paths of manifests are relative to; None takes the manifest's own.

    Raises:
      ConfigError: for a modality that the model does not have.
      DataError: for an argument that is not there, a folder that cannot be read, a manifest that is
        malformed, and when nothing is left to embed.
    """
    if only is not None and only not in modalities:
        raise errors.ConfigError(
            f"this model has no {only!r}; it has {', '.join(modalities)}."
            f"{errors.nearest(only, modalities)}"
        )
    rules, wanted = (*rules, *RULES), (only,) if only else tuple(modalities)
    kept: dict[str, dict[str, None]] = {}
    skipped: collections.Counter[str] = collections.Counter()
    folders: list[str] = []
    closed: list[Path] = []
    units: dict[str, str] = {}
    for argument in map(Path, arguments):
        if argument.is_dir():
            folders.append(_absolute(argument))
            found = _in_folder(argument, rules, closed)
        elif argument.suffix.lower() in tables.FORMATS:
            found = _in_manifest(argument, None if root is None else Path(root), rules, units)
        elif argument.exists():
            shown = PurePath(Path(os.path.abspath(argument)).parent.name, argument.name)
            found = [(argument, _modalities(shown, argument, rules))]
        else:
            raise errors.DataError(
                argument, "does not exist; give a folder, a media file or a manifest"
            )
        for path, kinds in found:
            left = [kind for kind in kinds if kind in wanted]
            if left:
                kept.setdefault(_absolute(path), {}).update(dict.fromkeys(left))
            else:
                skipped[_why(kinds, modalities)] += 1
    if closed:  # who knows how many files
        skipped[f"the contents of folders that cannot be read, such as {closed[0]}"] = len(closed)
    if not kept:
        names = ", ".join(map(str, arguments))
        raise errors.DataError(
            names,
            f"nothing to embed as {', '.join(wanted)} ({_counted(skipped) or 'no files'}); files "
            "are known by their endings and folders, `lb-jax embed --help` tells how, and "
            "--as 'REGEX=MODALITY' tells otherwise",
        )
    sources = tuple(
        Source(path, tuple(kinds), units.get(path, "") if "depth" in kinds else "")
        for path, kinds in kept.items()
    )
    return Found(sources, dict(skipped), tuple(folders), wanted, tuple(map(_absolute, closed)))


def _why(kinds: Sequence[str], modalities: Sequence[str]) -> str:
    if not kinds:
        return "no media"
    lacking = [kind for kind in kinds if kind not in modalities]
    if len(lacking) == len(kinds):
        return f"{' and '.join(kinds)} that the model does not have"
    return f"{' and '.join(kinds)} left out by --modality"


def _counted(skipped: Mapping[str, int]) -> str:
    return ", ".join(f"{count} files: {why}" for why, count in skipped.items())


def _absolute(path: Path) -> str:
    return Path(os.path.abspath(path)).as_posix()  # links stay: they are what the user named


def _modalities(shown: PurePath, path: Path, rules: Sequence[Rule]) -> tuple[str, ...]:
    path = Path(os.path.abspath(path))
    return next((rule.modalities for rule in rules if rule.applies(shown, path)), ())


def _in_folder(
    folder: Path, rules: Sequence[Rule], closed: list[Path]
) -> list[tuple[Path, tuple[str, ...]]]:
    own = Path(os.path.abspath(folder)).name  # `embed scans/depth` counts as a folder named depth
    return [
        (folder / name, _modalities(PurePath(own, name), folder / name, rules))
        for name in files_lib.walk(folder, closed=closed)
    ]


def _in_manifest(
    path: Path, root: Path | None, rules: Sequence[Rule], units: dict[str, str]
) -> list[tuple[Path, tuple[str, ...]]]:
    """Files and what they are; `units` takes the unit of depth by absolute path."""
    form = tables.FORMATS[path.suffix.lower()]
    table = form.read(path, {"path", "modality", UNIT, *MODALITIES})
    given = _units(path, table.columns[UNIT], form) if UNIT in table.columns else {}
    columns = {
        name: _texts(path, name, column) for name, column in table.columns.items() if name != UNIT
    }
    named = [name for name in columns if name in MODALITIES]
    if "path" not in columns and not named:
        raise errors.DataError(
            path,
            f"has no column 'path' and none named as a modality; it has {', '.join(table.names)}. "
            f"Expected path, with modality or without, or some of {', '.join(MODALITIES)}",
        )
    root = path.parent if root is None else root
    found = []
    for number in range(table.rows):
        before = len(found)
        if name := columns.get("path", {}).get(number):
            kind = columns.get("modality", {}).get(number)
            if kind and kind not in MODALITIES:
                raise errors.DataError(
                    path,
                    f"{_line(path, form, number)}: no modality {kind!r}; expected one of "
                    f"{', '.join(MODALITIES)}, or an empty cell."
                    f"{errors.nearest(kind, MODALITIES)} Mend that cell",
                )
            kinds = (kind,) if kind else _modalities(PurePath(name), root / name, rules)
            if number in given and not kind:
                kinds = ("depth",)  # what else has a unit of depth
            found.append((root / name, kinds))
        found += [(root / cell, (kind,)) for kind in named if (cell := columns[kind].get(number))]
        for file, kinds in found[before:]:
            if "depth" in kinds and number in given:
                known = units.setdefault(_absolute(file), given[number])
                if known != given[number]:
                    raise errors.DataError(
                        path,
                        f"{_line(path, form, number)}: gives {file} the depth unit "
                        f"{given[number]}, after {known} in another row; leave one",
                    )
    return found


def _line(path: Path, form: tables.Format, number: int) -> str:
    """Where a row of a manifest stands."""
    return f"row {number + 1}" if form.lines is None else f"line {form.lines(path)[number]}"


def _units(path: Path, column: pa.ChunkedArray, form: tables.Format) -> dict[int, str]:
    """Row -> unit of depth, of the cells that hold one."""
    told = {n: str(cell).strip() for n, cell in enumerate(column.to_pylist()) if cell is not None}
    told = {number: unit for number, unit in told.items() if unit}
    if wrong := depth_units.unknown(told.values()):
        place, reason = list(told)[wrong[0]], wrong[1]
        raise errors.DataError(path, f"{_line(path, form, place)}: {reason} Mend that cell")
    return told


def _texts(path: Path, name: str, column: pa.ChunkedArray) -> dict[int, str]:
    """Row -> text, of the cells that hold one."""
    cells = dict(enumerate(column.to_pylist()))
    wrong = next((c for c in cells.values() if not (c is None or isinstance(c, str))), None)
    if wrong is not None:
        raise errors.DataError(
            path, f"column {name!r} holds {wrong!r}; expected one path to a cell, as text"
        )
    return {number: cell.strip() for number, cell in cells.items() if cell and cell.strip()}
