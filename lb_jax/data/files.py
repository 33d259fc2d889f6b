"""The files of a folder, in an order that is the same on every machine."""

import os
from collections.abc import Iterator, Set
from pathlib import Path

from lb_jax.core import errors


def walk(folder: Path, within: Path | None = None) -> Iterator[str]:
    """Paths below a folder: of each folder its files first, then its folders, both sorted.

    Hidden files and folders are left out. Links are followed, except back into a folder they lie
    in.

    Args:
      folder: where to look.
      within: a folder above it, into which links do not lead back either.

    Raises:
      DataError: for a folder that cannot be read.
    """
    yield from _walk(folder, "", frozenset() if within is None else {_identity(within)})


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """The names of files and of folders in a folder, sorted, without hidden ones.

    Raises:
      DataError: for a folder that cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            shown = [entry for entry in found if not entry.name.startswith(".")]
            folders = sorted(entry.name for entry in shown if entry.is_dir())
    except OSError as e:
        raise errors.DataError(
            folder, f"cannot be read ({e.strerror}); expected a folder, and leave to read it"
        ) from e
    return sorted({entry.name for entry in shown} - set(folders)), folders


def _walk(folder: Path, name: str, above: Set[tuple[int, int]]) -> Iterator[str]:
    if (identity := _identity(folder)) in above:  # a link back
        return
    names, folders = entries(folder)
    yield from (f"{name}{one}" for one in names)
    for one in folders:
        yield from _walk(folder / one, f"{name}{one}/", above | {identity})


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
