"""Readers of published test sets give what is on disk, and name what is wrong with it."""

import codecs
import json
import shutil
from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.evaluation.benchmarks import layouts
from lb_jax.evaluation.benchmarks.splits import Question
from lb_jax.media import preprocess, specs
from lb_jax.media.clips import Clip
from tests.evaluation import miniatures
from tests.evaluation.benchmarks.layouts.folders import change, key, new, read, without, write

DIDEMO = [f"1234{n}@N00_555{n}_abcdef" for n in range(3)]
LSMDC = [f"100{n}_Some_Movie_00.0{n}.03.170-00.0{n}.06.675" for n in range(3)]
VGGSOUND = ["---g-f_I2yQ_000001", "a-bcdefghij_000120", "k1234567890_000000"]
VATEX = [f"abcdefghi_{n}_000030_000040" for n in range(3)]
YOUCOOK2 = [f"abcdefghij{n}_0" for n in (0, 2, 3)]
COCO = [f"COCO_val2014_00000000000{n}.jpg" for n in (0, 2, 3)]
ALL = tuple(layouts.LAYOUTS)

# name: (items, modality -> their files, item -> captions or labels, problems)
EXPECTED = {
    "msrvtt": (
        ["video7010", "video7011", "video7012", "video7013"],
        dict.fromkeys(("video", "audio"), tuple(f"videos/all/video701{n}.mp4" for n in range(4))),
        [("a man talks",), ("a cat, asleep, on a mat",), ("a dog barks",), ("rain",)],
    ),
    "msvd": (
        ["mv89psg6zh4_0_9", "mv89psg6zh4_1_10", "mv89psg6zh4_2_11"],
        {"video": [f"YouTubeClips/mv89psg6zh4_{n}_{n + 9}.avi" for n in range(3)]},
        [
            ("a bird bathes", "a bird in a sink"),
            ("a man rides",),
            ("two dogs run", "dogs play", "a race"),
        ],
    ),
    "didemo": (
        DIDEMO,
        dict.fromkeys(
            ("video", "audio"), tuple((f"videos/{id_}.mp4", 0.0, 31.0) for id_ in DIDEMO)
        ),
        [("a door opens a cat comes in",), ("waves",), ("first step",)],
    ),
    "activitynet": (
        ["v_uqiMw7tQ1Cc", "v_bXdq2zI1Ms0", "v_FsS_NCZEfaI"],
        dict.fromkeys(
            ("video", "audio"),
            (
                ("Videos/Activity_Videos/v_uqiMw7tQ1Cc.mp4", 0.0, 1.0),
                ("Videos/Activity_Videos/v_bXdq2zI1Ms0.mp4", 0.0, 2.0),
                ("Videos/Activity_Videos/v_FsS_NCZEfaI.mp4", 0.0, 3.0),
            ),
        ),
        [(f"Person {n} stands.  They jump.",) for n in range(3)],
    ),
    "lsmdc": (
        LSMDC,
        dict.fromkeys(
            ("video", "audio"),
            tuple(f"100{n}_Some_Movie/{id_}.avi" for n, id_ in enumerate(LSMDC)),
        ),
        [('SOMEONE says "no".',), ("She runs.",), ("A car, then a bus.",)],
    ),
    "valor32k": (
        [f"abcdefghij{n}_30.000_40.000" for n in range(3)],
        dict.fromkeys(
            ("video", "audio"),
            tuple(f"videos/abcdefghij{n}_30.000_40.000.mp4" for n in range(3)),
        ),
        [(f"A man with hat {n} sings.",) for n in range(3)],
    ),
    "vatex": (
        VATEX,
        dict.fromkeys(("video", "audio"), tuple(f"videos/{id_}.mp4" for id_ in VATEX)),
        [(f"Person {n} rows.", f"A boat, seen {n} times.") for n in range(3)],
    ),
    "youcook2": (
        YOUCOOK2,
        {"video": [(f"raw_videos/validation/113/{x[:-2]}.mp4", 1.0, 3.0) for x in YOUCOOK2]},
        [(f"fry for {n} minutes",) for n in (0, 2, 3)],
    ),
    "msrvtt_caption": (
        ["video7010", "video7011"],
        dict.fromkeys(("video", "audio"), tuple(f"videos/all/video701{n}.mp4" for n in range(2))),
        [("a man sings", "someone sings"), ("a cat runs",)],
    ),
    "coco": (
        COCO,
        {"image": [f"val2014/{name}" for name in COCO]},
        [(f"A bus, number {n}.", f"Bus {n}") for n in (0, 2, 3)],
    ),
    "msrvtt_qa": (
        ["video7010", "video7011"],
        dict.fromkeys(("video", "audio"), tuple(f"videos/all/video701{n}.mp4" for n in range(2))),
        [
            (Question("who sings?", "man"), Question("what is it?", "tv")),
            (Question("what runs?", "cat"),),
        ],
    ),
    "msvd_qa": (
        ["mv89psg6zh4_0_9", "mv89psg6zh4_2_11"],
        {"video": [f"YouTubeClips/mv89psg6zh4_{n}_{n + 9}.avi" for n in (0, 2)]},
        [
            (Question("what bathes?", "bird"), Question("where?", "sink")),
            (Question("who rides?", "man"),),
        ],
    ),
    "tgif_qa": (
        ["tumblr_a1", "tumblr_b2"],
        {"video": ["gifs/tumblr_a1.mp4", "gifs/tumblr_b2.mp4"]},
        [(Question("what is the dog wearing?", "hat"),), (Question("who waves?", "man"),)],
    ),
    "activitynet_qa": (
        ["v_aaa", "v_bbb"],
        {"video": ["videos/v_aaa.mp4", "videos/v_bbb.mp4"]},
        [
            (Question("is it raining", "no"), Question("where", "park")),
            (Question("who runs", "dog"),),
        ],
    ),
    "music_avqa": (
        ["00000093", "00000294"],
        dict.fromkeys(("video", "audio"), ("videos/00000093.mp4", "videos/00000294.mp4")),
        [
            (Question("Is the piano left of the flute?", "yes"),),
            (Question("How many instruments are there?", "two"),),
        ],
    ),
    "clotho": (
        ["Rain on a roof, far.wav", "busy street.wav", "01 hum.2.wav"],
        {
            "audio": [
                "evaluation/Rain on a roof, far.wav",
                "evaluation/busy street.wav",
                "evaluation/01 hum.2.wav",
            ]
        },
        [tuple(f"Sound {n}, heard as {i}." for i in range(1, 6)) for n in range(3)],
    ),
    "audiocaps": (
        ["abc_33", "d-f_33", "g_31"],
        {"audio": ["audio/abc_33.wav", "audio/d-f.flac", "audio/Yg.wav"]},
        [(f"A bell, near, by {one}", f"A bell, far, by {one}") for one in ("abc", "d-f", "g")],
    ),
    "k400": (
        ["val/a1.mp4", "val/b 2.mp4", "val/c3.mp4"],
        {"video": ["val/a1.mp4", "val/b 2.mp4", "val/c3.mp4"]},
        [("abseiling",), ("air drumming",), ("archery",)],
    ),
    "imagenet": (
        [
            "n01440764/ILSVRC2012_val_00000293",
            "n01440764/ILSVRC2012_val_00002138",
            "n01443537/ILSVRC2012_val_00000236",
        ],
        {
            "image": [
                "val/n01440764/ILSVRC2012_val_00000293.JPEG",
                "val/n01440764/ILSVRC2012_val_00002138.JPEG",
                "val/n01443537/ILSVRC2012_val_00000236.JPEG",
            ]
        },
        [("n01440764",), ("n01440764",), ("n01443537",)],
        [("missing", "val", "image")],
    ),
    "nyu_depth": (
        ["bathroom/0509", "bedroom/0001", "bedroom/0002", "others/0700"],
        {
            "depth": [
                "data/val/bathroom/0509.png",
                "data/val/bedroom/0001.png",
                "data/val/bedroom/0002.png",
                "data/val/others/0700.png",
            ],
            "image": [
                "rgb/val/bathroom/0509.jpg",
                "rgb/val/bedroom/0001.jpg",
                "rgb/val/bedroom/0002.jpg",
                "rgb/val/others/0700.jpg",
            ],
        },
        [("bathroom",), ("bedroom",), ("bedroom",), ("others",)],
        [("missing", "data/val", "depth")],
    ),
    "sun_depth": (
        ["kv1/NYUdata/NYU0001", "kv2/b3do/img_0064", "xtion/x/1"],
        {
            "depth": [
                "kv1/NYUdata/NYU0001/depth_mm/0.png",
                "kv2/b3do/img_0064/depth_mm/1.png",
                "xtion/x/1/depth_mm/2.png",
            ],
            "image": [
                "kv1/NYUdata/NYU0001/image/0.jpg",
                "kv2/b3do/img_0064/image/1.jpg",
                "xtion/x/1/image/2.jpg",
            ],
        },
        [("kitchen",), ("office",), ("lab",)],
    ),
    "llvip": (
        ["background/190001_0", "person/190001_0", "person/190001_1"],
        {
            modality: [
                f"{folder}/background/190001_0.jpg",
                f"{folder}/person/190001_0.jpg",
                f"{folder}/person/190001_1.jpg",
            ]
            for modality, folder in (("thermal", "infrared"), ("image", "visible"))
        },
        [("background",), ("person",), ("person",)],
    ),
    "flir_v1": (
        ["bicycle/1", "car/1", "dog/1"],
        {"thermal": ["val/bicycle/1.jpeg", "val/car/1.jpeg", "val/dog/1.jpeg"]},
        [("bicycle",), ("car",), ("dog",)],
        [("missing", "val", "thermal")],
    ),
    "flir_v2": (
        ["bike/1", "light/1", "other vehicle/1", "truck/1"],
        {
            "thermal": [
                "val/bike/1.jpg",
                "val/light/1.jpg",
                "val/other vehicle/1.jpg",
                "val/truck/1.jpg",
            ]
        },
        [("bike",), ("light",), ("other vehicle",), ("truck",)],
        [("missing", "val", "thermal")],
    ),
    "esc50": (
        ["1-100032-A-0.wav", "2-100032-A-1.wav", "3-100032-A-2.wav"],
        {"audio": [f"audio/{n + 1}-100032-A-{n}.wav" for n in range(3)]},
        [("dog",), ("chirping_birds",), ("brushing_teeth",)],
    ),
    "vggsound": (
        VGGSOUND,
        {
            "audio": [f"audio/{id_}.wav" for id_ in VGGSOUND],
            "image": [f"video/{id_}.mp4" for id_ in VGGSOUND],
            "video": [f"video/{id_}.mp4" for id_ in VGGSOUND],
        },
        [("people marching",), ("alligators, crocodiles hissing",), ("air horn",)],
    ),
    "audioset": (
        ["--4gqARaEJE", "-0RWZT-miFs", "YabcdefghiY"],
        {
            "audio": [
                "eval_segments/Y--4gqARaEJE.wav",
                "eval_segments/-0RWZT-miFs.flac",
                "eval_segments/YYabcdefghiY.wav",
            ]
        },
        [("/m/068hy", "/m/0bt9lr"), ("/m/09x0r",), ("/m/05zppz",)],
    ),
    "ave": (
        ["RUhOCu3LNXM", "a-_1234567Z", "h"],
        dict.fromkeys(
            ("image", "audio"),
            (
                ("AVE/RUhOCu3LNXM.mp4", 0.0, 10.0),
                ("AVE/a-_1234567Z.mp4", 1.0, 3.0),
                ("AVE/h.mp4", 0.0, 1.0),
            ),
        ),
        None,
    ),
    "smoke": (
        ["0", "1"],
        {
            "image": ["assets/image/0.jpg", "assets/image/1.jpg"],
            "video": ["assets/video/0.mp4", "assets/video/1.mp4"],
            "depth": ["assets/depth/0.png", "assets/depth/1.png"],
            "thermal": ["assets/thermal/0.jpg", "assets/thermal/1.jpg"],
            "audio": ["assets/audio/0.wav", "assets/audio/1.wav"],
        },
        [
            ("Training a parakeet to climb up a ladder.",),
            ("A lion climbing a tree to catch a monkey.",),
        ],
    ),
}
EXPECTED["k600"] = EXPECTED["k400"]

