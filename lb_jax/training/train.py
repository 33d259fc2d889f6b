"""`lb-jax train --config=configs/X.py --workdir=DIR [--config.name=value ...]`."""

import itertools
import runpy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import ml_collections
from absl import flags
from ml_collections import config_flags

from lb_jax.core import errors, paths
from lb_jax.training import config as train_config

USAGE = "usage: lb-jax train --config=configs/X.py --workdir=DIR [--config.name=value ...]"
HELP = f"""{USAGE}

Runs a lab sheet and writes an inference checkpoint to DIR/checkpoint. The same command again
resumes a run that was stopped.

  --config              lab sheet, a Python file with get_config()
  --workdir             folder of the run; new, empty, or of the same run
  --config.name=value   another value for a setting of the sheet, such as --config.optim.lr=1e-4"""
SHIPPED = Path(find_spec("lb_jax.configs").origin).parent  # in a checkout as in a wheel


def main(argv: Sequence[str]) -> None:
    """Trains as the arguments say, and prints where the checkpoint is."""
    if "--help" in argv or "-h" in argv:
        print(HELP)
        return
    cfg, workdir = parse(argv)
    # jax takes a second to import; wrong arguments are told before
    from lb_jax.training import loop

    loop.enable_compile_cache()
    print(f"checkpoint: {loop.run(cfg, workdir)}")


def parse(argv: Sequence[str]) -> tuple[train_config.TrainConfig, Path]:
    """Reads `--config`, its overrides and `--workdir`.

    Raises:
      ConfigError: for a missing file or flag, an unknown key (with the nearest one) or a value of
        the wrong type.
    """
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config", None, "lab sheet", flag_values=values, sys_argv=["lb-jax train", *argv]
    )
    flags.DEFINE_string("workdir", None, "folder of the run", flag_values=values)
    given = [following for one, following in itertools.pairwise(argv) if one == "--config"]
    given += [one.removeprefix("--config=") for one in argv if one.startswith("--config=")]
    sheet = load_sheet(given[-1]) if given else None
    try:
        rest = values(["lb-jax train", *argv])[1:]
    # an override of a key that the sheet lacks is an AttributeError at a leaf, a KeyError above it
    except (flags.UnrecognizedFlagError, AttributeError, KeyError) as error:
        raise errors.ConfigError(unknown_flag(argv, sheet)) from error
    except (flags.Error, TypeError, ValueError) as error:
        raise errors.ConfigError(" ".join(f"{error}; {USAGE}".split())) from error
    if sheet is None or not values.workdir:
        raise errors.ConfigError(
            f"--{'config' if sheet is None else 'workdir'} is missing; {USAGE}"
        )
    if rest:
        raise errors.ConfigError(
            f"unexpected argument {rest[0]!r}; overrides are written --config.name=value."
        )
    return train_config.from_config_dict(values.config), Path(values.workdir)


def load_sheet(path: str) -> ml_collections.ConfigDict:
    """Runs a lab sheet by itself first, so that its own mistakes are told as such.

    Raises:
      ConfigError: when there is no such file, or it has no `get_config`.
    """
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
    return sheet["get_config"]()


def unknown_flag(argv: Sequence[str], sheet: ml_collections.ConfigDict | None) -> str:
    """What to say about the first argument that names no flag and no setting."""
    known = ["config", "workdir"]
    if sheet is not None:
        known += [f"config.{path.replace('/', '.')}" for path in paths.flatten(sheet.to_dict())]
    given = [argument.lstrip("-").split("=")[0] for argument in argv if argument.startswith("-")]
    name = next(name for name in given if name not in known)
    return f"unknown setting '--{name}'.{errors.nearest(name, known)} {USAGE}"
