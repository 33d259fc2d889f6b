import numpy as np

from lb_jax.media import probe_clips


def test_a_clip_begins_again_where_the_film_ends():
    assert probe_clips.indices(7, 6, frames=5, stride=2).tolist() == [6, 1, 3, 5, 0]


def test_offsets_keep_the_clip_inside_where_it_fits():
    assert [probe_clips.offsets(length) for length in (62, 63, 100)] == [62, 1, 38]


def test_windows_reach_from_the_beginning_to_the_end():
    assert probe_clips.starts(100, windows=4).tolist() == [0, 12, 24, 36]
    assert probe_clips.starts(40, windows=4).tolist() == [0, 0, 0, 0]


def test_the_middle_is_cut_out_or_filled_up():
    frame = np.arange(1, 13, dtype=np.uint8).reshape(1, 3, 4, 1).repeat(3, -1)
    assert probe_clips.centred(frame, 2)[0, ..., 0].tolist() == [[2, 3], [6, 7]]
    filled = probe_clips.centred(frame, 5)[0, ..., 0]
    assert filled[1].tolist() == [1, 2, 3, 4, 0]
    assert not filled[[0, 4]].any()


def test_a_film_gives_its_windows():
    film = np.random.default_rng(0).integers(0, 256, (9, 30, 40, 3), np.uint8)
    found = probe_clips.windows(film, count=3, frames=2, stride=2, short_side=20, size=16)
    assert found.shape == (3, 2, 16, 16, 3)
    assert found.dtype == np.float32
    expected = probe_clips.centred(probe_clips.resize(film, 20), 16)[[5, 7]]
    np.testing.assert_allclose(found[-1], expected.astype(np.float32) / 255, atol=1e-7)
