"""Files joined end to end against their parts, and against what FFmpeg's decoder gives."""

import io
import struct

import av
import numpy as np
import pytest

from lb_jax.media import samples, specs
from lb_jax.media.containers import joined
from tests.media import media_files

SPEC = specs.AudioSpec()
ID3 = b"ID3\4\0\0\0\0\1\0" + b"TXXX\0\0\1\x76\0\0\3" + b"\xff\xfb\x90\x40" * 29 + bytes(1)
APE = b"".join(
    b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, flags) + bytes(8)
    for flags in (0xA0000000, 0x80000000)
)
ID3V1 = b"TAG" + b"x" * 125


def _ogg(hz, seconds, rate_hz=48000, channels=1, subtype="VORBIS"):
    wave = np.repeat(media_files.tone(hz, seconds, rate_hz)[:, None], channels, 1)
    return media_files.sound(wave, rate_hz, "OGG", subtype)


def _mp3(hz, seconds, rate_hz=44100, **options):
    track = media_files.Sounds([(0, media_files.tone(hz, seconds, rate_hz))], "libmp3lame", rate_hz)
    return media_files.muxed("mp3", track, **options)


def _adts(hz, rate_hz=48000, layout="mono"):
    track = media_files.Sounds([(0, media_files.tone(hz, 2, rate_hz))], "aac", rate_hz, layout)
    return media_files.muxed("adts", track)


def _pitches(wave, rate_hz, *seconds):
    """The loudest frequency in the second before each of some moments."""
    found = []
    for stop_s in seconds:
        part = wave[int((stop_s - 1) * rate_hz) : int(stop_s * rate_hz)]
        found.append(int(np.abs(np.fft.rfft(part)).argmax()))
    return found


def _by_ffmpeg(data):
    """Samples that FFmpeg decodes, going on behind packets it cannot read."""
    count = 0
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(audio=0):
            try:
                count += sum(frame.samples for frame in packet.decode())
            except av.error.InvalidDataError:
                continue
    return count


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chained_ogg_is_its_links(subtype):
    parts = [_ogg(440, 2, subtype=subtype), _ogg(1500, 3, subtype=subtype)]
    expected = np.concatenate([samples.read(part, SPEC)[0] for part in parts])
    assert len(expected) == 5 * 48000
    for between in (b"", b"a tag" * 9):
        np.testing.assert_array_equal(samples.read(between.join(parts), SPEC)[0], expected)
    np.testing.assert_array_equal(
        samples.read(parts[0] * 2, SPEC)[0], np.tile(samples.read(parts[0], SPEC)[0], 2)
    )


def test_links_of_another_rate_and_more_channels_go_on():
    wave, rate_hz = samples.read(_ogg(440, 2) + _ogg(1500, 3, 22050, channels=2), SPEC)
    assert (rate_hz, len(wave)) == (48000, 5 * 48000)
    assert _pitches(wave, rate_hz, 2, 5) == [440, 1500]


def test_joined_flac_is_its_parts():
    parts = [media_files.sound(media_files.tone(hz, 2), format="FLAC") for hz in (440, 880)]
    expected = np.concatenate([samples.read(part, SPEC)[0] for part in parts])
    np.testing.assert_array_equal(samples.read(b"".join(parts), SPEC)[0], expected)
    assert _by_ffmpeg(b"".join(parts)) == len(expected)


@pytest.mark.parametrize("tag", [b"", ID3V1, APE, ID3V1 + ID3, APE + ID3V1], ids=range(5))
def test_joined_mp3_has_the_samples_of_ffmpeg(tag):
    """The second brings a tag and a table; FFmpeg loses the frame of the table with the tag."""
    data = _mp3(440, 2) + tag + _mp3(880, 3)
    wave, rate_hz = samples.read(data, SPEC)
    assert len(wave) == _by_ffmpeg(_mp3(440, 2) + _mp3(880, 3))
    assert _pitches(wave, rate_hz, 2, 5) == [440, 880]


def test_no_frame_is_lost_with_a_tag():
    one, two = (_mp3(hz, 2, write_xing="0", id3v2_version="0") for hz in (440, 880))
    expected = samples.read(one + two, SPEC)[0]
    for tag in (ID3, APE, ID3V1, ID3 + ID3):
        np.testing.assert_array_equal(samples.read(one + tag + two, SPEC)[0], expected)


def test_a_single_mp3_is_read_as_it_is():
    for data in (_mp3(440, 1), _mp3(440, 1) + ID3V1, ID3 + ID3 + _mp3(440, 1), APE + _mp3(440, 1)):
        file = io.BytesIO(data)
        assert joined.without_tags(file) is file


@pytest.mark.parametrize(
    ("second", "seconds"),
    [(_adts(1500, layout="stereo"), 2), (_adts(1500, 44100), 2), (ID3 + _adts(1500), 2)],
    ids=["channels", "rate", "tag"],
)
def test_aac_that_changes_goes_on(second, seconds):
    wave, rate_hz = samples.read(_adts(440) + second, SPEC)
    assert rate_hz == 48000
    assert abs(len(wave) / rate_hz - 2 - seconds) < 0.1
    assert _pitches(wave, rate_hz, 2, 4) == [440, 1500]
