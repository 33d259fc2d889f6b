"""The published annotation file and where the media of an item lie."""

import json
import pickle
from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.corpora.vidal import Vidal

FIELDS = {
    "folder": "coco_vat_1",
    "raw": "A Cat! #shorts #cats",
    "mplug": "a cat sits",
    "polish_mplug": "In the video, a cat sits",
    "sound_mplug": "a cat purrs",
    "ofa": [f" frame {k}" for k in range(8)],
}


def _write(tmp_path, content):
    path = tmp_path / "anno.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_rows_are_read_in_order(tmp_path):
    path = _write(tmp_path, {"abc": {**FIELDS, "views": 3}, "def": {"folder": "f"}})
    source = Vidal(path)
    assert [source[i].id for i in range(len(source))] == ["abc", "def"]
    assert source[0].texts == {
        k: tuple(v) if k == "ofa" else v for k, v in FIELDS.items() if k != "folder"
    }
    assert source[1].texts == {}
    assert source.text_kinds == ("raw", "mplug", "polish_mplug", "sound_mplug", "ofa")
    assert pickle.loads(pickle.dumps(source))[0] == source[0]


def test_a_lacking_kind_names_row_kind_and_what_there_is(tmp_path):
    path = _write(tmp_path, {"abc": FIELDS, "def": {"folder": "f", "raw": "x", "mplug": "y"}})
    source = Vidal(path)
    with pytest.raises(errors.DataError, match=r"def: lacks sound_mplug; it has raw, mplug"):
        source.require(["mplug", "sound_mplug"])
    with pytest.raises(errors.DataError, match=r"def: lacks polish_mplug, sound_mplug, ofa"):
        source.require(["mix"])
    source.require(["mplug"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a": {"folder": "f"},\n "b": {]}', "line 2, column"),
        ("[]", "holds a list"),
        ('{"a": {}}', 'a: has no "folder"'),
        ('{"a": 3}', 'a: has no "folder"'),
        ('{"a": {"folder": "f"}, "a": {"folder": "g"}}', "'a' twice"),
        ('{"a": {"folder": "f", "ofa": ["x"]}}', "ofa is a list of 1, expected a list of 8"),
        ('{"a": {"folder": "f", "ofa": "x"}}', "ofa is str"),
        ('{"a": {"folder": "f", "raw": 3}}', "raw is int"),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, content, reason):
    with pytest.raises(errors.DataError, match=reason):
        Vidal(_write(tmp_path, content))


def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "bin.json").write_bytes(b'{"\xff": 1}')
    for name in ("none.json", "bin.json", "."):
        with pytest.raises(errors.DataError, match="expected the annotation JSON"):
            Vidal(tmp_path / name)


@pytest.mark.parametrize(
    ("modality", "folder", "path"),
    [
        ("video", "coco_vat_1", "coco_vat_1_resize256_skip15/abc.mp4"),
        ("video", "new_3", "new_download_resize256_skip15/abc.mp4"),
        ("image", "coco_vat_1", "coco_vat_1_resize256_skip15/abc_resize256_folder/7.jpg"),
        ("image", "new_3", "new_download_resize256_skip15/abc_resize256_folder/7.jpg"),
        ("depth", "new_3", "new_3/abc_depth_f8glpn_folder/7.png"),
        ("thermal", "coco_vat_1", "coco_vat_1/abc_thermal_folder/7.jpg"),
        ("audio", "coco_vat_1", "coco_vat_1_audio/abc.wav"),
        ("imu", "coco_vat_1", "coco_vat_1_imu/abc.csv"),
    ],
)
def test_media_lie_where_the_corpus_has_them(tmp_path, modality, folder, path):
    source = Vidal(_write(tmp_path, {"abc": {"folder": folder}}), Path("/data"))
    assert source[0].media[modality][-1] == Path("/data") / path


@pytest.mark.parametrize(("folder", "name"), [("../up", "a"), ("/etc", "a"), ("f", "../../a")])
def test_a_path_out_of_the_root_is_refused(tmp_path, folder, name):
    source = Vidal(_write(tmp_path, {name: {"folder": folder}}))
    with pytest.raises(errors.DataError, match="leads out of the data root"):
        source[0]
