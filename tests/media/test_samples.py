"""Where sound lies in a file, and how long it is, worked out from what was written."""

import io

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import clips, samples, specs, windows
from lb_jax.media.containers import joined
from tests.media import media_files

SPEC = specs.AudioSpec(mel_bins=16, target_frames=32)
RED = [(n / 25, (200, 0, 0)) for n in range(200)]
LOW, HIGH = media_files.tone(440, 2), media_files.tone(1500, 2)
CONTAINERS = [
    ("mp4", "aac"),
    ("mov", "aac"),
    ("mp4", "libopus"),
    ("matroska", "flac"),
    ("matroska", "aac"),
    ("mpegts", "aac"),
    ("flv", "aac"),
]


def _pitch(wave, rate_hz):
    return round(int(np.abs(np.fft.rfft(wave)).argmax()) * rate_hz / len(wave), -1)


def _starts(data, window_s=2.0):
    return [round(one.start_s, 2) for one in windows.windows("audio", data, SPEC, window_s)]


@pytest.mark.parametrize("codec", ["aac", "libopus", "libmp3lame", "flac"])
@pytest.mark.parametrize("seconds", [0.2, 1.0, 1.37])
def test_sound_in_mp4_ends_where_the_file_says(codec, seconds):
    """To the sample, with every FFmpeg: the encoder's delay and its padding are no sound."""
    track = media_files.Sounds([(0, media_files.tone(440, seconds))], codec)
    wave, rate_hz = samples.read(media_files.muxed("mp4", track), SPEC)
    assert (len(wave), rate_hz) == (round(seconds * 48000), 48000)


def test_fragments_end_with_their_last_packet():
    track = media_files.Sounds([(0, media_files.tone(440, 1))])
    data = media_files.muxed("mp4", track, movflags="frag_keyframe+empty_moov")
    assert len(samples.read(data, SPEC)[0]) == 48000 + 1024  # the delay has no edit list


@pytest.mark.parametrize("film", [True, False])
@pytest.mark.parametrize(("format", "codec"), CONTAINERS)
def test_a_gap_is_silence(format, codec, film):
    sound = media_files.Sounds([(0, LOW), (6, HIGH)], codec)
    data = media_files.muxed(format, *[media_files.Pictures(RED)] * film, sound)
    starts = _starts(data)
    assert {0, 6} <= set(starts) <= {0, 2, 6}  # the end of the first tone may reach beyond 2 s
    wave, rate_hz = samples.read(data, SPEC)
    assert abs(len(wave) / rate_hz - 8) < 0.04
    assert np.abs(wave[int(2.2 * rate_hz) : int(5.8 * rate_hz)]).max() == 0
    for start_s, hz in ((0.1, 440), (6.1, 1500)):
        assert abs(_pitch(*samples.read(data, SPEC, start_s, start_s + 1.5)) - hz) <= 10
    with pytest.raises(errors.DataError, match="has no sound from 3 s to 5 s"):
        samples.read(data, SPEC, 3.0, 5.0)


@pytest.mark.parametrize(("format", "codec"), CONTAINERS)
def test_late_sound_keeps_its_times(format, codec, tmp_path):
    sound = media_files.Sounds([(4, np.concatenate([LOW, HIGH]))], codec)
    data = media_files.muxed(format, media_files.Pictures(RED), sound)
    starts = _starts(data)
    assert starts[0] == 4
    assert abs(starts[1] - 6) < 0.01
    assert abs(_pitch(*samples.read(data, SPEC, 6.1, 7.5)) - 1500) <= 10
    (tmp_path / "a.mp4").write_bytes(data)
    for one in windows.windows("audio", data, SPEC, 2.0):
        clip = clips.Clip(tmp_path / "a.mp4", one.start_s, one.end_s)
        np.testing.assert_array_equal(one.array, clips.preprocess("audio", clip, SPEC))


@pytest.mark.parametrize(("format", "codec"), CONTAINERS)
def test_sound_without_a_gap_is_not_touched(format, codec):
    """Rounded times of packets put nothing in and take nothing away."""
    wave = np.concatenate([LOW, HIGH, media_files.noise(48000)])
    track = media_files.Sounds([(0, wave)], codec)
    found, _ = samples.read(media_files.muxed(format, track), SPEC)
    assert 0 <= len(found) - len(wave) < 3000  # the delay and the padding of some codecs
    silent = np.abs(found[3000:-3000]).reshape(-1, 8).max(1) == 0
    assert not silent.any()


def test_hours_of_silence_are_not_put_into_one_array(monkeypatch):
    data = media_files.muxed("matroska", media_files.Sounds([(0, LOW), (6, HIGH)], "flac"))
    monkeypatch.setattr(samples, "MAX_SILENCE_S", 3.0)
    with pytest.raises(errors.DataError, match=r"has gaps of 4 s .* take it in windows"):
        samples.read(data, SPEC)
    assert set(_starts(data)) == {0, 6} | (set(_starts(data)) & {2})


def test_joined_transport_streams_go_on():
    parts = [media_files.muxed("mpegts", media_files.Sounds([(0, w)], "ac3")) for w in (LOW, HIGH)]
    wave, rate_hz = samples.read(b"".join(parts), SPEC)
    assert abs(len(wave) / rate_hz - 4) < 0.1
    assert abs(_pitch(wave[int(2.3 * rate_hz) :], rate_hz) - 1500) <= 10


@pytest.mark.parametrize("codec", ["libopus", "flac"])
@pytest.mark.parametrize("links", [1, 2])
def test_a_gap_in_ogg_is_silence(codec, links):
    """libsndfile says that such Opus is cut off; FFmpeg leaves the times as they are."""
    one = media_files.muxed("ogg", media_files.Sounds([(0, LOW), (6, HIGH)], codec))
    wave, rate_hz = samples.read(one * links, SPEC)
    assert abs(len(wave) / rate_hz - 8 * links) < 0.04
    for at in range(0, 8 * links, 8):
        assert np.abs(wave[int((at + 2.2) * rate_hz) : int((at + 5.8) * rate_hz)]).max() == 0
        for start_s, hz in ((at + 0.1, 440), (at + 6.1, 1500)):
            part = wave[int(start_s * rate_hz) : int((start_s + 1.5) * rate_hz)]
            assert abs(_pitch(part, rate_hz) - hz) <= 10


def test_lost_pages_of_ogg_are_told_from_gaps():
    data = media_files.muxed("ogg", media_files.Sounds([(0, np.tile(LOW, 4))], "libopus"))
    starts = [n for n in range(len(data)) if data.startswith(b"OggS", n)]
    assert joined.ogg_is_whole(io.BytesIO(data))
    for lost in (2, 5):
        holey = data[: starts[lost]] + data[starts[lost + 1] :]
        assert not joined.ogg_is_whole(io.BytesIO(holey))
