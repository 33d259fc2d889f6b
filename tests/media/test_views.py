"""Windows of a film and squares of its frames, as models that average them take them."""

import dataclasses
import fractions
import math

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import clips, image, preprocess, specs, video, views, windows
from tests.media import media_files

SPEC = specs.VideoSpec(frames=2, size=32, clips=5, clip_s=2.0, crops=3)


def shown(count, rate=30, begins_s=0.0, ends_s=None):
    seconds = [begins_s + number / rate for number in range(count)]
    ends_s = begins_s + count / rate if ends_s is None else ends_s
    return views.Shown(seconds, begins_s, ends_s, fractions.Fraction(rate))


@pytest.mark.parametrize("bounds", ["exact", "published"])
def test_windows_lie_evenly_and_give_their_first_and_last_frame(bounds):
    spec = dataclasses.replace(SPEC, bounds=bounds)
    found = views.picker(spec)(shown(300)).reshape(5, 2)  # 10 s: windows begin every 2 s
    assert found.tolist() == [[0, 59], [60, 119], [120, 179], [180, 239], [240, 299]]
    overlapping = views.picker(spec)(shown(90)).reshape(5, 2)  # 3 s
    assert overlapping.tolist() == [[0, 59], [8, 67], [15, 74], [23, 82], [30, 89]]


@pytest.mark.parametrize("bounds", ["exact", "published"])
@pytest.mark.parametrize("count", [1, 2, 45])
def test_a_film_shorter_than_a_window_is_all_windows(bounds, count):
    spec = dataclasses.replace(SPEC, bounds=bounds)
    assert views.picker(spec)(shown(count)).tolist() == [0, count - 1] * 5


