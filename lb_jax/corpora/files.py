"""The files of a folder, in an order that is the same on every machine."""

import os
from collections.abc import Iterator, Set
from pathlib import Path

from lb_jax.core import errors


def walk(
    folder: Path, within: Path | None = None, closed: list[Path] | None = None
) -> Iterator[str]:
    """Paths below a folder: of each folder its files first, then its folders, both sorted.

    Hidden files and folders are left out. Links are followed, except back into a folder they lie
    in.

    Args:
      folder: where to look.
      within: a folder above it, into which links do not lead back either.
      closed: takes the folders below that cannot be read; None raises at the first.

    Raises:
      DataError: for a folder that cannot be read.
    """
    above = frozenset() if within is None else {_identity(within)}
    yield from _walk(folder, "", above, closed)


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """The names of files and of folders in a folder, sorted, without hidden ones.

    Raises:
      DataError: for a folder that cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            shown = [entry for entry in found if not entry.name.startswith(".")]
            folders = sorted(entry.name for entry in shown if _is_folder(entry))
    except OSError as e:
        raise errors.DataError(
            folder, f"cannot be read ({e.strerror}); expected a folder, and leave to read it"
        ) from e
    return sorted({entry.name for entry in shown} - set(folders)), folders


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere; whoever opens it will say so
        return False


def _walk(
    folder: Path, name: str, above: Set[tuple[int, int]], closed: list[Path] | None
) -> Iterator[str]:
    if (identity := _identity(folder)) in above:  # a link back
        return
    try:
        names, folders = entries(folder)
    except errors.DataError:
        if closed is None or not name:
            raise
        closed.append(folder)
        return
    yield from (f"{name}{one}" for one in names)
    for one in folders:
        yield from _walk(folder / one, f"{name}{one}/", above | {identity}, closed)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
