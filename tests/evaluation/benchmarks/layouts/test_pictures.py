"""Test sets of pictures and clips with classes."""

import shutil

import pytest

from lb_jax.evaluation.benchmarks import layouts
from tests.evaluation import miniatures
from tests.evaluation.benchmarks.layouts.folders import change, key, new, read, write


@pytest.mark.parametrize("listed", ["val.csv", "annotations/val.csv", "validate.csv"])
@pytest.mark.parametrize("folder", ["val", "val/archery", "validate"])
def test_kinetics_own_list_finds_clips_by_identifier_and_time(tmp_path, listed, folder):
    text = (
        "label,youtube_id,time_start,time_end,split\r\n"
        "archery,-a_bcdefghi,10,20,val\r\n"
        '"massaging person\'s head",lmnopqrstuv,137,147,validate\r\n'
        "air drumming,wxyz0123456,3,13,val\r\n"
        "archery,train000000,3,13,train\r\n"
        "archery,badtime0000,x,13,val\r\n"
    )
    miniatures.put(tmp_path / listed, text)
    names = ("-a_bcdefghi_000010_000020.mp4", "lmnopqrstuv_137_147.webm", "other_000001_000011.mp4")
    for name in names:
        miniatures.put(tmp_path / folder / name, b"")
    found = layouts.LAYOUTS["k400"].read(tmp_path)
    ids = ("-a_bcdefghi_000010_000020", "lmnopqrstuv_000137_000147", "wxyz0123456_000003_000013")
    assert found.ids == ids
    assert [found.labels[one] for one in ids[:2]] == [("archery",), ("massaging person's head",)]
    media = {one: clip.path for one, clip in found.media["video"].items()}
    assert media == {
        one: tmp_path / folder / name for one, name in zip(ids[:2], names[:2], strict=True)
    }
    kinds = sorted(one.kind for one in found.problems)
    assert kinds == ["annotation", "annotation", "extra", "missing"]


def test_kinetics_path_and_label_may_stand_apart_by_a_comma(tmp_path):
    before = read(write(tmp_path, "k400"))
    change(tmp_path / "k400" / "val.csv", lambda text: text.replace(".mp4 ", ".mp4,"))
    assert read(tmp_path / "k400") == before


def test_absolute_paths_inside_the_folder_count(tmp_path):
    folder = write(tmp_path, "k400")
    before = read(folder)
    change(folder / "val.csv", lambda text: text.replace("val/", f"{folder}/val/"))
    assert read(folder) == before


@pytest.mark.parametrize(("name", "other"), [("nyu_depth", "rgb"), ("llvip", "visible")])
def test_pictures_beside_the_classes_are_optional_but_whole(name, other, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    id_ = before.ids[1]
    before.media["image"][id_].path.unlink()
    assert new(before, read(folder)) == [("missing", id_, "image")]
    shutil.rmtree(folder / other)
    after = read(folder)
    assert "image" not in after.media
    assert after.problems == before.problems


def test_folder_of_no_class_is_named(tmp_path):
    folder = write(tmp_path, "llvip")
    miniatures.put(folder / "infrared/car/1.jpg", miniatures.picture(0))
    kinds = [key(one) for one in read(folder).problems]
    assert kinds == [
        ("annotation", "infrared/car", None),
        ("extra", "infrared/car/1.jpg", "thermal"),
    ]


def test_raw_depth_of_sun_is_not_taken_for_millimetres(tmp_path):
    folder = write(tmp_path, "sun_depth")
    sample = folder / "kv1/NYUdata/NYU0001"
    (sample / "depth_mm").rename(sample / "depth_bfx")
    (problem,) = read(folder).problems
    assert key(problem) == ("missing", "kv1/NYUdata/NYU0001", "depth")
    assert "convert depth_bfx/ to millimetres" in problem.reason
