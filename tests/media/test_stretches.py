"""Stretches of films: where they begin, and that sight and sound of one belong together."""

import dataclasses
import fractions
import io

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, items, specs, stretches, video, windows
from tests.media import media_files

SPECS = {name: specs.preset(name, "mmv") for name in ("video", "audio")}
SMALL = {**SPECS, "video": dataclasses.replace(SPECS["video"], size=16, augmentation="none")}
RATE, FILM_S, TONE_S = 48_000, 8, 5.0


@pytest.fixture(scope="module")
def film():
    """8 s at 25 frames a second: dark and silent, bright and loud from 5 s on."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = container.add_stream("pcm_s16le", rate=RATE)
        track.layout = "mono"
        for number in range(25 * FILM_S):
            shown = np.full((48, 64, 3), 220 if number >= 25 * TONE_S else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, fractions.Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        t = np.arange(RATE * FILM_S) / RATE
        wave = (0.5 * np.sin(2 * np.pi * 1000 * t) * (t >= TONE_S) * 32767).astype(np.int16)
        for at in range(0, len(wave), 4800):
            sound = av.AudioFrame.from_ndarray(wave[None, at : at + 4800], "s16", "mono")
            sound.rate, sound.pts, sound.time_base = RATE, at, fractions.Fraction(1, RATE)
            container.mux(track.encode(sound))
    return file.getvalue()


def test_the_place_of_a_stretch():
    assert stretches.drawn(10.0, 3.2, 0.0) == 0
    assert stretches.drawn(10.0, 3.2, 0.5) == pytest.approx(3.4)
    assert stretches.drawn(2.0, 3.2, 0.9) == 0
    assert stretches.evenly(10.0, 3.2, 3) == pytest.approx([0, 3.4, 6.8])
    assert stretches.evenly(10.0, 3.2, 1) == pytest.approx([3.4])
    assert stretches.evenly(2.0, 3.2, 2) == [0, 0]


@pytest.mark.parametrize("start_s", [0.0, 2.0, 2.437, 3.3, 4.8])
def test_sight_and_sound_are_of_one_time(film, start_s):
    """The 10 frames and 46.9 spectra a second turn at the same moment."""
    cut = stretches.cut({"video": film, "audio": film}, start_s, 3.2)
    item = items.preprocess(cut, SMALL)
    assert item.arrays["video"].shape == (32, 16, 16, 3)
    assert item.arrays["audio"].shape == (150, 80, 1)
    bright = item.arrays["video"].mean((1, 2, 3)) > 0.5
    loud = item.arrays["audio"].max((1, 2)) > 0
    turn_s = TONE_S - start_s
    if turn_s > 3.2:
        assert not bright.any()
        assert not loud.any()
    else:
        # a frame of the grid is the last one that begins before its middle
        assert abs(np.argmax(bright) / 10 - turn_s) <= 0.1
        assert abs(np.argmax(loud) * 1024 / RATE - turn_s) <= 2048 / RATE
        assert bright[np.argmax(bright) :].all()


def test_a_grid_begins_with_its_stretch_between_two_frames():
    """At 10 frames a second, cut at 1.23 s: 32 frames that follow each other, none again."""
    shown = video.decode(media_files.clip(60), SPECS["video"], start_s=1.23, end_s=4.43)
    expected = (12 + np.arange(32)) * 10 % 256
    np.testing.assert_allclose(shown[:, 40:, 40:].mean((1, 2, 3)), expected, atol=4)


def test_a_shorter_film_begins_again_and_its_sound_ends(film):
    short = {
        "video": media_files.clip(20),
        "audio": media_files.sound(media_files.noise(RATE), RATE),
    }
    item = items.preprocess(stretches.cut(short, 0.0, 3.2), SMALL)
    np.testing.assert_array_equal(item.arrays["video"][:12], item.arrays["video"][20:])
    assert item.arrays["audio"].shape == (150, 80, 1)
    assert (item.arrays["audio"][60:] == item.arrays["audio"].min()).all()


def test_a_whole_number_of_samples_gives_the_published_spectra(film):
    assert audio.decode(film, SPECS["audio"], start_s=1.1, end_s=4.3).shape == (150, 80)


def test_the_length_of_a_film(film, tmp_path):
    (tmp_path / "a.mkv").write_bytes(film)
    for media in (film, tmp_path / "a.mkv", str(tmp_path / "a.mkv")):
        assert stretches.length_s(media) == pytest.approx(FILM_S, abs=0.05)
    with pytest.raises(errors.DataError, match="has no times; expected a film or a sound"):
        stretches.length_s([tmp_path / "a.jpg"])
    with pytest.raises(errors.DataError, match="has no times"):
        stretches.cut({"video": (film,)}, 0.0, 3.2)


def test_a_film_without_sound_has_none_in_a_stretch():
    silent = media_files.clip(40)
    cut = stretches.cut({"video": silent, "audio": silent}, 0.0, 3.2)
    with pytest.warns(errors.DataWarning, match="without a sound track"):
        item = items.preprocess(cut, SMALL)
    assert item.present == {"video": True, "audio": False}


def test_windows_of_runs_are_those_stretches():
    film = media_files.clip(40)
    found = list(windows.windows("video", film, SMALL["video"], 3.2))
    cut = stretches.cut({"video": film}, found[0].start_s, 3.2)
    expected = items.preprocess(cut, {"video": SMALL["video"]}).arrays["video"]
    np.testing.assert_array_equal(found[0].array, expected)
    short = list(windows.windows("video", media_files.clip(20), SMALL["video"], 3.2))
    np.testing.assert_array_equal(short[0].array[:12], short[0].array[20:])
