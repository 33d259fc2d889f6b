"""What is embedded as what: folders, manifests, rules, what is left out."""

import os

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.corpora import left_out
from lb_jax.corpora import media_files as sources
from lb_jax.media import settings
from tests.media import media_files, motion

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
    "walk.csv": (b"t,ax,ay,az,gx,gy,gz\n1,2,3,4,5,6,7\n", ("imu",)),
    "scans/run.npz": (motion.archive(accel=np.ones((9, 3)), gyro=np.ones((9, 3))), ("imu",)),
    "imu_2/left.npy": (b"", ("imu",)),
    "run.parquet": (motion.columnar(*motion.swaying(seconds=1)), ("imu",)),
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
    assert sorted(found.skipped) == [
        "1 file (.mp4 1): video and audio left out by --modality",
        "1 file (.png 1): depth that the model does not have",
        "1 file (.wav 1): audio left out by --modality",
        "1 file: .txt: not among the endings of media",
        "4 files (.parquet 1, .csv 1, .npy 1, .npz 1): imu that the model does not have",
    ]
    assert f"{folder}/notes.txt: .txt: not among the endings of media" in left_out.named(
        found.left_out
    )
    assert kinds(sources.find([folder / "e.mp4"], ("audio",)), folder) == {"e.mp4": ("audio",)}


def test_manifests_name_files_with_their_modality(folder, tmp_path):
    (folder / "list.csv").write_text("path,modality\na.jpg,thermal\ne.mp4,\ne.mp4,video\n")
    (tmp_path / "wide.jsonl").write_text('{"image": "a.jpg", "audio": "d.wav"}\n{"depth": "c.png"}')
    found = kinds(sources.find([folder / "list.csv"], ALL), folder)
    assert found == {"a.jpg": ("thermal",), "e.mp4": ("video", "audio")}
    found = kinds(sources.find([tmp_path / "wide.jsonl"], ALL, root=folder), folder)
    assert found == {"a.jpg": ("image",), "d.wav": ("audio",), "c.png": ("depth",)}


def test_tables_of_captions_are_no_motion(folder, tmp_path):
    (folder / "imu_2" / "captions.csv").write_text("path,caption\na.jpg,a cat\n")
    found = sources.find([folder / "imu_2"], ALL)
    assert kinds(found, folder) == {"imu_2/left.npy": ("imu",)}
    assert found.skipped == ["1 file: .csv: not among the endings of media"]
    alone = sources.find([folder / "walk.csv"], ALL)
    assert kinds(alone, folder) == {"walk.csv": ("imu",)}
    (tmp_path / "list.csv").write_text("imu,caption\nwalk.csv,someone walks\n")
    found = sources.find([tmp_path / "list.csv"], ALL, root=folder)
    assert kinds(found, folder) == {"walk.csv": ("imu",)}


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
    with pytest.raises(errors.DataError, match=r"1 file \(.jpg 1\): image that the model doe"):
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
        ("c.png,furlong", r"ycbv\. Mend that cell"),
        ("c.png,kitti", "line 3: gives .*c.png the depth unit kitti, after tum in another row"),
    ],
)
def test_wrong_units_of_a_manifest_are_refused_with_their_line(folder, lines, reason):
    (folder / "list.csv").write_text(f"path,depth_unit\nc.png,tum\n{lines}\n")
    with pytest.raises(errors.DataError, match=reason):
        sources.find([folder / "list.csv"], ALL)


UNCLEAR = media_files.picture(np.linspace(7000, 8000, 64).astype(np.uint16).reshape(8, 8))
CENTIKELVIN = media_files.picture(np.linspace(29e3, 31e3, 64).astype(np.uint16).reshape(8, 8))


