"""Lab sheets on the command line: `--config=SHEET[:ARGUMENT]`, `--config.name=value`, own flags."""

import importlib.resources
import inspect
import itertools
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from lb_jax.core import errors, paths
from lb_jax.training import config as train_config

SHIPPED = Path(str(importlib.resources.files("lb_jax.configs")))  # in a checkout as in a wheel


def parse_flags(
    argv: Sequence[str], usage: str, define: Callable[[flags.FlagValues], object], *, required: str
) -> tuple[train_config.TrainConfig, flags.FlagValues]:
    """Reads `--config`, its overrides, and the flags of a command that takes a lab sheet.

    Args:
      argv: the command's arguments.
      usage: one line, for messages.
      define: defines the command's own flags.
      required: the one of them that must be given.

    Raises:
      ConfigError: for a missing file or flag, an unknown key (with the nearest one) or a value of
        the wrong type.
    """
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "lab sheet", flag_values=values, sys_argv=["lb-jax", *argv]
    )
    define(values)
    own = list(values)
    given = [following for one, following in itertools.pairwise(argv) if one == "--config"]
    given += [one.removeprefix("--config=") for one in argv if one.startswith("--config=")]
    sheet = load_sheet(given[-1]) if given else None
    try:
        rest = values(["lb-jax", *argv])[1:]
    # an override of a key that the sheet lacks is an AttributeError at a leaf, a KeyError above it
    except (flags.UnrecognizedFlagError, AttributeError, KeyError) as error:
        raise errors.ConfigError(unknown_flag(argv, sheet, own, usage)) from error
    except (flags.Error, TypeError, ValueError) as error:
        raise errors.ConfigError(" ".join(f"{error}; {usage}".split())) from error
    if sheet is None or not values[required].value:
        raise errors.ConfigError(f"--{'config' if sheet is None else required} is missing; {usage}")
    if rest:
        raise errors.ConfigError(
            f"unexpected argument {rest[0]!r}; overrides are written --config.name=value."
        )
    return train_config.from_config_dict(values.config), values


def load_sheet(given: str) -> ml_collections.ConfigDict:
    """Runs a lab sheet by itself first, so that its own mistakes are told as such.

    Args:
      given: its path, or `path:argument` for a sheet whose `get_config` takes one.

    Raises:
      ConfigError: when there is no such file, it has no `get_config`, or that takes no argument, or
        needs one.
    """
    path, *argument = given.split(":", 1)  # as config_flags does
    if not Path(path).is_file():
        shipped = sorted(one.name for one in SHIPPED.glob("*.py") if one.stem != "__init__")
        raise errors.ConfigError(
            f"no config file {path!r} here.{errors.nearest(Path(path).name, shipped)} Those that "
            f"come with the package are in {SHIPPED}: {', '.join(shipped)}."
        )
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
        wanted = path if argument else f"{path}:ARGUMENT"
        raise errors.ConfigError(
            f"{found} get_config() of {path} ({error}); write --config={wanted}."
        ) from error
    return sheet["get_config"](*argument)


def unknown_flag(
    argv: Sequence[str], sheet: ml_collections.ConfigDict | None, own: Sequence[str], usage: str
) -> str:
    """What to say about the first argument that names no flag of the command and no setting."""
    known = list(own)
    if sheet is not None:
        known += [f"config.{path.replace('/', '.')}" for path in paths.flatten(sheet.to_dict())]
    given = [argument.lstrip("-").split("=")[0] for argument in argv if argument.startswith("-")]
    name = next(name for name in given if name not in known)
    return f"unknown setting '--{name}'.{errors.nearest(name, known)} {usage}"
