import dataclasses
import errno
import fractions
import io
import os
import types

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, depth, image, media, specs, video
from lb_jax.media.containers import promised
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


SPECS = {
    "image": specs.ImageSpec(),
    "thermal": specs.ImageSpec(),
    "video": specs.VideoSpec(),
    "audio": specs.AudioSpec(),
    "depth": specs.DepthSpec(),
}


def _with_times(transport_stream):
    """The packets of 192 bytes of discs: four more bytes in front of each."""
    packets = np.frombuffer(transport_stream, np.uint8).reshape(-1, 188)
    return np.pad(packets, ((0, 0), (4, 0))).tobytes()


def _read(item):
    with media.stream(item, "nothing else") as file:
        return file.read()


@pytest.mark.parametrize("kind", list(WHOLE))
def test_a_whole_file_is_opened(kind):
    data = WHOLE[kind]()
    assert _read(data) == data


@pytest.mark.parametrize("kind", [k for k in WHOLE if k not in ("mp3", *TELL_THE_END)])
def test_a_cut_file_is_refused(kind):
    data = WHOLE[kind]()
    assert promised.promised_size(io.BytesIO(data)) > 0.6 * len(data)
    with pytest.raises(errors.DataError, match="cut off"):
        _read(data[: int(0.6 * len(data))])


@pytest.mark.parametrize("kind", [k for k in WHOLE if k != "avi"])  # it ends in an index
def test_a_file_without_its_last_byte_is_refused(kind):
    with pytest.raises(errors.DataError, match="cut off"):
        _read(WHOLE[kind]()[:-1])


@pytest.mark.parametrize("kind", [k for k in WHOLE if k not in ("avi", *TELL_THE_END)])
def test_a_file_ends_where_it_says(kind):
    data = WHOLE[kind]()
    assert 0.99 * len(data) < promised.promised_size(io.BytesIO(data)) <= len(data)


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
        promised.promised_size(io.BytesIO(b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff" + bytes(99)))
        == 0
    )


def test_a_path_and_its_bytes_read_the_same(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"content of any kind")
    assert _read(path) == _read(str(path)) == _read(b"content of any kind")


def test_paths_that_are_no_files_are_named(tmp_path):
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for item, reason in [
        (tmp_path / "none", "does not exist"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        (tmp_path / "empty", "is empty"),
        ("a\0b", "does not exist"),
        ("n" * 5000, "cannot be opened|does not exist"),
        (b"", "is empty"),
    ]:
        with pytest.raises(errors.DataError, match=reason) as caught:
            _read(item)
        assert caught.value.path == media.describe(item)


def test_other_objects_are_refused_with_what_is_accepted():
    with (
        pytest.raises(errors.DataError, match=r"<int>: .*accepted are a path, bytes, frogs"),
        media.stream(3, "frogs"),
    ):
        pass


def test_descriptions_fit_one_line():
    items = ["p", b"12", np.zeros((2, 3)), (np.zeros(4), 8000), None, ["a.jpg", b""]]
    expected = [
        "p",
        "<2 bytes>",
        "<array float64 [2, 3]>",
        "<array float64 [4] at 8000 Hz>",
        "<NoneType>",
        "<2 items, the first a.jpg>",
    ]
    assert [media.describe(i) for i in items] == expected


class _Broken(io.FileIO):
    """A file on a disk that fails some way into it."""

    def readinto(self, buffer):
        if self.tell() >= 16_384:
            raise OSError(errno.EIO, "Input/output error")
        return super().readinto(memoryview(buffer)[:8192])

    def readall(self):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("a.wav", "audio"),
        ("a.mp3", "audio"),
        ("a.mp4", "video"),
        ("a.png", "image"),
        ("a.npy", "depth"),
        ("a.png", "thermal"),
    ],
)
def test_a_disk_that_fails_is_named(tmp_path, monkeypatch, capfd, name, modality):
    noise = np.random.default_rng(0).integers(0, 65_536, (200, 200), np.uint16)
    array = io.BytesIO()
    np.save(array, noise)
    content = {
        ".wav": lambda: media_files.sound(media_files.noise(32_000)),
        ".mp3": WHOLE["mp3"],
        ".mp4": lambda: media_files.clip(60, rough=True),
        ".png": lambda: media_files.picture(noise.view(np.uint8)),
        ".npy": array.getvalue,
    }[name[1:]]()
    path = tmp_path / name
    path.write_bytes(content + bytes(40_000) * (name == "a.mp3"))
    watched = type("_Watched", (media._Watched, _Broken), {})
    monkeypatch.setattr(media, "_Watched", watched)
    decode = {"audio": audio, "video": video, "depth": depth}.get(modality, image).decode
    with pytest.raises(errors.DataError, match=r"a\.\w+: cannot be read \(Input/output error\)"):
        decode(path, SPECS[modality])
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux")
def test_a_file_that_cannot_be_sought_is_named():
    with pytest.raises(errors.DataError, match="/proc/self/mem: cannot be read"):
        _read("/proc/self/mem")


@dataclasses.dataclass
class Rational:
    """All that the rational type of PyAV 19 surely has."""

    numerator: int
    denominator: int


def test_rational_numbers_are_plain_where_they_enter():
    assert media.fraction(Rational(30000, 1001)) * 1001 // 7 == 4285
    assert media.fraction(fractions.Fraction(1, 25)) == fractions.Fraction(1, 25)
    for nothing in (None, Rational(0, 1), Rational(0, 0), Rational(1, 0)):
        assert media.fraction(nothing) is None


def test_a_clock_takes_any_rational_number():
    stream = types.SimpleNamespace(time_base=Rational(1, 600), average_rate=Rational(30000, 1001))
    clock = video.Clock.of(media.Track("a", None, stream))
    assert clock.seconds([1800, 600]) == [0.0, 2.0]
    assert clock.seconds([None, None]) == [0.0, 1001 / 30000]
