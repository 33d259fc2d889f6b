"""One process at a time: locks that end with the process, however it ends."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from lb_jax.core import errors


def take(handle: int, where: object, busy: Callable[[], str], remedy: str) -> None:
    """Locks an open file or folder, without waiting; closing it gives the lock back.

    Args:
      handle: its descriptor.
      where: what it is, for messages.
      busy: says who holds it and what to do; asked only then.
      remedy: what to do where the file system has no locks.

    Raises:
      ConfigError: another process holds it, or its file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise errors.ConfigError(busy()) from error
    except OSError as error:
        raise errors.ConfigError(
            f"{where}: its file system has no locks ({error.strerror}); {remedy}."
        ) from error


@contextlib.contextmanager
def of_folder(folder: Path, busy: str, remedy: str) -> Iterator[None]:
    """Keeps a second process out of a folder that is there; arguments and errors as `take`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        take(handle, folder, lambda: busy, remedy)
        yield
    finally:
        os.close(handle)
