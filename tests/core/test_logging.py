"""Metrics rows survive a resume without doubles."""

from lb_jax.core import logging


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
    assert "m.jsonl: 2 damaged lines are left out" in capsys.readouterr().err
    assert logging.read_metrics(tmp_path / "m.jsonl") == [{"step": 0}, {"step": 1}]
    assert not capsys.readouterr().err