HAVE_TEXTS = tuple(name for name, one in layouts.LAYOUTS.items() if one.counts["captions"])
HAVE_QUESTIONS = tuple(name for name, one in layouts.LAYOUTS.items() if "questions" in one.counts)
FOLDERS = ("imagenet", "nyu_depth", "llvip", "flir_v1", "flir_v2")  # without an annotation
# An item is there by its files, or by rows of which it has several, see test_questions.py.
WITHOUT_ROWS = (*FOLDERS, "smoke", "msrvtt_caption", "coco", "youcook2", *HAVE_QUESTIONS)


@pytest.fixture(params=ALL)
def folder(request, tmp_path) -> Path:
    return miniatures.write(request.param, tmp_path)


# What is there


def test_every_layout_has_a_miniature_and_an_expected_split():
    assert set(layouts.LAYOUTS) == set(miniatures.WRITERS) == set(EXPECTED)
    for layout in layouts.LAYOUTS.values():
        assert set(layout.counts) - {"questions"} == {"items", "captions"}
        assert layout.title
        assert "\n" not in layout.tree != ""


@pytest.mark.parametrize("name", ALL)
def test_reader_gives_exactly_what_is_on_disk(name, tmp_path):
    folder = write(tmp_path, name)
    ids, media, values, *problems = EXPECTED[name]
    split = read(folder)
    assert split.ids == tuple(ids)
    whole = {
        modality: {
            id_: Clip(folder / one) if isinstance(one, str) else Clip(folder / one[0], *one[1:])
            for id_, one in zip(ids, paths, strict=True)
        }
        for modality, paths in media.items()
    }
    assert split.media == whole
    by_id = dict(zip(ids, values, strict=True)) if values else {}
    assert split.texts == (by_id if name in HAVE_TEXTS else {})
    assert split.questions == (by_id if name in HAVE_QUESTIONS else {})
    assert split.labels == ({} if name in HAVE_TEXTS + HAVE_QUESTIONS else by_id)
    assert [key(one) for one in split.problems] == (problems[0] if problems else [])


