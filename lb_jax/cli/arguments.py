"""Argument parsing whose errors are one line, like every other mistake a user can make."""

import argparse
from typing import NoReturn

from lb_jax.core import errors


class Parser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `ConfigError` instead of printing usage and leaving."""

    def __init__(self, name: str, description: str):
        super().__init__(prog=f"lb-jax {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}; `{self.prog} --help` shows what it takes.")
