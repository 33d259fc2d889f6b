"""Runs of every system that break off, or are killed, end as the one that did not."""

import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from lb_jax.convert.mmv_files import open_mmv
from lb_jax.convert.valor_folder import open_valor
from lb_jax.convert.weights import open_weights
from lb_jax.feed import pipeline
from lb_jax.training import loop
from tests.training.test_drill import STEP, Drill
from tests.training.test_loop import figures


class System(NamedTuple):
    """A system that is trained.

    Attributes:
      run: fixture of its small run, which saves every second step; that of its unbroken work
        directory has `_trained` behind.
      open: folder or work directory -> weights with a digest.
      module: that a sheet of it imports in another process; empty for none.
    """

    run: str
    open: Callable[..., Any]
    module: str = ""


SYSTEMS = {
    "languagebind": System("cached_run", open_weights),
    "valor": System("valor_run", open_valor, "tests.training.valor_runs"),
    "mmv": System("mmv_run", open_mmv, "tests.training.mmv_runs"),
    "imagebind": System("imagebind_run", open_weights, "tests.training.imagebind_runs"),
}
KILLED = [name for name, one in SYSTEMS.items() if one.module]  # of the other see test_drill


class Unbroken(NamedTuple):
    """A run that nothing broke off."""

    system: System
    cfg: Any
    workdir: Any

    def require_same(self, workdir):
        """Checks that another work directory holds the very same."""
        digests = [self.system.open(one).digest for one in (self.workdir, workdir)]
        assert digests[0] == digests[1]
        rows = figures(self.workdir)
        assert rows == figures(workdir)
        assert [row["step"] for row in rows] == list(range(self.cfg.steps))


@pytest.fixture
def unbroken(request):
    system = SYSTEMS[request.param]
    names = (system.run, f"{system.run.removesuffix('_run')}_trained")
    return Unbroken(system, *map(request.getfixturevalue, names))


@pytest.mark.parametrize("unbroken", SYSTEMS, indirect=True)
def test_run_that_breaks_off_ends_bitwise_as_the_unbroken_one(unbroken, tmp_path, monkeypatch):
    whole, taken = pipeline.Batches.__next__, []

    def fourth_fails(self):
        taken.append(0)
        return whole(self) if len(taken) < 4 else 1 / 0

    monkeypatch.setattr(pipeline.Batches, "__next__", fourth_fails)
    with pytest.raises(ZeroDivisionError):
        loop.run(unbroken.cfg, tmp_path)
    monkeypatch.undo()
    loop.run(unbroken.cfg, tmp_path)
    unbroken.require_same(tmp_path)


@pytest.mark.parametrize("unbroken", KILLED, indirect=True)
def test_a_killed_process_goes_on_bitwise(unbroken, tmp_path):
    drill = Drill(tmp_path, unbroken.cfg, unbroken.system.module)
    drill.environment = dict(os.environ)  # devices and programs of this process
    status, told = drill(tmp_path / "killed", STEP, int(signal.SIGKILL), 4, 0.0)
    assert status == -signal.SIGKILL, told
    status, told = drill(tmp_path / "killed")
    assert status == 0, told
    unbroken.require_same(tmp_path / "killed")