@pytest.mark.parametrize("name", ALL)
def test_files_of_miniatures_decode(name, tmp_path):
    for modality, clips in read(write(tmp_path, name)).media.items():
        for clip in clips.values():
            suffixes = MODALITIES["video"].suffixes
            kind = "video" if modality == "image" and clip.path.suffix in suffixes else modality
            preprocess.decode(kind, clip.path, specs.preset(kind))


def test_reading_again_gives_the_same(folder):
    assert read(folder) == read(folder)


# What is missing, extra or twice


def test_item_without_file_is_missing_and_the_others_stay(folder):
    before = read(folder)
    id_ = before.ids[0]
    modality = next(iter(before.media))
    path = before.media[modality][id_].path
    path.unlink()
    after = read(folder)
    if folder.name in FOLDERS:  # the files are the annotation, so it is an item no more
        assert without(after) == without(before, id_)
        return
    shared = [name for name, clips in before.media.items() if clips[id_].path == path]
    assert new(before, after) == [("missing", id_, name) for name in shared]
    assert after.ids == before.ids
    for name, clips in before.media.items():
        assert after.media[name] == {
            one: clip for one, clip in clips.items() if one != id_ or name not in shared
        }
    assert (after.texts, after.labels) == (before.texts, before.labels)
    assert after.questions == before.questions


