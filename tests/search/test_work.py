"""Work goes on through deaths, faults and kills, and nothing is done twice."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from lb_jax.core import errors
from lb_jax.search import store_work
from tests.inference import fake
from tests.media import media_files
from tests.search.runs import listed, named, pictures, rows, update

pytest.importorskip("lancedb")

DRIVER = """
import sys
from lb_jax.corpora import media_files
from lb_jax.search import bulk
from lb_jax.search.maker import Maker
from lb_jax.search.store import Store
from tests.inference import fake
if __name__ == "__main__":
    model, (media, uri) = fake.Fake(), sys.argv[1:]
    store = Store.create(uri, Maker.of(model, 1.0, 1.0))
    found = media_files.find([media], model.modalities)
    bulk.update(found, model, store, uri + ".bad", workers=2, commit_rows=5, shown=False)
"""


def test_what_another_run_added_meanwhile_is_not_added_again(media, tmp_path, monkeypatch):
    uri, finish, calls = tmp_path / "s", store_work.StoreWork._finish, []

    def meanwhile(running, file):
        calls.append(file)
        if len(calls) == 4:  # three files wait for their commit
            update(media, uri, quarantine=tmp_path / "other.bad")
        finish(running, file)

    with monkeypatch.context() as patched:
        patched.setattr(store_work.StoreWork, "_finish", meanwhile)
        summary, found, _ = update(media, uri)
    assert summary.rows == 0
    assert found == update(media, tmp_path / "one")[1]


def test_equal_files_are_embedded_once(tmp_path):
    for name in "abcdef":
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{name}.png").write_bytes(fake.colour())
    summary, found, model = update(tmp_path / "media", tmp_path / "s", workers=2)
    assert (model.encoded, summary.reused, len(found)) == (1, 5, 6)
    assert len({tuple(row["vector"]) for row in found}) == 1


def test_a_process_that_dies_or_hangs_costs_its_file_alone(tmp_path):
    (tmp_path / "media").mkdir()
    for number in range(8):
        content = fake.colour(255 * (number == 2), 255 * (number == 5), seed=number)
        (tmp_path / "media" / f"{number}.png").write_bytes(content)
    model = fake.Fake(image=fake.Deadly(size=32))
    _, found, _ = update(tmp_path / "media", tmp_path / "s", model, workers=2, timeout_s=3)
    assert named(found) == [f"{n}.png" for n in (0, 1, 3, 4, 6, 7)]
    listed = [json.loads(line) for line in (tmp_path / "s.bad").read_text().splitlines()]
    assert [one["path"][-5:] for one in listed] == ["2.png", "5.png"]
    assert "the process that decoded it ended with SIGSEGV" in listed[0]["reason"]
    assert "was not decoded within 3 s" in listed[1]["reason"]


@pytest.mark.parametrize(
    ("reds", "files"), [((255,) * 5, "3 image files"), ((255,), "1 image file")]
)
def test_faults_at_the_first_files_stop_the_run(tmp_path, capfd, reds, files):
    folder, model = pictures(tmp_path / "media", *reds)
    (folder / "0-sound.wav").write_bytes(media_files.sound(media_files.noise(16000)))
    with pytest.raises(errors.InternalError, match=f"lb_jax failed on the first {files}") as caught:
        update(folder, tmp_path / "s", model, workers=1)
    assert re.search(
        r"AttributeError: .*\(lb_jax/media/image.py:\d+, \w+\); last: ", str(caught.value)
    )
    assert "no_such_thing" in str(caught.value.__cause__)
    assert named(rows(tmp_path / "s")) == ["0-sound.wav"]  # what was embedded before stays
    assert len(listed(tmp_path / "s.bad")) == min(len(reds), 3)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_file_is_no_success_and_no_fault(tmp_path):
    folder, model = pictures(tmp_path / "media", 255, 0, 255)
    (folder / "1.png").write_bytes(b"no picture")
    with pytest.raises(errors.InternalError, match="the first 2 image files"):
        update(folder, tmp_path / "s", model, workers=1)


def test_long_files_come_whole(tmp_path):
    (tmp_path / "long.wav").write_bytes(media_files.sound(media_files.noise(16000 * 40)))
    _, found, _ = update(tmp_path / "long.wav", tmp_path / "s", window_s=0.5)
    assert [row["start_s"] for row in found] == [0.5 * n for n in range(80)]
    assert [row["end_s"] for row in found] == [0.5 * n for n in range(1, 81)]


def test_store_after_kills_is_that_of_a_run_without(tmp_path):
    media = fake.write(tmp_path / "media", 40)
    (media / "a" / "0001.png").write_bytes(b"bad")
    command = [sys.executable, "-c", DRIVER, str(media)]
    draw = random.Random(0)
    for _ in range(3):
        killed = subprocess.Popen([*command, str(tmp_path / "s")], start_new_session=True)
        until = time.monotonic() + 20
        before = (tmp_path / "s").exists() and len(rows(tmp_path / "s"))
        while killed.poll() is None and time.monotonic() < until:
            time.sleep(draw.uniform(0, 0.1))
            if _has_more(tmp_path / "s", before):
                break
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    for name in ("s", "unbroken"):
        subprocess.run([*command, str(tmp_path / name)], check=True)
    assert rows(tmp_path / "s") == rows(tmp_path / "unbroken")


def _has_more(uri, before):
    try:
        return len(rows(uri)) > before
    except errors.DataError:  # it is just being made
        return False
