"""Argument parsing whose errors are one line, like every other mistake a user can make."""

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from lb_jax.core import errors


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `ConfigError` instead of printing usage and leaving."""

    def __init__(self, name: str, description: str):
        super().__init__(prog=f"lb-jax {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}; `{self.prog} --help` shows what it takes.")


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
