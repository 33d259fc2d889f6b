"""The file of a vocabulary: one entry a line, the number of a line being the entry's token."""

from collections.abc import Sequence
from pathlib import Path

from lb_jax.core import errors


def read(path: Path, what: str) -> list[str]:
    """The lines of a file.

    Args:
      path: the file.
      what: an entry in words, such as "piece".

    Raises:
      errors.DataError: unreadable, or not UTF-8.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except UnicodeDecodeError as e:
        raise errors.DataError(
            path, f"is not UTF-8 text at byte {e.start}; expected one {what} a line"
        ) from e
    except OSError as e:
        raise errors.DataError(
            path,
            f"cannot be read ({e.strerror}); expected the vocabulary of the checkpoint, one "
            f"{what} a line",
        ) from e
    lines = [line.removesuffix("\r") for line in lines]
    return lines[:-1] if lines[-1] == "" else lines


def numbered(
    entries: Sequence[str], special: Sequence[str], name: object, what: str, expected: str
) -> dict[str, int]:
    """Entry -> its token.

    Args:
      entries: in the order of their tokens.
      special: what has to be among them.
      name: how errors call the vocabulary.
      what: an entry in words, such as "piece".
      expected: what the vocabulary should be, in words.

    Raises:
      errors.DataError: a special one is missing, or an entry comes twice.
    """
    found = {entry: number for number, entry in enumerate(entries)}
    if lacking := [one for one in special if one not in found]:
        raise errors.DataError(
            name, f"has {len(entries)} {what}s and no {', '.join(lacking)}; expected {expected}"
        )
    if len(found) < len(entries):
        twice = next(one for number, one in enumerate(entries) if found[one] != number)
        raise errors.DataError(name, f"has the {what} {twice!r} twice; take one of them out")
    return found


def write(path: Path, entries: Sequence[str]) -> None:
    """Writes a file as `read` takes it."""
    path.write_text("".join(f"{one}\n" for one in entries), "utf-8", newline="\n")
