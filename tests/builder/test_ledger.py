"""A ledger keeps what it was told, whole, however its process ends."""

import random
import signal
import subprocess
import sys
import time

import pytest

from lb_jax.builder.ledger import Entry, Ledger
from lb_jax.core import errors

WRITER = """
import sys
from lb_jax.builder.ledger import Entry, Ledger
with Ledger(sys.argv[1]) as ledger:
    number = max((int(one.key) for one in ledger.entries()), default=-1) + 1
    print("ready", flush=True)
    while True:
        ledger.put(f"{number:06}", "done", {"text": "x" * 2000, "number": number})
        print(number, flush=True)
        number += 1
"""


def test_what_is_put_is_there(tmp_path):
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.get("a") is None
        ledger.put("b", "found", {"title": "ein Hündchen"})
        ledger.put("a", "found", {})
        ledger.put("b", "done", {"n": 1})
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.get("b") == Entry("b", "done", {"n": 1})
        assert [one.key for one in ledger.entries()] == ["a", "b"]
        assert [one.key for one in ledger.entries("done")] == ["b"]
        assert ledger.counts() == {"done": 1, "found": 1}


def test_what_is_added_does_not_replace(tmp_path):
    with Ledger(tmp_path / "l", "items") as ledger, Ledger(tmp_path / "l", "others") as others:
        ledger.put("a", "done", {})
        ledger.add([Entry("a", "found", {"new": True}), Entry("b", "found", {})])
        assert {one.key: one.state for one in ledger.entries()} == {"a": "done", "b": "found"}
        assert others.entries() == []


def test_kills_leave_whole_rows(tmp_path):
    rng, seen = random.Random(0), 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "l")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        for _ in range(rng.randrange(1, 10)):
            seen = int(process.stdout.readline())
        time.sleep(rng.random() * 0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        with Ledger(tmp_path / "l") as ledger:
            entries = ledger.entries()
        assert [one.value["number"] for one in entries] == list(range(len(entries)))
        assert len(entries) > seen  # what was said to be written is


def test_a_file_that_is_none_is_told(tmp_path):
    (tmp_path / "l").write_bytes(b"no database" * 200)
    with pytest.raises(errors.DataError, match="cannot be used as a ledger"):
        Ledger(tmp_path / "l")


def test_a_full_disk_is_told(tmp_path):
    with Ledger(tmp_path / "l") as ledger:
        ledger.put("a", "done", {})
        ledger._file.execute("PRAGMA max_page_count = 1")
        with pytest.raises(errors.DataError, match="its disk is full"):
            ledger.put("b", "done", {"text": "x" * 1_000_000})
        assert [one.key for one in ledger.entries()] == ["a"]
