"""Data warnings on their way to whoever can tell the user.

Decoding says `warnings.warn(errors.DataWarning(path, reason))`. In a program of one's own that is a
Python warning like any other. Where many files are worked at, `collected` takes those of its thread
and hands them on; the command line prints a line for each that nobody took.
"""

import contextlib
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lb_jax.core import errors, names

SAID = 10_000  # lines that are remembered, so that none is printed twice

_NUMBER = re.compile(r"\d[\d.,]*")


class _Thread(threading.local):
    def __init__(self):
        self.takers: list[list[errors.DataWarning]] = []


_THREAD = _Thread()
_LOCK = threading.Lock()
_usual: Callable[..., Any] = warnings.showwarning
_said: set[str] | None = None  # what was printed; None where warnings are Python's


@contextlib.contextmanager
def collected() -> Iterator[list[errors.DataWarning]]:
    """Takes the data warnings of this thread, each as often as it is given.

    Python tells a warning once for each place in the code; all of them come here.
    """
    _listen()
    taken: list[errors.DataWarning] = []
    _THREAD.takers.append(taken)
    try:
        yield taken
    finally:
        _THREAD.takers.pop()


def print_lines() -> None:
    """From now on a data warning that nobody takes is a line on stderr, equal ones one line."""
    global _said
    _said = set() if _said is None else _said
    _listen()


def warn_again(taken: Iterable[errors.DataWarning]) -> None:
    """Gives warnings that were taken, in another process perhaps, to this thread."""
    for warning in taken:
        warnings.warn(warning, stacklevel=2)


def kind(reason: str) -> str:
    """What is the same in the reasons of files with the same trouble: the text without numbers."""
    return _NUMBER.sub("#", reason)


def told(found: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each kind of warning: how many files, the first of them, and the reason.

    Args:
      found: path and reason of each.
    """
    kinds: dict[str, list[tuple[str, str]]] = {}
    for path, reason in found:
        kinds.setdefault(kind(reason), []).append((path, reason))
    lines = []
    for same in kinds.values():
        path, reason = same[0]
        count = len({one for one, _ in same})
        more = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"{names.shown(path)}{more}: {' '.join(names.shown(reason).split())}")
    return lines


def _listen() -> None:
    """Puts this module in the way of Python's warnings; whatever was there stays behind it."""
    global _usual
    with _LOCK:
        if warnings.showwarning is not _show:
            _usual = warnings.showwarning
            warnings.showwarning = _show
        warnings.simplefilter("always", errors.DataWarning)


def _show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    if not isinstance(message, errors.DataWarning):
        _usual(message, category, *where, **more)
    elif _THREAD.takers:
        _THREAD.takers[-1].append(message)
    elif _said is None:
        _usual(message, category, *where, **more)
    else:
        line = " ".join(names.shown(message).split())
        if line not in _said:
            if len(_said) < SAID:
                _said.add(line)
            print(f"lb-jax: warning: {line}", file=sys.stderr)
