"""Arrays of samples, alone or several by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Side = np.ndarray | Mapping[str, np.ndarray]  # media or text of a sample


def stack(samples: Sequence[Any]) -> Any:
    """Puts arrays, or mappings of them, side by side: [...] -> [b, ...]; of none an empty one."""
    if not samples:
        return np.zeros(0)
    if isinstance(samples[0], Mapping):
        return {name: stack([one[name] for one in samples]) for name in samples[0]}
    return np.stack(samples)


def each(change: Callable[[np.ndarray], np.ndarray], arrays: Any) -> Any:
    """Changes an array, or every one of a mapping."""
    if isinstance(arrays, Mapping):
        return {name: each(change, one) for name, one in arrays.items()}
    return change(arrays)


def length(arrays: Any) -> int:
    """How many samples lie side by side."""
    while isinstance(arrays, Mapping):
        arrays = next(iter(arrays.values()))
    return len(arrays)
