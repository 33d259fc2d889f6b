"""What is embedded as what: folders, manifests, rules, what is left out."""

import os

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.inference import bulk, sources
from tests.data import media_files

ALL = tuple(MODALITIES)
DEEP = media_files.picture(np.full((4, 4), 900, np.uint16))
GREY = media_files.picture(np.full((4, 4), 9, np.uint8))
# path below the folder: (content, modalities)
FILES = {
    "a.jpg": (b"", ("image",)),
    "b.PNG": (GREY, ("image",)),
    "c.png": (DEEP, ("depth",)),
    "d.wav": (b"", ("audio",)),
    "e.mp4": (b"", ("video", "audio")),
    "Depth-2/a.jpg": (b"", ("depth",)),
    "ir/a.png": (DEEP, ("thermal",)),
    "rich_in_depths/a.jpg": (b"", ("image",)),
    "scene_infrared_1/x/a.jpg": (b"", ("thermal",)),
    "depth/a.mp3": (b"", ("audio",)),
}


@pytest.fixture
def folder(tmp_path):
    for name, (content, _) in FILES.items():
        (tmp_path / "media" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "media" / name).write_bytes(content)
    return tmp_path / "media"


def kinds(found, folder):
    return {one.path.removeprefix(f"{folder}/"): one.modalities for one in found.sources}


def test_each_file_is_told_by_the_first_rule_that_applies(folder):
    assert kinds(sources.find([folder], ALL), folder) == {n: m for n, (_, m) in FILES.items()}
    inside = sources.find([folder / "depth", folder / "Depth-2"], ALL)
    assert [one.modalities for one in inside.sources] == [("audio",), ("depth",)]
    alone = sources.find([folder / "ir" / "a.png"], ALL)
    assert [one.modalities for one in alone.sources] == [("thermal",)]


def test_files_come_sorted_and_once(folder):
    (folder / "x").symlink_to(folder)
    found = sources.find([folder, folder / "a.jpg"], ALL)
    paths = [one.path for one in found.sources]
    assert paths[:3] == [f"{folder}/{name}" for name in ("a.jpg", "b.PNG", "c.png")]
    assert len(set(paths)) == len(paths) == len(FILES)


def test_own_rules_come_first_and_modalities_restrict(folder):
    (folder / "notes.txt").write_bytes(b"")
    rules = [sources.parse_rule("/[ab][.]=thermal")]
    found = sources.find([folder], ("audio", "image", "thermal"), rules=rules, only="thermal")
    assert set(kinds(found, folder)) == {
        *("a.jpg", "b.PNG", "Depth-2/a.jpg", "ir/a.png", "rich_in_depths/a.jpg", "e.mp4")[:5],
        "scene_infrared_1/x/a.jpg",
        "depth/a.mp3",
    }
    assert found.skipped == {
        "depth that the model does not have": 1,
        "audio left out by --modality": 1,
        "video and audio left out by --modality": 1,
        "no media": 1,
    }
    assert kinds(sources.find([folder / "e.mp4"], ("audio",)), folder) == {"e.mp4": ("audio",)}


def test_manifests_name_files_with_their_modality(folder, tmp_path):
    (folder / "list.csv").write_text("path,modality\na.jpg,thermal\ne.mp4,\ne.mp4,video\n")
    (tmp_path / "wide.jsonl").write_text('{"image": "a.jpg", "audio": "d.wav"}\n{"depth": "c.png"}')
    found = kinds(sources.find([folder / "list.csv"], ALL), folder)
    assert found == {"a.jpg": ("thermal",), "e.mp4": ("video", "audio")}
    found = kinds(sources.find([tmp_path / "wide.jsonl"], ALL, root=folder), folder)
    assert found == {"a.jpg": ("image",), "d.wav": ("audio",), "c.png": ("depth",)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,modality\na.jpg,thermla\n", "line 2: no modality 'thermla'.*Did you mean 'thermal'"),
        ("file\na.jpg\n", "no column 'path' and none named as a modality; it has file"),
        ("path\n", "nothing to embed"),
    ],
)
def test_faults_of_a_manifest_are_told(tmp_path, text, told):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(errors.DataError, match=told):
        sources.find([tmp_path / "list.csv"], ALL)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("depth", "expected REGEX=MODALITY"),
        ("x=deep", "no modality 'deep'; expected one of image,"),
        ("(=depth", "'\\('.*is no regular expression"),
    ],
)
def test_faults_of_a_rule_are_told(rule, told):
    with pytest.raises(errors.ConfigError, match=told):
        sources.parse_rule(rule)


def test_nothing_to_embed_says_why(folder):
    with pytest.raises(errors.DataError, match="1 files: image that the model does not have"):
        sources.find([folder / "a.jpg"], ("audio",))
    with pytest.raises(errors.ConfigError, match="has no 'video'; it has audio"):
        sources.find([folder], ("audio",), only="video")
    with pytest.raises(errors.DataError, match="no: does not exist"):
        sources.find([folder / "no"], ALL)


@pytest.mark.parametrize("name", ["pipe.png", "pipe.jpg"])
def test_a_pipe_does_not_keep_it_waiting(tmp_path, name):
    os.mkfifo(tmp_path / name)
    (source,) = sources.find([tmp_path], ("image", "depth")).sources
    assert source.modalities == ("image",)


def test_closed_folders_are_counted(tmp_path, monkeypatch):
    def walk(folder, closed):
        closed.append(folder / "a")
        return ["x.jpg"]

    monkeypatch.setattr(sources.files_lib, "walk", walk)
    found = sources.find([tmp_path], ("image",))
    assert found.closed == (str(tmp_path / "a"),)
    assert any("cannot be read" in why for why in found.skipped)
    known = [(str(tmp_path / name), "image") for name in ("a/kept.jpg", "gone.jpg", "x.jpg")]
    assert bulk._pruned(found, known) == known[1:2]


def test_manifest_gives_units_of_depth(folder):
    manifest = folder / "list.csv"
    manifest.write_text(
        "path,modality,depth_unit\nc.png,,tum\na.jpg,image,kitti\nir/a.png,depth,\n"
    )
    found = sources.find([manifest], ALL)
    assert [(one.modalities, one.depth_unit) for one in found.sources] == [
        (("depth",), "tum"),
        (("image",), ""),
        (("depth",), ""),
    ]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("c.png,kiti", "line 3: depth unit is 'kiti'.*'kitti'.*Mend that cell"),
        ("c.png,kitti", "line 3: gives .*c.png the depth unit kitti, after tum in another row"),
    ],
)
def test_wrong_units_of_a_manifest_are_refused_with_their_line(folder, lines, reason):
    (folder / "list.csv").write_text(f"path,depth_unit\nc.png,tum\n{lines}\n")
    with pytest.raises(errors.DataError, match=reason):
        sources.find([folder / "list.csv"], ALL)


def test_maps_are_depth_by_their_name_or_folder(folder):
    names = ("Depth-2/a.npy", "frame.0000.depth_meters.hdf5", "left_depth.npy", "features.npy")
    for name in (*names, "Depth-2/b.exr"):
        (folder / name).write_bytes(b"")
    found = kinds(sources.find([folder], ALL), folder)
    assert [found.get(name) for name in names] == [("depth",)] * 3 + [None]
    assert found["Depth-2/b.exr"] == ("depth",)
