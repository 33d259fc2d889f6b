"""Files to a store: what is embedded, and what is not embedded again."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from lb_jax.corpora import media_files as sources
from lb_jax.media import decoders, preprocess, readings, specs
from lb_jax.search import bulk, upgrade
from lb_jax.search.store import Store
from tests.inference import fake
from tests.media import media_files, motion
from tests.search import runs, stores
from tests.search.runs import listed, named, rows, update

pytest.importorskip("lancedb")


def test_every_window_of_every_modality_becomes_a_row_in_the_order_of_the_files(media, tmp_path):
    summary, found, model = update(media, tmp_path / "s", commit_rows=3)
    films = [row for row in found if row["modality"] == "video"]
    sounds = [row for row in found if row["modality"] == "audio" and row["path"].endswith("mp4")]
    assert [row["start_s"] for row in films] == pytest.approx([0, 1, 1.4, 0, 1, 1.9])
    assert {row["path"][-8:] for row in sounds} == {"0004.mp4"}  # the other one is silent
    stills = [row for row in found if row["modality"] not in ("video", "audio")]
    assert all(row["start_s"] is None and row["end_s"] is None for row in stills)
    order = [one.path for one in sources.find([media], model.modalities).sources]
    assert list(dict.fromkeys(row["path"] for row in found)) == order
    assert (summary.files, summary.embedded, summary.bad) == (10, 10, 0)
    assert summary.rows == len(found) == model.encoded
    expected = model.encode("image", _array(model, media / "a" / "0000.png"))[0]
    np.testing.assert_array_equal(found[0]["vector"], expected)


def _array(model, path):
    from lb_jax.media import preprocess

    return preprocess.preprocess("image", path, model.specs["image"])


def test_only_what_is_new_or_changed_is_embedded(media, tmp_path):
    _, before, _ = update(media, tmp_path / "s")
    summary, after, model = update(media, tmp_path / "s")
    assert (model.encoded, summary.unchanged, after) == (0, 10, before)

    one, two, far = (media / "a" / name for name in ("0000.png", "0005.png", "z.png"))
    one.rename(far), two.rename(one), far.rename(two)  # contents change places
    os.utime(media / "sound" / "0003.wav", (1, 1))
    (media / "a" / "copy.png").write_bytes(one.read_bytes())
    (media / "sound" / "0008.wav").unlink()
    summary, after, model = update(media, tmp_path / "s", commit_rows=1)
    assert model.encoded <= 1  # the second of the two whose content was replaced before it came
    vectors = {(row["path"][-8:], row["modality"]): row["vector"] for row in after}
    old = {(row["path"][-8:], row["modality"]): row["vector"] for row in before}
    assert vectors["0000.png", "image"] == old["0005.png", "image"] == vectors["copy.png", "image"]
    assert vectors["0005.png", "image"] == old["0000.png", "image"]
    assert ("0008.wav", "audio") in vectors
    assert len(after) == len(before) + 1

    one.write_bytes(fake.colour(seed=99))
    summary, after, model = update(media, tmp_path / "s", prune=True)
    assert (model.encoded, summary.pruned) == (1, 1)
    assert named(after).count("0000.png") == 1
    assert "0008.wav" not in named(after)


def test_what_could_not_be_searched_is_not_pruned():
    there = sources.Source("/m/x.jpg", ("image",))
    found = sources.Found((there,), {}, folders=("/m",), wanted=("image",), closed=("/m/a",))
    known = [(f"/m/{name}.jpg", "image") for name in ("a/kept", "gone", "x")]
    assert bulk.gone(found, known) == known[1:2]


def test_windows_that_are_there_twice_are_mended(media, tmp_path):
    _, before, _ = update(media, tmp_path / "s")
    store = Store.open(str(tmp_path / "s"))
    table = stores.table(tmp_path / "s")
    table.add([row for row in table.to_arrow().to_pylist() if row["path"].endswith("0004.mp4")])
    summary, after, _ = update(media, tmp_path / "s")
    assert (summary.embedded, store.repeated()) == (1, set())
    assert sorted(after, key=str) == sorted(before, key=str)


def test_file_that_may_not_be_read_and_damaged_film_are_told(tmp_path, monkeypatch):
    film, denied = tmp_path / "x.mp4", PermissionError(13, "Permission denied", "x")
    film.write_bytes(b"no film")
    model = fake.Fake()
    pipe = types.SimpleNamespace(recv=lambda: ("video", "audio"))

    def told():
        given = pipe, str(film), ("video", "audio"), readings.Windows(model.specs, 1.0, 1.0)
        found = decoders._decode(*given)
        return {one.modality: one.reason for one in found if isinstance(one, decoders.Bad)}

    assert told()["video"].startswith("is no video file")
    assert told()["audio"].startswith("is no audio file")

    def refuse(path):
        raise denied

    monkeypatch.setattr(decoders.given, "_Watched", refuse)
    reason = "cannot be read (Permission denied); make it readable and run again with --retry"
    assert told() == {None: reason}


def test_shares_of_several_processes_make_up_the_whole(media, tmp_path):
    _, whole, _ = update(media, tmp_path / "one")
    for number in (0, 1):
        update(media, tmp_path / "two", share=(number, 2), quarantine=tmp_path / f"{number}.bad")
    assert sorted(rows(tmp_path / "two"), key=str) == sorted(whole, key=str)


def test_decoding_processes_need_no_jax():
    code = "import sys, lb_jax.media.decoders, lb_jax.search.bulk; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_depth_of_a_unit_of_its_own_is_embedded_again_when_that_changes(tmp_path):
    _, (first,), model = update(runs.depth_list(tmp_path, "tum"), tmp_path / "s")
    metres = np.full((40, 40), 2, np.float32)
    expected = preprocess.preprocess("depth", metres, model.specs["depth"])
    np.testing.assert_array_equal(first["vector"], model.encode("depth", expected)[0])
    assert first["preprocessing"] == f"{model.preprocessing} depth_unit=tum"
    summary, (same,), _ = update(runs.depth_list(tmp_path, "tum"), tmp_path / "s")
    assert (summary.unchanged, same) == (1, first)
    summary, (other,), _ = update(runs.depth_list(tmp_path, "1/2500"), tmp_path / "s")
    assert summary.embedded == 1
    assert other["preprocessing"].endswith("depth_unit=1/2500")
    assert other["vector"] != first["vector"]


def test_upgrade_keeps_the_units_of_files(tmp_path):
    update(runs.depth_list(tmp_path, "tum"), tmp_path / "s")
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


def test_long_recordings_of_motion_become_timed_rows(tmp_path):
    folder = tmp_path / "walks"
    folder.mkdir()
    said = "t,ax [m/s2],ay,az,gx [rad/s],gy,gz"
    t, readings = motion.swaying(seconds=4.5)
    (folder / "a.csv").write_bytes(motion.table(t, readings, said))
    (folder / "b.parquet").write_bytes(motion.columnar(t[:200], readings[:200]))
    readings[9] = np.nan
    (folder / "c.csv").write_bytes(motion.table(t, readings, said))
    (folder / "captions.csv").write_text("path,caption\na.csv,someone walks\n")
    model = fake.Fake(imu=specs.ImuSpec(samples=100, window_s=1.0))
    summary, stored, _ = update(folder, tmp_path / "s", model, quarantine=tmp_path / "q.jsonl")
    assert [(row["path"][-9:], row["start_s"], row["end_s"]) for row in stored] == [
        *[("lks/a.csv", start, start + 1.0) for start in (0.0, 1.0, 2.0, 3.0, 3.5)],
        *[("b.parquet", start, start + 1.0) for start in (0.0, 1.0)],
    ]
    assert {row["modality"] for row in stored} == {"imu"}
    [bad] = listed(tmp_path / "q.jsonl")
    assert bad["path"].endswith("c.csv")
    assert "has 1 gap without readings" in bad["reason"]
    assert {reason.partition(" taken")[0] for _, reason in summary.remarks} == {
        "accelerometer",
        "gyroscope",
    }
    again, _, other = update(folder, tmp_path / "s", fake.Fake(imu=model.specs["imu"]),
                             quarantine=tmp_path / "q.jsonl")  # fmt: skip
    assert (again.unchanged, other.encoded) == (2, 0)
