"""The demo corpus as files: layout, formats, determinism, refusals."""

import hashlib
import json
import subprocess
import sys
import warnings

import av
import cv2
import numpy as np
import PIL.Image
import pytest
import soundfile

from lb_jax.core import errors
from lb_jax.core.modalities import MODALITIES
from lb_jax.demo import corpus, scene
from lb_jax.demo.silhouettes import SIDE
from lb_jax.media import imu, specs

ITEMS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "new" / "demo"
    corpus.write_corpus(out, seed=5, items=ITEMS, workers=1)
    return out


def read(path):
    return json.loads(path.read_text())


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_two_workers_write_the_same_bytes_as_one(folder, tmp_path):
    corpus.write_corpus(tmp_path, seed=5, items=ITEMS, workers=2)
    assert digests(tmp_path) == digests(folder)


def test_another_seed_writes_other_bytes(folder, tmp_path):
    corpus.write_corpus(tmp_path, seed=6, items=20, workers=1)
    other, this = digests(tmp_path), digests(folder)
    assert not [name for name in other if name.startswith("scenes") and other[name] == this[name]]


def test_there_are_no_files_but_the_promised(folder):
    assert len(digests(folder)) == ITEMS * (1 + 8 + 8 + 8 + 1 + 1) + 6


def test_annotations_have_the_vidal_form(folder):
    everything, facts = read(folder / "annotation.json"), read(folder / "attributes.json")
    train, test = read(folder / "train.json"), read(folder / "test.json")
    assert list(everything) == list(facts)
    assert train | test == everything
    assert not train.keys() & test.keys()
    assert {facts[i]["split"] for i in test} == {"test"}
    for texts in everything.values():
        assert list(texts) == ["folder", "raw", "mplug", "polish_mplug", "sound_mplug", "ofa"]
        assert texts["folder"] == "scenes"
        assert len(texts["ofa"]) == 8


def test_attributes_name_values_and_files_that_exist(folder):
    for fact in read(folder / "attributes.json").values():
        assert all(fact[name] in values for name, values in scene.VALUES.items())
        assert list(fact["files"]) == list(MODALITIES)
        assert all((folder / path).is_file() for path in fact["files"].values())


def test_media_decode_to_what_is_promised(folder):
    files = read(folder / "attributes.json")["scene000007"]["files"]
    with av.open(str(folder / files["video"])) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == (
            "h264",
            "yuv420p",
            8,
        )
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert np.shape(frames) == (16, SIDE, SIDE, 3)
    for k, t in enumerate(scene.STILLS):  # jpg and H.264 are two lossy copies of one frame
        still = np.asarray(PIL.Image.open((folder / files["image"]).with_name(f"{k}.jpg")))
        assert np.abs(still.astype(int) - frames[t]).mean() < 8
    depth = cv2.imread(str(folder / files["depth"]), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert depth.shape == (SIDE, SIDE)
    thermal = np.asarray(PIL.Image.open(folder / files["thermal"]))
    assert thermal.shape == (SIDE, SIDE, 3)
    assert np.ptp(thermal.astype(int), axis=-1).max() <= 4
    samples, rate = soundfile.read(folder / files["audio"], dtype="int16")
    assert rate == 16_000
    assert samples.shape == (32_000,)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # units and rate are said, and agree with the readings
        assert imu.decode(folder / files["imu"], specs.ImuSpec()).shape == (2000, 6)


def test_sensors_see_the_object_in_the_same_place(folder):
    for fact in list(read(folder / "attributes.json").values())[:10]:
        depth = cv2.imread(str(folder / fact["files"]["depth"]), cv2.IMREAD_UNCHANGED) < 8000
        thermal = cv2.imread(str(folder / fact["files"]["thermal"]), cv2.IMREAD_GRAYSCALE).astype(
            float
        )
        assert abs(thermal[depth].mean() - thermal[~depth].mean()) > 30


def test_complete_corpus_is_left_alone(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    corpus.write_corpus(folder, seed=5, items=ITEMS)
    assert before == {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_killed_run_is_written_again(folder, tmp_path):
    (tmp_path / "corpus.unfinished.json").write_text((folder / "corpus.json").read_text())
    (tmp_path / "scenes_audio").mkdir()
    (tmp_path / "scenes_audio" / "scene000000.wav").write_bytes(b"RIFF")
    corpus.write_corpus(tmp_path, seed=5, items=ITEMS, workers=1)
    assert digests(tmp_path) == digests(folder)


@pytest.mark.parametrize(("seed", "items"), [(6, ITEMS), (5, 60)])
def test_other_corpus_is_refused(folder, seed, items):
    with pytest.raises(errors.ConfigError, match=r"holds the corpus.*expected.*give another"):
        corpus.write_corpus(folder, seed=seed, items=items)


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(errors.ConfigError, match="no corpus"):
        corpus.write_corpus(tmp_path, seed=0, items=20)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(errors.ConfigError, match="is a file"):
        corpus.write_corpus(tmp_path / "x", seed=0, items=20)


def test_damaged_marker_is_refused(tmp_path):
    (tmp_path / "corpus.json").write_text("{")
    with pytest.raises(errors.ConfigError, match="not the JSON of a demo corpus"):
        corpus.write_corpus(tmp_path, seed=0, items=20)


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"items": 19}, {"workers": 0}])
def test_values_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(errors.ConfigError):
        corpus.write_corpus(tmp_path / "x", **({"seed": 0, "items": 20} | wrong))
    assert not (tmp_path / "x").exists()


def test_progress_ends_at_all_items(tmp_path):
    calls = []
    corpus.write_corpus(
        tmp_path,
        seed=0,
        items=20,
        workers=1,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(16, 20), (20, 20)]


def test_generator_imports_no_jax():
    program = "import sys, lb_jax.demo.corpus; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
