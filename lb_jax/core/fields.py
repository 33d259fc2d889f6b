"""Fields of preprocessing specs: what a value must be, and which came later."""

import dataclasses
import typing

from lb_jax.core import errors


def added(default: typing.Any, before: typing.Any) -> typing.Any:
    """A field that came later; where it is `before`, which was done until then, digests stay."""
    return dataclasses.field(default=default, metadata={"before": before})


def require(holds: bool, message: str) -> None:
    """Raises `ConfigError` with the message where a condition does not hold."""
    if not holds:
        raise errors.ConfigError(message)


def require_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises `ConfigError` for a value that is none of the choices, with the nearest one."""
    expected = ", ".join(choices)
    require(
        value in choices,
        f"{field} is {value!r}, expected one of {expected}.{errors.nearest(value, choices)}",
    )
