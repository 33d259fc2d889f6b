"""One run at a time in a folder."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lb_jax.core import errors


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a second run out of a folder; the lock ends with the process, however it ends.

    Raises:
      ConfigError: another one is at work there, or its file system has no locks.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise errors.ConfigError(
                f"--out: another run is at work in {folder}; wait for it or give another folder."
            ) from error
        except OSError as error:
            raise errors.ConfigError(
                f"--out: the file system of {folder} has no locks ({error.strerror}); give another."
            ) from error
        yield
    finally:
        os.close(handle)
