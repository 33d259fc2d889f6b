"""From vectors to the probability of a match; the curves stay with the checkpoint."""

import shutil

import numpy as np
import pytest

from lb_jax.core import checkpoint, errors
from lb_jax.evaluation import calibrations
from lb_jax.evaluation.metrics import calibration
from lb_jax.inference import api
from tests.convert import small

CURVES = {"audio,text": (10.0, -3.0), "audio,video": (6.0, -1.5)}


def calibrate(folder):
    found = {
        name: calibrations.Pair(calibration.Calibration(*curve, 99), 40, 41, 0.02, 0.9)
        for name, curve in CURVES.items()
    }
    calibrations.write(
        folder, calibrations.Calibrations(api.load(folder).digest, {"corpus": "demo"}, found)
    )
    return folder


@pytest.fixture(scope="module")
def calibrated(folder, tmp_path_factory):
    return calibrate(shutil.copytree(folder, tmp_path_factory.mktemp("calibrated") / "checkpoint"))


@pytest.fixture(scope="module")
def loaded(calibrated):
    return api.load(calibrated)


def unit(*angles):
    """Vectors in a plane; two of them have the cosine of the angle between them."""
    rows = np.zeros((len(angles), 64), np.float32)
    rows[:, 0], rows[:, 1] = np.cos(angles), np.sin(angles)
    return rows


def test_probability_is_the_curve_of_the_cosine(loaded):
    a, b = unit(0.0, 0.5, 1.5), unit(0.0, 1.0)
    found = loaded.match_probability("audio", a, b)
    assert (found.shape, found.dtype) == ((3, 2), np.float64)
    cosine = np.cos(np.array([0.0, 0.5, 1.5])[:, None] - np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(3 - 10 * cosine)), atol=1e-6)
    assert loaded.threshold("audio") == pytest.approx(0.3)


def test_two_modalities_have_a_curve_of_their_own_either_way_round(loaded):
    a, b = unit(0.0, 1.0), unit(0.3)
    one = loaded.match_probability("audio", a, b, "video")
    np.testing.assert_array_equal(one, loaded.match_probability("video", b, a, "audio").T)
    np.testing.assert_allclose(one[0, 0], 1 / (1 + np.exp(1.5 - 6 * np.cos(0.3))), atol=1e-6)
    assert loaded.threshold("video", "audio") == loaded.threshold("audio", "video") == 0.25


def test_rare_matches_need_more(loaded):
    even = loaded.match_probability("audio", unit(0.0), unit(1.2))[0, 0]
    rare = loaded.match_probability("audio", unit(0.0), unit(1.2), prior=1e-3)[0, 0]
    assert rare / (1 - rare) == pytest.approx(even / (1 - even) / 999)
    assert loaded.threshold("audio", prior=1e-3) == pytest.approx(0.3 + np.log(999) / 10)


def test_it_changes_neither_digest_nor_vectors(model, load, calibrated):
    twin = load(calibrated)
    assert twin.digest == model.digest
    np.testing.assert_array_equal(twin.embed("text", "a cat"), model.embed("text", "a cat"))


def test_copied_checkpoints_keep_it(loaded, calibrated, tmp_path):
    checkpoint.copy(calibrated, tmp_path / "copy")
    assert api.load(tmp_path / "copy").calibration == loaded.calibration


def test_it_is_found_once_it_was_fitted(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "checkpoint")
    early = api.load(tmp_path)  # the work directory
    with pytest.raises(errors.ConfigError, match=r"has no calibration; fit one with `lb-jax calib"):
        early.match_probability("audio", unit(0.0), unit(0.0))
    calibrate(copied)
    assert early.threshold("audio") == pytest.approx(0.3)


def test_curves_of_other_weights_are_refused(calibrated, tmp_path):
    other = shutil.copytree(calibrated, tmp_path / "other")
    config = checkpoint.load_config(other)
    config["preprocess"]["depth"]["max_depth_m"] = 5.0
    checkpoint.write_config(other, config)
    with pytest.raises(errors.CheckpointError, match=r"belongs to the weights .*calibrate` again"):
        api.load(other).match_probability("audio", unit(0.0), unit(0.0))


def test_damaged_file_hurts_only_who_asks(calibrated, load, tmp_path):
    damaged = shutil.copytree(calibrated, tmp_path / "damaged")
    (damaged / "calibration.json").write_text("{")
    twin = load(damaged)
    assert twin.embed("text", "a cat").shape == (1, 64)
    with pytest.raises(errors.CheckpointError, match=r"calibration\.json: not valid JSON"):
        twin.threshold("audio")


@pytest.mark.parametrize("merge_lora", [False, True])
def test_published_weights_must_be_converted_first(tmp_path, merge_lora):
    published = api.load(small.clip_folder(tmp_path / "clip"), merge_lora=merge_lora)
    with pytest.raises(
        errors.ConfigError, match=r"lb-jax convert SRC DST .*fit it with `lb-jax calib"
    ):
        published.threshold("image")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("depth", unit(0.0), unit(0.0)), "has no depth with text; it has audio,text audio,video"),
        (("audio", unit(0.0), unit(0.0), "audio"), "has no audio with audio"),
        (("audoi", unit(0.0), unit(0.0)), "Did you mean 'audio'"),
        (("audio", unit(0.0), unit(0.0), "vidoe"), "Did you mean 'video'"),
        (("audio", 3 * unit(0.0), unit(0.0)), "a has one of length 3; divide"),
        (("audio", unit(0.0), np.nan * unit(0.0)), "b has one of length nan"),
        (("audio", unit(0.0)[0], unit(0.0)), r"takes \[n, e\] and \[m, e\]"),
        (("audio", unit(0.0), unit(0.0)[:, :5]), r"takes \[n, e\] and \[m, e\]"),
    ],
)
def test_mistakes_are_told(loaded, arguments, message):
    with pytest.raises(errors.ConfigError, match=message):
        loaded.match_probability(*arguments)


def test_no_vectors_give_no_probabilities(loaded):
    assert loaded.match_probability("audio", unit(), unit(0.0, 1.0)).shape == (0, 2)
