"""Loose media files to embed: those of folders and manifests, and which modality each one is.

No captions, no rows: a corpus, which has both, is opened by `sources`.
"""

import collections
import dataclasses
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath

import pyarrow as pa

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import files as files_lib
from lb_jax.corpora import left_out, tables
from lb_jax.corpora.manifest import UNIT
from lb_jax.media.sensors import depth_units, looks, motion_files
from lb_jax.media.settings import NOTHING, Settings

# A picture has the endings of three modalities; those that are told apart otherwise come after it.
STILLS = MODALITIES["image"].suffixes
ARRAYS = (".npy", ".npz", ".mat", ".h5", ".hdf5")  # may hold anything
# Endings of what is neither: no picture to look at has them.
DEPTH_ALONE, THERMAL_ALONE = (
    tuple(end for end in MODALITIES[name].suffixes if end not in (*STILLS, *ARRAYS))
    for name in ("depth", "thermal")
)
# Endings that programs share with films: TypeScript, and streams of packets of 188 bytes.
SHARED, PACKETS, SYNC = (".ts", ".mts"), ((0, 188), (4, 196)), 0x47
TABLES = (".csv", ".tsv", ".parquet")  # of a manifest, or of motion: by their columns
SAID = ("depth", "thermal")  # what such pictures are if the user wants nothing else


