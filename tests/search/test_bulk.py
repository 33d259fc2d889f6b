"""Files to a store: what is embedded, what is not embedded again, and what a kill costs."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import media_files as sources
from lb_jax.media import decoders, preprocess
from lb_jax.search import bulk, upgrade
from lb_jax.search.store import Maker, Store
from tests.inference import fake
from tests.media import media_files

pytest.importorskip("lancedb")

DRIVER = """
import sys
from lb_jax.inference import bulk, sources
from lb_jax.search.store import Maker, Store
from tests.inference import fake
if __name__ == "__main__":
    model, (media, uri) = fake.Fake(), sys.argv[1:]
    store = Store.create(uri, Maker.of(model, 1.0, 1.0))
    found = sources.find([media], model.modalities)
    bulk.update(found, model, store, uri + ".bad", workers=2, commit_rows=5, shown=False)
"""


@pytest.fixture
def folder(tmp_path):
    return fake.write(tmp_path / "media", 10)


def update(folder, uri, model=None, window_s=1.0, **settings):
    """Rows, summary and model of a run."""
    model = model or fake.Fake()
    store = Store.create(str(uri), Maker.of(model, window_s, window_s))
    found = sources.find([folder], model.modalities)
    listed = settings.pop("quarantine", f"{uri}.bad")
    settings = {"workers": 1, "shown": False} | settings
    return bulk.update(found, model, store, listed, **settings), rows(uri), model


def rows(uri):
    return Store.open(str(uri))._table.to_arrow().to_pylist()


def named(rows):
    return [row["path"].rpartition("/")[2] for row in rows]


def test_every_window_of_every_modality_becomes_a_row_in_the_order_of_the_files(folder, tmp_path):
    summary, found, model = update(folder, tmp_path / "s", commit_rows=3)
    films = [row for row in found if row["modality"] == "video"]
    sounds = [row for row in found if row["modality"] == "audio" and row["path"].endswith("mp4")]
    assert [row["start_s"] for row in films] == pytest.approx([0, 1, 1.4, 0, 1, 1.9])
    assert {row["path"][-8:] for row in sounds} == {"0004.mp4"}  # the other one is silent
    stills = [row for row in found if row["modality"] not in ("video", "audio")]
    assert all(row["start_s"] is None and row["end_s"] is None for row in stills)
    order = [one.path for one in sources.find([folder], model.modalities).sources]
    assert list(dict.fromkeys(row["path"] for row in found)) == order
    assert (summary.files, summary.embedded, summary.bad) == (10, 10, 0)
    assert summary.rows == len(found) == model.encoded
    expected = model.encode("image", _array(model, folder / "a" / "0000.png"))[0]
    np.testing.assert_array_equal(found[0]["vector"], expected)


def _array(model, path):
    from lb_jax.media import preprocess

    return preprocess.preprocess("image", path, model.specs["image"])


def test_only_what_is_new_or_changed_is_embedded(folder, tmp_path):
    _, before, _ = update(folder, tmp_path / "s")
    summary, after, model = update(folder, tmp_path / "s")
    assert (model.encoded, summary.unchanged, after) == (0, 10, before)

    one, two, far = (folder / "a" / name for name in ("0000.png", "0005.png", "z.png"))
    one.rename(far), two.rename(one), far.rename(two)  # contents change places
    os.utime(folder / "sound" / "0003.wav", (1, 1))
    (folder / "a" / "copy.png").write_bytes(one.read_bytes())
    (folder / "sound" / "0008.wav").unlink()
    summary, after, model = update(folder, tmp_path / "s", commit_rows=1)
    assert model.encoded <= 1  # the second of the two whose content was replaced before it came
    vectors = {(row["path"][-8:], row["modality"]): row["vector"] for row in after}
    old = {(row["path"][-8:], row["modality"]): row["vector"] for row in before}
    assert vectors["0000.png", "image"] == old["0005.png", "image"] == vectors["copy.png", "image"]
    assert vectors["0005.png", "image"] == old["0000.png", "image"]
    assert ("0008.wav", "audio") in vectors
    assert len(after) == len(before) + 1

    one.write_bytes(fake.colour(seed=99))
    summary, after, model = update(folder, tmp_path / "s", prune=True)
    assert (model.encoded, summary.pruned) == (1, 1)
    assert named(after).count("0000.png") == 1
    assert "0008.wav" not in named(after)


def test_what_another_run_added_meanwhile_is_not_added_again(folder, tmp_path, monkeypatch):
    uri, finish, calls = tmp_path / "s", bulk._Work._finish, []

    def meanwhile(work, file):
        calls.append(file)
        if len(calls) == 4:  # three files wait for their commit
            update(folder, uri, quarantine=tmp_path / "other.bad")
        finish(work, file)

    with monkeypatch.context() as patched:
        patched.setattr(bulk._Work, "_finish", meanwhile)
        summary, found, _ = update(folder, uri)
    assert summary.rows == 0
    assert found == update(folder, tmp_path / "one")[1]


def test_windows_that_are_there_twice_are_mended(folder, tmp_path):
    _, before, _ = update(folder, tmp_path / "s")
    store = Store.open(str(tmp_path / "s"))
    film = [row for row in store._table.to_arrow().to_pylist() if row["path"].endswith("0004.mp4")]
    store._table.add(film)
    summary, after, _ = update(folder, tmp_path / "s")
    assert (summary.embedded, store.repeated()) == (1, set())
    assert sorted(after, key=str) == sorted(before, key=str)


def test_file_that_may_not_be_read_and_damaged_film_are_told(tmp_path, monkeypatch):
    film, denied = tmp_path / "x.mp4", PermissionError(13, "Permission denied", "x")
    film.write_bytes(b"no film")
    model = fake.Fake()
    pipe = types.SimpleNamespace(recv=lambda: ("video", "audio"))

    def told():
        given = pipe, str(film), ("video", "audio"), model.specs, 1.0, 1.0
        found = decoders._decode(*given)
        return {one.modality: one.reason for one in found if isinstance(one, decoders.Bad)}

    assert told()["video"].startswith("is no video file")
    assert told()["audio"].startswith("is no audio file")

    def refuse(path):
        raise denied

    monkeypatch.setattr(decoders.given, "_Watched", refuse)
    reason = "cannot be read (Permission denied); make it readable and run again with --retry"
    assert told() == {None: reason}


def test_equal_files_are_embedded_once(tmp_path):
    for name in "abcdef":
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{name}.png").write_bytes(fake.colour())
    summary, found, model = update(tmp_path / "media", tmp_path / "s", workers=2)
    assert (model.encoded, summary.reused, len(found)) == (1, 5, 6)
    assert len({tuple(row["vector"]) for row in found}) == 1


def test_bad_files_are_listed_and_tried_again_when_they_changed(folder, tmp_path):
    bad = folder / "a" / "0003.png"
    bad.write_bytes(fake.colour()[:200])
    (folder / "film" / "x.mp4").write_bytes(b"no film")
    summary, found, _ = update(folder, tmp_path / "s")
    listed = [json.loads(line) for line in (tmp_path / "s.bad").read_text().splitlines()]
    assert summary.bad == 3
    told = [(one["modality"], one["path"][-8:]) for one in listed]
    assert told == [("image", "0003.png"), ("video", "lm/x.mp4"), ("audio", "lm/x.mp4")]
    assert "damaged or cut off" in listed[0]["reason"]
    assert len({row["path"] for row in found}) == 10

    summary, _, model = update(folder, tmp_path / "s")
    assert (summary.bad, model.encoded) == (3, 0)
    assert (tmp_path / "s.bad").read_text().count("\n") == 3
    bad.write_bytes(fake.colour(seed=77))
    summary, _, model = update(folder, tmp_path / "s", retry=True)
    assert (summary.bad, model.encoded) == (2, 1)
    assert "0003" not in (tmp_path / "s.bad").read_text()


def test_too_many_bad_files_stop_the_run(tmp_path):
    for number in range(60):
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{number}.png").write_bytes(b"")
    with pytest.raises(errors.DataError, match=r"50 of 50 samples .* --max-bad-rate=0.5"):
        update(tmp_path / "media", tmp_path / "s")


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


def pictures(folder, *reds):
    folder.mkdir()
    for number, red in enumerate(reds):
        (folder / f"{number}.png").write_bytes(fake.colour(red, seed=number))
    return folder, fake.Fake(image=fake.Faulty(size=32))


def listed(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_fault_of_ours_is_listed_as_such_with_its_traceback(tmp_path, monkeypatch, capfd):
    folder, model = pictures(tmp_path / "media", 255, 0, 255, 0)
    summary, found, _ = update(folder, tmp_path / "s", model, workers=1)
    assert named(found) == ["1.png", "3.png"]
    assert (summary.bad, summary.faults) == (2, 2)
    assert "2 of them by faults of lb_jax" in summary.told()
    for row in listed(tmp_path / "s.bad"):
        assert row["reason"].startswith("lb_jax failed, which is no fault of the file; report it: ")
        assert "AttributeError: 'numpy.ndarray' object has no attribute 'no_such" in row["reason"]
        assert "(lb_jax/media/image.py:" in row["reason"]
        assert row["traceback"].startswith("Traceback (most recent call last):")
    assert capfd.readouterr() == ("", "")
    summary, *_ = update(folder, tmp_path / "s", model, workers=1)
    assert (summary.bad, summary.faults) == (2, 0)
    monkeypatch.setattr(bulk.faults, "versions", lambda: "mended")
    summary, *_ = update(folder, tmp_path / "s", model, workers=1)
    assert (summary.bad, summary.faults) == (2, 2)


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


def test_shares_of_several_processes_make_up_the_whole(folder, tmp_path):
    _, whole, _ = update(folder, tmp_path / "one")
    for number in (0, 1):
        update(folder, tmp_path / "two", share=(number, 2), quarantine=tmp_path / f"{number}.bad")
    assert sorted(rows(tmp_path / "two"), key=str) == sorted(whole, key=str)


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


def test_decoding_processes_need_no_jax():
    code = "import sys, lb_jax.media.decoders, lb_jax.search.bulk; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _listed(tmp_path, unit):
    """A manifest of one depth map of 2 m at 5,000 units a metre."""
    picture = media_files.picture(np.full((40, 40), 10_000, np.uint16))
    if not (tmp_path / "a.png").exists():
        (tmp_path / "a.png").write_bytes(picture)
    (tmp_path / "list.csv").write_text(f"depth,depth_unit\na.png,{unit}\n")
    return tmp_path / "list.csv"


def test_depth_of_a_unit_of_its_own_is_embedded_again_when_that_changes(tmp_path):
    _, (first,), model = update(_listed(tmp_path, "tum"), tmp_path / "s")
    metres = np.full((40, 40), 2, np.float32)
    expected = preprocess.preprocess("depth", metres, model.specs["depth"])
    np.testing.assert_array_equal(first["vector"], model.encode("depth", expected)[0])
    assert first["preprocessing"] == f"{model.preprocessing} depth_unit=tum"
    summary, (same,), _ = update(_listed(tmp_path, "tum"), tmp_path / "s")
    assert (summary.unchanged, same) == (1, first)
    summary, (other,), _ = update(_listed(tmp_path, "1/2500"), tmp_path / "s")
    assert summary.embedded == 1
    assert other["preprocessing"].endswith("depth_unit=1/2500")
    assert other["vector"] != first["vector"]


def test_quarantined_depth_is_tried_again_in_another_unit(tmp_path):
    summary, found, _ = update(_listed(tmp_path, "1"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, found) == (1, [])
    summary, found, _ = update(_listed(tmp_path, "1"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, found) == (1, [])
    summary, found, _ = update(_listed(tmp_path, "tum"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, len(found)) == (0, 1)


def test_upgrade_keeps_the_units_of_files(tmp_path):
    update(_listed(tmp_path, "tum"), tmp_path / "s")
    upgrade.run(str(tmp_path / "s"), fake.Fake(source="other"), workers=1, shown=False)
    (row,) = rows(tmp_path / "s")
    assert row["preprocessing"].endswith("depth_unit=tum")
    assert not [one for one in Store.open(str(tmp_path / "s")).check() if one.is_serious]


def test_warnings_of_decoding_come_to_the_summary_and_into_a_list(tmp_path):
    folder = tmp_path / "media"
    (folder / "thermal").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(3):
        palette = rng.integers(0, 256, (40, 40, 3), np.uint8)
        (folder / "thermal" / f"{number}.png").write_bytes(media_files.picture(palette))
    grey = rng.integers(0, 256, (40, 40), np.uint8)
    (folder / "thermal" / "grey.png").write_bytes(media_files.picture(grey))
    summary, stored, _ = update(folder, tmp_path / "store", quarantine=tmp_path / "q.jsonl")
    assert len(stored) == 4
    assert [path[-5:] for path, _ in summary.remarks] == ["0.png", "1.png", "2.png"]
    assert all("false colours" in reason for _, reason in summary.remarks)
    assert summary.warnings == tmp_path / "q.warnings.jsonl"
    listed = [json.loads(line) for line in summary.warnings.read_text().splitlines()]
    assert [(row["modality"], row["path"][-5:]) for row in listed] == [
        ("thermal", f"{number}.png") for number in range(3)
    ]
    assert not (tmp_path / "q.jsonl").exists()
    again, _, _ = update(folder, tmp_path / "store", quarantine=tmp_path / "q.jsonl")
    assert again.unchanged == 4
    assert not again.remarks
    assert len(summary.warnings.read_text().splitlines()) == 3
