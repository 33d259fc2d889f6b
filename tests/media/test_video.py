import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.media import display, given, specs, tracks, video
from tests.media import media_files

SPEC = specs.VideoSpec(size=32)
FORMATS = [
    ("mp4", "libx264"),
    ("mp4", "mpeg4"),
    ("matroska", "libx264"),
    ("webm", "libvpx"),
    ("avi", "mpeg4"),
    ("mpegts", "libx264"),
]


def _brightness(frames):
    return frames[:, 40:, 40:].mean((1, 2, 3))


@pytest.mark.parametrize(("format", "codec"), FORMATS)
def test_frames_are_spread_from_first_to_last(format, codec):
    decoded = video.decode(media_files.clip(20, format, codec), SPEC)
    assert decoded.shape == (8, 48, 64, 3)
    assert decoded.dtype == np.uint8
    np.testing.assert_allclose(_brightness(decoded), video.frame_indices(20, 8) * 10, atol=4)


def test_an_animation_is_a_clip():
    decoded = video.decode(media_files.animation(20), SPEC)
    np.testing.assert_array_equal(_brightness(decoded), video.frame_indices(20, 8) * 10)


@pytest.mark.parametrize("format", ["mp4", "matroska"])
def test_frames_are_counted_not_timed(format):
    """Variable frame rate: what is shown long is one frame, as in the reference."""
    data = media_files.clip(20, format, times=[i + 9 * (i > 3) + 40 * (i > 12) for i in range(20)])
    np.testing.assert_allclose(
        _brightness(video.decode(data, SPEC)), video.frame_indices(20, 8) * 10, atol=4
    )


@pytest.mark.parametrize("kind", ["jpg", "png", "path", "PIL", "array"])
def test_a_list_of_pictures_is_a_clip(kind, tmp_path):
    frames = [np.full((48, 64, 3), 10 * i, np.uint8) for i in range(12)]
    pictures = [media_files.picture(f, "JPEG" if kind == "jpg" else "PNG") for f in frames]
    if kind == "path":
        for i, data in enumerate(pictures):
            (tmp_path / f"{i}.png").write_bytes(data)
        pictures = [tmp_path / f"{i}.png" for i in range(12)]
    if kind in ("PIL", "array"):
        pictures = [Image.fromarray(f) for f in frames] if kind == "PIL" else frames
    expected = np.stack(frames)[video.frame_indices(12, 8)]
    for clip in (pictures, tuple(pictures)):
        np.testing.assert_allclose(video.decode(clip, SPEC), expected, atol=1)


