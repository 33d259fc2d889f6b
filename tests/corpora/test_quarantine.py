"""What is written down about bad samples, and when there are too many."""

import json

import pytest

from lb_jax.core import errors
from lb_jax.corpora.quarantine import BadSample, Quarantine


def bad(path):
    return BadSample("depth", path, "cut")


def test_goes_on_after_a_line_that_was_cut_off(tmp_path):
    file = tmp_path / "quarantine.jsonl"
    file.write_text('{"modality": "depth", "path": "a", "reason": "b"}\n{"modality": "de')
    quarantine = Quarantine(file, 0.5)
    quarantine.record(4, [bad("a"), bad("c"), bad("c")])
    assert [json.loads(line)["path"] for line in file.read_text().splitlines()] == ["a", "c"]
    assert (quarantine.seen, quarantine.bad) == (7, 3)


def test_no_rate_is_judged_on_a_handful(tmp_path):
    quarantine = Quarantine(tmp_path / "q.jsonl", 0.1)
    quarantine.record(0, [bad(str(i)) for i in range(49)])
    with pytest.raises(errors.DataError, match=r"50 of 50 samples.*last: x: cut"):
        quarantine.record(0, [bad("x")])