def test_file_of_no_item_is_extra(folder):
    before = read(folder)
    modality, clips = next(iter(before.media.items()))
    first = next(iter(clips.values())).path
    stray = first.with_stem("stray" if folder.name not in FOLDERS else first.stem)
    if folder.name in FOLDERS:
        stray = first.parents[1] / first.name
    shutil.copy(first, stray)
    after = read(folder)
    is_video = first.suffix in MODALITIES["video"].suffixes
    kind = "video" if is_video else modality
    extra = ("extra", stray.relative_to(folder).as_posix(), kind)
    if folder.name == "sun_depth":  # a sample has one depth map
        assert [one[0] for one in new(before, after)] == ["duplicate"]
    else:
        assert new(before, after) == [extra]
    assert without(after) == without(before)


def test_hidden_files_and_other_endings_are_left_alone(folder):
    before = read(folder)
    first = next(iter(next(iter(before.media.values())).values())).path
    first.with_name(f"._{first.name}").write_bytes(b"x")
    first.with_name("Thumbs.db").write_bytes(b"x")
    assert read(folder) == before


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("sun_depth",)])
def test_two_files_of_an_item_are_a_duplicate_and_the_first_ending_counts(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    modality, clips = next(iter(before.media.items()))
    id_, clip = next(iter(clips.items()))
    kind = "video" if clip.path.suffix in MODALITIES["video"].suffixes else modality
    suffixes = MODALITIES[kind].suffixes
    if kind == "depth":
        pytest.skip("depth has one ending")
    later = suffixes[suffixes.index(clip.path.suffix.lower()) + 1]
    shutil.copy(clip.path, clip.path.with_suffix(later))
    after = read(folder)
    assert without(after) == without(before)
    shared = [one for one in before.media if before.media[one][id_].path == clip.path]
    assert new(before, after) == [("duplicate", id_, one) for one in shared]


def test_file_of_an_ending_that_is_not_read_is_named(tmp_path):
    folder = write(tmp_path, "didemo")
    path = folder / f"videos/{DIDEMO[0]}.mp4"
    path.rename(path.with_suffix(".rm"))
    problems = read(folder).problems
    assert [one.modality for one in problems] == ["video", "audio"]
    for problem in problems:
        assert "there is 12340@N00_5550_abcdef.rm, an ending that is not read" in problem.reason


def test_names_and_captions_that_are_no_text_can_be_printed(tmp_path):
    folder = write(tmp_path, "valor32k")
    before = read(folder)
    (folder / "videos" / "b\udce4r.mp4").write_bytes(b"x")
    rows = json.loads((folder / "desc_test.json").read_text())
    rows[0]["desc"] = "half \ud83d"
    rows.append({"video_id": "\ud83d", "desc": "a"})
    (folder / "desc_test.json").write_text(json.dumps(rows))
    after = read(folder)
    assert [one.kind for one in after.problems] == ["annotation", "annotation", "extra", "extra"]
    assert after.problems[3].name == "videos/b\\udce4r.mp4"
    assert all(f"{one.name}{one.reason}".encode() for one in after.problems)
    assert without(after) == without(before, before.ids[0])


# Rows that come twice, cannot be used, or lead elsewhere: annotation file, a row of an item turned
# into another one. JSON files hold lists or objects.


def repeated(name: str, folder: Path) -> str:
    """Lists the first item again; returns its id."""
    id_ = read(folder).ids[0]
    file, first = ROWS[name]
    if file.endswith(".json"):
        rows = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps([*rows, rows[first]]))
    else:
        lines = (folder / file).read_text().splitlines()
        (folder / file).write_text("\n".join([*lines, lines[first]]) + "\n")
    return id_


