"""The arguments that name a corpus, and the corpus they name."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.core.words import counted


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


def add_own(parser: argparse.ArgumentParser, root: str = "") -> None:
    """Adds what tells of own data beside --data: --root, --columns, --modality, --max-bad-rate.

    Args:
      parser: of a command that scores a model on a corpus.
      root: what --root is besides, for its help text.
    """
    parser.add_argument(
        "--root",
        type=Path,
        metavar="DIR",
        help=f"{root}of own data: what media paths in it are relative to (default: its folder)",
    )
    parser.add_argument(
        "--columns",
        type=columns,
        metavar="NAME=COLUMN,...",
        help='of own data: where it holds a modality, a caption kind, "id" or "class", such as '
        "caption=title,class=label",
    )
    parser.add_argument(
        "--modality",
        choices=tuple(MODALITIES),
        help="of own data: what the files are, where it does not say (default: that of a model of "
        "one modality)",
    )
    parser.add_argument(
        "--max-bad-rate",
        type=float,
        metavar="R",
        help="share of the files of a modality that may be left out as unreadable, judged from 50 "
        "on; they are listed (default: 0.05)",
    )


def read_labelled(arguments: argparse.Namespace, modalities: Sequence[str]):
    """Reads what `--data` names, as a `labelled.Labelled`.

    Args:
      arguments: of `add_own`, with `data` and `split`.
      modalities: those of the model.

    Raises:
      ConfigError: a setting that the corpus has no use for.
      DataError: as `labelled.read`, `sources.open_source` and `own.read`.
    """
    from lb_jax.corpora import sources
    from lb_jax.evaluation import labelled, own

    given = {name: getattr(arguments, name) for name in ("root", "columns", "modality")}
    useless = [f"--{name}" for name, value in given.items() if value is not None]
    if labelled.is_corpus(arguments.data):
        if useless:
            raise errors.ConfigError(
                f"{arguments.data} is a labelled corpus, which has no use for "
                f"{' and '.join(useless)}; leave it out."
            )
        return labelled.read(arguments.data, arguments.split or "test")
    if arguments.split is not None:
        raise errors.ConfigError(
            f"--split names a part of a corpus folder with attributes.json, and {arguments.data} "
            "is none; give the rows to score as a file of their own."
        )
    only = modalities[0] if len(modalities) == 1 else None
    source = sources.open_source(arguments.data, **{**given, "modality": given["modality"] or only})
    return own.read(arguments.data, source, modalities)


def warn_of_training(corpus, folder: Path | None, data: str | Path) -> None:
    """Says in one line on stderr how many rows the model was trained on, as far as it knows.

    Args:
      corpus: a `labelled.Labelled`.
      folder: the model's checkpoint; None for weights that are none of this package.
      data: how the user called the corpus.

    Raises:
      CheckpointError: the checkpoint's list is damaged.
    """
    from lb_jax.corpora import seen

    known = {} if folder is None else seen.read(folder)
    if known and (count := corpus.trained_on(known)):
        are = "was" if count == 1 else "were"
        print(
            f"lb-jax: warning: {count} of {counted(len(corpus.ids), 'row')} of {data} {are} in the "
            "model's training; what is measured on them does not hold for new data. Give rows "
            "that were held out.",
            file=sys.stderr,
        )


def rate(arguments: argparse.Namespace) -> dict[str, float]:
    """`--max-bad-rate` as an argument of `evaluate.embed` and `evaluate.evaluate`, where given.

    Raises:
      ConfigError: it is no share.
    """
    given = arguments.max_bad_rate
    if given is None:
        return {}
    if not 0 <= given <= 1:
        raise errors.ConfigError(f"--max-bad-rate is {given}; it must be from 0 to 1.")
    return {"max_bad_rate": given}


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
