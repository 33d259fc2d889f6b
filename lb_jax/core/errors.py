"""The errors a user can cause, and the nearest-name hint they share.

Every message says what was found, what was expected and what to do. The command line prints any
`LbJaxError` as one line on stderr and exits with its status, 2 for mistakes of the user; a Python
caller catches the subclass.
"""

import difflib
import signal
from collections.abc import Iterable, Mapping
from typing import Self

from lb_jax.core import names


class LbJaxError(Exception):
    """Base of every mistake a user can make and mend; never raised itself."""

    status = 2  # of the command that it ends


class ConfigError(LbJaxError):
    """A configuration value, key or command-line argument is wrong."""


class DataError(LbJaxError):
    """A media file, annotation or text cannot be used.

    Attributes:
      path: the file or row at fault, as the user named it, see `names.shown`.
      reason: what is wrong and what to do, without the path.
    """

    def __init__(self, path: object, reason: str):
        self.path, self.reason = names.shown(path), names.shown(reason)
        super().__init__(f"{self.path}: {self.reason}")

    def __reduce__(self):  # both arguments survive the trip back from a worker process
        return type(self), (self.path, self.reason)

    def renamed(self, path: object) -> Self:
        """The same error, of the same kind, about a file by another name."""
        return type(self)(path, self.reason)


class MissingError(DataError):
    """A file can be read, and has nothing of what is asked of it, such as the sound of a film."""


class DataWarning(UserWarning):
    """A media file is used, but probably is not what it is taken for.

    Attributes:
      path: the file, as the user named it, see `names.shown`.
      reason: what was found and what to do, without the path.
    """

    def __init__(self, path: object, reason: str):
        self.path, self.reason = names.shown(path), names.shown(reason)
        super().__init__(f"{self.path}: {self.reason}")

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class TrainingError(LbJaxError):
    """A run went wrong in its numbers."""


class CheckpointError(LbJaxError):
    """A checkpoint or work directory is missing, damaged or of another run."""


class InternalError(LbJaxError):
    """This package is at fault, and going on would only repeat it."""

    status = 1


class Stopped(Exception):
    """The run was asked to stop; what it had is saved.

    Attributes:
      signal: number of the signal that asked.
    """

    def __init__(self, number: int, what: str):
        super().__init__(f"stopped by {signal.Signals(number).name}: {what}")
        self.signal = int(number)


def nearest(
    name: object, candidates: Iterable[str], meaning: Mapping[str, str] | None = None
) -> str:
    """Returns `" Did you mean 'x'?"` for the closest candidate, empty when none is close.

    A name that is a candidate itself was refused for another reason, and no other one is meant.

    Args:
      name: that is none; what is no string is like no candidate.
      candidates: names there are.
      meaning: candidate -> what is said in its place.
    """
    if not isinstance(name, str):
        return ""
    candidates, meaning = list(candidates), meaning or {}
    match = difflib.get_close_matches(name, candidates, 1, 0.5)
    told = [meaning.get(one, one) for one in match if one != name or one in meaning]
    return f" Did you mean {told[0]!r}?" if told else ""
