"""JSON files of annotations: read whole, and refused by line where they are malformed."""

import json
from pathlib import Path
from typing import Any

from lb_jax.core import errors


def load(path: str | Path, expected: str) -> Any:
    """Reads a JSON file.

    Args:
      path: the file.
      expected: what it should be, for the errors of one that cannot be read.

    Raises:
      errors.DataError: unreadable, not UTF-8, malformed (with its line), a key that comes twice in
        one object, or nested too deeply.
    """
    try:
        content = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as e:
        raise errors.DataError(
            path, f"is not UTF-8 text at byte {e.start}; expected {expected}"
        ) from e
    except OSError as e:
        raise errors.DataError(path, f"cannot be read ({e.strerror}); expected {expected}") from e
    try:
        return json.loads(content, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except json.JSONDecodeError as e:
        raise errors.DataError(
            path, f"line {e.lineno}, column {e.colno}: {e.msg}; mend the JSON there"
        ) from e
    except RecursionError as e:
        raise errors.DataError(path, f"is nested too deeply; expected {expected}") from e


def _unique(path: str | Path, pairs: list[tuple[str, object]]) -> dict:
    """Refuses an object that repeats a key: JSON itself would silently keep the last."""
    table = dict(pairs)
    if len(table) < len(pairs):
        seen = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise errors.DataError(path, f"has {repeated!r} twice in one object; keep one of them")
    return table
