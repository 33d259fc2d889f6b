"""Values of foreign configs, checked before they are used, so that one error names all at fault."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lb_jax.core import errors

MOST = 1 << 20  # of any size; beyond it a config is damaged and would only fill the memory
MOST_LAYERS = 1000

Check = tuple[Callable[[Any], bool], str]


def whole(least: int = 1, most: int = MOST) -> Check:
    """Takes a whole number in a range."""
    return (
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most}",
    )


def number(least: float = 0.0, most: float = MOST) -> Check:
    """Takes a number in a range."""
    return (
        lambda value: type(value) in (int, float) and least <= value <= most,
        f"a number from {least:g} to {most:g}",
    )


def none_or(check: Check) -> Check:
    """Takes null besides."""
    return lambda value: value is None or check[0](value), f"{check[1]} or null"


SIDES: Check = (  # of an image
    lambda value: (
        whole()[0](value)
        or (isinstance(value, list | tuple) and len(value) == 2 and all(map(whole()[0], value)))
    ),
    "a whole number of pixels or two of them",
)

OBJECT: Check = (lambda value: isinstance(value, Mapping), "an object")


def problems(values: Mapping[str, Any], checks: Mapping[str, Check], name: str) -> list[str]:
    """What is wrong with the fields of one section of a config; absent ones are not checked."""
    return [
        f"{name}{field} is {values[field]!r}, expected {expected}"
        for field, (holds, expected) in checks.items()
        if field in values and not holds(values[field])
    ]


def section(config: Mapping[str, Any], name: str, where: object) -> Mapping[str, Any]:
    """A section of a config, empty where it is absent or null.

    Raises:
      CheckpointError: when it is no JSON object.
    """
    return as_object(config.get(name) or {}, f"{where}: {name}")


def as_object(value: Any, where: object) -> Mapping[str, Any]:
    """The value, which must be a JSON object.

    Raises:
      CheckpointError: when it is not.
    """
    if not isinstance(value, Mapping):
        raise errors.CheckpointError(
            f"{where}: expected a JSON object, found {type(value).__name__} {str(value)[:40]!r}; "
            "use the config that was written with the weights."
        )
    return value


def require(found: list[str], where: object) -> None:
    """Raises one error for all problems found.

    Raises:
      CheckpointError: when there are any.
    """
    if found:
        raise errors.CheckpointError(
            f"{where}: {'; '.join(found)}. Use the config that was written with the weights."
        )


@contextlib.contextmanager
def told_of(where: object) -> Iterator[None]:
    """Turns what our towers say of a config into an error that names its file."""
    try:
        yield
    except errors.ConfigError as error:
        raise errors.CheckpointError(f"{where}: {error}") from error
