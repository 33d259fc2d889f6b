import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import content, preprocess, specs
from tests.media import media_files, motion

RATE = 16000
TIME = np.arange(RATE) / RATE
AS_TAKEN = {
    bank: specs.AudioSpec(bank=bank)
    if bank == "kaldi"
    else dataclasses.replace(specs.preset("audio", "mmv"), bank=bank)
    for bank in content.SILENCE_LOG_MEL
}


TOLD = {"rate": 100, "accel_unit": "m/s2", "gyro_unit": "rad/s"}


def _tone(decibel, hz=1000.0):
    return (np.sqrt(2) * 10 ** (decibel / 20) * np.sin(2 * np.pi * hz * TIME)).astype(np.float32)


def _require(modality, media):
    spec = specs.preset(modality)
    content.require_content(modality, preprocess.decode(modality, media, spec), "it", spec)


def _dither():
    rng = np.random.default_rng(0)
    return media_files.sound(np.rint(rng.random(RATE) - rng.random(RATE)).astype(np.int16))


def _colour(value, noise=0):
    rng = np.random.default_rng(0)
    return (np.full((20, 30, 3), value) + rng.integers(0, noise + 1, (20, 30, 3))).astype(np.uint8)


EMPTY = {
    "digital silence": ("audio", lambda: (np.zeros(RATE, np.float32), RATE), "silent"),
    "an offset": ("audio", lambda: (np.full(RATE, 0.3, np.float32), RATE), "silent"),
    "dither": ("audio", _dither, "silent"),
    "a tone of -72 dB": ("audio", lambda: (_tone(-72), RATE), "silent.*expected above -8.1"),
    "hum": ("audio", lambda: (_tone(-55, 50), RATE), "silent"),
    "black": ("image", lambda: _colour(0), "black"),
    "nearly black": ("thermal", lambda: _colour(0, 2), "black"),
    "red jpeg": (
        "image",
        lambda: media_files.picture(_colour((250, 9, 9)), "JPEG"),
        r"one colour only \(\[",
    ),
    "black clip": ("video", lambda: np.zeros((8, 20, 30, 3), np.uint8), "each of 8 frames"),
    "fading clip": (
        "video",
        lambda: np.stack([_colour(9 * i, 2) for i in range(8)]),
        "each of 8 frames",
    ),
    "flat depth": ("depth", lambda: np.full((9, 9), 2000, np.uint16), r"one depth.*2 m"),
    "flat depth with holes": ("depth", lambda: np.eye(9, dtype=np.uint16) * 2000, "one depth"),
    "a dead sensor": (
        "imu",
        lambda: motion.archive(imu=np.tile([0, 0, 9.8, 0, 0, 0], (600, 1)), **TOLD),
        "no motion, not even noise: all of its 2400 readings are equal",
    ),
}

ENOUGH = {
    "a tone of -68 dB": ("audio", lambda: (_tone(-68), RATE)),
    "one click": ("audio", lambda: (np.eye(1, RATE, 5000, np.float32)[0] * 0.1, RATE)),
    "quiet noise": ("audio", lambda: (media_files.noise(RATE) * 0.01, RATE)),
    "faint texture": ("image", lambda: _colour(30, 3)),
    "one good frame": ("video", lambda: np.stack([_colour(0)] * 7 + [_colour(0, 9)])),
    "a sensor at rest": (
        "imu",
        lambda: motion.archive(
            imu=[0, 0, 9.8, 0, 0, 0] + 1e-3 * motion.swaying(shake=0)[1], **TOLD
        ),
    ),
    "two depths": ("depth", lambda: np.array([[1000, 1001]], np.uint16)),
    "a text": ("text", lambda: "a cat"),
}


@pytest.mark.parametrize("case", list(EMPTY))
def test_what_shows_nothing_is_refused(case):
    modality, media, reason = EMPTY[case]
    with pytest.raises(errors.DataError, match=f"^it: .*{reason}"):
        _require(modality, media())


@pytest.mark.parametrize("case", list(ENOUGH))
def test_what_shows_little_passes(case):
    modality, media = ENOUGH[case]
    _require(modality, media())


@pytest.mark.parametrize("bank", content.SILENCE_LOG_MEL)
def test_the_threshold_is_the_tone_it_stands_for(bank):
    log_mel = preprocess.decode("audio", (_tone(-70), RATE), AS_TAKEN[bank])
    assert log_mel.max() == pytest.approx(content.SILENCE_LOG_MEL[bank], abs=0.5)
    silence = preprocess.decode("audio", (np.zeros(RATE), RATE), AS_TAKEN[bank])
    with pytest.raises(errors.DataError, match="is silent"):
        content.require_content("audio", silence, "it", AS_TAKEN[bank])


def test_silence_is_told_where_samples_are_kept():
    spec = specs.preset("audio", "imagebind")
    for wave, silent in ((_tone(-72), True), (_tone(-68), False)):
        decoded = preprocess.decode("audio", (wave, RATE), spec)
        assert (content._MISSING["audio"](decoded, spec) is not None) == silent


def test_every_modality_is_checked():
    assert set(content._MISSING) == set(preprocess.MODULES)
