"""Every command is also `python -m lb_jax.NAME`."""

import importlib
import runpy
import sys

import pytest

from lb_jax.cli import main


def module_of(command):
    """What Python runs: the module of that name, or the `__main__` of the package."""
    found = importlib.import_module(f"lb_jax.{command}")
    return f"{found.__name__}.__main__" if hasattr(found, "__path__") else found.__name__


@pytest.mark.parametrize("command", main.COMMANDS)
def test_a_command_is_a_module(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [command, "--help"])
    monkeypatch.delitem(sys.modules, module_of(command), raising=False)
    with pytest.raises(SystemExit) as left:
        runpy.run_module(f"lb_jax.{command}", run_name="__main__", alter_sys=True)
    assert left.value.code in (0, None)
    assert f"lb-jax {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", main.COMMANDS)
def test_importing_it_runs_nothing(command, capsys):
    importlib.import_module(module_of(command))
    assert capsys.readouterr() == ("", "")
