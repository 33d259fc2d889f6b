"""Frames of VALOR: one of each part of a film, of a folder, of a still; whole frames, crops."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import clips, preprocess, specs, video, windows
from tests.media import media_files

SPEC = specs.VideoSpec(frames=3, size=32, choice="chunks")


def _brightness(frames):
    return (frames[:, 40:, 40:].mean((1, 2, 3)) / 10).round().astype(int).tolist()


def test_frames_of_a_film_are_the_middle_ones_of_its_parts():
    assert _brightness(video.decode(media_files.clip(20), SPEC)) == [3, 10, 16]


def test_training_draws_one_of_each_part_and_repeats_with_the_seed():
    film = media_files.clip(20)
    drawn = [
        _brightness(video.decode(film, SPEC, rng=np.random.default_rng(seed)))
        for seed in (*range(12), 0)
    ]
    assert drawn[0] == drawn[-1]
    assert len(set(map(tuple, drawn))) > 6
    for first, middle, last in drawn:
        assert first < 7 <= middle < 14 <= last < 20


def test_a_grid_of_frames_is_laid_over_the_film():
    """24 frames at 10 a second; at 2 a second those that stand at 0.25, 0.75, … s."""
    film = media_files.clip(24)
    spec = dataclasses.replace(SPEC, frames=5, fps=2.0)
    assert _brightness(video.decode(film, spec)) == [2, 7, 12, 17, 22]
    assert _brightness(video.decode(film, dataclasses.replace(spec, fps=0.1))) == [23] * 5


def test_a_grid_within_a_window_begins_with_it(tmp_path):
    (tmp_path / "a.mp4").write_bytes(media_files.clip(24))
    spec = dataclasses.replace(SPEC, frames=2, fps=2.0)
    clip = clips.Clip(tmp_path / "a.mp4", 1.0, 2.0)
    assert _brightness(clips.decode("video", clip, spec)) == [12, 17]
    found = list(windows.windows("video", tmp_path / "a.mp4", spec, 1.0))
    np.testing.assert_array_equal(found[1].array, clips.preprocess("video", clip, spec))


def test_a_folder_of_pictures_is_a_clip_in_the_order_of_names(tmp_path):
    for number in range(12):
        frame = np.full((48, 64, 3), 10 * number, np.uint8)
        (tmp_path / f"frame_{number:04d}.jpg").write_bytes(media_files.picture(frame, "JPEG"))
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "notes.txt").touch()
    assert _brightness(video.decode(tmp_path, SPEC)) == [1, 5, 9]
    assert _brightness(video.decode(str(tmp_path), dataclasses.replace(SPEC, fps=1.0))) == [1, 5, 9]
    assert _brightness(video.decode(tmp_path, specs.VideoSpec(frames=2))) == [0, 11]


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(errors.DataError, match="a folder of 1 file and no picture"):
        video.decode(tmp_path, SPEC)


def test_a_still_is_a_film_of_one_frame(tmp_path):
    still = media_files.picture(media_files.scene(), "JPEG")
    (tmp_path / "a.jpg").write_bytes(still)
    one = dataclasses.replace(SPEC, frames=1)
    found = video.decode(tmp_path / "a.jpg", one)
    np.testing.assert_array_equal(found, preprocess.decode("image", still, specs.ImageSpec())[None])
    np.testing.assert_array_equal(video.decode(still, SPEC), np.repeat(found, 3, axis=0))
    with pytest.raises(errors.DataError, match="still picture"):
        video.decode(still, one, start_s=1.0)
    with pytest.raises(errors.DataError, match="still picture"):
        video.decode(still, specs.VideoSpec(frames=1))


def test_a_stretched_frame_is_shown_whole():
    """Bilinear to equal sides, without keeping the aspect, as written out."""
    frame = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    spec = dataclasses.replace(SPEC, shape="stretch", train_crop="centre", size=20)
    out = video.transform(frame[None], spec)[0]
    assert out.shape == (20, 20, 3)

    def weights(before, after):
        taken = np.zeros((after, before))
        for i in range(after):
            at = max((i + 0.5) * before / after - 0.5, 0)
            low = int(at)
            taken[i, low] += 1 - (at - low)
            taken[i, min(low + 1, before - 1)] += at - low
        return taken

    shown = np.einsum("hH,HWc,wW->hwc", weights(30, 20), frame / 255, weights(50, 20))
    np.testing.assert_allclose(out, (shown - spec.mean) / spec.std, atol=2e-5)
    trained = video.transform(frame[None], spec, np.random.default_rng(0))
    np.testing.assert_array_equal(trained, out[None])


def test_the_training_crop_is_a_square_of_a_drawn_share():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        rows, columns = video.drawn_square((100, 110), rng.random(10), *rng.random(2))
        side = rows.stop - rows.start
        assert side == columns.stop - columns.start <= 100
        assert 0 <= rows.start <= rows.stop <= 100
        assert 0 <= columns.start <= columns.stop <= 110
        shares.append(side**2 / 11000)
    assert 0.79 < min(shares) < 0.82
    assert 0.88 < max(shares) < 0.92


def test_a_picture_longer_than_5_to_4_gives_its_centre():
    rng = np.random.default_rng(0)
    for _ in range(20):
        square = video.drawn_square((90, 160), rng.random(10), *rng.random(2))
        assert square == (slice(0, 90), slice(35, 125))


def test_crop_and_flip_are_one_draw_for_the_clip():
    frame = media_files.scene(60, 64)
    spec = dataclasses.replace(SPEC, **specs.CROP_FLIP)
    outs = [
        video.transform(np.stack([frame] * 3), spec, np.random.default_rng(seed))
        for seed in (*range(8), 0)
    ]
    for out in outs:
        np.testing.assert_array_equal(out[0], out[2])
    np.testing.assert_array_equal(outs[0], outs[-1])
    assert len({out.tobytes() for out in outs}) > 6
    tested = video.transform(frame[None], spec)
    np.testing.assert_array_equal(tested, video.transform(frame[None], SPEC))


def test_a_stretched_frame_has_no_training_crop():
    with pytest.raises(errors.ConfigError, match="expected train_crop 'centre'"):
        specs.VideoSpec(shape="stretch")


@pytest.mark.parametrize("preset", ["valor", "valor_reference"])
def test_films_are_preprocessed_as_published(preset):
    out = preprocess.preprocess("video", media_files.clip(20), preset=preset)
    assert out.shape == (1, 8, 224, 224, 3)


def test_a_run_follows_the_grid_and_is_drawn_in_training():
    spec = dataclasses.replace(specs.preset("video", "mmv"), size=8)
    film = media_files.clip(100)
    every = video.decode(film, dataclasses.replace(spec, frames=100))
    middle = video.decode(film, spec)
    np.testing.assert_array_equal(middle, every[34:66])
    found = set()
    for seed in range(12):
        drawn = video.decode(film, spec, rng=np.random.default_rng(seed))
        found.add(drawn.tobytes())
        assert any(np.array_equal(drawn, every[i : i + 32]) for i in range(69))
    assert len(found) > 8
