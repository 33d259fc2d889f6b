"""The pace of a run, on a clock of its own."""

import time

import pytest

from lb_jax.training.record import Pace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_pace_counts_steps_waits_and_operations_between_rows(clock):
    pace = Pace(samples=32, flops=6e9, peak=12e9)
    clock(1.0)
    with pace.waiting():
        clock(1.0)
    for _ in range(4):
        pace.step()
    assert pace.row() == {
        "perf/step_s": 0.5,
        "perf/samples_per_s": 64.0,
        "perf/data_stall": 0.5,
        "perf/mfu": 1.0,
    }
    assert pace.row() == {}
    with pace.pausing():
        clock(50.0)
    clock(3.0)
    pace.step()
    assert pace.row()["perf/step_s"] == 3.0


def test_without_a_known_device_there_is_no_utilisation(clock):
    pace = Pace(samples=1)
    clock(1.0)
    pace.step()
    assert "perf/mfu" not in pace.row()
