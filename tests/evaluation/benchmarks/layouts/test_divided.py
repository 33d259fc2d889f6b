"""Readers of what is learnt from and tested: divisions, labels, and what is wrong with a folder."""

import shutil

import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks.layouts.divided import DIVIDED
from tests.evaluation import divided_miniatures
from tests.evaluation.benchmarks.layouts.folders import change, key

UCF = [f"v_{name}_g{n:02d}_c01" for name in ("ApplyEyeMakeup", "YoYo") for n in (1, 2, 3, 4)]
HMDB = [
    f"{name}/take {n} #1_{name}_u_cm_np1_fr_med_0"
    for name in ("brush_hair", "wave")
    for n in "0123"
]


def read(folder):
    return DIVIDED[folder.name].read(folder)


@pytest.mark.parametrize("name", DIVIDED)
def test_a_whole_folder_is_read_whole(tmp_path, name):
    found = read(divided_miniatures.write(name, tmp_path))
    modality = next(iter(found.split.media))
    assert set(found.split.media[modality]) == set(found.split.ids)
    kinds = {one.kind for one in found.split.problems}
    assert kinds <= {"missing"}  # classes without a picture
    for part in found.parts.values():
        assert part.train
        assert part.test
        assert not {*part.train} & {*part.test}
        assert {*part.train, *part.test} <= {*found.split.ids}
    for labels in found.split.labels.values():
        assert set(labels) <= set(found.classes)


def test_ucf101_has_three_splits(tmp_path):
    found = read(divided_miniatures.write("ucf101", tmp_path))
    assert sorted(found.split.ids) == UCF
    assert [found.parts[n].test for n in "123"] == [(UCF[3 - n], UCF[7 - n]) for n in range(3)]
    assert len(found.parts["1"].train) == 6
    assert found.classes == {"ApplyEyeMakeup": "apply eye makeup", "YoYo": "yo yo"}
    assert found.split.labels[UCF[0]] == ("ApplyEyeMakeup",)


def test_hmdb51_leaves_out_what_no_split_uses(tmp_path):
    folder = divided_miniatures.write("hmdb51", tmp_path)
    found = read(folder)
    assert sorted(found.split.ids) == HMDB
    # the third split would test the first of all, which its list says is of no split
    assert [found.parts[n].test for n in "12"] == [(HMDB[3 - n], HMDB[7 - n]) for n in range(2)]
    assert not {HMDB[0], HMDB[4]} & {*found.parts["1"].train}
    assert found.classes == {"brush_hair": "brush hair", "wave": "wave"}
    shutil.rmtree(folder / "testTrainMulti_7030_splits")
    with pytest.raises(errors.DataError, match=r"has no <class>_test_split1\.txt"):
        read(folder)


def test_esc50_tests_each_fold_once(tmp_path):
    folder = divided_miniatures.write("esc50", tmp_path)
    found = read(folder)
    assert list(found.parts) == ["1", "2", "3", "4", "5"]
    assert found.parts["2"].test == ("2-100-A-0.wav", "2-101-A-1.wav")
    assert sorted(id_ for part in found.parts.values() for id_ in part.test) == sorted(
        found.split.ids
    )
    change(folder / "meta/esc50.csv", lambda text: text.replace(".wav,3,", ".wav,x,", 1))
    found = read(folder)
    assert [key(one)[:2] for one in found.split.problems] == [("annotation", "3-100-A-0.wav")]
    assert len(found.parts["3"].test) == 1


def test_voc2007_is_unsure_of_what_is_difficult(tmp_path):
    folder = divided_miniatures.write("voc2007", tmp_path)
    found = read(folder)
    assert found.unsure == {"001004": ("boat",)}
    assert found.split.labels["000000"] == ("aeroplane",)
    assert found.split.labels["001004"] == ("bicycle",)
    path = folder / "VOCdevkit/VOC2007/ImageSets/Main/bicycle_test.txt"
    change(path, lambda text: text.replace("001004  1", "001004  0"))
    found = read(folder)
    assert found.split.labels["001004"] == ()
    assert found.unsure["001004"] == ("bicycle", "boat")
    change(path, lambda text: text.replace("001004  0", "001004  7"))
    assert "found '001004  7'" in read(folder).split.problems[0].reason
    path.unlink()
    with pytest.raises(errors.DataError, match=r"bicycle_test\.txt: no such file"):
        read(folder)


def test_what_is_listed_twice_is_tested(tmp_path):
    folder = divided_miniatures.write("k600", tmp_path)
    change(folder / "train.csv", lambda text: text + "val/0_3.mp4 air drumming\n")
    found = read(folder)
    assert "val/0_3.mp4" not in found.parts["1"].train
    assert "val/0_3.mp4" in found.parts["1"].test
    told = [one for one in found.split.problems if one.kind == "duplicate"]
    assert [(one.name, "it is tested" in one.reason) for one in told] == [("val/0_3.mp4", True)]


def test_kinetics_own_lists_share_a_folder(tmp_path):
    folder = divided_miniatures.write("k600", tmp_path)
    for part in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for path in sorted((folder / part).iterdir()):
            label = ("air drumming", "archery")[int(path.stem[0])]
            rows.append(f"{label},{path.stem},0,10,{part}")
            (folder / "videos").mkdir(exist_ok=True)
            path.rename(folder / "videos" / f"{path.stem}_000000_000010.mp4")
        (folder / part).rmdir()
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
    found = read(folder)
    assert found.split.problems == ()
    assert (len(found.parts["1"].train), len(found.parts["1"].test)) == (6, 4)


def test_audioset_learns_from_the_unbalanced_segments_too(tmp_path):
    folder = divided_miniatures.write("audioset", tmp_path)
    (folder / "unbalanced_train_segments").mkdir()
    sound = folder / "balanced_train_segments" / "Yabcdefgh_00.wav"
    shutil.copy(sound, folder / "unbalanced_train_segments" / "Yabcdefgh_99.wav")
    row = 'abcdefgh_99, 0.000, 10.000, "/m/068hy,/m/09x0r"\n'
    (folder / "unbalanced_train_segments.csv").write_text(row)
    found = read(folder)
    assert len(found.parts["1"].train) == 7
    assert found.split.labels["abcdefgh_99"] == ("/m/068hy", "/m/09x0r")
