"""What LanceDB's errors become in words."""

import contextlib
import re
from collections.abc import Iterator

from lb_jax.core import errors

FULL = ("no space left", "disk quota exceeded")
# What LanceDB puts behind a reason: the place in its own source, frames of the stack.
BEHIND = re.compile(r",?\s*(?:at\s+)?\S*/\S*\.rs:\d+|\s*\b(?:stack )?backtrace\b|\n", re.IGNORECASE)
# What it puts before: names of errors that wrap others.
BEFORE = re.compile(
    r"\b(?:\w+Error\([^)]*\)|(?:lance|wrapped|external|execution|generic [\w/]+) error): ?",
    re.IGNORECASE,
)
LONGEST = 160  # of a reason, in characters


@contextlib.contextmanager
def told(uri: str) -> Iterator[None]:
    """What LanceDB says becomes one line that names the store."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        if any(one in str(error).lower() for one in FULL):
            reason = "its disk is full; make room and run the same command again."
            raise errors.DataError(uri, reason) from error
        raise errors.DataError(
            uri,
            f"the store cannot be used ({sentence(str(error))}). If it is damaged, build another "
            "with `lb-jax index build FOLDER -o NEW`.",
        ) from error


def sentence(text: str) -> str:
    """The reason that LanceDB gives, without what it says of its own source."""
    reason = BEFORE.sub("", BEHIND.split(text.strip(), maxsplit=1)[0])
    reason = re.sub(r"(\b[\w ]+: )\1+", r"\1", reason)  # each wrapper says it again
    reason = " ".join(reason.split()).rstrip(" .,:")
    return reason if len(reason) <= LONGEST else f"{reason[:LONGEST].rstrip()}…"


def is_conflict(error: Exception) -> bool:
    """Whether another process changed the same table in the meantime."""
    return "commit conflict" in str(error.__cause__ or error).lower()
