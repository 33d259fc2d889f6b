"""Clips of UCF101 against the reference's numbers (golden README of mmv, `ucf101`)."""

import json

import numpy as np
import pytest

from lb_jax.media import probe_clips
from tests import goldens

FOLDER = goldens.FOLDER / "mmv" / "ucf101"

pytestmark = [
    pytest.mark.golden,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no golden folder {FOLDER}"),
]


@pytest.fixture(scope="module")
def told():
    return json.loads((FOLDER / "config.json").read_text())


@pytest.fixture(scope="module")
def io():
    with np.load(FOLDER / "io.npz") as file:
        return {name: file[name] for name in file.files}


def test_frames_of_a_clip(told):
    assert told["sample"]
    for one in told["sample"]:
        clip = one["num_steps"], one["stride"]
        assert probe_clips.indices(one["length"], one["offset"], *clip).tolist() == one["indices"]


def test_offsets_in_training(told):
    assert told["train_offset_range"]
    for one in told["train_offset_range"]:
        found = probe_clips.offsets(one["length"], one["num_steps"], one["stride"])
        assert found == one["exclusive_upper_bound"]


def test_windows_in_testing(told):
    for one in told["test_windows"]:
        clip = one["num_steps"], one["stride"]
        found = probe_clips.starts(one["length"], one["num_windows"], *clip)
        assert found.tolist() == one["starts"]
        rows = [probe_clips.indices(one["length"], start, *clip).tolist() for start in found]
        assert rows == one["indices"]
    for length, expected in told["starts_32x2_10_windows"].items():
        assert probe_clips.starts(int(length)).tolist() == expected


def test_sizes(told):
    for one in told["resize"]:
        found = probe_clips.resized_shape(one["height"], one["width"], one["min_resize"])
        assert list(found) == one["out"]


def test_pictures_and_clips(told, io):
    for one in told["crop"]:
        film, i = io[f"in::video{one['video']}"], one["video"]
        resized = probe_clips.resize(film, one["min_resize"])
        assert resized.shape == io[f"out::resized{i}"].shape
        apart = np.abs(resized.astype(int) - io[f"out::resized{i}"])
        assert apart.max() <= 1
        found = probe_clips.windows(
            film,
            count=one["num_windows"],
            frames=one["num_frames"],
            stride=one["stride"],
            short_side=one["min_resize"],
            size=one["crop_size"],
        )
        assert found.shape == io[f"out::test_clips{i}"].shape
        assert np.abs(found - io[f"out::test_clips{i}"]).max() <= 1 / 255 + 1e-6