@dataclasses.dataclass(frozen=True)
class Source:
    """A file to embed and as what; `rows.Source`, in contrast, is a whole corpus.

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
      ask: why it is left out until the user says what it is.
    """

    what: str
    applies: Callable[[PurePath, Path], bool]
    modalities: tuple[str, ...]
    ask: str = ""


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is to embed.

    Attributes:
      sources: in the order of the arguments, each file once.
      left_out: why files are left out -> which, as they were named or found.
      folders: those that were searched, absolute.
      closed: those below them that could not be read, absolute.
      wanted: modalities that were looked for.
      told: modality and how it was told -> how many files are embedded as it.
    """

    sources: tuple[Source, ...]
    left_out: Mapping[str, Sequence[Path]]
    folders: tuple[str, ...]
    wanted: tuple[str, ...]
    closed: tuple[str, ...] = ()
    told: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)

    @property
    def skipped(self) -> list[str]:
        """A line for each reason to leave files out: how many, and their endings."""
        return left_out.lines(self.left_out, self.closed)


def _ends_in(suffixes: Sequence[str]) -> Callable[[PurePath, Path], bool]:
    return lambda shown, path: shown.suffix.lower() in suffixes


def _is_film(shown: PurePath, path: Path) -> bool:
    """By the ending; where programs share it, by the first bytes of packets."""
    ending = shown.suffix.lower()
    if ending not in SHARED or not path.is_file():  # a pipe would keep whoever opens it waiting
        return ending in MODALITIES["video"].suffixes
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError:  # decoding it will say what is wrong
        return True
    ends = ((first, second) for first, second in PACKETS if second < len(head))
    return any(head[first] == head[second] == SYNC for first, second in ends)


def _named(*words: str) -> Callable[[PurePath, Path], bool]:
    """Stills below a folder with one of the words in its name: `scene1_depth`, `Depth-2`.

    Arrays and what no picture to look at has may have it in their own name: `left_depth.npy`.
    """

    def applies(shown: PurePath, path: Path) -> bool:
        del path
        ending = shown.suffix.lower()
        if ending not in (*STILLS, *ARRAYS, *DEPTH_ALONE, *THERMAL_ALONE):
            return False
        named = shown.parent if ending in STILLS else shown.with_suffix("")
        return not set(words).isdisjoint(re.split(r"[^a-z0-9]+", named.as_posix().lower()))

    return applies


def _named_motion(shown: PurePath, path: Path) -> bool:
    """Arrays below a folder, or with a name of their own, that has such a word."""
    del path
    words = re.split(r"[^a-z0-9]+", shown.with_suffix("").as_posix().lower())
    return shown.suffix.lower() in (".npy", ".npz") and not set(_MOTION_WORDS).isdisjoint(words)


def _is_motion(shown: PurePath, path: Path) -> bool:
    """A table or an archive of arrays that are plainly accelerometer and gyroscope."""
    if shown.suffix.lower() not in (*TABLES, ".npz") or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            names = motion_files.columns_of(file)
    except OSError:  # decoding it will say what is wrong, where it is asked for
        return False
    return names is not None and motion_files.is_motion(names)


def _looks(like: str) -> Callable[[PurePath, Path], bool]:
    return lambda shown, path: shown.suffix.lower() in looks.FORMATS and looks.what(path) == like


_MOTION_WORDS = ("imu", "motion", "accelerometer", "gyroscope")
# First match wins. `--as` rules come before them.
RULES = (
    Rule("tables and arrays of accelerometer and gyroscope, by their names", _is_motion, ("imu",)),
    Rule("the endings of sound", _ends_in(MODALITIES["audio"].suffixes), ("audio",)),
    Rule("the endings of video", _is_film, ("video", "audio")),
    Rule("pictures in a folder, and arrays, named depth", _named("depth"), ("depth",)),
    Rule(
        "pictures in a folder, and arrays, named thermal, infrared or ir",
        _named("thermal", "infrared", "ir"),
        ("thermal",),
    ),
    Rule(f"arrays named {', '.join(_MOTION_WORDS)}", _named_motion, ("imu",)),
    Rule(f"the endings {' '.join(DEPTH_ALONE)}", _ends_in(DEPTH_ALONE), ("depth",)),
    Rule(f"the endings {' '.join(THERMAL_ALONE)}", _ends_in(THERMAL_ALONE), ("thermal",)),
    Rule("other arrays", _ends_in(ARRAYS), (), left_out.NAMELESS),
    Rule(
        "grey pictures of more than 8 bits whose values are depth in millimetres",
        _looks(looks.DEPTH),
        ("depth",),
    ),
    Rule(
        "grey pictures of more than 8 bits whose values are temperatures in centikelvin or kelvin",
        _looks(looks.THERMAL),
        ("thermal",),
    ),
    Rule("other grey pictures of more than 8 bits", _looks(looks.UNCLEAR), (), left_out.UNCLEAR),
    Rule("other pictures", _ends_in(STILLS), ("image",)),
)


def told(rules: Sequence[Rule] = RULES) -> str:
    """The rules as a sentence, for help texts."""
    return "; ".join(
        f"{rule.what}: {' and '.join(rule.modalities) or 'left out, for you to say'}"
        for rule in rules
    )


def said(settings: Settings) -> str | None:
    """What pictures are that might be depth or thermal, by the units that were given."""
    depth = settings.depth_unit is not None
    thermal = settings.thermal_unit is not None or settings.thermal_range is not None
    return None if depth == thermal else "depth" if depth else "thermal"


def kinds_of(path: Path, settings: Settings = NOTHING) -> tuple[tuple[str, ...], str]:
    """What one file is by `RULES`, and where they do not say it why not.

    Args:
      path: of the file.
      settings: given with it; a unit says what grey pictures of more than 8 bits are.

    Returns:
      Modalities, the first of which is the file's own, and the reason in words.
    """
    shown = PurePath(Path(os.path.abspath(path)).parent.name, path.name)
    kinds, rule = _told(shown, path, RULES)
    unclear = said(settings)
    if rule is not None and rule.ask and unclear is not None:
        kinds = (unclear,)
    if kinds:
        return kinds, f"is {kinds[0]}, which this model does not have"
    if rule is not None and rule.ask:
        return (), "what it holds is not plain from its name and its values"
    return (), "the ending does not tell what it is"


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
    only: str | Sequence[str] | None = None,
    root: str | Path | None = None,
    unclear: str | None = None,
    command: str = "embed",
    option: str = "--modality",
) -> Found:
    """Lists what is to be embedded, or worked at otherwise.

    Args:
      arguments: folders, media files, and manifests (CSV, TSV, JSONL, Parquet): a column `path`,
        with `modality` or without, or one column of paths for each modality; `depth_unit`.
      modalities: those that the model has.
      rules: come before `RULES`.
      only: one or several; leaves out the other modalities.
      root: folder that the paths of manifests are relative to; None takes the manifest's own.
      unclear: what pictures are of which no rule says it, see `said`; None leaves them out, unless
        `only` says it.
      command: for which; messages name it.
      option: of it that `only` comes from.

    Raises:
      ConfigError: for a modality that the model does not have.
      DataError: for an argument that is not there, a folder that cannot be read, a manifest that is
        malformed, and when nothing is left to embed.
    """
    wanted = tuple(modalities) if only is None else (only,) if isinstance(only, str) else (*only,)
    if lacking := [one for one in wanted if one not in modalities]:
        raise errors.ConfigError(
            f"this model has no {lacking[0]!r}; it has {', '.join(modalities)}."
            f"{errors.nearest(lacking[0], modalities)}"
        )
    rules = (*rules, *RULES)
    unclear = wanted[0] if only and wanted[0] in SAID else unclear
    kept: dict[str, dict[str, None]] = {}
    others: dict[str, list[Path]] = {}
    told: collections.Counter[tuple[str, str]] = collections.Counter()
    folders: list[str] = []
    closed: list[Path] = []
    units: dict[str, str] = {}
    for argument in map(Path, arguments):
        if argument.is_dir():
            folders.append(_absolute(argument))
            found = _in_folder(argument, rules, closed)
        elif argument.suffix.lower() in tables.FORMATS and not _is_motion(argument, argument):
            found = _in_manifest(argument, None if root is None else Path(root), rules, units)
        elif argument.exists():
            shown = PurePath(Path(os.path.abspath(argument)).parent.name, argument.name)
            found = [(argument, *_told(shown, argument, rules))]
        else:
            raise errors.DataError(
                argument, "does not exist; give a folder, a media file or a manifest"
            )
        for path, kinds, rule in found:
            if rule is not None and rule.ask and unclear is not None:
                kinds = (unclear,)
            left = [kind for kind in kinds if kind in wanted]
            if left:
                kept.setdefault(_absolute(path), {}).update(dict.fromkeys(left))
                told.update((kind, "a manifest" if rule is None else rule.what) for kind in left)
            else:
                others.setdefault(_why(path, kinds, rule, modalities, option), []).append(path)
    if not kept:
        why = ", ".join(left_out.lines(others, closed))
        raise errors.DataError(
            ", ".join(map(str, arguments)),
            f"nothing to {command} as {', '.join(wanted)} ({why or 'no files'}); files "
            f"are known by their endings and folders, `lb-jax {command} --help` tells how, and "
            "--as 'REGEX=MODALITY' tells otherwise",
        )
    sources = tuple(
        Source(path, tuple(kinds), units.get(path, "") if "depth" in kinds else "")
        for path, kinds in kept.items()
    )
    return Found(sources, others, tuple(folders), wanted, tuple(map(_absolute, closed)), dict(told))


def _why(
    path: Path, kinds: Sequence[str], rule: Rule | None, modalities: Sequence[str], option: str
) -> str:
    """Why a file is left out."""
    if rule is not None and rule.ask:
        return rule.ask
    if not kinds:
        return left_out.why_unknown(path)
    lacking = [kind for kind in kinds if kind not in modalities]
    if len(lacking) == len(kinds):
        return f"{' and '.join(kinds)} that the model does not have"
    return f"{' and '.join(kinds)} left out by {option}"


def _absolute(path: Path) -> str:
    return Path(os.path.abspath(path)).as_posix()  # links stay: they are what the user named


# A file, what it is, and the rule that says so; no rule where a manifest does.
_File = tuple[Path, tuple[str, ...], Rule | None]
NO_RULE = Rule("none", lambda shown, path: True, ())


def _told(
    shown: PurePath, path: Path, rules: Sequence[Rule]
) -> tuple[tuple[str, ...], Rule | None]:
    path = Path(os.path.abspath(path))
    rule = next((rule for rule in rules if rule.applies(shown, path)), NO_RULE)
    return rule.modalities, rule


def _in_folder(folder: Path, rules: Sequence[Rule], closed: list[Path]) -> list[_File]:
    own = Path(os.path.abspath(folder)).name  # `embed scans/depth` counts as a folder named depth
    return [
        (folder / name, *_told(PurePath(own, name), folder / name, rules))
        for name in files_lib.walk(folder, closed=closed)
    ]


def _in_manifest(
    path: Path, root: Path | None, rules: Sequence[Rule], units: dict[str, str]
) -> list[_File]:
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
            told = ((kind,), None) if kind else _told(PurePath(name), root / name, rules)
            if number in given and not kind:
                told = (("depth",), None)  # what else has a unit of depth
            found.append((root / name, *told))
        found += [
            (root / cell, (kind,), None) for kind in named if (cell := columns[kind].get(number))
        ]
        for file, kinds, _ in found[before:]:
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