ROWS = {  # name: the file that lists the items, the place of the first
    "msrvtt": ("MSRVTT_JSFUSION_test.csv", 1),
    "msvd": ("test_list.txt", 0),
    "didemo": ("test_list.txt", 0),
    "activitynet": ("val_ids.json", 0),
    "lsmdc": ("LSMDC16_challenge_1000_publictect.csv", 0),
    "valor32k": ("desc_test.json", 0),
    "vatex": ("vatex_public_test_english_v1.1.json", 0),
    "clotho": ("clotho_captions_evaluation.csv", 1),
    "audiocaps": ("test.csv", 1),
    "k400": ("val.csv", 0),
    "k600": ("val.csv", 0),
    "sun_depth": ("test.txt", 0),
    "esc50": ("meta/esc50.csv", 1),
    "vggsound": ("vggsound.csv", 0),
    "audioset": ("eval_segments.csv", 3),
    "ave": ("testSet.txt", 0),
}


def test_every_annotated_set_is_in_this_table():
    assert set(ROWS) == set(ALL) - set(WITHOUT_ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_item_listed_twice_keeps_its_first_row(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    id_ = repeated(name, folder)
    after = read(folder)
    assert new(before, after) == [("duplicate", id_, None)]
    assert without(after) == without(before)


@pytest.mark.parametrize("bad", ["../../secret", "/etc/passwd", "a/../../b", "C:\\x", "..\\x"])
@pytest.mark.parametrize("name", ROWS)
def test_names_that_lead_elsewhere_are_bad_rows(name, bad, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    file, _ = ROWS[name]
    id_ = before.ids[0]
    written = {"vggsound": "---g-f_I2yQ", "audiocaps": "abc"}.get(name, id_)
    if name == "didemo":
        written += ".mp4"
    escaped = bad.replace("\\", "\\\\") if file.endswith(".json") else bad

    def turned(text: str) -> str:
        if name != "audiocaps":
            return text.replace(written, escaped, 1)
        return text.replace(",abc,", f",{escaped},")

    if name in ("k400", "k600"):
        escaped += ".mp4"
    change(folder / file, turned)
    after = read(folder)
    found = {one.kind for one in after.problems}
    assert "annotation" in found
    assert found <= {"annotation", "extra"}
    assert without(after) == without(before, id_)
    for clips in after.media.values():
        assert all(clip.path.resolve().is_relative_to(folder.resolve()) for clip in clips.values())


# The list that the data set comes with, of cvdfoundation/kinetics-dataset and of DeepMind.


# name: (file, what is replaced, by what): an empty caption or an unknown label of the first item
SPOILT = {
    "msrvtt": ("MSRVTT_JSFUSION_test.csv", "a man talks", " "),
    "didemo": ("test_data.json", "a door opens", ""),
    "activitynet": ("val_1.json", '"Person 0 stands.", " They jump."', '"a", ""'),
    "lsmdc": ("LSMDC16_challenge_1000_publictect.csv", 'SOMEONE says "no".', " "),
    "valor32k": ("desc_test.json", '"A man with hat 0 sings."', "7"),
    "vatex": ("vatex_public_test_english_v1.1.json", '"Person 0 rows."', "null"),
    "youcook2": ("youcookii_annotations_trainval.json", "fry for 0 minutes", " "),
    "msrvtt_caption": ("test_videodatainfo.json", "a man sings", " "),
    "coco": ("dataset_coco.json", "A bus, number 0.", ""),
    "tgif_qa": ("Test_frameqa_question.csv", "\that\t", "\t \t"),
    "music_avqa": ("avqa-test.json", "<Object> left", "piano left"),
    "clotho": ("clotho_captions_evaluation.csv", "Sound 0, heard as 3.", ""),
    "audiocaps": ("test.csv", "A bell, near, by abc", ""),
    "k400": ("val.csv", "a1.mp4 0", "a1.mp4 4000"),
    "k600": ("val.csv", "a1.mp4 0", "a1.mp4 abseilin"),
    "sun_depth": ("kv1/NYUdata/NYU0001/scene.txt", "kitchen", "gym"),
    "esc50": ("meta/esc50.csv", ",dog,", ",dgo,"),
    "vggsound": ("vggsound.csv", "people marching", "people march"),
    "audioset": ("eval_segments.csv", "/m/0bt9lr", "/m/nothing"),
    "ave": ("testSet.txt", "good&0&10", "good&0"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_row_that_cannot_be_used_leaves_its_item_out(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    file, old, by = SPOILT[name]
    change(folder / file, lambda text: text.replace(old, by, 1))
    after = read(folder)
    kinds = [one.kind for one in after.problems if one.kind != "extra"]
    assert kinds == ["annotation"]
    assert without(after) == without(before, before.ids[0])


# name: (file, what is replaced by another item's caption, by what, problem of which item)
SHARED = {
    "msrvtt": ("MSRVTT_JSFUSION_test.csv", "a dog barks", "a man talks", "video7012"),
    "didemo": ("test_data.json", "first step", "waves", DIDEMO[2]),
    "activitynet": ("val_1.json", "Person 1", "Person 0", "v_bXdq2zI1Ms0"),
    "lsmdc": ("LSMDC16_challenge_1000_publictect.csv", "A car, then a bus.", "She runs.", LSMDC[2]),
    "valor32k": ("desc_test.json", "hat 2", "hat 1", "abcdefghij2_30.000_40.000"),
    "vatex": ("vatex_public_test_english_v1.1.json", "Person 2", "Person 1", VATEX[2]),
    "youcook2": ("youcookii_annotations_trainval.json", "for 3", "for 2", YOUCOOK2[2]),
    "coco": ("dataset_coco.json", "number 3", "number 2", COCO[2]),
    "clotho": (
        "clotho_captions_evaluation.csv",
        "Sound 2, heard as 3",
        "Sound 0, heard as 1",
        "01 hum.2.wav",
    ),
    "audiocaps": ("test.csv", "A bell, far, by abc", "A bell, near, by abc", "abc_33"),
}


@pytest.mark.parametrize("name", SHARED)
def test_caption_that_comes_twice_is_named_and_kept(name, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    file, old, by, id_ = SHARED[name]
    change(folder / file, lambda text: text.replace(old, by, 1))
    after = read(folder)
    assert new(before, after) == [("duplicate", id_, None)]
    assert after.media == before.media
    assert sum(map(len, after.texts.values())) == sum(map(len, before.texts.values()))


@pytest.mark.parametrize("segment", ["[2, 2]", "[3, 2]", '["x", 2]', "[0]", "null", "[-1, 2]"])
def test_a_step_without_a_stretch_is_a_bad_row(segment, tmp_path):
    folder = write(tmp_path, "youcook2")
    before = read(folder)
    file = folder / "youcookii_annotations_trainval.json"
    change(file, lambda text: text.replace("[1, 3]", segment, 1))
    after = read(folder)
    assert [one.kind for one in after.problems] == ["annotation", "extra"]
    assert after.problems[0].name == YOUCOOK2[0]
    assert without(after) == without(before, YOUCOOK2[0])


def test_steps_of_a_video_share_its_file(tmp_path):
    folder = write(tmp_path, "youcook2")
    file = folder / "youcookii_annotations_trainval.json"
    content = json.loads(file.read_text())
    steps = content["database"]["abcdefghij2"]["annotations"]
    steps += [{"id": 7, "segment": [2.5, 4], "sentence": "serve"}] * 2
    file.write_text(json.dumps(content))
    after = read(folder)
    assert list(after.ids) == [*YOUCOOK2[:2], "abcdefghij2_7", YOUCOOK2[2]]
    video = folder / "raw_videos/validation/113/abcdefghij2.mp4"
    assert after.media["video"]["abcdefghij2_7"] == Clip(video, 2.5, 4.0)
    assert [(one.kind, one.name) for one in after.problems] == [("duplicate", "abcdefghij2_7")]


def test_steps_may_be_named_by_anything_but_files_only_by_plain_names(tmp_path):
    folder = write(tmp_path, "youcook2")
    file = folder / "youcookii_annotations_trainval.json"
    change(file, lambda text: text.replace("abcdefghij0", "../../abcdefghij0", 1))
    after = read(folder)
    assert list(after.ids) == YOUCOOK2[1:]
    assert [one.kind for one in after.problems] == ["annotation", "extra"]
    file.write_text('{"videos": {}}')
    with pytest.raises(errors.DataError, match='has no object "database"'):
        layouts.LAYOUTS["youcook2"].read(folder)


def test_extra_files_do_not_hide_what_changes_a_score(tmp_path):
    folder = write(tmp_path, "msrvtt")
    shutil.copy(folder / "videos/all/video7010.mp4", folder / "videos/all/another.mp4")
    (folder / "videos/all/video7011.mp4").unlink()
    change(folder / ROWS["msrvtt"][0], lambda text: text.replace("rain", " "))
    kinds = [one.kind for one in read(folder).problems]
    assert kinds == ["missing", "missing", "annotation", "extra", "extra"]


# Annotation files themselves


@pytest.mark.parametrize("name", ALL)
def test_absent_annotation_or_folder_is_one_line(name, tmp_path):
    with pytest.raises(errors.DataError, match="no such folder"):
        layouts.LAYOUTS[name].read(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(errors.DataError, match=r"expected|no such file") as caught:
        layouts.LAYOUTS[name].read(tmp_path / name)
    assert "\n" not in str(caught.value)


TEXT_FILES = sorted({(name, file) for name, (file, _) in ROWS.items()})


@pytest.mark.parametrize(("name", "file"), TEXT_FILES)
def test_byte_order_mark_and_windows_line_ends_change_nothing(name, file, tmp_path):
    folder = write(tmp_path, name)
    before = read(folder)
    content = (folder / file).read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    (folder / file).write_bytes(codecs.BOM_UTF8 + content)
    assert read(folder) == before


@pytest.mark.parametrize(("name", "file"), TEXT_FILES)
def test_bytes_that_are_not_utf8_are_refused_by_line(name, file, tmp_path):
    folder = write(tmp_path, name)
    with (folder / file).open("ab") as opened:
        opened.write(b"\xff\xfe,\xe9\n")
    with pytest.raises(errors.DataError, match=r"line \d+ is not UTF-8"):
        read(folder)


@pytest.mark.parametrize(("name", "file"), [one for one in TEXT_FILES if "json" in one[1]])
def test_damaged_json_is_refused(name, file, tmp_path):
    folder = write(tmp_path, name)
    for content, said in (
        ("[1, 2", "is not JSON"),
        ("7", "expected a list"),
        ("[" * 10**5, "JSON"),
    ):
        (folder / file).write_text(content)
        with pytest.raises(errors.DataError, match=said):
            read(folder)


# Other layouts of the same sets
