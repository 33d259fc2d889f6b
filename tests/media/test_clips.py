"""Stretches of files against the plain way: decode everything, then cut."""

import io

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, clips, image, preprocess, samples, specs, video
from tests.media import media_files

VIDEO = specs.VideoSpec(size=32)
FORMATS = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("matroska", "libx264"),
    ("webm", "libvpx"),
    ("avi", "mpeg4"),
    ("mpegts", "libx264"),
]
# start_s, end_s, numbers of the frames of a clip of 60 at 10 per second
WINDOWS = [
    (0.0, None, (0, 60)),
    (0.0, 99.0, (0, 60)),
    (0.0, 3.0, (0, 30)),
    (3.0, 4.5, (30, 45)),
    (3.05, 4.45, (31, 45)),
    (4.0, None, (40, 60)),
    (5.0, 31.0, (50, 60)),
    (2.0, 2.1, (20, 21)),
]


def _write(folder, data, name):
    (folder / name).write_bytes(data)
    return folder / name


def _all_frames(data):
    """Every frame, uint8 [t, h, w, 3]."""
    with av.open(io.BytesIO(data)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def _plain(data, window, frames):
    first, last = window
    return _all_frames(data)[first + video.frame_indices(last - first, frames)]


@pytest.mark.parametrize(("format", "codec"), FORMATS)
@pytest.mark.parametrize(("start_s", "end_s", "window"), WINDOWS)
def test_frames_of_a_window_are_those_of_its_times(format, codec, start_s, end_s, window, tmp_path):
    data = media_files.clip(60, format, codec, group=7)
    clip = clips.Clip(_write(tmp_path, data, "a.mp4"), start_s, end_s)
    found = clips.decode("video", clip, VIDEO)
    np.testing.assert_array_equal(found, _plain(data, window, 8))


@pytest.mark.parametrize(("format", "codec"), FORMATS)
@pytest.mark.parametrize("way", [{"HELD_BYTES": 0}, {"SEEK_GAP": 1}, {"ONE_FRAME_A_PACKET": ()}])
def test_every_way_of_decoding_finds_the_same_window(format, codec, way, tmp_path, monkeypatch):
    for name, value in way.items():
        monkeypatch.setattr(video, name, value)
    data = media_files.clip(60, format, codec, group=7)
    path = _write(tmp_path, data, "a.mp4")
    for start_s, end_s, window in WINDOWS[2:]:
        found = video.decode(path, VIDEO, start_s=start_s, end_s=end_s)
        np.testing.assert_array_equal(found, _plain(data, window, 8))


def test_a_whole_file_is_what_it_was(tmp_path):
    path = _write(tmp_path, media_files.clip(60, sound=True), "a.mp4")
    for name in ("video", "audio"):
        spec = specs.preset(name)
        np.testing.assert_array_equal(
            clips.preprocess(name, clips.Clip(path), spec), preprocess.preprocess(name, path)[0]
        )


def test_times_count_not_numbers():
    times = [i + 40 * (i > 12) for i in range(20)]  # 13 frames, four seconds of nothing, 7 frames
    found = video.decode(media_files.clip(20, times=times), VIDEO, start_s=5.2)
    np.testing.assert_allclose(
        found[:, 40:, 40:].mean((1, 2, 3)), 130 + 10 * video.frame_indices(7, 8), atol=4
    )


@pytest.mark.parametrize("held", [0, video.HELD_BYTES])
def test_no_more_is_decoded_than_the_window_needs(held, monkeypatch):
    monkeypatch.setattr(video, "HELD_BYTES", held)
    monkeypatch.setattr(video, "_pick", None)
    data, seen = media_files.clip(400, group=10), []
    decode = video.tracks.Track.decode

    def counted(*arguments, **options):
        for frame in decode(*arguments, **options):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(video.tracks.Track, "decode", counted)
    found = video.decode(data, VIDEO, start_s=30.0, end_s=31.0)
    assert len(seen) <= 20
    monkeypatch.undo()
    np.testing.assert_array_equal(found, _plain(data, (300, 310), 8))


@pytest.mark.parametrize(("start_s", "end_s"), [(6.0, None), (9.0, 12.0), (2.0, 2.0), (4.0, 3.0)])
@pytest.mark.parametrize("held", [0, video.HELD_BYTES])
def test_a_window_without_frames_is_named(start_s, end_s, held, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "HELD_BYTES", held)
    path = _write(tmp_path, media_files.clip(60), "a.mp4")
    stop = "its end" if end_s is None else f"{end_s:g} s"
    message = rf"a\.mp4: has no frame from {start_s:g} s to {stop}, .*at 5\.900 s"
    with pytest.raises(errors.DataError, match=message):
        clips.decode("video", clips.Clip(path, start_s, end_s), VIDEO)


def test_frames_without_times_have_no_windows():
    with pytest.raises(errors.DataError, match="has no times, so nothing from 1 s to its end"):
        video.decode(np.zeros((9, 4, 4, 3), np.uint8), VIDEO, start_s=1.0)


AUDIO = specs.AudioSpec(target_frames=64)
RATE_HZ = 44_100


@pytest.mark.parametrize("format", ["WAV", "FLAC"])
@pytest.mark.parametrize(
    ("start_s", "end_s", "first", "stop"),
    [
        (0.0, None, 0, None),
        (0.0, 99.0, 0, None),
        (1.1, None, 48_510, None),  # 1.1 * 44100 is a hair more in floating point
        (0.5, 2.5, 22_050, 110_250),
        (0.50001, 2.50001, 22_051, 110_251),
    ],
)
def test_samples_of_a_window_are_cut_before_resampling(
    format, start_s, end_s, first, stop, tmp_path
):
    wave = media_files.noise(3 * RATE_HZ)
    path = _write(tmp_path, media_files.sound(wave, RATE_HZ, format), "a.wav")
    whole = media_files.sound(wave[first:stop], RATE_HZ, format)
    expected = audio.decode(whole, AUDIO)
    found = clips.decode("audio", clips.Clip(path, start_s, end_s), AUDIO)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        audio.decode((wave, RATE_HZ), AUDIO, start_s=start_s, end_s=end_s),
        audio.decode((wave[first:stop], RATE_HZ), AUDIO),
    )


