"""`python -m lb_jax.NAME` is `lb-jax NAME`: the modules and packages of these names end here."""

import sys
from importlib.machinery import ModuleSpec

from lb_jax.cli import main


def run(name: str, spec: ModuleSpec) -> None:
    """Runs the command that a module is named after, if Python runs that module as the program.

    Args:
      name: `__name__` of the module: "__main__" where it is the program.
      spec: its `__spec__`: of `lb_jax.NAME`, or of `lb_jax.NAME.__main__` where that is a package.

    Raises:
      SystemExit: with the status of the command, where it ran.
    """
    if name == "__main__":
        command = spec.name.removesuffix(".__main__").rpartition(".")[2]
        sys.exit(main.main([command, *sys.argv[1:]]))
