"""On Ray the same stages say the same; where it is not there, that is told."""

import contextlib
import os
import pathlib
import signal
import sys
import threading

import pytest

from lb_jax.builder import export, items, sheet, store
from lb_jax.builder.engine import ray as engine
from lb_jax.core import errors
from tests.builder import raw

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    frames, wave = raw.drawn(9)
    stands = frames[:1].repeat(len(frames), axis=0), wave
    return raw.source(tmp_path_factory.mktemp("source"), 6, stands=stands, damaged=None)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Enough films that something can be taken away in between."""
    return raw.source(tmp_path_factory.mktemp("many"), 24)


def test_without_ray_the_extra_is_told(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    plan, found = sheet.plan(raw.config(source)), items.read(sheet.Source(path=str(source)))
    with pytest.raises(errors.ConfigError, match=r"pip install 'lb_jax\[ray\]'"):
        engine.run(plan, found, store.Store.open(tmp_path / "store"), shown=False)


def test_rows_are_those_of_this_machine_alone(source, tmp_path):
    pytest.importorskip("ray")
    cfg = raw.config(source)
    plan, _, expected = raw.run(cfg, tmp_path / "local")
    opened = store.Store.open(tmp_path / "ray")
    settings = {"workers": 2, "commit_rows": 3, "shown": False}
    engine.run(plan, items.read(cfg.source), opened, **settings)
    assert export.table(plan, opened).equals(expected)


def test_rows_are_the_same_where_actors_are_killed(many, tmp_path):
    pytest.importorskip("ray")
    cfg = raw.config(many)
    plan, _, expected = raw.run(cfg, tmp_path / "local")
    opened = store.Store.open(tmp_path / "ray")
    killed: list[int] = []

    def kill(over):
        """One actor after the next: the first that is there, another one after a commit."""
        for _ in range(2):
            before = _commits(tmp_path / "ray") if killed else -1
            while not over.wait(0.05):
                there = [one for one in _actors() if one not in killed]
                if there and _commits(tmp_path / "ray") > before:
                    os.kill(there[0], signal.SIGKILL)
                    killed.append(there[0])
                    break

    with _beside(kill):
        settings = {"workers": 2, "commit_rows": 1, "shown": False}
        engine.run(plan, items.read(cfg.source), opened, **settings)
    assert len(killed) == 2
    assert export.table(plan, opened).equals(expected)


def test_rows_are_the_same_where_a_node_is_taken_away(many, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    from ray import cluster_utils

    # or Ray looks for a cluster on the loopback interface at the machine's other address
    monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
    cfg = raw.config(many)
    plan, _, expected = raw.run(cfg, tmp_path / "local")
    opened = store.Store.open(tmp_path / "ray")
    node = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**node, "include_dashboard": False}
    )
    gone: list[str] = []
    try:
        taken, _ = (cluster.add_node(**node) for _ in range(2))
        cluster.wait_for_nodes()

        def take_away(over):
            while not over.wait(0.05):
                if _commits(tmp_path / "ray") > 0:
                    cluster.remove_node(taken, allow_graceful=False)
                    gone.append(taken.unique_id)
                    return

        with _beside(take_away):
            settings = {"workers": 3, "commit_rows": 1, "shown": False}
            engine.run(
                plan,
                items.read(cfg.source),
                opened,
                address=cluster.address,
                **settings,
            )
    finally:
        cluster.shutdown()
    assert gone
    assert export.table(plan, opened).equals(expected)


@contextlib.contextmanager
def _beside(work):
    """Runs `work(over)` in a thread beside what is done; the event `over` is set behind it."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _actors() -> list[int]:
    """Processes of actors that look at films."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"ray::MapWorker(MapBatches(Look))"):
                found.append(int(path.parent.name))
    return sorted(found)


def _commits(uri) -> int:
    """Files of what a stage said that looks at films."""
    return sum(1 for _ in uri.glob("stage_still.lance/data/*"))
