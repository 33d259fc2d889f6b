"""Metrics rows survive a resume without doubles."""

import pytest

from lb_jax.core import logging


@pytest.fixture
def clock(monkeypatch):
    """Seconds that go by when they are told to."""
    now = [100.0]
    monkeypatch.setattr(logging.time, "monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    return wait


def test_time_left_is_that_of_the_recent_steps(clock, capsys):
    progress = logging.Progress("train", 100, unit="step", every_s=0)
    for seconds in (60.0, 0.5, 0.5, 0.5):  # the first compiles
        clock(seconds)
        progress.advance(note="loss 1")
    assert capsys.readouterr().err.splitlines() == [
        "train: 1/100  loss 1",
        "train: 2/100  loss 1",
        "train: 3/100  2.0 step/s  loss 1  48 s left",
        "train: 4/100  2.0 step/s  loss 1  48 s left",
    ]
    for _ in range(40):  # slower now
        clock(4.0)
        progress.advance()
    assert capsys.readouterr().err.splitlines()[-1] == "train: 44/100  4.0 s/step  224 s left"
    progress.advance(56)
    assert capsys.readouterr().err == "train: 100/100  2.0 step/s  in 221.5 s\n"


def test_resume_drops_rows_that_will_come_again(tmp_path):
    first = logging.MetricsFile(tmp_path / "m.jsonl")
    for step in range(5):
        first.write({"step": step}, step)
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write('{"step": 5')  # cut off by a kill
    logging.MetricsFile(tmp_path / "m.jsonl", first_step=3).write({"step": 3}, 3)
    assert [row["step"] for row in logging.read_metrics(tmp_path / "m.jsonl")] == [0, 1, 2, 3]


def test_damaged_lines_are_left_out_and_told(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_bytes(b'{"step": 0}\n\0\0\n[1]\n{"step": 1}\n')
    logging.MetricsFile(tmp_path / "m.jsonl", first_step=9)
    assert "m.jsonl: left out: 2 damaged lines" in capsys.readouterr().err
    assert logging.read_metrics(tmp_path / "m.jsonl") == [{"step": 0}, {"step": 1}]
    assert not capsys.readouterr().err