def test_pictures_that_are_no_clip_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    small, large = (media_files.picture(rng.integers(0, 256, (n, 9, 3), np.uint8)) for n in (8, 9))
    for clip, reason in [
        ([], "list of still pictures"),
        ([small, large], r"changes its frame size \(9x8, 9x9\)"),
        ([large, large[: len(large) // 2]], "cut off"),
        ([tmp_path / "none.jpg"], "does not exist"),
        ([3], "<int>.*cannot be used"),
    ]:
        with pytest.raises(errors.DataError, match=reason):
            video.decode(clip, SPEC)


def test_a_transport_stream_cut_inside_a_frame_is_refused():
    data = media_files.clip(20, "mpegts", rough=True)
    inside = [n for n in range(30, len(data) // 188) if not data[n * 188 + 1] & 0x40]  # no new unit
    assert sum(_decodes(data[: n * 188]) for n in inside) <= 0.01 * len(inside)


def _decodes(data):
    try:
        return len(video.decode(data, SPEC)) == 8
    except errors.DataError:
        return False


def test_indices_match_the_published_examples():
    assert video.frame_indices(245, 8).tolist() == [0, 34, 69, 104, 139, 174, 209, 244]
    assert video.frame_indices(269, 8).tolist() == [0, 38, 76, 114, 153, 191, 229, 268]


def test_a_short_clip_repeats_frames():
    decoded = video.decode(media_files.clip(3), SPEC)
    np.testing.assert_allclose(
        _brightness(decoded), np.array([0, 0, 0, 0, 1, 1, 1, 2]) * 10, atol=4
    )


def test_any_number_of_frames_can_be_asked_for():
    assert len(video.decode(media_files.clip(20), specs.VideoSpec(frames=13))) == 13


def test_fewer_frames_than_packets_are_counted_anew():
    """VP8 hides reference frames: packets outnumber pictures, yet the last must be taken."""
    data = media_files.clip(24, "webm", "libvpx")
    np.testing.assert_allclose(_brightness(video.decode(data, SPEC))[[0, -1]], [0, 230], atol=4)


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_metadata_is_applied(rotation):
    upright = video.decode(media_files.clip(rotation=rotation), SPEC)[-1]
    stored = video.decode(media_files.clip(), SPEC)[-1]
    np.testing.assert_array_equal(upright, np.rot90(stored, rotation // 90))


def test_arrays_are_picked_by_the_same_rule():
    clip = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    assert video.decode(clip, SPEC)[:, 0, 0, 0].tolist() == video.frame_indices(20, 8).tolist()


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3)), np.zeros((0, 4, 4, 3), np.uint8)],
)
def test_other_arrays_are_refused(array):
    with pytest.raises(errors.DataError, match="uint8 array"):
        video.decode(array, SPEC)


@pytest.mark.parametrize(("format", "codec"), [f for f in FORMATS if f[0] != "mpegts"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_cut_clip_is_refused(format, codec, share):
    data = media_files.clip(20, format, codec)
    with pytest.raises(errors.DataError):
        video.decode(data[: int(share * len(data))], SPEC)


def test_a_damaged_frame_is_refused():
    data = bytearray(media_files.clip(20))
    start = data.index(b"mdat") + 900  # behind the encoder's note
    data[start : start + 60] = bytes(60)
    with pytest.raises(errors.DataError, match=r"frame|packet"):
        video.decode(bytes(data), SPEC)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (media_files.sound(media_files.noise(16000)), "has no video track"),
        (media_files.picture(np.zeros((9, 9, 3), np.uint8)), "still picture"),
        (b"just words, many words" * 50, "no video|text"),
    ],
)
def test_other_content_is_refused(data, reason):
    with pytest.raises(errors.DataError, match=reason):
        video.decode(data, SPEC)


def test_nothing_is_printed_about_bad_files(capfd):
    data = media_files.clip(20)
    for cut in (100, 700, len(data) - 10):
        with pytest.raises(errors.DataError):
            video.decode(data[:cut], SPEC)
    assert capfd.readouterr() == ("", "")


def test_evaluation_is_pure():
    decoded = video.decode(media_files.clip(), SPEC)
    flipping = specs.VideoSpec(size=32, train_flip=1.0)
    np.testing.assert_array_equal(
        video.transform(decoded, SPEC), video.transform(decoded, flipping)
    )


def test_training_crops_at_random_and_repeats_with_the_seed():
    decoded = video.decode(media_files.clip(), SPEC)
    crops = [video.transform(decoded, SPEC, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert crops[0].shape == (8, 32, 32, 3)
    assert crops[0].dtype == np.float32
    np.testing.assert_array_equal(crops[0], crops[1])
    assert not np.array_equal(crops[0], crops[2])


def test_a_flip_mirrors_the_whole_clip():
    decoded = video.decode(media_files.clip(), SPEC)
    straight, mirrored = (
        video.transform(
            decoded, specs.VideoSpec(size=32, train_flip=flip), np.random.default_rng(0)
        )
        for flip in (0.0, 1.0)
    )
    np.testing.assert_array_equal(straight[:, :, ::-1], mirrored)


def test_packets_are_counted_where_the_header_says_nothing(tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(media_files.clip(20, "matroska"))
    with given.stream(path, "") as file:
        assert len(tracks.packets(file, "a", "video")) == 20


@pytest.mark.parametrize(
    ("format", "codec"), [f for f in FORMATS if f[1] in video.ONE_FRAME_A_PACKET]
)
@pytest.mark.parametrize("frames", [1, 3, 8, 60])
def test_leaving_frames_out_does_not_change_the_others(format, codec, frames, monkeypatch):
    data, spec = media_files.clip(60, format, codec, group=25), specs.VideoSpec(frames=frames)
    fast = video.decode(data, spec)
    monkeypatch.setattr(video, "ONE_FRAME_A_PACKET", ())
    np.testing.assert_array_equal(video.decode(data, spec), fast)


@pytest.mark.parametrize("format", ["mp4", "matroska", "mpegts"])
def test_usual_clips_take_the_fast_way(format, monkeypatch):
    monkeypatch.setattr(video, "_pick", None)
    assert len(video.decode(media_files.clip(60, format), SPEC)) == 8


def test_a_film_of_larger_frames_than_8k_is_refused_before_it_is_held(monkeypatch):
    assert display.MAX_PIXELS >= 8192 * 4320  # eight of them are 0.85 GB
    data = media_files.clip(8)
    height, width = video.decode(data, SPEC).shape[1:3]
    monkeypatch.setattr(display, "MAX_PIXELS", height * width)
    assert len(video.decode(data, SPEC)) == 8
    monkeypatch.setattr(display, "MAX_PIXELS", height * width - 1)
    with pytest.raises(errors.DataError, match=f"frames of {width}x{height} pixels, more than"):
        video.decode(data, SPEC)


def test_a_file_too_large_to_hold_gives_the_same_frames(monkeypatch):
    data = media_files.clip(60)
    held = video.decode(data, SPEC)
    monkeypatch.setattr(video, "HELD_BYTES", 0)
    np.testing.assert_array_equal(video.decode(data, SPEC), held)


@pytest.mark.parametrize(("format", "codec"), [f for f in FORMATS if f[0] != "mpegts"])
def test_seeking_finds_the_same_frames(format, codec, monkeypatch):
    data = media_files.clip(60, format, codec, group=7)
    straight = video.decode(data, SPEC)
    monkeypatch.setattr(video, "SEEK_GAP", 1)
    monkeypatch.setattr(video, "_pick", None)  # no way back to the sequential pass
    np.testing.assert_array_equal(video.decode(data, SPEC), straight)


def test_a_container_that_seeks_inexactly_is_decoded_in_order(monkeypatch):
    data = media_files.clip(60, "mpegts", group=7)
    straight = video.decode(data, SPEC)
    monkeypatch.setattr(video, "SEEK_GAP", 1)
    np.testing.assert_array_equal(video.decode(data, SPEC), straight)
