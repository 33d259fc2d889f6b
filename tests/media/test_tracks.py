"""Which of several tracks is read, and numbers of PyAV where they enter."""

import dataclasses
import fractions
import types

import av
import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import clock as clock_lib
from lb_jax.media import samples, specs, video
from lb_jax.media import tracks as tracks_lib
from tests.media import media_files

RED, BLUE = (255, 0, 0), (0, 0, 255)
FLAGS = av.stream.Disposition
NONE, DEFAULT = int(FLAGS(0).value), int(FLAGS.default.value)
COMMENT = DEFAULT | int(FLAGS.comment.value)
HEARING = int(FLAGS.hearing_impaired.value)
SPEC = specs.AudioSpec()


def _film(colour, flags=None, frames=30, codec="libx264", pixels="yuv420p"):
    shown = [(n / 25, colour) for n in range(frames)]
    return media_files.Pictures(shown, codec, pixels, flags)


def _sound(hz, flags=None, codec="aac"):
    return media_files.Sounds([(0, media_files.tone(hz, 1))], codec, flags=flags)


def _colour(data):
    return video.decode(data, specs.VideoSpec(frames=2))[0].mean((0, 1)).tolist()


def _pitch(data):
    wave, _ = samples.read(data, SPEC)
    return round(int(np.abs(np.fft.rfft(wave[:48000])).argmax()), -1)


@pytest.mark.parametrize("format", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize(
    "others",
    [
        [_film(RED, NONE), _film(BLUE, DEFAULT)],
        [_film(BLUE, DEFAULT), _film(RED, NONE)],
        [_film(BLUE, NONE), _film(RED, NONE)],
        [_film(BLUE, DEFAULT), _film(RED, DEFAULT)],
        [_film(RED, DEFAULT, 1, "mjpeg", "yuvj420p"), _film(BLUE)],
        [_film(RED, DEFAULT, 1), _film(BLUE, NONE)],
    ],
    ids=["default", "default first", "none", "both", "cover", "one frame"],
)
def test_the_film_is_read(format, others):
    np.testing.assert_allclose(_colour(media_files.muxed(format, *others)), BLUE, atol=3)


def test_a_single_picture_alone_is_a_film():
    np.testing.assert_allclose(
        _colour(media_files.muxed("mp4", _film(BLUE, frames=1))), BLUE, atol=3
    )


@pytest.mark.parametrize(
    ("format", "tracks"),
    [
        ("matroska", [(400, NONE), (800, DEFAULT)]),
        ("matroska", [(400, COMMENT), (800, DEFAULT)]),
        ("matroska", [(400, HEARING), (800, NONE)]),
        ("matroska", [(800, NONE), (400, NONE)]),
        ("mp4", [(400, NONE), (800, DEFAULT)]),
        ("mp4", [(800, DEFAULT), (400, DEFAULT)]),
        ("mpegts", [(400, HEARING), (800, NONE)]),
    ],
)
def test_the_sound_for_everybody_is_read(format, tracks):
    data = media_files.muxed(format, *(_sound(hz, flags) for hz, flags in tracks))
    assert _pitch(data) == 800


def _without_decoder(data, number):
    """Gives a sound track of an mp4 the name of a codec that FFmpeg lacks."""
    data, at = bytearray(data), -1
    for _ in range(number):
        at = data.index(b"mp4a", at + 1)
        while data[at - 16 : at - 12] != b"stsd":
            at = data.index(b"mp4a", at + 1)
    data[at : at + 4] = b"apac"
    box = data.index(b"esds", at)
    data[box : box + 4] = b"dapa"
    return bytes(data)


@pytest.mark.parametrize("flags", [(DEFAULT, NONE), (NONE, NONE), (DEFAULT, DEFAULT)])
def test_a_track_that_can_be_decoded_is_read(flags):
    data = media_files.muxed("mp4", _film(RED), _sound(400, flags[0]), _sound(800, flags[1]))
    data = _without_decoder(data, 1)
    assert _pitch(data) == 800
    assert tracks_lib.duration_s(data, "audio") == pytest.approx(1, abs=0.01)


def test_a_codec_without_a_decoder_is_named():
    data = _without_decoder(media_files.muxed("mp4", _sound(400)), 1)
    assert tracks_lib.has_track(data, "audio")
    with pytest.raises(errors.DataError, match="a codec that this FFmpeg lacks"):
        samples.read(data, SPEC)


@dataclasses.dataclass
class Rational:
    """All that the rational type of PyAV 19 surely has."""

    numerator: int
    denominator: int


def test_rational_numbers_are_plain_where_they_enter():
    assert tracks_lib.fraction(Rational(30000, 1001)) * 1001 // 7 == 4285
    assert tracks_lib.fraction(fractions.Fraction(1, 25)) == fractions.Fraction(1, 25)
    for nothing in (None, Rational(0, 1), Rational(0, 0), Rational(1, 0)):
        assert tracks_lib.fraction(nothing) is None


def test_a_clock_takes_any_rational_number():
    stream = types.SimpleNamespace(time_base=Rational(1, 600), average_rate=Rational(30000, 1001))
    clock = clock_lib.Clock.of(tracks_lib.Track("a", None, stream))
    assert clock.seconds([1800, 600]) == [0.0, 2.0]
    assert clock.seconds([None, None]) == [0.0, 1001 / 30000]
