"""Frozen dataclasses to and from plain JSON dicts, with every unknown or missing key named."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from lb_jax.core import errors
from lb_jax.core.words import counted

T = TypeVar("T")

# Metadata of a field that is not written while it is None, so that what was stored before there was
# such a field stays the same.
OPTIONAL = {"optional": True}

# JSON and literals may write a float as an int; nothing else stands for something else.
_PLAIN = {int: int, float: (int, float), bool: bool, str: str}


def to_dict(value: Any) -> Any:
    """Turns a dataclass into JSON-ready dicts and lists.

    Dataclasses may be nested in dicts, tuples and other dataclasses.
    """
    if dataclasses.is_dataclass(value):
        return {
            f.name: to_dict(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not f.metadata.get("optional") or getattr(value, f.name) is not None
        }
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_dict(item) for item in value]
    return value


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Builds dataclass `cls` from a dict such as `to_dict` gives.

    Raises:
      ConfigError: for an unknown key (with the nearest field name), a field that has no default
        and no value, or a value of the wrong type.
    """
    _require(isinstance(values, Mapping), where, values, f"a dict of {cls.__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            raise errors.ConfigError(
                f"unknown key {where + key!r} for {cls.__name__}.{errors.nearest(key, fields)}"
            )
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in values:
            raise errors.ConfigError(f"missing key {where + name!r} for {cls.__name__}; add it.")
    hints = typing.get_type_hints(cls)
    return cls(**{key: _cast(hints[key], value, f"{where}{key}.") for key, value in values.items()})


def _cast(hint: Any, value: Any, where: str) -> Any:
    """Follows a type hint down to nested dataclasses and turns JSON lists back into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # `X | None`, or dataclasses that their keys tell apart
        return None if value is None else _cast(_fitting(arguments, value), value, where)
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)
    if origin is tuple:
        _require(isinstance(value, (list, tuple)), where, value, "a list")
        each = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        _require(len(value) == len(each), where, value, f"{counted(len(each), 'value')}")
        return tuple(_cast(one, item, where) for one, item in zip(each, value, strict=True))
    if origin in (dict, Mapping):
        _require(isinstance(value, Mapping), where, value, "a dict")
        return {key: _cast(arguments[1], item, f"{where}{key}.") for key, item in value.items()}
    if hint in _PLAIN:
        fits = isinstance(value, _PLAIN[hint]) and isinstance(value, bool) == (hint is bool)
        _require(fits, where, value, f"a value of type {hint.__name__}")
    return value


def _fitting(hints: tuple[Any, ...], value: Any) -> Any:
    """The first dataclass that has all keys of the value; else the first hint."""
    keys = set(value) if isinstance(value, Mapping) else set()
    known = [one for one in hints if dataclasses.is_dataclass(one)]
    fits = (one for one in known if keys <= {f.name for f in dataclasses.fields(one)})
    return next(fits, hints[0])


def _require(holds: bool, where: str, found: Any, expected: str) -> None:
    if not holds:
        raise errors.ConfigError(f"{where[:-1] or 'config'} is {found!r}; expected {expected}.")
