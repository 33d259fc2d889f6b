"""Exceptions that nobody foresaw while a file was decoded: this package is at fault, not the file.

One such file is listed and left out. Where the first files of a modality all end so, nothing of it
can be used, and the run stops.
"""

import collections
import dataclasses
import functools
import os
import traceback
from collections.abc import Collection, Iterable
from importlib import metadata

from lb_jax.core import errors
from lb_jax.core.words import counted

FIRST = 3  # files of a modality that end so, with none before that could be used, stop a run
DECODE = ("lb_jax", "av", "pillow", "opencv-python-headless", "soundfile", "numpy")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclasses.dataclass(frozen=True)
class Fault:
    """What a decoding process says of such an exception.

    Attributes:
      modality: as which the file was decoded; None means all that are not complete yet.
      error: the exception and its place, in one line.
      traceback: all of it; empty where the process could not tell.
    """

    modality: str | None
    error: str
    traceback: str = ""

    @classmethod
    def of(cls, modality: str | None, error: Exception) -> "Fault":
        """The fault that an error of this package is, placed at its innermost line of this package.

        Args:
          modality: as which the file was decoded; None means all that are not complete yet.
          error: as it was raised.
        """
        words = " ".join(f"{type(error).__name__}: {error}".split())
        calls = traceback.extract_tb(error.__traceback__)
        ours = [call for call in calls if call.filename.startswith(_PACKAGE)] or calls
        place = ours[-1]
        name = os.path.relpath(place.filename, os.path.dirname(_PACKAGE))
        whole = "".join(traceback.format_exception(error))
        return cls(modality, f"{words} ({name}:{place.lineno}, {place.name})", whole)

    @property
    def reason(self) -> str:
        """Why the file cannot be used, for the quarantine list."""
        return f"lb_jax failed, which is no fault of the file; report it: {self.error}"


class _Traceback(Exception):
    """The traceback of another process, as the cause of an error of this one."""

    def __str__(self):
        return f"\n\n{self.args[0]}"


class Judge:
    """Stops a run where nothing of a modality can be used by faults of this package.

    It does so once the first three different files of a modality ended in faults and none could be
    used; where there are fewer, once all are through, unless an earlier run could use some.
    Damaged files do not count.

    Args:
      modalities: of every file that is to come, file by file.
      earlier: modalities of which files could be used before.
      listed: where the tracebacks are written.

    Attributes:
      count: of faults so far.
    """

    def __init__(self, modalities: Iterable[str], earlier: Collection[str], listed: object):
        self._left = collections.Counter(modalities)
        self._earlier, self._listed = frozenset(earlier), listed
        self._used: set[str] = set()
        self._faults: dict[str, list[tuple[str, Fault]]] = collections.defaultdict(list)

    @property
    def count(self) -> int:
        """Faults so far, of all modalities."""
        return sum(map(len, self._faults.values()))

    def passed(self, modality: str, path: str, fault: Fault | None, *, is_used: bool) -> None:
        """A file is through as a modality.

        Args:
          modality: as which.
          path: of the file.
          fault: what it ended in, if it did and no file of equal content did before.
          is_used: whether it could be used.

        Raises:
          InternalError: when the run must stop.
        """
        self._left[modality] -= 1
        if is_used:
            self._used.add(modality)
        found = self._faults[modality]
        if fault is not None:
            found.append((path, fault))
        is_all = not self._left[modality] and modality not in self._earlier
        if modality in self._used or not found or not (is_all or len(found) >= FIRST):
            return
        path, last = found[-1]
        raise errors.InternalError(
            f"lb_jax failed on the first {counted(len(found), f'{modality} file')}, and "
            f"none could be used: {last.error}; last: {path}. The files are not at fault: report "
            f"this with the traceback, which --debug shows and {self._listed} holds."
        ) from _Traceback(last.traceback or "no traceback: see above what the process wrote")


@functools.cache
def versions() -> str:
    """What decodes, with versions: where it changes, files that ended in faults are tried again."""
    there = {name: _version(name) for name in DECODE}
    return " ".join(f"{name} {version}" for name, version in there.items() if version)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # under another name, or not installed but on the path
        return None
