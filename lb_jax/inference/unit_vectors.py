"""What is made of vectors alone: cosines of pairs, one vector from several.

Vectors that a model gave know their family, so those of two are never compared.
"""

import collections
import numbers
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from lb_jax.core import errors
from lb_jax.models import languagebind

UNIT_TOLERANCE = 0.01  # of a length; vectors stored in half precision are within


class Vectors(np.ndarray):
    """Vectors [n, e] that know where they lie; slices know it too, results of arithmetic need not.

    Joined (`np.concatenate`, `stack`, `vstack`, `append`) they know what all of them know alike.
    Those of two families or spaces do not join, which is a `ConfigError`.

    Attributes:
      family: of the model that gave them; None where that is not known.
      space: of a model with several; None of others.
    """

    family: str | None
    space: str | None

    def __array_finalize__(self, made_of: Any) -> None:
        """How numpy makes views and results."""
        self.family = getattr(made_of, "family", None)
        self.space = getattr(made_of, "space", None)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """What numpy's functions do; all that join arrays come to `np.concatenate`."""
        if func is not np.concatenate:
            return super().__array_function__(func, types, args, kwargs)
        parts = args[0] if args else next(iter(kwargs.values()))
        told = {(getattr(one, "family", None), space_of(one)) for one in parts}
        if len(told - {(None, None)}) > 1:
            raise errors.ConfigError(
                f"concatenate: vectors of {counts(*parts)}, which lie in two spaces and do not "
                "compare; embed all in one, with one model."
            )
        found = super().__array_function__(func, types, args, kwargs)
        return found if len(told) > 1 else Vectors.of(found, *told.pop())

    @classmethod
    def of(cls, rows: np.ndarray, family: str | None, space: str | None = None) -> Self:
        """The same rows with what is known of them."""
        found = np.asarray(rows).view(cls)
        found.family, found.space = family, space
        return found


def space_of(found: Any) -> str | None:
    """The space that vectors are known to lie in; None where that is not known."""
    return getattr(found, "space", None)


def common_space(*parts: Any) -> str | None:
    """The space that all of them are known to lie in; None where one does not know its own."""
    first, *others = {space_of(one) for one in parts}
    return None if others else first


def counts(*parts: Any) -> str:
    """How many numbers a vector of each has and where it lies, in words, each kind once."""
    told = dict.fromkeys((*np.shape(one)[-1:], space_of(one)) for one in parts)
    return " and ".join(
        " ".join([f"{width} numbers", *([f"of {space!r}"] if space else [])])
        for width, space in told
    )


def require_family(what: str, family: str, **rows: Any) -> None:
    """Checks that vectors are of one family, as far as they know theirs.

    Args:
      what: is done with them.
      family: of the model that does it.
      **rows: the vectors, by name.

    Raises:
      ConfigError: naming both families.
    """
    for name, one in rows.items():
        other = getattr(one, "family", None)
        if other not in (None, family):
            raise errors.ConfigError(
                f"{what}: {name} is of {other} and the model of {family}; vectors of two families "
                f"lie in two spaces and do not compare. Embed both with one model."
            )


def require_space(what: str, space: str | None, **rows: Any) -> None:
    """Checks that vectors lie in a space, as far as they know theirs.

    Raises:
      ConfigError: naming both spaces.
    """
    for name, one in rows.items():
        found = space_of(one)
        if found not in (None, space):
            raise errors.ConfigError(
                f"{what}: {name} lies in {found!r} and the curves are of {space!r}; open the model "
                f"with space={found!r} and its own calibration, or embed in {space!r}."
            )


def similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of every pair of unit vectors: [n, e] and [m, e] -> [n, m].

    Raises:
      ConfigError: for arrays that are not [n, e] and [m, e].
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise errors.ConfigError(
            f"similarity takes [n, e] and [m, e]; got {list(a.shape)} and {list(b.shape)}."
        )
    return a @ b.T


def fuse(
    vectors: Mapping[str, np.ndarray], weights: Mapping[str, float] | None = None
) -> np.ndarray:
    """One vector from whatever is there: the weighted mean of unit vectors, made unit again.

    Vectors are [n, e] by modality; arguments and errors are those of `api.Model.fuse`.
    """
    if not vectors or len({np.shape(v) for v in vectors.values()}) != 1:
        raise errors.ConfigError(
            "fuse takes equally shaped arrays [n, e]; got "
            f"{ ({k: np.shape(v) for k, v in vectors.items()}) }."
        )
    if weights is not None and set(weights) != set(vectors):
        raise errors.ConfigError(
            f"fuse: weights name {sorted(weights)}, vectors {sorted(vectors)}; name the "
            "same modalities in both."
        )
    for name, weight in (weights or {}).items():
        if not (isinstance(weight, numbers.Real) and np.isfinite(weight)):
            raise errors.ConfigError(
                f"fuse: the weight of {name} is {weight!r}, expected a finite number."
            )
    total = sum(
        (weights or collections.defaultdict(lambda: 1.0))[name] * np.asarray(v)
        for name, v in vectors.items()
    )
    if not np.isfinite(total).all():
        raise errors.ConfigError(
            "fuse: a vector holds NaN or infinity; give vectors as `embed` does."
        )
    if not np.linalg.norm(total, axis=-1).all():
        raise errors.ConfigError(
            "fuse: the weighted vectors add up to zero; give weights that do not cancel."
        )
    return np.asarray(languagebind.unit(total))


def require_unit(what: str, **rows: np.ndarray) -> None:
    """Raises ConfigError for rows that are not unit vectors, [n, e], naming who takes them."""
    for name, found in rows.items():
        length = np.linalg.norm(np.asarray(found, np.float64), axis=-1)
        if not np.allclose(length, 1, atol=UNIT_TOLERANCE):  # NaN is not close either
            raise errors.ConfigError(
                f"{what} takes unit vectors; {name} has one of length "
                f"{length.flat[np.argmax(~np.isclose(length, 1, atol=UNIT_TOLERANCE))]:.3g}; "
                "divide each by its length."
            )


def require_scales(source: str, scales: Mapping[str, float]) -> None:
    """Raises `ConfigError` for a model whose vectors the original leaves at length 1."""
    if not scales:
        raise errors.ConfigError(
            f"scaled: the vectors of {source} have no temperature of their own; leave it out, and "
            "take `logits`."
        )
