"""A film is opened once, decoded once, and shows what the project's decoders show."""

import numpy as np
import pytest

from lb_jax.builder import films
from lb_jax.builder.engine import looking
from lb_jax.builder.stage import Wants
from lb_jax.builder.stages import STAGES, Planned
from lb_jax.core import errors
from lb_jax.media import given, samples, specs, tracks, video
from tests.builder import raw
from tests.media import media_files

WANTS = Wants(frozenset({2, 8}), 32)


def opened(content, wants=WANTS):
    return films.Film(content, "film", wants)


def test_pictures_and_sound_are_those_of_the_decoders():
    content = media_files.clip(frames=20, sound=True)
    with opened(content) as film:
        for count in (2, 8):
            expected = video.decode(content, specs.VideoSpec(frames=count))
            np.testing.assert_array_equal(film.pictures(count), expected)
        wave, rate_hz = film.sound()
        every = film.every()
    expected, expected_hz = samples.read(content, specs.AudioSpec(sample_rate_hz=None))
    np.testing.assert_array_equal(wave, expected)
    assert rate_hz == expected_hz
    assert every.shape == (20, 32, 43, 3)


def test_facts_are_those_of_the_header():
    with opened(media_files.clip(frames=20, sound=True)) as film:
        facts = film.facts
    assert (facts.width, facts.height, facts.frames, facts.has_sound) == (64, 48, 20, True)
    assert (facts.duration_s, facts.rate_hz) == pytest.approx((2.0, 10.0))
    with opened(media_files.clip(frames=5)) as film:
        assert (film.sound(), film.facts.has_sound) == (None, False)


def test_a_large_file_is_read_from_its_place(monkeypatch, tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(media_files.clip(frames=20, sound=True))
    with opened(str(path)) as film:
        small = film.pictures(8), film.every(), film.facts
    monkeypatch.setattr(video, "HELD_BYTES", 100)
    with opened(str(path)) as film:
        large = film.pictures(8), film.every(), film.facts
    np.testing.assert_array_equal(small[0], large[0])
    np.testing.assert_array_equal(small[1], large[1])
    assert small[2] == large[2]


def test_all_stages_open_a_film_once(monkeypatch, tmp_path):
    path = tmp_path / "film.mp4"
    raw.film(tmp_path, "film.mp4", *raw.drawn())
    names = [name for name in raw.PLAIN if STAGES[name].wants] + ["cuts"] * _there("cuts")
    names += ["copies"] * _there("copies")
    names += ["ofa", "mplug", "sound_mplug"]
    settings = {"resolution": STAGES["resolution"].settings(smallest_px=96)}
    given_settings = [settings.get(name, STAGES[name].settings()) for name in names]
    prepared = [STAGES[name].prepare or (lambda one: one) for name in names]
    plan = [
        Planned(STAGES[name], one, makes(one))
        for name, one, makes in zip(names, given_settings, prepared, strict=True)
    ]
    files, containers, decoded = [], [], []
    open_file, open_track = given._open_file, tracks.open_track
    decode = tracks.Track.decode
    monkeypatch.setattr(given, "_open_file", lambda one: files.append(one) or open_file(one))
    monkeypatch.setattr(
        tracks, "open_track", lambda *told: containers.append(told[2]) or open_track(*told)
    )
    monkeypatch.setattr(
        tracks.Track, "decode", lambda *told, **more: decoded.append(1) or decode(*told, **more)
    )
    looks = looking.Looks.of(plan)
    with given.stream(str(path), "nothing else") as file:  # as the decoding processes do it
        content = file.read()
    found = looks.all(content, str(path), looks.names)
    assert [name for name, _ in found] == names
    assert all(verdict.kept for _, verdict in found)
    assert files == [path]
    assert sorted(containers) == ["audio", "video"]
    assert len(decoded) == 2  # pictures once, sound once


def test_only_the_header_is_read_where_no_more_is_asked(monkeypatch):
    monkeypatch.setattr(tracks.Track, "decode", None)
    with opened(media_files.clip(sound=True)) as film:
        assert film.facts.frames == 20


@pytest.mark.parametrize(
    "content",
    [b"nothing", media_files.clip()[:900], media_files.picture(np.zeros((8, 8, 3), np.uint8))],
)
def test_what_is_no_film_is_told(content):
    with opened(content) as film, pytest.raises(errors.DataError):
        _ = film.facts


def test_pictures_that_nobody_asked_for_are_no_surprise():
    with opened(media_files.clip()) as film, pytest.raises(ValueError, match="3 pictures"):
        film.pictures(3)


def _there(name):
    return all(one.is_there for one in STAGES[name].packages)


@pytest.mark.parametrize(
    "spec",
    [
        specs.VideoSpec(frames=2),
        specs.VideoSpec(frames=8, choice="chunks", fps=4.0),
        specs.VideoSpec(frames=3, choice="chunks"),
        specs.VideoSpec(frames=5, choice="run", fps=5.0),
    ],
)
@pytest.mark.parametrize("times", [None, [0, 1, 2, 5, 6, 7, 12, 13, 14, 15]])
def test_clips_are_those_of_the_decoders(spec, times):
    content = media_files.clip(frames=10 if times else 20, times=times, sound=True)
    with opened(content, WANTS | Wants(clips=frozenset({spec}))) as film:
        np.testing.assert_array_equal(film.clip(spec), video.decode(content, spec))
        assert len(film.pictures(8)) == 8
        with pytest.raises(ValueError, match="was not asked for before"):
            film.clip(specs.VideoSpec(frames=7))
