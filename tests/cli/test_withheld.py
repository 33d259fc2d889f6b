"""A store of own files that the demo's model does not know, from the folder to the answer."""

import json

import numpy as np

from tests.media import media_files

RNG = np.random.default_rng(0)


def test_no_command_tells_a_probability_of_own_files(call, tmp_path):
    (tmp_path / "own").mkdir()
    for i in range(6):
        noise = RNG.integers(0, 256, (40, 60, 3), np.uint8)
        (tmp_path / "own" / f"{i}.png").write_bytes(media_files.picture(noise))
    built = call("index build {tmp}/own -o {tmp}/own.index")
    assert built.status == 0, built.err
    assert "of 6 image vectors are unlike those that the calibration was fitted to" in built.out
    told = call("index info {tmp}/own.index").out
    assert "no probabilities: " in told
    fit = json.loads(call("index info {tmp}/own.index --json").out)["models"][0]["fit"]
    assert fit["modalities"]["image"][1] == 6
    line = "index search {tmp}/own.index"
    shown = call(f"{line} 'a red car'")
    assert shown.status == 0, shown.err
    assert shown.out.split()[:3] == ["rank", "cosine", "modality"]
    assert "no probability: " in shown.out
    for asking, is_withheld in (("'a red car'", True), ("--like {tmp}/own/0.png", False)):
        found = json.loads(call(f"{line} {asking} --json").out)["results"]
        assert len(found) == 6
        assert {one["probability"] for one in found} == {None}
        assert {bool(one["withheld"]) for one in found} == {is_withheld}  # no curve of two images
