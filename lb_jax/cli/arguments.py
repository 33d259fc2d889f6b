"""Argument parsing whose errors are one line, like every other mistake a user can make."""

import argparse
import tempfile
from pathlib import Path
from typing import NoReturn

from lb_jax.core import errors


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `ConfigError` instead of printing usage and leaving."""

    def __init__(self, name: str, description: str):
        super().__init__(prog=f"lb-jax {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}; `{self.prog} --help` shows what it takes.")


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
