"""Media files of a data set on disk, found by their names without the ending."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES


class Files:
    """Files of one modality below some folders.

    Hidden files are left out; links are followed, except back into a folder they lie in.

    Args:
      root: the data set's folder.
      modality: whose endings count.
      folders: paths below `root`; those that are not there hold nothing.
      deep: whether folders in them count.
      by_path: whether files are named by their path below `root` rather than by their own name.

    Attributes:
      modality: as given.
      expected: the folders, for messages.

    Raises:
      errors.DataError: a folder cannot be listed.
    """

    def __init__(
        self,
        root: Path,
        modality: str,
        folders: Iterable[str],
        *,
        deep: bool = True,
        by_path: bool = False,
    ):
        names = tuple(dict.fromkeys(folders))
        self.modality, self._root = modality, root
        self.expected = " or ".join("the data set's folder" if n == "." else f"{n}/" for n in names)
        suffixes = MODALITIES[modality].suffixes
        self._found: dict[str, list[Path]] = {}
        self._others: dict[str, Path] = {}
        self._used: set[Path] = set()
        for path in (path for name in names for path in listing(root / name, deep=deep)):
            key = path.relative_to(root).with_suffix("").as_posix() if by_path else path.stem
            if path.suffix.lower() in suffixes:
                self._found.setdefault(key, []).append(path)
            else:
                self._others.setdefault(key, path)
        for paths in self._found.values():
            paths.sort(key=lambda path: (suffixes.index(path.suffix.lower()), path))

    def __iter__(self) -> Iterator[Path]:
        """Every file, by its path."""
        return iter(sorted(path for paths in self._found.values() for path in paths))

    def named(self, *names: str) -> list[Path]:
        """Returns the files of the first of some names that has any, best ending first.

        They count as used.
        """
        found = next((self._found[name] for name in names if name in self._found), [])
        self._used.update(found)
        return found

    def other(self, *names: str) -> Path | None:
        """Returns a file of one of the names whose ending is not read."""
        return next((self._others[name] for name in names if name in self._others), None)

    def unused(self) -> list[str]:
        """Returns the files that nothing asked for, as paths below the data set's folder."""
        return [path.relative_to(self._root).as_posix() for path in self if path not in self._used]


def folder(root: Path, *names: str) -> str:
    """Returns the first of some folders below `root` that is there, the first name if none is."""
    return next((name for name in names if (root / name).is_dir()), names[0])


def listing(top: Path, *, deep: bool = True) -> Iterator[Path]:
    """Yields the files below a folder that are not hidden, sorted folder by folder.

    Raises:
      errors.DataError: a folder cannot be listed.
    """
    above: dict[str, frozenset[str]] = {str(top): frozenset()}

    def refused(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise errors.DataError(error.filename, f"cannot be listed ({error.strerror})")

    for place, folders, names in os.walk(top, onerror=refused, followlinks=True):
        real = os.path.realpath(place)
        over = above.pop(place)
        if real in over:  # a link back
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if deep and not name.startswith("."))
        above.update((os.path.join(place, name), over | {real}) for name in folders)
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place, name)


def inside(root: Path, path: str) -> str | None:
    """Returns a path of an annotation relative to `root`; None if it leads elsewhere.

    An absolute path counts where it lies in `root`.
    """
    path = path.replace("\\", "/")
    if path.startswith("/") and path.startswith(f"{root.absolute().as_posix()}/"):
        path = path[len(root.absolute().as_posix()) + 1 :]
    pure = PurePosixPath(path)
    elsewhere = pure.is_absolute() or PureWindowsPath(path).drive or ".." in pure.parts
    return None if elsewhere or not pure.name or not path.isprintable() else pure.as_posix()


def is_name(text: str) -> bool:
    """Whether text names a file and no folder."""
    return text.strip() not in ("", ".", "..") and not {*text} & {"/", "\\", "\0"} and is_text(text)


def is_text(text: str) -> bool:
    """Whether text can be written as UTF-8; halves of characters and undecodable names cannot."""
    return text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text)
