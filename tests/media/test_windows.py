"""Windows of one pass against decoding every stretch by itself."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from lb_jax.core import errors, notices
from lb_jax.media import clips, specs, video, windows
from lb_jax.media import clock as clock_lib
from tests.media import media_files, motion

VIDEO = specs.VideoSpec(size=32, frames=4)
AUDIO = specs.AudioSpec(mel_bins=16, target_frames=32)
FORMATS = [("mp4", "libx264"), ("mp4", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4")]
LENGTHS = [(2.0, None), (1.5, 0.5), (1.0, 2.5), (0.35, 0.2), (60.0, None)]


def _equal_to_clips(modality, path, spec, window_s, stride_s):
    found = list(windows.windows(modality, path, spec, window_s, stride_s))
    assert found
    for one in found:
        end_s = one.start_s + window_s if len(found) > 1 else None
        clip = clips.Clip(path, one.start_s, end_s)
        np.testing.assert_array_equal(one.array, clips.preprocess(modality, clip, spec))
    return found


@pytest.mark.parametrize(("format", "codec"), FORMATS)
@pytest.mark.parametrize(("window_s", "stride_s"), LENGTHS)
def test_windows_of_video_are_its_clips(format, codec, window_s, stride_s, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(media_files.clip(60, format, codec, group=7))  # 6 s
    found = _equal_to_clips("video", path, VIDEO, window_s, stride_s)
    expected = windows.starts(6.0, window_s, stride_s or window_s)
    np.testing.assert_allclose([one.start_s for one in found], expected, atol=1e-9)
    assert found[-1].end_s <= 6.0 + 1e-9


@pytest.mark.parametrize("rate_hz", [16000, 22050])
@pytest.mark.parametrize(("window_s", "stride_s"), LENGTHS)
def test_windows_of_sound_are_its_clips(rate_hz, window_s, stride_s, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(media_files.sound(media_files.noise(6 * rate_hz + 17), rate_hz))
    found = _equal_to_clips("audio", path, AUDIO, window_s, stride_s)
    expected = windows.starts(6 + 17 / rate_hz, window_s, stride_s or window_s)
    np.testing.assert_allclose([one.start_s for one in found], expected, atol=1.01 / rate_hz)


@pytest.mark.parametrize(("window_s", "stride_s"), LENGTHS)
@pytest.mark.parametrize("rate_hz", [400.0, 137.0])
def test_windows_of_motion_are_its_clips(rate_hz, window_s, stride_s, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(motion.table(*motion.swaying(rate_hz)))
    spec = specs.ImuSpec(samples=80, window_s=0.5, short="hold")
    with notices.collected():
        found = _equal_to_clips("imu", path, spec, window_s, stride_s)
    length_s = round(6 * rate_hz) / rate_hz
    expected = windows.starts(length_s, window_s, stride_s or window_s)
    np.testing.assert_allclose([one.start_s for one in found], expected)
    assert all(one.array.shape == (80, 6) for one in found)
    assert found[-1].end_s <= length_s + 1e-9


def test_windows_of_motion_say_what_they_leave_out():
    t, readings = motion.swaying(seconds=20)
    spec = specs.ImuSpec(accel_unit="m/s2", gyro_unit="rad/s")
    media = motion.table(t, readings)
    with notices.collected() as warned:
        found = list(windows.windows("imu", media, spec, 5.0, 2.5))
    assert [one.start_s for one in found] == [0, 2.5, 5, 7.5, 10, 12.5, 15]
    assert not warned
    with notices.collected() as warned:
        assert len(list(windows.windows("imu", media, spec, 10.0))) == 2
    [told] = warned
    assert "lasts 10.0 s, of which the model takes the 5 s in the middle" in told.reason
    with pytest.raises(errors.DataError, match=r"lasts 2\.00 s from 0 s to 2 s, the model takes 5"):
        list(windows.windows("imu", media, spec, 2.0))


def test_sound_of_a_video_is_cut_too(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(media_files.clip(60, sound=True))
    _equal_to_clips("audio", path, AUDIO, 0.5, None)


@pytest.mark.parametrize(
    ("length_s", "window_s", "stride_s", "expected"),
    [
        (20.0, 5.0, 5.0, [0, 5, 10, 15]),
        (20.4, 5.0, 5.0, [0, 5, 10, 15]),  # 0.4 s are less than a tenth of a window
        (21.0, 5.0, 5.0, [0, 5, 10, 15, 16]),
        (3.0, 5.0, 5.0, [0]),
        (10.0, 5.0, 2.5, [0, 2.5, 5]),
        (0.0, 5.0, 5.0, [0]),
        (100.0, 5.0, 60.0, [0, 60, 95]),
    ],
)
def test_last_window_ends_with_the_file(length_s, window_s, stride_s, expected):
    assert windows.starts(length_s, window_s, stride_s) == expected


@pytest.mark.parametrize("rate_hz", [16000, 22050])
@pytest.mark.parametrize(("window_s", "stride_s"), LENGTHS)
def test_windows_of_sound_in_windows_are_its_clips(rate_hz, window_s, stride_s, tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(media_files.sound(media_files.noise(6 * rate_hz + 17), rate_hz))
    spec = dataclasses.replace(
        specs.preset("audio", "imagebind"), mel_bins=16, target_frames=40, window_s=0.3
    )
    for one in _equal_to_clips("audio", path, spec, window_s, stride_s):
        assert one.array.shape == (3, 16, 40, 1)


def test_memory_does_not_grow_with_length():
    spec = specs.AudioSpec(mel_bins=8, target_frames=32)

    def peak(seconds):
        data = media_files.sound(media_files.noise(seconds * 8000), 8000)
        tracemalloc.start()
        count = sum(1 for _ in windows.windows("audio", data, spec, 1.0))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == seconds
        return found

    peak(20)  # tables are made once
    assert peak(400) < peak(100) + 1e6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("image", b"", VIDEO, 1.0), "image has no time"),
        (("video", b"", VIDEO, 0.0), "window_s is 0.0"),
        (("video", b"", VIDEO, 1.0, float("nan")), "stride_s is nan"),
    ],
)
def test_wrong_arguments_are_told(arguments, said):
    with pytest.raises(errors.ConfigError, match=said):
        list(windows.windows(*arguments))


@pytest.mark.parametrize(
    ("modality", "data", "said"),
    [
        ("video", b"no film", "no video file"),
        ("audio", media_files.sound(np.zeros(0, np.float32)), "holds no sound"),
        ("video", media_files.clip(30)[:-200], "cut off"),
    ],
)
def test_files_that_cannot_be_used_are_told(modality, data, said):
    with pytest.raises(errors.DataError, match=said):
        list(windows.windows(modality, data, VIDEO if modality == "video" else AUDIO, 1.0))


SLIDES = [(0, (255, 0, 0)), (25, (0, 255, 0)), (30, (0, 0, 255))]


@pytest.mark.parametrize(
    ("format", "codec"),
    [
        ("mp4", "libx264"),
        ("mov", "mpeg4"),
        ("matroska", "libx264"),
        ("webm", "libvpx"),
        ("mpegts", "libx264"),
        ("flv", "libx264"),
    ],
)
def test_a_picture_that_stands_is_shown(format, codec, tmp_path):
    data = media_files.muxed(format, media_files.Pictures(SLIDES, codec))
    found = list(windows.windows("video", data, VIDEO, 10.0))
    assert [one.start_s for one in found] == [0, 10, 20]
    assert abs(found[-1].end_s - 30) < 0.15
    (tmp_path / "a.mp4").write_bytes(data)
    for one, number in zip(found, (0, 0, 1), strict=True):
        clip = clips.Clip(tmp_path / "a.mp4", one.start_s, one.end_s)
        decoded = clips.decode("video", clip, VIDEO)
        np.testing.assert_allclose(decoded.mean((0, 1, 2)), SLIDES[number][1], atol=9)
        np.testing.assert_array_equal(one.array, clips.preprocess("video", clip, VIDEO))


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska", "mpegts", "flv"])
def test_pictures_that_begin_late_keep_their_times(format):
    late = [(4 + n / 25, (0, 0, 200)) for n in range(100)]
    sound = media_files.Sounds([(0, media_files.tone(440, 8))])
    data = media_files.muxed(format, media_files.Pictures(late), sound)
    found = list(windows.windows("video", data, VIDEO, 2.0))
    np.testing.assert_allclose([one.start_s for one in found], [4, 6], atol=0.05)
    assert len(list(windows.windows("audio", data, AUDIO, 2.0))) == 4


def test_a_picture_shows_what_stands_at_its_time():
    data = media_files.muxed("mp4", media_files.Pictures(SLIDES))
    for start_s, number in ((0, 0), (12, 0), (26, 1), (30, 2)):
        first = clock_lib.Choice(lambda count: np.zeros(1, np.int64), start_s, None, standing=True)
        shown = video.choose(data, first)[0]
        np.testing.assert_allclose(shown.mean((0, 1)), SLIDES[number][1], atol=9)
