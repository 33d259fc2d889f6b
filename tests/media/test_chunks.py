import fractions
import json

import av
import numpy as np
import pytest

from lb_jax.media import audio, chunks
from tests import goldens
from tests.media.test_audio import valor_spec

GOLDEN = goldens.FOLDER / "valor" / "sampling.json"
MILLISECOND = fractions.Fraction(1, 1000)


@pytest.fixture(scope="module")
def valor():
    if not GOLDEN.exists():
        pytest.skip(f"no reference numbers at {GOLDEN}; set LB_JAX_GOLDENS")
    return json.loads(GOLDEN.read_text())


def _agrees(case, available, wanted):
    assert chunks.choose(available, wanted).tolist() == case["test_choice"], case
    for share in (0.0, 0.3, 0.5, 0.999999):
        found = chunks.choose(available, wanted, np.full(wanted, share)).tolist()
        held = [part[int(share * len(part))] for part in case["train_chunks"]]
        assert found == held, case


@pytest.mark.golden
def test_frames_are_those_of_the_valor_reference(valor):
    assert valor["frames"]
    for case in valor["frames"]:
        _agrees(case, case["frames"], case["n"])


@pytest.mark.golden
def test_slices_of_sound_are_those_of_the_valor_reference(valor):
    spec = valor_spec()
    assert valor["audio_slices"]
    for case in valor["audio_slices"]:
        assert audio.slice_count(case["frames"], spec) == case["slices"]
        _agrees(case, case["slices"], case["clips"])


def test_training_reaches_every_one_of_a_chunk():
    rng = np.random.default_rng(0)
    found = np.array([chunks.choose(7, 3, rng.random(3)) for _ in range(200)])
    assert [set(column.tolist()) for column in found.T] == [{0, 1, 2}, {3, 4}, {5, 6}]


def _by_ffmpeg(times, fps):
    """Numbers of the frames that FFmpeg's filter gives, told by their brightness."""
    graph = av.filter.Graph()
    grey = av.VideoFormat("gray")
    first = graph.add_buffer(width=2, height=2, format=grey, time_base=MILLISECOND)
    last = graph.add("buffersink")
    first.link_to(middle := graph.add("fps", f"fps={fps}"))
    middle.link_to(last)
    graph.configure()
    for number, time in enumerate(times):
        frame = av.VideoFrame.from_ndarray(np.full((2, 2), number, np.uint8), "gray")
        frame.pts, frame.time_base = time, MILLISECOND
        frame.duration = 1
        graph.push(frame)
    graph.push(None)
    found = []
    while True:
        try:
            found.append(int(graph.pull().to_ndarray()[0, 0]))
        except (av.error.BlockingIOError, av.error.EOFError):
            return found


@pytest.mark.parametrize("fps", [1, 4, 10])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_grid_shows_the_frames_that_ffmpeg_takes(fps, seed):
    steps = np.random.default_rng(seed).integers(5, 400, 60)
    times = (np.cumsum(steps) - steps[0]).tolist()
    ends = times[-1] + 1
    found = chunks.on_grid([t / 1000 for t in times], 0.0, ends / 1000, fps)
    assert found.tolist() == _by_ffmpeg(times, fps)


def test_a_run_is_the_middle_or_a_drawn_one_and_begins_again_at_the_end():
    assert chunks.run(10, 4).tolist() == [3, 4, 5, 6]
    assert {tuple(chunks.run(6, 4, share)) for share in (0.0, 0.4, 0.999999)} == {
        (0, 1, 2, 3),
        (1, 2, 3, 4),
        (2, 3, 4, 5),
    }
    assert chunks.run(3, 7, 0.9).tolist() == [0, 1, 2, 0, 1, 2, 0]