def test_a_window_of_coded_sound_is_a_part_of_the_whole(tmp_path):
    path = _write(tmp_path, media_files.coded_sound("mp4", "aac"), "a.mp4")
    wave, rate_hz = samples.read(path, AUDIO, 0.0, None)
    part, _ = samples.read(path, AUDIO, 0.75, 1.5)
    np.testing.assert_array_equal(part, wave[12_000:24_000])
    assert rate_hz == 16_000


def test_a_window_without_sound_is_named(tmp_path):
    path = _write(tmp_path, media_files.sound(media_files.noise(16_000)), "a.wav")
    for start_s, end_s in [(1.0, None), (0.5, 0.5), (7.0, 9.0)]:
        with pytest.raises(errors.DataError, match=r"a\.wav: has no sound from .* 1\.000 s were"):
            clips.decode("audio", clips.Clip(path, start_s, end_s), AUDIO)


IMAGE = specs.ImageSpec(size=32)


@pytest.mark.parametrize(("start_s", "end_s", "window"), WINDOWS)
def test_an_image_of_a_video_is_the_middle_frame(start_s, end_s, window, tmp_path):
    data = media_files.clip(60)
    clip = clips.Clip(_write(tmp_path, data, "a.MP4"), start_s, end_s)
    middle = _all_frames(data)[window[0] + (window[1] - window[0]) // 2]
    np.testing.assert_array_equal(clips.decode("image", clip, IMAGE), middle)
    np.testing.assert_array_equal(
        clips.preprocess("image", clip, IMAGE), image.transform(middle, IMAGE)
    )


def test_stills_have_no_windows(tmp_path):
    path = _write(tmp_path, media_files.picture(media_files.scene()), "a.png")
    for name in ("image", "thermal"):
        spec = specs.preset(name)
        np.testing.assert_array_equal(
            clips.preprocess(name, clips.Clip(path), spec), preprocess.preprocess(name, path)[0]
        )
        with pytest.raises(errors.DataError, match=r"still picture.*from 0 s to 3 s"):
            clips.decode(name, clips.Clip(path, 0.0, 3.0), spec)


VIEWS = clips.Views()


def test_views_are_spread_as_the_protocol_says():
    starts = [
        (300, 8, [0, 7, 15, 22, 30]),  # F = 38, (38 - 8) / 4 = 7.5
        (64, 8, [0, 0, 0, 0, 0]),  # F = 8
        (75, 8, [0, 0, 1, 1, 2]),  # F = 10
    ]
    for count, frames, expected in starts:
        numbers = clips.view_frames(count, frames, VIEWS).reshape(5, frames)
        assert (numbers[:, 0] // 8).tolist() == expected
        assert (np.diff(numbers, axis=1) == 8).all()
    short = clips.view_frames(20, 8, VIEWS).reshape(5, 8)
    assert short.tolist() == [[0, 8, 16, 16, 16, 16, 16, 16]] * 5
    one = clips.view_frames(300, 8, clips.Views(temporal=1)).reshape(1, 8)
    assert one[0, 0] == 15 * 8


def _plain_views(frames, spec, views):
    """The protocol on all frames, uint8 [t, h, w, 3], one view after the other."""
    frames = frames[:: views.stride]
    while len(frames) < spec.frames:
        frames = np.concatenate([frames, frames[-1:]])
    kernel = image.KERNELS["bilinear", spec.antialias]
    frames = np.stack([image.resize(f, spec.size, kernel) for f in frames])
    long = max(frames.shape[1:3])
    found = []
    for t in range(5):
        start = int(t * max((len(frames) - spec.frames) / 4, 0))
        for s in range(3):
            place = int(s * (long - spec.size) / 2)
            cut = slice(place, place + spec.size)
            square = frames[start : start + spec.frames]
            square = square[:, cut] if frames.shape[1] == long else square[:, :, cut]
            found.append((square / 255 - views.mean) / views.std)
    return np.stack(found)


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("frames", [100, 9])
@pytest.mark.parametrize("held", [0, video.HELD_BYTES])
def test_views_equal_the_plain_protocol(rotation, frames, held, tmp_path, monkeypatch):
    monkeypatch.setattr(video, "HELD_BYTES", held)
    data = media_files.clip(frames, rotation=rotation)
    views = clips.Views(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    found = clips.views(clips.Clip(_write(tmp_path, data, "a.mp4")), VIDEO, views)
    assert found.shape == (15, 8, 32, 32, 3)
    assert found.dtype == np.float32
    everything = np.rot90(_all_frames(data), rotation // 90, axes=(1, 2))
    np.testing.assert_allclose(found, _plain_views(everything, VIDEO, views), atol=1e-5)
    middle = found.reshape(5, 3, 8, 32, 32, 3)
    assert np.abs(middle[:, 0] - middle[:, 2]).max() > 0.1  # the squares differ


def test_views_take_the_statistics_of_the_spec_and_windows(tmp_path):
    path = _write(tmp_path, media_files.clip(60), "a.mp4")
    whole, window = (
        clips.views(clips.Clip(path, 0.0, end_s), VIDEO, clips.Views(1, 1)) for end_s in (None, 0.1)
    )
    first = video.decode(path, VIDEO, end_s=0.1)
    np.testing.assert_allclose(window[0], video.transform(first, VIDEO), atol=1e-5)
    assert np.abs(whole - window).max() > 0.1


@pytest.mark.parametrize("name", ["temporal", "spatial", "stride"])
def test_no_views_are_refused(name):
    with pytest.raises(errors.ConfigError, match=f"{name} is 0"):
        clips.Views(**{name: 0})
