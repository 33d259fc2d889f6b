"""Test sets of videos with captions."""

import json
import pickle

from lb_jax.media.clips import Clip
from tests.evaluation import miniatures
from tests.evaluation.benchmarks.layouts.folders import change, new, read, without, write


def test_msvd_item_without_captions_is_left_out(tmp_path):
    folder = write(tmp_path, "msvd")
    before = read(folder)
    path = folder / "raw-captions.pkl"
    captions = pickle.loads(path.read_bytes())
    for spoilt in ([], [["a", 1]], "text", [[]]):
        path.write_bytes(pickle.dumps(captions | {before.ids[0]: spoilt}))
        after = read(folder)
        assert without(after) == without(before, before.ids[0]), spoilt
        assert [one.kind for one in after.problems] == ["annotation", "extra"]


def test_key_that_comes_twice_in_activitynet_is_named(tmp_path):
    folder = write(tmp_path, "activitynet")
    before = read(folder)
    again = json.dumps({"duration": 99.0, "sentences": ["Other."]})
    change(folder / "val_1.json", lambda text: f'{text[:-1]}, "{before.ids[0]}": {again}}}')
    after = read(folder)
    assert new(before, after) == [("duplicate", before.ids[0], None)]
    assert without(after) == without(before)


def test_sound_of_msrvtt_comes_from_its_own_folder_if_there_is_one(tmp_path):
    folder = write(tmp_path, "msrvtt")
    before = read(folder)
    for n, id_ in enumerate(before.ids[1:]):
        miniatures.put(folder / f"audio/{id_}.wav", miniatures.sound(n))
    after = read(folder)
    assert [*after.media["audio"]] == [*before.ids[1:]]
    assert after.media["audio"]["video7011"] == Clip(folder / "audio/video7011.wav")
    assert new(before, after) == [("missing", "video7010", "audio")]
