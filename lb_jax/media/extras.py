"""Libraries that come with the extra `sensors` alone, and what is said where one is not there."""

import contextlib
from collections.abc import Iterator

from lb_jax.core import errors

SENSORS = "`pip install 'lb_jax[sensors]'` brings it"


@contextlib.contextmanager
def needed(what: str, library: str, name: str) -> Iterator[None]:
    """Around the import of a library of the extra: says what needs it where it is not there.

    Args:
      what: kind of the file, such as "an EXR file".
      library: as packages call it.
      name: of the file.

    Raises:
      DataError: the import failed.
    """
    try:
        yield
    except ImportError as e:
        raise errors.DataError(
            name, f"is {what}, which needs the library {library}; {SENSORS}"
        ) from e
