"""A run that is killed again and again, wherever it is, ends as the one that was not."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from lb_jax.convert.weights import open_weights
from lb_jax.core import config as config_lib
from lb_jax.training.config import ProbeConfig
from tests.training.test_loop import figures

# `lb-jax train` on the sheet argv[1] in argv[2]. argv[3:], if there, are a phase, a signal, a count
# and seconds: the process gets the signal so long after it entered the phase for that time. It
# sends it to itself: from another process, a busy machine could bring it much later.
CHILD = """
import functools, os, sys, threading
from lb_jax.cli import main
from lb_jax.training import checkpoint, probe, record, stopping
def reaching(owner, name, word):
    whole = getattr(owner, name)
    @functools.wraps(whole)
    def wrapped(*arguments):
        if word == phase:
            entered.append(word)
            if len(entered) == int(count):
                threading.Timer(float(delay), os.kill, (os.getpid(), int(kind))).start()
        return whole(*arguments)
    setattr(owner, name, wrapped)
if sys.argv[3:]:
    entered = []
    phase, kind, count, delay = sys.argv[3:]
    reaching(stopping.Stopping, "run", "compile")
    reaching(checkpoint.StateStore, "save", "save")
    reaching(probe.Probe, "_decoded", "evaluate")
    reaching(record.Record, "started", "step")
sys.exit(main.main(["train", f"--config={sys.argv[1]}", f"--workdir={sys.argv[2]}"]))
"""
SHEET = """
import importlib, json
from lb_jax.training import config
if {module!r}:
    importlib.import_module({module!r})
def get_config():
    return config.as_config_dict(config.from_config_dict(json.loads({text!r})))
"""
COMPILE, SAVE, EVALUATE, STEP = "compile", "save", "evaluate", "step"
KILLS = [
    (phase, kind)
    for phase in (COMPILE, SAVE, EVALUATE, STEP, STEP)
    for kind in (signal.SIGKILL, signal.SIGTERM)
]


@pytest.fixture
def cfg(small_run, corpus_dir):
    """A probe and a state every third step."""
    probe = ProbeConfig(path=str(corpus_dir / "test.json"), size=8, every=3)
    return dataclasses.replace(small_run, steps=30, save_every=3, probe=probe)


def write_sheet(folder, cfg, module=""):
    """A sheet of the run; it imports a module first, such as one that registers a size."""
    path = folder / "sheet.py"
    path.write_text(SHEET.format(text=json.dumps(config_lib.to_dict(cfg)), module=module))
    return path


class Drill:
    """Runs of one sheet, see `write_sheet`; they share what they compiled."""

    def __init__(self, folder, cfg, module=""):
        self.sheet = write_sheet(folder, cfg, module)
        self.environment = os.environ | {
            "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
            "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        }

    def __call__(self, workdir, *stop):
        """Status and stderr of a run; `stop` is (phase, signal, count, seconds) of `CHILD`."""
        done = subprocess.run(
            [sys.executable, "-c", CHILD, self.sheet, workdir, *map(str, stop)],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr


def test_ten_kills_at_random_moments_change_nothing(cfg, tmp_path):
    drill = Drill(tmp_path, cfg)
    assert drill(tmp_path / "unbroken")[0] == 0
    rng = random.Random(0)
    kills = rng.sample(KILLS, len(KILLS))
    for phase, kind in kills:
        count = rng.randrange(1, 4) if phase == STEP else 1
        status, told = drill(tmp_path / "killed", phase, int(kind), count, rng.uniform(0, 0.05))
        expected = -signal.SIGKILL if kind == signal.SIGKILL else 128 + signal.SIGTERM
        assert status == expected, (phase, kind, status, told)
        if kind == signal.SIGTERM:
            assert told.splitlines()[-1].startswith("lb-jax: stopped by SIGTERM: "), told
    status, told = drill(tmp_path / "killed")
    assert status == 0, told
    digests = [open_weights(tmp_path / name).digest for name in ("unbroken", "killed")]
    assert digests[0] == digests[1]
    assert figures(tmp_path / "killed") == figures(tmp_path / "unbroken")
