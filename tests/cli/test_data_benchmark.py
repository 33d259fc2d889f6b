"""`lb-jax data check --benchmark`: what it prints, writes and refuses."""

import json
import re
import shutil

import pytest

from lb_jax.evaluation.benchmarks import layouts
from tests.evaluation import miniatures

CHECK = "data check --root {tmp} --benchmark"


def test_it_counts_against_the_published_numbers(call, tmp_path):
    folder = miniatures.write("msrvtt", tmp_path)
    (folder / "videos/all/video7011.mp4").unlink()
    shutil.copy(folder / "videos/all/video7010.mp4", folder / "videos/all/stray.mp4")
    shutil.copy(folder / "videos/all/video7010.mp4", folder / "videos/all/video7010.mkv")
    result = call(f"{CHECK}=msrvtt")
    assert result.status == 0
    assert result.out.splitlines() == [
        f"{folder}: MSR-VTT 1k-A",
        "  items    4 of 1,000 published; 0 rows left out, 0 rows or captions repeated",
        "  video    3 of 1,000 published on disk; 1 missing, 1 extra, 1 duplicate",
        "  audio    3 of 1,000 published on disk; 1 missing, 0 extra, 1 duplicate",
        "  captions 4 of 1,000 published",
        "  missing: video7011 (video): no video file video7011.* in videos/",
        "  missing: video7011 (audio): no video file video7011.* in videos/",
        *(
            f"  duplicate: video7010 ({modality}): has 2 files, videos/all/video7010.mp4, "
            "videos/all/video7010.mkv; the first is used"
            for modality in ("video", "audio")
        ),
        "  extra: videos/all/stray.mp4 (video): no item of the test set; not used",
    ]


@pytest.mark.parametrize("name", layouts.LAYOUTS)
def test_every_test_set_can_be_checked_and_decoded(call, tmp_path, name):
    folder = miniatures.write(name, tmp_path)
    result = call(f"{CHECK} {name} --decode")
    assert result.status == 0
    assert result.out.startswith(f"{folder}: {layouts.LAYOUTS[name].title}\n")
    assert "unreadable" not in result.out
    assert "0 bad" in result.err


def test_files_that_cannot_be_decoded_are_named_and_written(call, tmp_path):
    folder = miniatures.write("esc50", tmp_path)
    (folder / "audio/2-100032-A-1.wav").write_bytes(b"")
    result = call(f"{CHECK} esc50 --decode --json {{tmp}}/report/esc50.json")
    assert result.status == 0
    assert "audio    3 of 2,000 published on disk; 0 missing" in result.out
    assert "1 unreadable" in result.out
    assert "  unreadable: 2-100032-A-1.wav (audio): audio/2-100032-A-1.wav: is empty" in result.out
    report = json.loads((tmp_path / "report/esc50.json").read_text())
    assert report["published"] == {"items": 2000, "captions": None}
    assert report["modalities"]["audio"] == {
        "on_disk": 3,
        "missing": 0,
        "extra": 0,
        "duplicates": 0,
        "unreadable": 1,
    }
    (problem,) = report["problems"]
    assert (problem["kind"], problem["name"]) == ("unreadable", "2-100032-A-1.wav")


def test_questions_are_counted(call, tmp_path):
    folder = miniatures.write("activitynet_qa", tmp_path)
    result = call(f"{CHECK}=activitynet_qa")
    assert result.out.splitlines() == [
        f"{folder}: ActivityNet-QA test",
        "  items    2 of 800 published; 0 rows left out, 0 rows or captions repeated",
        "  video    2 of 800 published on disk; 0 missing, 0 extra, 0 duplicates",
        "  questions 3 of 8,000 published",
    ]


def test_ten_names_of_a_kind_are_shown_and_all_are_written(call, tmp_path):
    folder = miniatures.write("clotho", tmp_path)
    for n in range(13):
        miniatures.put(folder / f"evaluation/stray{n:02}.wav", b"x")
    result = call(f"{CHECK} clotho --json {{tmp}}/report.json")
    assert result.out.count("  extra: ") == 10
    assert "  and 3 more extra; --json FILE lists them all" in result.out
    assert len(json.loads((tmp_path / "report.json").read_text())["problems"]) == 13


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--root {tmp} --benchmark msrvt", "expected one of msrvtt, .* Did you mean 'msrvtt'"),
        ("--root {tmp} --benchmark msvd", "no such folder; MSVD is expected .* raw-captions.pkl"),
        ("--benchmark msvd", "required: --root"),
        ("--root {tmp} --benchmark=esc50 --json {tmp}", "no such folder|is a folder"),
        ("--root {tmp} --benchmark", "expected one argument"),
    ],
)
def test_mistakes_are_one_line(call, arguments, said):
    result = call(f"data check {arguments}")
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert re.search(said, result.err), result.err


def test_help_lists_every_name(call):
    for line in ("data check --help", "data check --benchmark x --help"):
        result = call(line)
        assert result.status == 0
        told = " ".join(result.out.split())
        assert all(name in told for name in layouts.LAYOUTS)
        assert "--benchmark" in told


def test_a_list_names_what_is_lost_later(call, tmp_path):
    folder = miniatures.write("flir_v1", tmp_path)
    line = "data check --benchmark flir_v1 --root {tmp}"
    assert call(line + " --write-list").status == 0
    lost = sorted((folder / "val").rglob("*.*"))[0]
    id_ = lost.relative_to(folder / "val").with_suffix("").as_posix()
    lost.rename(lost.with_name("other.jpg"))
    result = call(line)
    assert f"missing: {id_} (thermal)" in result.out
    assert "extra: val/" in result.out
    assert "other.jpg" in result.out
    again = call(line + " --write-list")
    assert again.status == 2
    assert "is there already" in again.err
    miniatures.write("msvd", tmp_path)
    assert "has an annotation" in call("data check --benchmark msvd --root {tmp} --write-list").err
