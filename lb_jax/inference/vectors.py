"""Vectors that know the space they lie in, of models with several."""

from typing import Any

import numpy as np

from lb_jax.core import errors


class Vectors(np.ndarray):
    """Vectors [n, e] that know their space; slices know it too, results of arithmetic need not.

    Joined with others of the same space (`np.concatenate`, `stack`, `vstack`, `append`) they are
    vectors of it; joined with what knows of none they know of none. Vectors of two spaces do not
    join, which is a `ConfigError`.

    Attributes:
      space: where they lie; None where that is not known.
    """

    space: str | None

    def __array_finalize__(self, made_of: Any) -> None:
        """How numpy makes views and results."""
        self.space = getattr(made_of, "space", None)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """What numpy's functions do; all that join arrays come to `np.concatenate`."""
        if func is not np.concatenate:
            return super().__array_function__(func, types, args, kwargs)
        parts = args[0] if args else next(iter(kwargs.values()))
        told = [space_of(one) for one in parts]
        if len({*told} - {None}) > 1:
            raise errors.ConfigError(
                f"concatenate: vectors of {counts(*parts)}, which lie in two spaces and do not "
                "compare; embed all in one."
            )
        found = super().__array_function__(func, types, args, kwargs)
        return of_space(found, told[0] if len({*told}) == 1 else None)


def of_space(found: np.ndarray, space: str | None) -> Vectors:
    """The same vectors, knowing their space."""
    vectors = found.view(Vectors)
    vectors.space = space
    return vectors


def space_of(found: Any) -> str | None:
    """The space that vectors are known to lie in; None where that is not known."""
    return getattr(found, "space", None)


def counts(*parts: Any) -> str:
    """How many numbers a vector of each has and where it lies, in words, each kind once."""
    told = dict.fromkeys((*np.shape(one)[-1:], space_of(one)) for one in parts)
    return " and ".join(
        " ".join([f"{width} numbers", *([f"of {space!r}"] if space else [])])
        for width, space in told
    )
