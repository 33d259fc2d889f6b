"""Files that cannot be used are listed, and tried again when something changed."""

import json

import pytest

from lb_jax.core import errors
from lb_jax.media import faults
from tests.inference import fake
from tests.search import runs
from tests.search.runs import listed, named, pictures, update

pytest.importorskip("lancedb")


def test_bad_files_are_listed_and_tried_again_when_they_changed(media, tmp_path):
    bad = media / "a" / "0003.png"
    bad.write_bytes(fake.colour()[:200])
    (media / "film" / "x.mp4").write_bytes(b"no film")
    summary, found, _ = update(media, tmp_path / "s")
    listed = [json.loads(line) for line in (tmp_path / "s.bad").read_text().splitlines()]
    assert summary.bad == 3
    told = [(one["modality"], one["path"][-8:]) for one in listed]
    assert told == [("image", "0003.png"), ("video", "lm/x.mp4"), ("audio", "lm/x.mp4")]
    assert "damaged or cut off" in listed[0]["reason"]
    assert len({row["path"] for row in found}) == 10

    summary, _, model = update(media, tmp_path / "s")
    assert (summary.bad, model.encoded) == (3, 0)
    assert (tmp_path / "s.bad").read_text().count("\n") == 3
    bad.write_bytes(fake.colour(seed=77))
    summary, _, model = update(media, tmp_path / "s", retry=True)
    assert (summary.bad, model.encoded) == (2, 1)
    assert "0003" not in (tmp_path / "s.bad").read_text()


def test_too_many_bad_files_stop_the_run(tmp_path):
    for number in range(60):
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / f"{number}.png").write_bytes(b"")
    with pytest.raises(errors.DataError, match=r"50 of 50 samples .* --max-bad-rate=0.5"):
        update(tmp_path / "media", tmp_path / "s")


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
    monkeypatch.setattr(faults, "versions", lambda: "mended")
    summary, *_ = update(folder, tmp_path / "s", model, workers=1)
    assert (summary.bad, summary.faults) == (2, 2)


def test_quarantined_depth_is_tried_again_in_another_unit(tmp_path):
    summary, found, _ = update(runs.depth_list(tmp_path, "1"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, found) == (1, [])
    summary, found, _ = update(runs.depth_list(tmp_path, "1"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, found) == (1, [])
    summary, found, _ = update(runs.depth_list(tmp_path, "tum"), tmp_path / "s", max_bad_rate=1.0)
    assert (summary.bad, len(found)) == (0, 1)
