import collections
import json
from pathlib import Path

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.data import annotations

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


def _row(**changes):
    fields = {**FIELDS, **changes}
    texts = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k != "folder"}
    return annotations.Row("abc", fields["folder"], texts)


def test_rows_are_read_in_order(tmp_path):
    path = _write(tmp_path, {"abc": {**FIELDS, "views": 3}, "def": {"folder": "f"}})
    assert annotations.read_vidal(path) == [_row(), annotations.Row("def", "f", {})]
    assert [r.id for r in annotations.read_vidal(path, limit=1)] == ["abc"]


def test_a_lacking_kind_names_row_kind_and_what_there_is(tmp_path):
    path = _write(tmp_path, {"abc": FIELDS, "def": {"folder": "f", "raw": "x", "mplug": "y"}})
    with pytest.raises(errors.DataError, match=r"def: lacks sound_mplug; it has raw, mplug"):
        annotations.read_vidal(path, ["mplug", "sound_mplug"])
    with pytest.raises(errors.DataError, match=r"def: lacks polish_mplug, sound_mplug, ofa"):
        annotations.read_vidal(path, ["mix"])
    assert len(annotations.read_vidal(path, ["mplug"])) == 2


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
        annotations.read_vidal(_write(tmp_path, content))


def test_an_unreadable_file_is_refused(tmp_path):
    (tmp_path / "bin.json").write_bytes(b'{"\xff": 1}')
    for name in ("none.json", "bin.json", "."):
        with pytest.raises(errors.DataError, match="expected the annotation JSON"):
            annotations.read_vidal(tmp_path / name)


def test_an_unknown_kind_is_refused_with_the_nearest_name(tmp_path):
    path = _write(tmp_path, {"abc": FIELDS})
    with pytest.raises(errors.ConfigError, match="Did you mean 'polish_mplug'"):
        annotations.read_vidal(path, ["polished_mplug"])
    with pytest.raises(errors.ConfigError, match="no text kind 'chatgpt'"):
        annotations.draw_text(_row(), "chatgpt", np.random.default_rng(0))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mplug", "a cat sits"),
        ("sound_mplug", "a cat purrs"),
        ("raw", "a cat!, cats"),
        ("ofa_3", "frame 3"),
    ],
)
def test_each_kind_gives_its_text(kind, text):
    assert annotations.draw_text(_row(), kind, np.random.default_rng(0))[0] == text


def test_mix_follows_the_published_weights():
    rng = np.random.default_rng(0)
    counts = collections.Counter(annotations.draw_text(_row(), "mix", rng)[0] for _ in range(8000))
    assert sum(annotations.MIX_WEIGHTS.values()) == pytest.approx(1)
    for text in ("a cat!, cats", "a cat sits", "In the video, a cat sits", "a cat purrs"):
        assert counts[text] / 8000 == pytest.approx(0.2, abs=0.02)
    for k in range(8):
        assert counts[f"frame {k}"] / 8000 == pytest.approx(0.025, abs=0.01)


@pytest.mark.parametrize("kind", ["mix", "ofa"])
def test_a_caption_of_a_frame_ties_the_frame(kind):
    rng = np.random.default_rng(0)
    draws = [annotations.draw_text(_row(), kind, rng) for _ in range(500)]
    tied = [(text, frame) for text, frame in draws if text.startswith("frame")]
    assert len(tied) > 50
    assert all(text == f"frame {frame}" for text, frame in tied)


def test_other_captions_take_a_uniform_frame():
    rng = np.random.default_rng(0)
    counts = np.bincount([annotations.draw_text(_row(), "mplug", rng)[1] for _ in range(4000)])
    assert len(counts) == annotations.FRAMES_PER_ITEM
    np.testing.assert_allclose(counts / 4000, 1 / 8, atol=0.03)


def test_one_of_several_captions_is_drawn():
    rng = np.random.default_rng(0)
    row = _row(sound_mplug=["purr", "meow"])
    assert {annotations.draw_text(row, "sound_mplug", rng)[0] for _ in range(50)} == {
        "purr",
        "meow",
    }


def test_the_generator_is_used_alike_for_every_kind():
    after = set()
    for kind in annotations.DRAW_KINDS:
        rng = np.random.default_rng(0)
        annotations.draw_text(_row(), kind, rng)
        after.add(rng.random())
    assert len(after) == 1


@pytest.mark.parametrize(
    ("modality", "folder", "path"),
    [
        ("video", "coco_vat_1", "coco_vat_1_resize256_skip15/abc.mp4"),
        ("video", "new_3", "new_download_resize256_skip15/abc.mp4"),
        ("image", "coco_vat_1", "coco_vat_1_resize256_skip15/abc_resize256_folder/5.jpg"),
        ("image", "new_3", "new_download_resize256_skip15/abc_resize256_folder/5.jpg"),
        ("depth", "new_3", "new_3/abc_depth_f8glpn_folder/5.png"),
        ("thermal", "coco_vat_1", "coco_vat_1/abc_thermal_folder/5.jpg"),
        ("audio", "coco_vat_1", "coco_vat_1_audio/abc.wav"),
    ],
)
def test_media_lie_where_the_corpus_has_them(modality, folder, path):
    assert annotations.media_path("/data", _row(folder=folder), modality, 5) == Path("/data") / path


@pytest.mark.parametrize(("folder", "name"), [("../up", "a"), ("/etc", "a"), ("f", "../../a")])
def test_a_path_out_of_the_root_is_refused(folder, name):
    with pytest.raises(errors.DataError, match="leads out of the data root"):
        annotations.media_path("/data", annotations.Row(name, folder, {}), "depth", 0)


def test_an_unknown_modality_is_refused():
    with pytest.raises(errors.ConfigError, match="Did you mean 'depth'"):
        annotations.media_path("/data", _row(), "dept", 0)


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        (
            "WHY SCUBA DIVERS ROLL BACKWARDS OFF BOAT #shorts",
            "why scuba divers roll backwards off boat",
        ),
        ("Cat's video! #viral #cats", "cat's !, cats"),
        ("#shortsfeed", "feed"),
        ("50% more", "50 more"),
        ("#shorts", ""),
    ],
)
def test_titles_lose_their_advertising(title, clean):
    assert annotations.clean_title(title) == clean
