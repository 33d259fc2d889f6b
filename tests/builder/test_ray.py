"""On Ray the same stages say the same; where it is not there, that is told."""

import sys

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
