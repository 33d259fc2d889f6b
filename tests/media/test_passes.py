"""Clips for classifiers on frozen features, by hand and against the original."""

import dataclasses
import io as io_lib

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import image, passes, specs, video
from lb_jax.media.clips import Clip
from lb_jax.media.passes import Passes
from tests import goldens, mmv
from tests.media import media_files

PLAIN = specs.VideoSpec(frames=4, size=24, mean=(0.0,) * 3, std=(1.0,) * 3)
WHOLE = Passes(count=3, frames=4, stride=2, fps=None, longest_s=None, short=24, crop=24)


def test_windows_by_hand():
    given = Passes(count=10, frames=32, stride=2)
    # 100 frames: the last window begins at 100 - 64 = 36, the others every 4
    assert given.starts(100, np.zeros(10)).tolist() == list(range(0, 37, 4))
    assert given.starts(64, np.zeros(10)).tolist() == [0] * 10
    # one of 40 frames is repeated: behind 38 comes 40, which is 0 again
    assert given.numbers(40, np.array([0]))[0].tolist() == [*range(0, 40, 2), *range(0, 24, 2)]


def test_drawn_starts_by_hand():
    given = Passes(count=3, drawn=True, frames=32, stride=2)
    # a clip reaches 62 frames further: of 100 frames the first 38 may begin one, of 62 all
    assert (given.places(100), given.places(63), given.places(62)) == (38, 1, 62)
    assert given.starts(100, np.array([0, 0.5, 0.999])).tolist() == [0, 19, 37]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    path.write_bytes(media_files.clip(40))
    return path


def frames_of(film):
    """All frames of the film, resized as the original does."""
    decoded = video.decode(film, dataclasses.replace(PLAIN, frames=40))
    kernel = image.KERNELS["bilinear", False]
    return np.stack([image.resize(frame, 24, kernel).astype(np.uint8) for frame in decoded])


def test_test_windows_are_the_centres_of_their_frames(film):
    found = passes.arrays(Clip(film), PLAIN, WHOLE)
    resized = frames_of(film)
    left = (resized.shape[2] - 24) // 2
    for clip, start in zip(found, (0, 16, 32), strict=True):
        expected = resized[start : start + 8 : 2, :, left : left + 24] / 255
        np.testing.assert_allclose(clip, expected, atol=1e-6)


def test_training_clips_are_drawn_once_for_all(film, tmp_path):
    given = dataclasses.replace(WHOLE, count=12, drawn=True)
    found = passes.arrays(Clip(film), PLAIN, given)
    np.testing.assert_array_equal(found, passes.arrays(Clip(film), PLAIN, given))
    other = tmp_path / "other name.mp4"
    other.write_bytes(film.read_bytes())
    np.testing.assert_array_equal(found, passes.arrays(Clip(other), PLAIN, given))
    assert len(np.unique(found.reshape(12, -1), axis=0)) > 6
    again = passes.arrays(Clip(film), PLAIN, dataclasses.replace(given, seed=1))
    assert np.abs(found - again).max() > 0
    resized, mirrored, starts = frames_of(film), 0, set()
    squares = {
        resized[number, :, left : left + 24].tobytes(): (number, False)
        for number in range(40)
        for left in range(resized.shape[2] - 23)
    }
    squares |= {
        resized[number, :, left : left + 24][:, ::-1].tobytes(): (number, True)
        for number in range(40)
        for left in range(resized.shape[2] - 23)
    }
    for clip in np.rint(found * 255).astype(np.uint8):
        numbers, flips = zip(*(squares[frame.tobytes()] for frame in clip), strict=True)
        assert len(set(flips)) == 1  # a clip is mirrored whole
        assert np.diff(numbers).tolist() == [2, 2, 2]
        starts.add(numbers[0])
        mirrored += flips[0]
    assert 0 < mirrored < 12
    assert len(starts) > 3


def test_a_tower_of_fewer_frames_and_another_size_keeps_the_clip(film):
    given = dataclasses.replace(WHOLE, count=1, frames=8, short=28, crop=24)
    whole = passes.arrays(Clip(film), dataclasses.replace(PLAIN, frames=8), given)
    fewer = passes.arrays(Clip(film), dataclasses.replace(PLAIN, frames=3), given)
    np.testing.assert_array_equal(fewer[0], whole[0, [0, 3, 7]])
    small = passes.arrays(Clip(film), dataclasses.replace(PLAIN, frames=8, size=12), given)
    assert small.shape == (1, 8, 12, 12, 3)  # of a short side of 14


