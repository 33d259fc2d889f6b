"""Damaged files end as errors of ours; for longer runs, and for one case, see the target itself."""

import os
import re
from pathlib import Path

import pytest

from benchmarks import fuzz_media

FILES = 2000  # with each seed


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_decode_or_are_named_errors(seed):
    tally = fuzz_media.fuzz(seed, range(FILES))
    assert not tally.failures, "\n".join(tally.failures.values())
    assert tally.files.total() == FILES
    modalities = {modality for modality, _ in fuzz_media.FILES.values()}
    assert {modality for modality, _ in tally.files} == modalities
    refused = sum(count for (_, outcome), count in tally.files.items() if outcome == "refused")
    assert 0.5 * FILES < refused < 0.95 * FILES


def test_a_case_is_the_same_whatever_ran_before():
    alone = fuzz_media.damaged(3, 77)
    fuzz_media.damaged(3, 76)
    assert fuzz_media.damaged(3, 77) == alone
    assert fuzz_media.damaged(4, 77) != alone


MISBEHAVIOURS = {
    "crash": ("os.abort()", "the process ended .SIGABRT"),
    "hang": ("time.sleep(99)", "took more than 3 s"),
    "memory": ("bytearray(b'1') * 1_300_000_000", "memory grew by"),
    "output": ("os.write(2, b'a remark')", "wrote to stdout or stderr: 'a remark'"),
    "another error": ("{}['x']", "KeyError: 'x'"),
}


@pytest.mark.parametrize("kind", list(MISBEHAVIOURS))
def test_misbehaviour_is_seen_with_its_case(kind, tmp_path, monkeypatch):
    """A child whose third damaged file misbehaves, by code that Python runs when it starts."""
    code, expected = MISBEHAVIOURS[kind]
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "from lb_jax.media import preprocess\n"
        "whole, calls = preprocess.preprocess, []\n"
        "def third(*arguments):\n"
        "    calls.append(0)\n"
        f"    if len(calls) == {len(fuzz_media.FILES) + 3}:\n"
        f"        {code}\n"
        "    return whole(*arguments)\n"
        "preprocess.preprocess = third\n"
    )
    root = Path(fuzz_media.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    monkeypatch.setattr(fuzz_media, "SECONDS", 3.0 if kind == "hang" else 60.0)
    tally = fuzz_media.fuzz(0, range(4))
    assert list(tally.failures) == [2]
    name = list(fuzz_media.FILES)[2]
    assert re.search(f"^{name}, seed 0, case 2: .*{expected}", tally.failures[2])
    assert tally.files.total() == 4
