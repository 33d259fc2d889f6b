"""What `lb-jax data check` finds in a corpus, and what it prints."""

import json

import numpy as np
import pytest
import soundfile

from lb_jax.cli import main
from lb_jax.corpora import check
from lb_jax.corpora.sources import open_source
from lb_jax.media import specs
from tests.media import media_files, motion


@pytest.fixture
def corpus(tmp_path):
    """A manifest of clips and sounds; some are damaged, silent, black or missing."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(16000), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(16000), 16000)
    clip = media_files.clip(20)
    (tmp_path / "a.mp4").write_bytes(clip)
    (tmp_path / "cut.mp4").write_bytes(clip[: len(clip) // 2])
    (tmp_path / "text.mp4").write_text("no clip")
    rows = [
        {"video": "a.mp4", "audio": "a.wav", "caption": "a red car"},
        {"video": "cut.mp4", "audio": "b.wav", "caption": "a red car"},
        {"video": "text.mp4", "audio": "silent.wav", "caption": "word " * 100},
        {"video": "none.mp4", "caption": "&nbsp;"},
        {"audio": "a.wav"},
        {"caption": "no files"},
    ]
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_everything_is_found(corpus, processes):
    chosen = {name: specs.preset(name, "default") for name in ("video", "audio")}
    report = check.check(open_source(corpus), chosen, processes=processes)
    reasons = {bad.path.rpartition("/")[2]: bad.reason for bad in report.bad}
    assert set(reasons) == {
        *("cut.mp4", "text.mp4", "none.mp4", "silent.wav"),
        *("corpus.jsonl: 3, caption", "corpus.jsonl: line 6"),
    }
    assert "is silent" in reasons["silent.wav"]
    assert "names no file" in reasons["corpus.jsonl: line 6"]
    told = report.as_dict()
    assert told["modalities"]["video"]["files"] == 1
    assert told["modalities"]["video"]["sizes"] == {"64x48": 1}
    assert told["modalities"]["video"]["duration_s"]["total"] == pytest.approx(2.0)
    assert told["modalities"]["audio"]["files"] == 3
    assert told["modalities"]["audio"]["duration_s"]["median"] == pytest.approx(1.0, abs=0.02)
    assert told["captions"] == {
        "count": 3,
        "kinds": {"caption": 4},
        "rows_without": 1,
        "bad": 1,
        "truncated": 1,
        "repeated": 1,
        "most_repeated": {"a red car": 2},
    }


def test_command_prints_and_writes_the_report(corpus, tmp_path, capfd):
    out = tmp_path / "out" / "report.json"
    arguments = ["data", "check", str(corpus), f"--report={out}", "--processes=1"]
    assert main.main([*arguments, "--batch-size=64", "--step-s=0.5"]) == 0
    printed = capfd.readouterr().out
    assert "video    1 good, 3 bad" in printed
    assert "loading 64 takes" in printed
    assert "x2 a red car" in printed
    assert json.loads(out.read_text())["rows"] == 6


def test_modalities_without_files_are_named(tmp_path, capfd):
    (tmp_path / "a.wav").write_bytes(media_files.picture(np.zeros((4, 4), np.uint8)))
    fields = {"folder": "f", "raw": "a dog"}
    (tmp_path / "rows.json").write_text(json.dumps({"x": fields}))
    assert main.main(["data", "check", str(tmp_path / "rows.json")]) == 2
    assert "no file of image, video, depth, thermal, audio, imu is there" in capfd.readouterr().err


def test_a_modality_that_comes_late_is_decoded(tmp_path, capfd):
    (tmp_path / "a.png").write_bytes(media_files.picture(np.eye(8, dtype=np.uint8) * 255))
    rows = [{"image": "a.png", "caption": "x"}] * 500 + [{"audio": "none.wav", "caption": "x"}]
    soundfile.write(tmp_path / "b.wav", np.random.default_rng(0).standard_normal(8000) / 9, 16000)
    rows.append({"audio": "b.wav", "caption": "y"})
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main.main(["data", "check", str(tmp_path / "c.jsonl"), "--processes=1"]) == 0
    assert "audio    1 good, 1 bad" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--processes=-1", "'-1' is no whole number from 1 on"),
        ("--batch-size=0", "'0' is no whole number from 1 on"),
        ("--step-s=nan", "'nan' is no number above 0"),
        ("--step-s=0", "'0' is no number above 0"),
        ("--report={tmp}", "is a folder; give a file"),
    ],
)
def test_wrong_arguments_are_one_line(corpus, tmp_path, capfd, argument, reason):
    assert main.main(["data", "check", str(corpus), argument.format(tmp=tmp_path)]) == 2
    told = capfd.readouterr().err
    assert reason in told
    assert told.count("\n") == 1


def test_a_manifest_of_films_and_motion_is_checked(tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(media_files.clip(20))
    t, readings = motion.swaying()
    good = "t,ax [m/s2],ay,az,gx [rad/s],gy,gz"
    holes, swapped = readings.copy(), readings[:, [3, 4, 5, 0, 1, 2]]
    holes[9] = np.nan
    files = {
        "good.csv": motion.table(t, readings, good),
        "plain.csv": motion.table(t, readings),
        "holes.csv": motion.table(t, holes, good),
        "swapped.csv": motion.table(t, swapped, good),
        "g.csv": motion.table(t, readings / motion.GRAVITY, good),
        "short.csv": motion.table(t[:200], readings[:200], good),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    rows = "".join(f"a.mp4,{name},someone walks {name[0]}\n" for name in files)
    (tmp_path / "walks.csv").write_text(f"video,imu,caption\n{rows}")
    report = tmp_path / "report.json"
    command = ["data", "check", str(tmp_path / "walks.csv"), "--processes=1", f"--report={report}"]
    assert main.main(command) == 0
    printed = capfd.readouterr().out
    assert "imu      2 good, 4 bad" in printed
    assert "6.0 to 6.0 s, 12 s in all" in printed
    told = json.loads(report.read_text())
    bad = {one["path"].rpartition("/")[2]: one["reason"] for one in told["bad"]}
    assert {name: reason.split(";")[0][:30] for name, reason in bad.items()} == {
        "holes.csv": "has 1 gap without readings (Na",
        "swapped.csv": "has gravity in the columns of ",
        "g.csv": "has an accelerometer said to b",
        "short.csv": "lasts 2.00 s, the model takes ",
    }
    assert [one["path"].rpartition("/")[2] for one in told["remarks"]] == ["plain.csv"] * 2
    given = ["--imu-interpolate=0.05", "--imu-short=hold", "--only=imu"]
    assert main.main([*command, *given]) == 0
    assert "imu      4 good, 2 bad" in capfd.readouterr().out
