"""What may be given as media, how errors name it, and disks that fail."""

import errno
import io
import os

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.media import audio, depth, given, image, specs, video
from tests.media import media_files

SPECS = {
    "image": specs.ImageSpec(),
    "thermal": specs.ImageSpec(),
    "video": specs.VideoSpec(),
    "audio": specs.AudioSpec(),
    "depth": specs.DepthSpec(),
}


def _read(item):
    with given.stream(item, "nothing else") as file:
        return file.read()


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
        assert caught.value.path == given.describe(item)


def test_other_objects_are_refused_with_what_is_accepted():
    with (
        pytest.raises(errors.DataError, match=r"<int>: .*accepted are a path, bytes, frogs"),
        given.stream(3, "frogs"),
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
    assert [given.describe(i) for i in items] == expected


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
        ".mp3": lambda: media_files.sound(media_files.noise(16000), format="MP3"),
        ".mp4": lambda: media_files.clip(60, rough=True),
        ".png": lambda: media_files.picture(noise.view(np.uint8)),
        ".npy": array.getvalue,
    }[name[1:]]()
    path = tmp_path / name
    path.write_bytes(content + bytes(40_000) * (name == "a.mp3"))
    watched = type("_Watched", (given._Watched, _Broken), {})
    monkeypatch.setattr(given, "_Watched", watched)
    decode = {"audio": audio, "video": video, "depth": depth}.get(modality, image).decode
    with pytest.raises(errors.DataError, match=r"a\.\w+: cannot be read \(Input/output error\)"):
        decode(path, SPECS[modality])
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux")
def test_a_file_that_cannot_be_sought_is_named():
    with pytest.raises(errors.DataError, match="/proc/self/mem: cannot be read"):
        _read("/proc/self/mem")
