"""Test sets of sound."""

import json
import shutil

import pytest

from lb_jax.core import errors
from lb_jax.media.clips import Clip
from tests.evaluation import miniatures
from tests.evaluation.benchmarks.layouts.folders import read, without, write


def test_vggsound_without_videos_has_sound_alone_and_without_sounds_takes_it_from_them(tmp_path):
    folder = write(tmp_path, "vggsound")
    shutil.move(folder / "video", tmp_path / "video")
    assert [*read(folder).media] == ["audio"]
    shutil.rmtree(folder / "audio")
    shutil.move(tmp_path / "video", folder / "video")
    split = read(folder)
    assert split.media["audio"] == split.media["video"] == split.media["image"]
    assert split.problems == ()


def test_table_of_languagebind_audiocaps(tmp_path):
    folder = tmp_path / "audiocaps"
    rows = ["uniq_id\taudio\tcaption"]
    rows += [f"{n}\taudiocaps/audio/test/{'ab'[n % 2]}.flac\tcaption {n}" for n in range(4)]
    rows.append("4\taudiocaps/../../x.flac\tcaption 4")
    miniatures.put(folder / "audiocaps_test.tsv", "\n".join(rows))
    for n, name in enumerate("ab"):
        miniatures.put(folder / f"audio/test/{name}.flac", miniatures.sound(n, "FLAC"))
    split = read(folder)
    assert split.ids == ("audio/test/a.flac", "audio/test/b.flac")
    assert split.texts["audio/test/b.flac"] == ("caption 1", "caption 3")
    assert split.media["audio"]["audio/test/a.flac"] == Clip(folder / "audio/test/a.flac")
    assert [one.kind for one in split.problems] == ["annotation"]
    miniatures.put(folder / "test.csv", "")
    with pytest.raises(errors.DataError, match=r"has test.csv and audiocaps_test.tsv; keep"):
        read(folder)


def test_list_of_languagebind_audioset(tmp_path):
    folder = write(tmp_path, "audioset")
    before = read(folder)
    data = [
        {"wav": "Y--4gqARaEJE.wav", "labels": "/m/068hy,/m/0bt9lr"},
        {"wav": "-0RWZT-miFs.wav", "labels": "/m/09x0r"},
        {"wav": "YYabcdefghiY.wav", "labels": "/m/05zppz"},
    ]
    (folder / "eval_segments.csv").unlink()
    path = miniatures.put(folder / "filter_eval.json", json.dumps({"data": data}))
    assert read(folder) == before
    for spoilt in (
        {"wav": 1, "labels": "/m/09x0r"},
        7,
        {"wav": "/etc/x.wav", "labels": "/m/09x0r"},
    ):
        path.write_text(json.dumps({"data": [*data, spoilt]}))
        after = read(folder)
        assert [one.kind for one in after.problems] == ["annotation"]
        assert without(after) == without(before)


def test_clotho_table_of_languagebind_lies_in_a_folder(tmp_path):
    folder = write(tmp_path, "clotho")
    before = read(folder)
    (folder / "CLOTHO_retrieval_dataset").mkdir()
    name = "clotho_captions_evaluation.csv"
    (folder / name).rename(folder / "CLOTHO_retrieval_dataset" / name)
    assert read(folder) == before