@pytest.mark.parametrize("count", range(40, 400, 7))
@pytest.mark.parametrize("rate", [8, 24, 25, 30])
def test_both_bounds_agree_to_a_frame_on_films_of_one_rate(count, rate):
    film = shown(count, rate)
    exact, published = (
        views.picker(dataclasses.replace(SPEC, bounds=bounds))(film)
        for bounds in ("exact", "published")
    )
    assert np.abs(exact - published).max() <= 1  # the published one rounds its products up
    if count % (rate // math.gcd(rate, 8)) == 0:  # seconds that floats hold exactly
        assert exact.tolist() == published.tolist()


def test_exact_windows_go_by_when_frames_are_shown():
    seconds = [0.0, 0.1, 0.2, 5.0, 9.0, 9.5, 9.9]
    film = views.Shown(seconds, 0.0, 10.0, fractions.Fraction(7, 10))
    found = views.picker(SPEC)(film).reshape(5, 2)
    assert found.tolist() == [[0, 2], [2, 2], [3, 3], [3, 3], [4, 6]]  # a gap shows what stands


def test_training_draws_a_window_in_each_part():
    film = shown(300)
    found = [views.picker(SPEC, np.random.default_rng(seed))(film) for seed in range(30)]
    firsts = np.array(found).reshape(30, 5, 2)[..., 0]
    assert (np.diff(firsts, axis=1) >= 0).all()
    assert firsts.min() >= 0
    assert np.array(found).max() <= 299
    assert len(np.unique(firsts[:, 0])) > 10


def test_frames_without_times_are_cut_into_equal_parts():
    assert views.of_frames(20, SPEC).tolist() == [0, 3, 4, 7, 8, 11, 12, 15, 16, 19]
    assert views.of_frames(1, SPEC).tolist() == [0] * 10
    assert views.of_frames(3, SPEC).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(("height", "width"), [(48, 85), (85, 48), (40, 40), (33, 170)])
def test_squares_lie_along_the_longer_side(height, width):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    found = views.squares(frame, SPEC)
    sides = image.resized_sides(height, width, 32)
    whole = image.resize(frame, 32, image.KERNELS["bilinear", False])
    scale, shift = image.normaliser(SPEC, white=255.0)
    room = max(sides) - 32
    for square, start in zip(found, (0, -(-room // 2), room), strict=True):
        cut = whole[start : start + 32] if height > width else whole[:, start : start + 32]
        np.testing.assert_allclose(square, cut * scale + shift, atol=1e-6)


def test_the_longer_side_is_rounded_as_published_where_that_is_asked_for():
    """Of 352 sizes the original's float is a pixel below the whole number."""
    short, long = np.mgrid[1:400, 1:400]
    odd = np.argwhere((long > short) & (np.floor(long / short * 224) != 224 * long // short))
    height, width = (int(one) + 1 for one in odd[0])
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    exact, published = (
        views.squares(frame, dataclasses.replace(SPEC, size=224, bounds=bounds))
        for bounds in ("exact", "published")
    )
    assert exact.shape == published.shape == (3, 224, 224, 3)
    assert np.abs(exact - published).max() > 0


def test_an_item_is_windows_of_squares():
    film = media_files.clip(60)  # 6 s at 10 Hz, brightening
    [found] = preprocess.preprocess("video", film, SPEC)
    assert found.shape == specs.shape(SPEC) == (15, 2, 32, 32, 3)
    frames = video.decode(film, SPEC)
    assert frames.shape[0] == 10
    for number, view in enumerate(found):
        window, crop = divmod(number, 3)
        for place in range(2):
            square = views.squares(frames[2 * window + place], SPEC)[crop]
            np.testing.assert_array_equal(view[place], square)


def test_stills_and_arrays_are_films_too():
    frames = np.random.default_rng(0).integers(0, 256, (20, 40, 50, 3), np.uint8)
    [found] = preprocess.preprocess("video", frames, SPEC)
    assert found.shape == (15, 2, 32, 32, 3)
    picture = media_files.picture(frames[0])
    [still] = preprocess.preprocess("video", [[picture]], SPEC)
    np.testing.assert_array_equal(still, np.repeat(still[:3, :1], 2, 1)[[0, 1, 2] * 5])


def test_training_draws_squares_and_mirrors_all_of_them():
    spec = dataclasses.replace(SPEC, train_flip=1.0)
    frames = np.random.default_rng(0).integers(0, 256, (10, 40, 90, 3), np.uint8)
    plain = preprocess.transform("video", frames, spec)
    drawn = preprocess.transform("video", frames, spec, np.random.default_rng(1))
    assert drawn.shape == plain.shape
    assert np.abs(drawn - plain).max() > 0.1
    centred = dataclasses.replace(spec, train_crop="centre")
    mirrored = preprocess.transform("video", frames, centred, np.random.default_rng(1))
    np.testing.assert_array_equal(mirrored[..., ::-1, :], plain)
    assert specs.draws_frames(spec)


@pytest.mark.parametrize(("window_s", "stride_s"), [(3.0, None), (2.0, 1.0), (1.0, 2.5)])
def test_windows_of_a_long_film_are_its_clips(window_s, stride_s, tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(media_files.clip(60))
    spec = dataclasses.replace(SPEC, clip_s=0.5)
    found = list(windows.windows("video", path, spec, window_s, stride_s))
    assert len(found) >= 2
    for one in found:
        clip = clips.Clip(path, one.start_s, one.start_s + window_s)
        np.testing.assert_array_equal(one.array, clips.preprocess("video", clip, spec))


@pytest.mark.parametrize(
    "fields",
    [
        {"clip_s": 0.0},
        {"clips": 0},
        {"crops": 0},
        {"bounds": "rounded"},
        {"clip_s": None},
        {"choice": "chunks"},
        {"fps": 4.0},
        {"shape": "stretch", "train_crop": "centre"},
        {"train_crop": "resized"},
        {"augmentation": "dmvr"},
    ],
)
def test_what_does_not_go_together_is_refused(fields):
    with pytest.raises(errors.ConfigError):
        dataclasses.replace(SPEC, **fields)