def test_deep_pictures_are_told_by_their_values(tmp_path):
    for name, content in {
        "near.png": DEEP,
        "warm.png": CENTIKELVIN,
        "odd.png": UNCLEAR,
        "thermal/odd.png": UNCLEAR,
        "depth/warm.png": CENTIKELVIN,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    found = sources.find([tmp_path], ALL)
    assert kinds(found, tmp_path) == {
        "near.png": ("depth",),
        "warm.png": ("thermal",),
        "thermal/odd.png": ("thermal",),
        "depth/warm.png": ("depth",),
    }
    (why,) = found.skipped
    assert why.startswith("1 file (.png 1): grey pictures")
    assert why.endswith(f"such as {tmp_path}/odd.png")
    assert all(option in why for option in ("--as", "--depth-unit", "--thermal-unit"))
    how = dict(found.told)
    rules = {one.modalities[0]: one.what for one in sources.RULES if "in a folder, and" in one.what}
    assert how.pop(("thermal", rules["thermal"])) == 1
    assert how.pop(("depth", rules["depth"])) == 1
    assert {kind for kind, _ in how} == {"depth", "thermal"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"only": "depth"}, "depth"),
        ({"only": "thermal"}, "thermal"),
        ({"unclear": "thermal"}, "thermal"),
        ({"rules": [sources.parse_rule("odd=thermal")]}, "thermal"),
    ],
)
def test_the_user_says_what_an_unclear_picture_is(tmp_path, given, kind):
    (tmp_path / "odd.png").write_bytes(UNCLEAR)
    found = sources.find([tmp_path], ALL, **given)
    assert [one.modalities for one in found.sources] == [(kind,)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"depth_unit": "tum"}, "depth"),
        ({"thermal_unit": "0.04"}, "thermal"),
        ({"thermal_range": (273, 323)}, "thermal"),
        ({"depth_unit": "tum", "thermal_unit": "0.04"}, None),
    ],
)
def test_a_unit_says_what_unclear_pictures_are(given, said):
    assert sources.said(settings.Settings(**given)) == said


def test_one_file_is_told_as_in_a_folder(tmp_path):
    odd = tmp_path / "odd.png"
    odd.write_bytes(UNCLEAR)
    assert sources.kinds_of(odd)[0] == ()
    assert sources.kinds_of(odd, settings.Settings(depth_unit="tum"))[0] == ("depth",)
    for name, kind in (("near.png", "depth"), ("thermal/a.jpg", "thermal"), ("a.jpg", "image")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(media_files.picture(np.full((8, 8), 1500, np.uint16)))
        assert sources.kinds_of(path)[0] == (kind,)


def test_files_left_out_are_told_by_ending_and_reason(tmp_path):
    names = ["a.dng", "b.CR2", "c.svg", "d.txt", "e.txt", "README", "f.zip", "g.mid", "h.jpg"]
    for name in (*names, "code.ts", *(f"x{n}.e{n}" for n in range(12))):
        (tmp_path / name).write_bytes(b"export const a = 1")
    found = sources.find([tmp_path], ALL)
    told = found.skipped
    assert sum(int(line.split()[0]) for line in told) == len(names) - 1 + 13
    assert len(list(left_out.named(found.left_out))) == len(names) - 1 + 13
    assert "2 files: .txt: not among the endings of media" in told
    assert "1 file: without an ending, which tells what a file is" in told
    endings = ", ".join(f".e{n} 1" for n in (4, 5, 6, 7, 8, 9))
    assert f"6 files ({endings}): other endings: not among the endings of media" in told
    for ending in (".dng", ".cr2", ".svg", ".zip", ".mid"):
        assert any(line.startswith(f"1 file: {ending}: ") and "; " in line for line in told), ending
    assert "no media" not in str(told)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((f"a{end}", "image") for end in (".tif", ".avif", ".gif", ".jfif", ".jpe", ".heic")),
        *((f"a{end}", "video") for end in (".mpg", ".wmv", ".3gp", ".ogv", ".flv")),
        *((f"a{end}", "audio") for end in (".aiff", ".caf", ".wma", ".mka", ".amr", ".oga")),
        *((f"a{end}", "depth") for end in (".pfm", ".exr")),
        *((f"a{end}", "thermal") for end in (".irg", ".fff")),
        ("ir/a.npy", "thermal"),
        ("a_thermal.npy", "thermal"),
        ("a_depth.npz", "depth"),
        *((f"depth/a{end}", "depth") for end in (".npz", ".npy", ".mat", ".h5")),
    ],
)
def test_endings(tmp_path, name, kind):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    (one,) = sources.find([tmp_path], ALL).sources
    assert one.modalities[0] == kind


@pytest.mark.parametrize(("ending", "first"), [(".ts", 0), (".mts", 4)])
def test_packets_tell_a_film_from_a_program(tmp_path, ending, first):
    packets = bytearray(400)
    packets[first] = packets[first + 188 + first] = 0x47
    (tmp_path / f"a{ending}").write_bytes(packets)
    (tmp_path / f"b{ending}").write_text("const a = 1;\n" * 50)
    (one,) = sources.find([tmp_path], ALL).sources
    assert one.path.endswith(f"a{ending}")


def test_maps_are_depth_by_their_name_or_folder(folder):
    names = ("Depth-2/a.npy", "frame.0000.depth_meters.hdf5", "left_depth.npy", "features.npy")
    for name in (*names, "Depth-2/b.exr"):
        (folder / name).write_bytes(b"")
    found = kinds(sources.find([folder], ALL), folder)
    assert [found.get(name) for name in names] == [("depth",)] * 3 + [None]
    assert found["Depth-2/b.exr"] == ("depth",)
