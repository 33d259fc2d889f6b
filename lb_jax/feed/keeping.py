"""Decoded files that stay in memory, in every process that decodes: `data.cache=memory`."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from lb_jax.core import errors
from lb_jax.media import specs

T = TypeVar("T")


class Kept:
    """What was decoded, by any key.

    Args:
      by_modality: preprocessing of what is decoded.
      keeps: whether anything is kept.

    Raises:
      ConfigError: for a file of which each decoding draws other frames.
    """

    def __init__(self, by_modality: Mapping[str, specs.Spec], keeps: bool):
        drawn = [
            (name, spec.choice)
            for name, spec in by_modality.items()
            if isinstance(spec, specs.VideoSpec) and specs.draws_frames(spec)
        ]
        if keeps and drawn:
            raise errors.ConfigError(
                f"data.cache is 'memory', and {drawn[0][0]} is decoded to other frames each time "
                f"(choice {drawn[0][1]!r}); expected no cache, set data.cache=none."
            )
        self._found: dict[Hashable, Any] | None = {} if keeps else None

    def get(self, key: Hashable, decode: Callable[[], T]) -> T:
        """What was decoded under the key, or what is decoded now."""
        if self._found is None:
            return decode()
        if key not in self._found:
            self._found[key] = decode()
        return self._found[key]
