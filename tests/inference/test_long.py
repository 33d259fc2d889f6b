"""Any length: windows of media, texts of many sentences, other numbers of frames, little memory."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.inference import api, frames, long
from lb_jax.media import clips, specs
from lb_jax.text import sentences
from tests.inference import fake
from tests.media import media_files, motion


@pytest.mark.parametrize(("modality", "name"), [("video", "a.mp4"), ("audio", "a.wav")])
def test_moments_are_the_clips_embedded_one_by_one(model, modality, name, tmp_path):
    data = {
        "a.mp4": media_files.clip(60),
        "a.wav": media_files.sound(media_files.noise(96000)),
    }[name]
    (tmp_path / name).write_bytes(data)
    found = model.embed_long(tmp_path / name, window_s=2.0, stride_s=1.0)
    assert found.modality == modality
    np.testing.assert_allclose(found.start_s, [0, 1, 2, 3, 4])
    np.testing.assert_allclose(found.end_s, [2, 3, 4, 5, 6])
    for start_s, vector in zip(found.start_s, found.vectors, strict=True):
        clip = clips.Clip(tmp_path / name, start_s, start_s + 2.0)
        array = clips.preprocess(modality, clip, model.specs[modality])
        np.testing.assert_array_equal(model.encode(modality, array[None])[0], vector)
    assert not found.is_interpolated
    assert (found.frames, found.trained_frames) == ((2, 2) if modality == "video" else (None, None))


def test_moments_of_motion_are_windows_of_the_recording(tmp_path):
    t, readings = motion.swaying(seconds=12)
    path = tmp_path / "walk.csv"
    path.write_bytes(motion.table(t, readings, "t,ax [m/s2],ay,az,gx [rad/s],gy,gz"))
    spec = specs.ImuSpec()
    encoder = fake.Fake(imu=spec)
    found = long.embed(encoder, path, window_s=5.0, stride_s=2.5)  # told by its ending
    assert (found.modality, found.frames) == ("imu", None)
    np.testing.assert_allclose(found.start_s, [0, 2.5, 5, 7])
    np.testing.assert_allclose(found.end_s, [5, 7.5, 10, 12])
    for start_s, vector in zip(found.start_s, found.vectors, strict=True):
        array = clips.preprocess("imu", clips.Clip(path, start_s, start_s + 5.0), spec)
        np.testing.assert_array_equal(encoder.encode("imu", array[None])[0], vector)


def test_one_window_is_the_whole_file(model, tmp_path):
    (tmp_path / "a.mp4").write_bytes(media_files.clip(60))
    found = model.embed_long(tmp_path / "a.mp4", window_s=60.0)
    np.testing.assert_array_equal(found.vectors, model.embed("video", tmp_path / "a.mp4"))
    np.testing.assert_allclose((found.start_s[0], found.end_s[0]), (0, 6))


def test_more_windows_than_a_batch(folder, tmp_path):
    sound = media_files.noise(40000), 16000
    few, many = api.load(folder, batch_size=1), api.load(folder)
    a, b = (one.embed_long(sound, 0.2, modality="audio") for one in (few, many))
    assert len(a) > few.batch_size
    np.testing.assert_allclose(a.vectors, b.vectors, atol=1e-5)


@pytest.mark.parametrize(
    ("media", "modality", "said"),
    [
        ("a.jpg", None, "does not say whether"),
        (b"", None, "<0 bytes>"),
        ("a.mp4", "image", "image"),
    ],
)
def test_what_has_no_time_is_told(model, media, modality, said):
    with pytest.raises(errors.ConfigError, match=said):
        model.embed_long(media, 1.0, modality=modality)


def test_a_long_text_is_the_mean_of_its_windows(model):
    text = "a red car drives by. " * 40 + "then it rains."
    short, found, other = model.embed("text", ["a cat", text, "a dog"])
    split = sentences.tokenize([text], model.config.text.context)
    assert len(split.tokens) > 1
    mean = (model.encode("text", split.tokens) * split.weight[:, None]).sum(axis=0)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_array_equal(
        np.stack([short, other]),
        model.encode("text", model.preprocess("text", ["a cat", "a dog"])),
    )


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_tables_keep_their_ends_and_what_lies_on_a_line(steps):
    table = np.arange(3.0)[None, :, None] * np.ones((2, 1, 4))  # rows 0, 1, 2
    found = frames.interpolate(table, steps)
    line = np.linspace(0, 2, steps)
    np.testing.assert_allclose(found, np.broadcast_to(line[:, None], (2, steps, 4)), atol=1e-12)


def test_other_numbers_of_frames(folder, model, tmp_path):
    (tmp_path / "a.mp4").write_bytes(media_files.clip(60))
    five = api.load(folder, frames=5)
    found = five.embed_long(tmp_path / "a.mp4", 3.0)
    assert (found.frames, found.trained_frames, found.is_interpolated) == (5, 2, True)
    assert five.preprocess("video", tmp_path / "a.mp4").shape[1] == 5
    assert five.digest != model.digest
    still = media_files.picture(media_files.scene())
    np.testing.assert_array_equal(five.embed("image", still), model.embed("image", still))
    same = api.load(folder, frames=2)
    np.testing.assert_array_equal(
        same.embed("video", tmp_path / "a.mp4"), model.embed("video", tmp_path / "a.mp4")
    )
    assert same.digest == model.digest
    assert (same.frames, five.frames) == (None, 5)
    for wrong in (0, "4", 2.5):
        with pytest.raises(errors.ConfigError, match="expected a whole number above 0"):
            api.load(folder, frames=wrong)


def test_moments_say_what_they_are(model):
    found = long.Moments("audio", np.zeros(1), np.ones(1), np.zeros((1, 4), np.float32))
    assert len(found) == 1
    assert dataclasses.replace(found, frames=4, trained_frames=8).is_interpolated


def test_demo_model_comes_with_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from lb_jax.core import shipped

    shipped.unpacked.cache_clear()
    model = api.load("demo")
    assert model.source == "demo"
    assert model.modalities == ("audio", "depth", "image", "thermal", "video")
    assert model.folder.is_relative_to(tmp_path)
    assert model.calibration.pairs  # of these weights
    shipped.unpacked.cache_clear()
