"""Whole files of every container are opened, cut ones are refused."""

import io

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import given
from lb_jax.media.containers import formats
from tests.media import media_files

WHOLE = {
    "wav": lambda: media_files.sound(media_files.noise(4000)),
    "aiff": lambda: media_files.sound(media_files.noise(4000), format="AIFF"),
    "ogg": lambda: media_files.sound(media_files.noise(4000), format="OGG", subtype="VORBIS"),
    "mp4": media_files.clip,
    "mkv": lambda: media_files.clip(format="matroska"),
    "webm": lambda: media_files.clip(format="webm", codec="libvpx"),
    "avi": lambda: media_files.clip(format="avi", codec="mpeg4"),
    "mp3": lambda: media_files.sound(media_files.noise(16000), format="MP3"),
    "mp3 without a table": lambda: media_files.coded_sound("mp3", "libmp3lame", write_xing="0"),
    "mp3 without a tag": lambda: media_files.coded_sound(
        "mp3", "libmp3lame", write_xing="0", id3v2_version="0"
    ),
    "m4a": lambda: media_files.coded_sound("ipod", "aac"),
    "gif": media_files.animation,
    "gif picture": lambda: media_files.picture(np.eye(40, dtype=np.uint8) * 255, "GIF"),
    "ts": lambda: media_files.clip(format="mpegts"),
    "m2ts": lambda: _with_times(media_files.clip(format="mpegts")),
}
# Formats that only tell that their last frame or packet is not whole.
TELL_THE_END = ("mp3 without a table", "mp3 without a tag", "ts", "m2ts")


def _with_times(transport_stream):
    """The packets of 192 bytes of discs: four more bytes in front of each."""
    packets = np.frombuffer(transport_stream, np.uint8).reshape(-1, 188)
    return np.pad(packets, ((0, 0), (4, 0))).tobytes()


def _read(item):
    with given.stream(item, "nothing else") as file:
        return file.read()


@pytest.mark.parametrize("kind", list(WHOLE))
def test_a_whole_file_is_opened(kind):
    data = WHOLE[kind]()
    assert _read(data) == data


@pytest.mark.parametrize("kind", [k for k in WHOLE if k not in ("mp3", *TELL_THE_END)])
def test_a_cut_file_is_refused(kind):
    data = WHOLE[kind]()
    assert formats.promised_size(io.BytesIO(data)) > 0.6 * len(data)
    with pytest.raises(errors.DataError, match="cut off"):
        _read(data[: int(0.6 * len(data))])


@pytest.mark.parametrize("kind", [k for k in WHOLE if k != "avi"])  # it ends in an index
def test_a_file_without_its_last_byte_is_refused(kind):
    with pytest.raises(errors.DataError, match="cut off"):
        _read(WHOLE[kind]()[:-1])


@pytest.mark.parametrize("kind", [k for k in WHOLE if k not in ("avi", *TELL_THE_END)])
def test_a_file_ends_where_it_says(kind):
    data = WHOLE[kind]()
    assert 0.99 * len(data) < formats.promised_size(io.BytesIO(data)) <= len(data)


@pytest.mark.parametrize("kind", [k for k in WHOLE if not k.startswith(("ogg", "ts", "m2ts"))])
def test_what_follows_a_file_does_not_matter(kind):
    data = WHOLE[kind]() + b"TAG" + bytes(125)
    assert _read(data) == data


@pytest.mark.parametrize("kind", TELL_THE_END)
@pytest.mark.parametrize("share", [0.2, 0.501, 0.8])
def test_a_cut_inside_a_frame_or_packet_is_refused(kind, share):
    data = WHOLE[kind]()
    with pytest.raises(errors.DataError, match="cut off"):
        _read(data[: int(share * len(data)) // 192 * 192 - 1])


def test_a_streamed_wav_header_promises_nothing():
    data = bytearray(WHOLE["wav"]())
    data[40:44] = b"\xff\xff\xff\xff"
    assert _read(bytes(data)) == bytes(data)


def test_an_unsized_live_matroska_promises_nothing():
    assert (
        formats.promised_size(io.BytesIO(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + bytes(99)))
        == 0
    )
