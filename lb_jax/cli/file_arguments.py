"""Arguments of commands that go over many files: `lb-jax embed`, `index build`, `caption`."""

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lb_jax.cli.arguments import Parser, make_folder
from lb_jax.core import errors, notices

ITEMS = (
    "folders, media files, or manifests (.csv .tsv .jsonl .parquet with a column path, or one for "
    "each modality)"
)
# Option, whether a value is one, and what it must be.
LIMITS = (
    ("frames", lambda value: value >= 1, "at least 1"),
    ("clips", lambda value: value >= 1, "at least 1"),
    ("batch_size", lambda value: value >= 1, "at least 1"),
    ("workers", lambda value: value >= 1, "at least 1"),
    ("max_bad_rate", lambda value: 0 <= value <= 1, "from 0 to 1"),
    ("timeout", lambda value: value > 0, "above 0 seconds"),
    ("window", lambda value: 0 < value < math.inf, "above 0 seconds"),
    ("stride", lambda value: 0 < value < math.inf, "above 0 seconds"),
    ("beam", lambda value: 1 <= value <= 64, "from 1 to 64"),
    ("longest", lambda value: value >= 1, "at least 1"),
    ("shortest", lambda value: value >= 0, "0 or more"),
    ("length_penalty", math.isfinite, "a finite number, 0 for none"),
    ("no_repeat_ngram", lambda value: value >= 0, "0 or more"),
)
# Of files: what a command line without the options holds.
UNUSED = {"retry": False, "quarantine": None, "max_bad_rate": 0.5, "list_left_out": False}
READ = {"workers": None, "rules": [], "root": None, "timeout": 600.0}


class Told(Protocol):
    """What a run tells at its end, as `bulk.Summary`."""

    @property
    def bad(self) -> int:
        """Files in the quarantine list."""
        ...

    @property
    def quarantine(self) -> Path:
        """The list."""
        ...

    @property
    def remarks(self) -> Sequence[tuple[str, str]]:
        """Path and reason of files that probably are not what they are taken for."""
        ...

    @property
    def warnings(self) -> Path | None:
        """The list of those."""
        ...


def add_unused(parser: Parser, what: str) -> None:
    """Adds --list-left-out, --retry, --quarantine and --max-bad-rate.

    Args:
      parser: of a command over files.
      what: is not done with the files that these are of, such as "embedded".
    """
    group = parser.add_argument_group(f"files that are not {what}")
    add = group.add_argument
    add(
        "--list-left-out",
        action="store_true",
        help="name each file of a folder that is left out, and why",
    )
    add("--retry", action="store_true", help="try files of the quarantine list again")
    add(
        "--quarantine",
        type=Path,
        metavar="FILE",
        help="list of files that cannot be used (default: that of -o with .quarantine.jsonl)",
    )
    add(
        "--max-bad-rate",
        type=float,
        help="share of such files above which it stops (default: %(default)s)",
    )
    parser.set_defaults(**UNUSED)


def add_read(parser: Parser, title: str) -> argparse._ArgumentGroup:
    """Adds --workers, --as, --root and --timeout in a group, which may take more.

    Args:
      parser: of a command over files.
      title: of the group.
    """
    group = parser.add_argument_group(title)
    add = group.add_argument
    add("--workers", type=int, help="processes that decode (default: one for each processor)")
    add_rules(group, "; comes before the rules below")
    add(
        "--root",
        type=Path,
        help="folder that paths of manifests are relative to (default: its own)",
    )
    add("--timeout", type=float, metavar="S", help="for a file in seconds (default: %(default)s)")
    parser.set_defaults(**READ)
    return group


def add_rules(group: argparse._ArgumentGroup, more: str = "") -> None:
    """Adds `--as`, by which files are told to be of a modality.

    Args:
      group: of arguments.
      more: what its help says besides.
    """
    group.add_argument(
        "--as",
        dest="rules",
        action="append",
        metavar="REGEX=MODALITY",
        help=f"what files are whose absolute path the expression is found in{more}",
    )


def check(arguments: argparse.Namespace) -> None:
    """Checks numbers, of those of `LIMITS` that the command has.

    Raises:
      ConfigError: for one that is none of the option.
    """
    for name, fits, expected in LIMITS:
        value = vars(arguments).get(name)
        if value is not None and not fits(value):
            option = name.replace("_", "-")
            raise errors.ConfigError(f"--{option} is {value}; it must be {expected}.")


def rules_of(arguments: argparse.Namespace) -> list:
    """The `media_files.Rule`s of --as, after a look whether all items are there.

    Raises:
      ConfigError: for a rule that is none.
      DataError: for an item that is not there.
    """
    from lb_jax.corpora import media_files

    rules = [media_files.parse_rule(rule) for rule in arguments.rules]
    for item in arguments.items:
        if not Path(item).exists():
            raise errors.DataError(
                item, "does not exist; give a folder, a media file or a manifest"
            )
    return rules


def make_folders(arguments: argparse.Namespace) -> None:
    """Makes the folders that --out and --quarantine lie in.

    Raises:
      ConfigError: when one cannot be made or written to.
    """
    if "://" not in arguments.out:
        make_folder(Path(arguments.out).absolute().parent, "--out")
    if arguments.quarantine is not None:
        make_folder(arguments.quarantine.absolute().parent, "--quarantine")


def tell_left_out(
    left_out: Mapping[str, Sequence[Path]], closed: Sequence[str] = (), *, each: bool
) -> None:
    """Prints how many files are left out and why; with `each` their names too."""
    from lb_jax.corpora import left_out as left_out_lib

    found = left_out_lib.lines(left_out, closed)
    for line in [*found, *(left_out_lib.named(left_out) if each else ())]:
        print(f"  left out: {line}")
    if found and not each:
        print("  --list-left-out names them")


def tell_bad(summary: Told) -> None:
    """Prints how many files cannot be used."""
    if summary.bad:
        print(f"  cannot be used: {summary.bad}, see {summary.quarantine}")


def tell_remarks(summary: Told) -> None:
    """Prints a line for each kind of warning."""
    for line in notices.told(summary.remarks):
        print(f"  warning: {line}")
    if summary.remarks:
        print(f"  warnings: {len(summary.remarks)}, see {summary.warnings}")