def test_only_the_beginning_counts_on_a_grid_of_its_own(film):
    second = dataclasses.replace(WHOLE, count=1, frames=2, stride=1, fps=4.0, longest_s=1.0)
    spec = dataclasses.replace(PLAIN, frames=2)
    found = passes.arrays(Clip(film), spec, dataclasses.replace(second, count=2, frames=2))
    told = dataclasses.replace(second, count=2, frames=2, longest_s=None)
    whole = passes.arrays(Clip(film), spec, told)
    np.testing.assert_array_equal(found[0], whole[0])
    assert np.abs(found[1] - whole[1]).max() > 0


@pytest.mark.parametrize(
    ("changes", "message"), [({"count": 0}, "count is 0"), ({"short": 20}, "does not fit")]
)
def test_mistakes_are_one_line(changes, message):
    with pytest.raises(errors.ConfigError, match=message):
        dataclasses.replace(WHOLE, **changes)


@pytest.mark.golden
@pytest.mark.skipif(not mmv.FOLDER.is_dir(), reason=f"no golden folder {goldens.FOLDER}")
@pytest.mark.parametrize("case", mmv.cases("ucf101"))
def test_frames_and_sizes_are_the_reference_s(case):
    told, io = mmv.settings(case), mmv.arrays(case)
    for one in told["sample"]:
        given = Passes(count=1, frames=one["num_steps"], stride=one["stride"])
        numbers = given.numbers(one["length"], np.array([one["offset"]]))
        assert numbers[0].tolist() == one["indices"]
    for one in told["train_offset_range"]:
        given = Passes(drawn=True, frames=one["num_steps"], stride=one["stride"])
        assert given.places(one["length"]) == one["exclusive_upper_bound"]
    for one in told["test_windows"]:
        given = Passes(count=one["num_windows"], frames=one["num_steps"], stride=one["stride"])
        starts = given.starts(one["length"], np.zeros(one["num_windows"]))
        assert starts.tolist() == one["starts"]
        assert given.numbers(one["length"], starts).tolist() == one["indices"]
    for one in told["resize"]:
        sides = image.resized_sides(one["height"], one["width"], one["min_resize"])
        assert list(sides) == one["out"]
    kernel = image.KERNELS["bilinear", False]
    for number in range(len(told["crop"])):
        expected = io[f"out::resized{number}"]
        side = min(expected.shape[1:3])
        shown = np.stack([image.resize(one, side, kernel) for one in io[f"in::video{number}"]])
        far = np.abs(shown.astype(np.uint8).astype(int) - expected.astype(int))
        assert far.max() <= 1  # of a value that is whole but for the last bit
        assert far.mean() < 0.01


@pytest.mark.golden
@pytest.mark.skipif(not mmv.FOLDER.is_dir(), reason=f"no golden folder {goldens.FOLDER}")
@pytest.mark.parametrize("case", mmv.cases("ucf101"))
def test_test_clips_are_the_reference_s_from_the_file_on(case, tmp_path):
    io = mmv.arrays(case)
    for one in mmv.settings(case)["crop"]:
        if one["crop_size"] > one["min_resize"]:
            continue  # the reference fills up with black; no row of ours asks for that
        number, size = one["video"], one["crop_size"]
        path = tmp_path / f"{number}.mkv"
        path.write_bytes(lossless(io[f"in::video{number}"]))
        # what the reference resizes a short side to is what its largest frames show
        short = min(io[f"out::resized{number}"].shape[1:3])
        names = {"count": "num_windows", "frames": "num_frames", "stride": "stride"}
        counts = {ours: one[theirs] for ours, theirs in names.items()}
        given = Passes(**counts, fps=None, longest_s=None, short=short, crop=size)
        spec = dataclasses.replace(PLAIN, frames=given.frames, size=size)
        found = passes.arrays(Clip(path), spec, given)
        expected = io[f"out::test_clips{number}"]
        far = np.abs(found - expected)
        assert far.max() < 1.001 / 255
        assert (far > 1e-6).mean() < 0.01


def lossless(frames):
    """Encodes uint8 [t, h, w, 3] without loss."""
    file = io_lib.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(shown.reformat(format="bgr0")))
        container.mux(stream.encode(None))
    return file.getvalue()
