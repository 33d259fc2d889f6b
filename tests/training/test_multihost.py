"""Two processes of four devices train as one of eight does."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from lb_jax.core import checkpoint, errors, paths
from lb_jax.training import distributed, families
from lb_jax.training.config import ProbeConfig
from lb_jax.training.distributed import ADDRESS, COUNT, INDEX
from tests.training import test_drill
from tests.training.test_loop import figures

# How long the processes wait for each other in a collective, which on CPU is half a minute: one of
# them that a busy machine lets wait is no failure.
PATIENCE = "--xla_cpu_collective_timeout_seconds=600"
MAIN = "import sys; from lb_jax.cli import main; sys.exit(main.main(sys.argv[1:]))"
# The same, but at its second step the process gets SIGTERM, and goes on once jax, which looks every
# second, has told the other processes.
STOPPED = """
import os, signal, sys, time
from lb_jax.cli import main
from lb_jax.training import record
whole, steps = record.Record.started, []
def started(*arguments):
    steps.append(0)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(3)
    return whole(*arguments)
record.Record.started = started
sys.exit(main.main(sys.argv[1:]))
"""


def start(folder, cfg, workdir, devices, place=None, program=MAIN):
    """One process of a run; `place` is (address, processes, number)."""
    module = "tests.training.mmv_runs" if cfg.mmv else ""
    sheet = test_drill.write_sheet(folder, cfg, module)
    arguments = ["train", f"--config={sheet}", f"--workdir={folder / workdir}"]
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices} "
        + PATIENCE,
        "JAX_COMPILATION_CACHE_DIR": str(folder / f"cache-{place and place[2]}"),
    }
    if place:
        arguments.append("--multihost")
        environment |= dict(zip((ADDRESS, COUNT, INDEX), map(str, place), strict=True))
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_pair(folder, cfg, workdir, programs=(MAIN, MAIN)):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [
        start(folder, cfg, workdir, 4, (address, 2, number), one)
        for number, one in enumerate(programs)
    ]


def ended(*processes):
    """(status, stdout, stderr) of each."""
    said = [one.communicate(timeout=900) for one in processes]
    return [(one.returncode, *both) for one, both in zip(processes, said, strict=True)]


def require_equal(cfg, one, other):
    """The same figures and parameters, but for the order of sums over devices."""
    rows = figures(one), figures(other)
    assert [row.keys() for row in rows[0]] == [row.keys() for row in rows[1]]
    for a, b in zip(*rows, strict=True):
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=2e-3, abs=1e-4), (a["step"], name)
    family = families.of(cfg)
    start = paths.flatten(family.initial_params(cfg, family.make_model(cfg, family.build(cfg)[0])))
    ours, theirs = (
        paths.flatten(checkpoint.load_params(folder / "checkpoint")) for folder in (one, other)
    )
    assert ours.keys() == theirs.keys()
    for path in ours:
        moved = np.linalg.norm(ours[path] - start[path])
        assert np.linalg.norm(ours[path] - theirs[path]) <= 1e-3 * moved, path


@pytest.fixture
def cfg(small_run, corpus_dir):
    depth = small_run.modalities["depth"]
    return dataclasses.replace(
        small_run,
        modalities={"depth": dataclasses.replace(depth, batch_size=16), "thermal": depth},
        steps=8,
        save_every=3,
        probe=ProbeConfig(path=str(corpus_dir / "test.json"), size=16, every=4),
    )


def require_pair_as_one(folder, cfg):
    """Trains on one process in `one` and on two in `two`, which end the same."""
    [(status, _, told)] = ended(start(folder, cfg, "one", 8))
    assert status == 0, told
    for status, out, told in ended(*start_pair(folder, cfg, "two")):
        assert status == 0, told
        assert out.splitlines()[-1] == f"checkpoint: {folder / 'two' / 'checkpoint'}"
    require_equal(cfg, folder / "one", folder / "two")


def test_two_processes_of_mmv_end_as_one(mmv_run, tmp_path):
    """With an epsilon above the rounding of gradients before batch norms, of which Adam's usual one
    makes whole steps; the biases there have no other gradient."""
    rules = ((r"heads/.*/proj/bias", False), *mmv_run.trainable)
    optim = dataclasses.replace(mmv_run.optim, eps=1e-2)
    require_pair_as_one(tmp_path, dataclasses.replace(mmv_run, trainable=rules, optim=optim))


def test_two_processes_end_as_one_also_after_one_of_them_was_asked_to_stop(cfg, tmp_path):
    require_pair_as_one(tmp_path, cfg)

    pair = start_pair(tmp_path, cfg, "stopped", (MAIN, STOPPED))
    for status, _, told in ended(*pair):
        assert status == 128 + signal.SIGTERM, told
        assert "lb-jax: stopped by SIGTERM: saved at step" in told
    [(status, _, told)] = ended(start(tmp_path, cfg, "stopped", 8))  # on another mesh
    assert status == 0, told
    require_equal(cfg, tmp_path / "one", tmp_path / "stopped")


def test_without_other_hosts_the_way_to_name_them_is_told(monkeypatch):
    for name in (ADDRESS, COUNT, INDEX):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(errors.ConfigError, match=rf"--multihost: .* set {ADDRESS}=HOST:PORT"):
        distributed.start()


def test_a_failed_computation_of_several_hosts_is_one_sentence(monkeypatch, capsys):
    exits = []

    def fail():
        with distributed.together():
            raise jax.errors.JaxRuntimeError("UNKNOWN: Gloo: connection closed\nat some.cc:1")

    with pytest.raises(jax.errors.JaxRuntimeError):
        fail()  # alone: a mistake of the program
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(os, "_exit", exits.append)
    fail()
    assert exits == [2]
    assert "process 0 of 2 cannot compute" in capsys.readouterr().err
