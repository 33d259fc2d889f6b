"""Argument parsing whose errors are one line, like every other mistake a user can make."""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lb_jax.core import errors


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `ConfigError` instead of printing usage and leaving."""

    def __init__(self, name: str, description: str):
        super().__init__(prog=f"lb-jax {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Tells of arguments that cannot be parsed.

        Raises:
          ConfigError: always, with the command that shows what there is.
        """
        raise errors.ConfigError(f"{message}; `{self.prog} --help` shows what it takes.")


def add_settings(parser: argparse.ArgumentParser, what: str = "files") -> None:
    """Adds --depth-unit, --thermal-range, --imu-units and others: what files do not say themselves.

    Args:
      parser: of a command that reads media.
      what: whose they are, for the help text.
    """
    from lb_jax.media import specs
    from lb_jax.media.sensors import cameras, depth_units, motion_units

    group = parser.add_argument_group(f"depth and thermal {what}")
    group.add_argument(
        "--depth-unit",
        metavar="UNIT",
        help="of depth maps of whole numbers: metres per unit such as 0.0002 or 1/5000, or one of "
        f"{', '.join(depth_units.UNITS)} (default: what the model states, mm as a rule; see "
        "docs/media.md)",
    )
    group.add_argument(
        "--thermal-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="lowest and highest temperature shown, in kelvin, so that pictures compare (default: "
        "by each picture)",
    )
    group.add_argument(
        "--thermal-unit",
        metavar="UNIT",
        help=f"of numbers in thermal pictures: {', '.join(specs.THERMAL_UNITS)}, or kelvin per "
        "count such as 0.04 (default: auto; see docs/media.md)",
    )
    group.add_argument(
        "--depth-camera",
        metavar="CAMERA",
        help=f"of a model that takes disparity: {cameras.EXPECTED}",
    )
    motion = parser.add_argument_group(f"{what} of motion (accelerometer and gyroscope)")
    motion.add_argument(
        "--imu-units",
        metavar="ACCEL,GYRO",
        help=f"one of {', '.join(motion_units.ACCEL)}, and one of {', '.join(motion_units.GYRO)}, "
        "such as g,deg/s (default: as the file says, or as its readings tell; see docs/media.md)",
    )
    motion.add_argument(
        "--imu-rate", type=float, metavar="HZ", help="of files without a rate and without times"
    )
    motion.add_argument(
        "--imu-columns",
        metavar="NAMES",
        help="the six columns in their order, separated by commas: accelerometer x, y, z, then "
        "gyroscope; the times may come before them (default: by usual names)",
    )
    motion.add_argument(
        "--imu-interpolate",
        type=float,
        metavar="SECONDS",
        help="the longest gap that is filled in by straight lines (default: a gap is an error)",
    )
    motion.add_argument(
        "--imu-short",
        choices=("refuse", "hold", "repeat"),
        help="what is done with less than a window of the model (default: what it states, refuse "
        "as a rule)",
    )


def given_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of `add_settings`, for `lb_jax.load`.

    Raises:
      ConfigError: a value that is none.
    """
    from lb_jax.media.settings import Settings

    names = [one.name for one in dataclasses.fields(Settings)]
    return Settings(**{name: getattr(arguments, name) for name in names}).given


def add_space(parser: argparse.ArgumentParser) -> None:
    """Adds --space: of a model with several spaces, the one that vectors lie in."""
    parser.add_argument(
        "--space",
        metavar="NAME",
        help="where vectors lie, of an MMV model: va, vt or vat (default: the one that all its "
        "modalities share)",
    )


def given_space(arguments: argparse.Namespace) -> dict[str, str]:
    """What was given of `add_space`, for `lb_jax.load`."""
    return {} if arguments.space is None else {"space": arguments.space}


def dispatch(
    command: str,
    subcommands: Mapping[str, tuple[Callable[[Sequence[str]], None], str]],
    argv: Sequence[str],
) -> None:
    """Runs a subcommand, or prints the help text that lists them.

    Args:
      command: that they belong to.
      subcommands: name -> (its main(argv), what it does).
      argv: name and arguments.

    Raises:
      ConfigError: no such subcommand, or none.
    """
    name, *rest = argv or [""]
    if name in ("-h", "--help", "help"):
        width = max(map(len, subcommands))
        lines = [f"  {one.ljust(width)}  {what}" for one, (_, what) in subcommands.items()]
        usage = f"lb-jax {command} COMMAND"
        print(f"usage: {usage} [arguments]    ({usage} --help tells more)\n")
        print("\n".join(lines))
        return
    if name not in subcommands:
        found = f"unknown command {name!r}.{errors.nearest(name, subcommands)}"
        raise errors.ConfigError(
            f"{command}: {found if argv else 'no command;'} Commands: {', '.join(subcommands)}; "
            f"`lb-jax {command} --help` tells more."
        )
    subcommands[name][0](rest)


def make_folder(path: Path, argument: str) -> None:
    """Makes the folder that an argument names, before any work is done for it.

    Raises:
      ConfigError: when it cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise errors.ConfigError(
            f"{argument}: the folder {path} cannot be written ({error.strerror}); give another."
        ) from error
