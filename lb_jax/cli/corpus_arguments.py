"""The arguments that name a corpus, and the corpus they name."""

import argparse
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES


def add_source(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that name a corpus: SRC, --root, --columns, --modality."""
    parser.add_argument(
        "source",
        type=_source,
        metavar="SRC",
        help="annotation, manifest, folder or dataset: the corpus",
    )
    parser.add_argument("--root", type=Path, metavar="DIR", help="what media paths are relative to")
    parser.add_argument(
        "--columns",
        type=columns,
        metavar="NAME=COLUMN,...",
        help='where a manifest or dataset holds a modality, a caption kind or "id"',
    )
    parser.add_argument(
        "--modality", choices=tuple(MODALITIES), help="what the files are, where SRC does not say"
    )


def add_only(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds --only, some modalities.

    Args:
      parser: of a command that reads a corpus.
      what: they are for, as the help text.
    """
    parser.add_argument("--only", type=modalities, metavar="MODALITY,...", help=what)


def open_source(arguments: argparse.Namespace):
    """Opens the corpus that the arguments of `add_source` name.

    Raises:
      ConfigError, DataError: as `sources.open_source`.
    """
    from lb_jax.corpora import sources

    return sources.open_source(
        arguments.source,
        root=arguments.root,
        columns=arguments.columns,
        modality=arguments.modality,
    )


def columns(text: str) -> dict[str, str]:
    """Reads NAME=COLUMN,NAME=COLUMN.

    Raises:
      ConfigError: for anything else, or a name given twice.
    """
    pairs = [one.partition("=") for one in text.split(",")]
    found = {name: column for name, _, column in pairs}
    if not all(name and column for name, _, column in pairs) or len(found) < len(pairs):
        raise errors.ConfigError(
            f"--columns is {text!r}; expected NAME=COLUMN,..., such as video=path,caption=title."
        )
    return found


def modalities(text: str) -> list[str]:
    """Reads MODALITY,MODALITY.

    Raises:
      ConfigError: for a name that is none.
    """
    for name in text.split(","):
        if name not in MODALITIES:
            raise errors.ConfigError(
                f"--only is {text!r}; expected some of {', '.join(MODALITIES)}, with commas."
                f"{errors.nearest(name, MODALITIES)}"
            )
    return text.split(",")


def _source(text: str) -> str:
    if not text.strip():
        raise errors.ConfigError(
            f"SRC is {text!r}; expected an annotation, manifest, folder or dataset. Give its path "
            "('.' is the current folder)."
        )
    return text
