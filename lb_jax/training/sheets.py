"""Lab sheets on the command line: `--config=SHEET[:ARGUMENT]`, `--config.name=value`, own flags.

A sheet is a file, or the name of one that comes with the package: `--config=finetune:audio`. Of any
sheet `,trial` behind its argument takes the size of `training.trial`.
"""

import importlib.resources
import inspect
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import ml_collections
from absl import flags
from ml_collections import config_flags

from lb_jax.core import errors, paths
from lb_jax.training import config as train_config
from lb_jax.training import trial

T = TypeVar("T")

SHIPPED = Path(str(importlib.resources.files("lb_jax.configs")))  # in a checkout as in a wheel


def parse_flags(
    argv: Sequence[str], usage: str, define: Callable[[flags.FlagValues], object], *, required: str
) -> tuple[train_config.TrainConfig, flags.FlagValues]:
    """`parse` of the lab sheet of a training."""
    return parse(argv, usage, define, required=required, read=train_config.from_config_dict)


def parse(
    argv: Sequence[str],
    usage: str,
    define: Callable[[flags.FlagValues], object],
    *,
    required: str,
    read: Callable[[ml_collections.ConfigDict], T],
) -> tuple[T, flags.FlagValues]:
    """Reads `--config`, its overrides, and the flags of a command that takes a lab sheet.

    Args:
      argv: the command's arguments.
      usage: one line, for messages.
      define: defines the command's own flags.
      required: the one of them that must be given.
      read: what makes the settings of the command of the sheet.

    Raises:
      ConfigError: for a missing file or flag, an unknown key (with the nearest one) or a value of
        the wrong type.
    """
    given, argv = _split(argv)
    if given is None:
        raise errors.ConfigError(f"--config is missing; {usage}")
    sheet, values = load_sheet(given), flags.FlagValues()
    define(values)
    own = list(values)
    try:
        config_flags.DEFINE_config_dict(
            "config", sheet, "lab sheet", flag_values=values, sys_argv=["lb-jax", *argv]
        )
        rest = values(["lb-jax", *argv])[1:]
    # an override of a key that the sheet lacks is an AttributeError at a leaf, a KeyError above it
    except (flags.UnrecognizedFlagError, AttributeError, KeyError) as error:
        raise errors.ConfigError(unknown_flag(argv, sheet, own, usage)) from error
    except (flags.Error, TypeError, ValueError) as error:
        raise errors.ConfigError(" ".join(f"{error}; {usage}".split())) from error
    if not values[required].value:
        raise errors.ConfigError(f"--{required} is missing; {usage}")
    if rest:
        raise errors.ConfigError(
            f"unexpected argument {rest[0]!r}; overrides are written --config.name=value."
        )
    return read(values.config), values


def _split(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last sheet that is named, and the arguments without it."""
    given, rest, following = None, [], iter(argv)
    for one in following:
        name, sign, value = one.partition("=")
        if name not in ("--config", "-config"):
            rest.append(one)
        elif value := value if sign else next(following, ""):
            given = value
    return given, rest


def find_sheet(name: str) -> Path:
    """The file of a sheet: a path, or else a sheet that comes with the package.

    Args:
      name: a path; or NAME, NAME.py or configs/NAME.py, from whatever folder.

    Raises:
      ConfigError: when there is neither, with the nearest.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = {one.stem: one for one in sorted(SHIPPED.glob("*.py")) if one.stem != "__init__"}
    is_name = path.suffix in ("", ".py") and path.parent.as_posix() in (".", SHIPPED.name)
    if is_name and path.stem in shipped:
        return shipped[path.stem]
    raise errors.ConfigError(
        f"no config file {name!r} here.{errors.nearest(path.stem, shipped)} Those that come with "
        f"the package are in {SHIPPED}: {', '.join(one.name for one in shipped.values())}; each is "
        "found by its name alone, as in --config=depth."
    )


def load_sheet(given: str) -> ml_collections.ConfigDict:
    """Runs a lab sheet by itself first, so that its own mistakes are told as such.

    Args:
      given: its path or name, see `find_sheet`; behind a colon what its `get_config` takes, and
        behind that, with a comma or colon, "trial".

    Raises:
      ConfigError: when there is no such file, it has no `get_config`, or that takes no argument, or
        needs one.
    """
    name, *argument = given.split(":", 1)
    path = find_sheet(name)
    in_trial = bool(argument) and argument[0].replace(":", ",").split(",")[-1] == trial.NAME
    if in_trial:
        argument = [one for one in [argument[0][: -len(trial.NAME) - 1]] if one]
    try:
        sheet = runpy.run_path(path)
    except SyntaxError as error:
        raise errors.ConfigError(
            f"{path}: line {error.lineno} is not Python ({error.msg}); see configs/ for examples."
        ) from error
    if "get_config" not in sheet:
        raise errors.ConfigError(f"{path} has no get_config(); see configs/ for examples.")
    try:
        inspect.signature(sheet["get_config"]).bind(*argument)
    except TypeError as error:
        found = f"{given!r} hands an argument to" if argument else "nothing is handed to"
        wanted = name if argument else f"{name}:ARGUMENT"
        raise errors.ConfigError(
            f"{found} get_config() of {path} ({error}); write --config={wanted}."
        ) from error
    found = sheet["get_config"](*argument)
    return trial.of(found) if in_trial else found


def unknown_flag(
    argv: Sequence[str], sheet: ml_collections.ConfigDict, own: Sequence[str], usage: str
) -> str:
    """What to say about the first argument that names no flag of the command and no setting."""
    known = [*own, *(f"config.{path.replace('/', '.')}" for path in paths.flatten(sheet.to_dict()))]
    given = [argument.lstrip("-").split("=")[0] for argument in argv if argument.startswith("-")]
    name = next(name for name in given if name not in known)
    return f"unknown setting '--{name}'.{errors.nearest(name, known)} {usage}"
