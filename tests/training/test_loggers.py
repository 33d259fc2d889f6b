"""Loggers: what they are handed, where a resumed run goes on, and what is wrong with a name."""

import importlib.util
import struct
import sys
import types

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.training import loggers

ROW = {"step": 3, "loss": 1.5, "grad_norm": np.float32(2), "note": "text", "flag": True}


class FakeTracker(types.ModuleType):
    """Stands for trackio or wandb and notes its calls."""

    def __init__(self, name):
        super().__init__(name)
        self.__spec__ = importlib.util.spec_from_loader(name, None)
        self.started, self.logged, self.finished = [], [], 0

    def init(self, **options):
        self.started.append(options)
        return self

    def log(self, metrics, step):
        self.logged.append((step, metrics))

    def finish(self):
        self.finished += 1


@pytest.fixture
def trackers(monkeypatch):
    found = {name: FakeTracker(name) for name in ("trackio", "wandb")}
    for name, module in found.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_tracker_gets_numbers_by_step_and_the_settings(trackers, tmp_path, name):
    [one] = loggers.open_loggers([name], tmp_path, {"seed": 7})
    one.write(ROW, 3)
    one.close()
    tracker = trackers[name]
    assert tracker.logged == [(3, {"loss": 1.5, "grad_norm": 2.0})]
    assert tracker.finished == 1
    assert tracker.started[0]["project"] == "lb_jax"
    assert tracker.started[0]["config"] == {"seed": 7}


def test_resumed_run_goes_on_under_its_name(trackers, tmp_path):
    first, moved = tmp_path / "my run", tmp_path / "moved"
    first.mkdir()
    loggers.open_loggers(["wandb", "trackio"], first, {})
    first.rename(moved)
    loggers.open_loggers(["wandb", "trackio"], moved, {}, first_step=40)
    for tracker in trackers.values():
        before, after = tracker.started
        assert before["name"] == after["name"]
        assert before["name"].startswith("my-run-")
        assert before["resume"] == after["resume"] == "allow"
    before, after = trackers["wandb"].started
    assert before["id"] == after["id"] == before["name"]
    assert after["dir"] == str(moved)


def test_another_workdir_of_the_same_name_is_another_run(trackers, tmp_path):
    for parent in ("a", "b"):
        (tmp_path / parent / "run").mkdir(parents=True)
        loggers.open_loggers(["wandb"], tmp_path / parent / "run", {})
    first, second = trackers["wandb"].started
    assert first["id"] != second["id"]


def events(file):
    """Events of a TensorBoard file: length and checksum, the event, its checksum, and so on."""
    from tensorboardX.proto import event_pb2

    content, start = file.read_bytes(), 0
    while start < len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        yield event_pb2.Event.FromString(content[start + 12 : start + 12 + length])
        start += 12 + length + 4


def test_tensorboard_drops_what_a_resumed_run_takes_again(tmp_path):
    pytest.importorskip("tensorboardX")
    for first_step in (0, 2):
        [one] = loggers.open_loggers(["tensorboard"], tmp_path, {"seed": 7}, first_step=first_step)
        for step in range(first_step, 4):
            one.write({**ROW, "loss": 1 / (step + 1)}, step)
        one.close()
    before, after = (list(events(file)) for file in sorted((tmp_path / "tensorboard").iterdir()))
    values = {
        (event.step, value.tag): value.simple_value
        for event in before
        for value in event.summary.value
        if value.HasField("simple_value")
    }
    expected = {(step, "loss"): 1 / (step + 1) for step in range(4)}
    expected |= {(step, "grad_norm"): 2.0 for step in range(4)}
    assert values == pytest.approx(expected)
    starts = [event.step for event in after if event.HasField("session_log")]
    assert starts == [2]  # by which TensorBoard leaves out steps 2 and 3 of the file before
    texts = [value for event in before for value in event.summary.value if "config" in value.tag]
    assert b'"seed": 7' in texts[0].tensor.string_val[0]


def test_unknown_logger_is_told_with_the_nearest(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"unknown 'tensorbord'.*mean 'tensorboard'"):
        loggers.open_loggers(["tensorbord"], tmp_path, {})


def test_missing_package_is_told_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.ConfigError, match="`pip install tensorboardX`"):
        loggers.require(["tensorboard"])
    with pytest.raises(errors.ConfigError, match="`pip install wandb`"):
        loggers.open_loggers(["wandb"], tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_no_logger_needs_nothing(tmp_path):
    assert loggers.open_loggers((), tmp_path, {}) == []
    assert list(tmp_path.iterdir()) == []
