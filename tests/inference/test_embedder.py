"""Vectors of many clips: the same as one by one, once, whatever fails or is killed."""

import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from lb_jax.core import errors
from lb_jax.inference import api, embedder, vector_cache
from lb_jax.inference.embedder import Embedder
from lb_jax.media import clips as clips_lib
from lb_jax.media.clips import Clip, Views
from lb_jax.models import languagebind
from tests.media import media_files

TOLERANCE = 1e-6
COUNT = 9
TEXTS = ["a cat", "a dog barking", "a cat", "rain"]


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Pictures 0.png to 8.png, the video a.mp4 with sound, the sound b.wav; all an hour old."""
    folder = tmp_path_factory.mktemp("media")
    draw = np.random.default_rng(0).integers
    for i in range(COUNT):
        data = media_files.picture(draw(0, 256, (48, 60, 3), np.uint8))
        (folder / f"{i}.png").write_bytes(data)
    (folder / "a.mp4").write_bytes(media_files.clip(40, sound=True))
    (folder / "b.wav").write_bytes(media_files.sound(media_files.noise(32_000)))
    for path in folder.iterdir():
        os.utime(path, (path.stat().st_mtime - 3600,) * 2)
    return folder


@pytest.fixture(scope="module")
def pictures(media):
    return [Clip(media / f"{i}.png") for i in range(COUNT)]


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are decoded, as it happens."""
    names = []
    for name, place in (("preprocess", 1), ("views", 0)):
        run = getattr(clips_lib, name)

        def noted(*arguments, run=run, place=place):
            names.append(arguments[place].path.name)
            return run(*arguments)

        monkeypatch.setattr(clips_lib, name, noted)
    return names


@pytest.fixture
def settled(monkeypatch):
    """As if the files had been written long ago, however quick the tests before were."""
    monkeypatch.setattr(embedder, "SETTLED_S", -1.0)


@pytest.fixture
def hashed(monkeypatch):
    """Names of the files whose bytes are hashed, as it happens."""
    names, run = [], embedder._content
    monkeypatch.setattr(embedder, "_content", lambda path: names.append(path.name) or run(path))
    return names


def _unit(rows):
    return np.asarray(languagebind.unit(rows))


@pytest.mark.parametrize("cache", [None, "cache"])
def test_rows_are_those_of_embed(alone, media, pictures, cache, tmp_path):
    one = Embedder(alone, cache and tmp_path / cache)
    assert (one.modalities, one.digest) == (alone.modalities, alone.digest)
    assert one.logit_scale == alone.logit_scale
    for modality, clips in {
        "image": pictures,
        "video": [Clip(media / "a.mp4")],
        "audio": [Clip(media / "b.wav"), Clip(media / "a.mp4")],
    }.items():
        found = one.media(modality, clips)
        assert found.rows.shape == (len(clips), 1, 64)
        assert found.rows.dtype == np.float32
        assert found.failed == {}
        assert np.abs(np.linalg.norm(found.rows, axis=-1) - 1).min() > 0.01
        expected = alone.embed(modality, [clip.path for clip in clips])
        np.testing.assert_allclose(_unit(found.rows[:, 0]), expected, atol=TOLERANCE)
    np.testing.assert_allclose(_unit(one.texts(TEXTS)), alone.embed("text", TEXTS), atol=TOLERANCE)


def test_windows_are_vectors_of_their_own(alone, media, tmp_path):
    one = Embedder(alone, tmp_path)
    clips = [
        Clip(media / "a.mp4", start_s, end_s) for start_s, end_s in [(0, None), (1, 2), (1, 3.5)]
    ]
    for modality in ("video", "image"):
        found = one.media(modality, [*clips, clips[1]]).rows[:, 0]
        spec = alone.specs[modality]
        arrays = np.stack([clips_lib.preprocess(modality, clip, spec) for clip in clips])
        np.testing.assert_allclose(_unit(found[:3]), alone.encode(modality, arrays), atol=TOLERANCE)
        np.testing.assert_array_equal(found[3], found[1])
        assert len(np.unique(found, axis=0)) == 3


def test_views_are_rows_in_their_order(alone, media, decoded, tmp_path):
    one, views = Embedder(alone, tmp_path), Views(temporal=3, spatial=3, stride=2)
    clips = [Clip(media / "a.mp4", 0, end_s) for end_s in (None, 3.0, 2.0, 1.5, None)]
    found = one.media("video", clips, views).rows  # 9 views of 4 clips go over a batch of 32
    assert found.shape == (5, 9, 64)
    assert len(decoded) == 4
    for clip, rows in zip(clips, found, strict=True):
        arrays = clips_lib.views(clip, alone.specs["video"], views)
        np.testing.assert_allclose(_unit(rows), alone.encode("video", arrays), atol=TOLERANCE)
    decoded.clear()
    np.testing.assert_array_equal(one.media("video", clips, views).rows, found)
    assert decoded == []
    one.media("video", clips[:1], dataclasses.replace(views, stride=1))
    one.media("video", clips[:1])
    assert decoded == ["a.mp4"] * 2


@pytest.mark.usefixtures("settled")
def test_what_is_kept_is_neither_decoded_nor_read_again(
    alone, pictures, decoded, hashed, tmp_path, monkeypatch
):
    first = Embedder(alone, tmp_path).media("image", [*pictures, pictures[0]])
    assert sorted(decoded) == sorted(hashed) == [f"{i}.png" for i in range(COUNT)]
    np.testing.assert_array_equal(first.rows[0], first.rows[-1])
    texts = Embedder(alone, tmp_path).texts(TEXTS)
    monkeypatch.setattr(alone, "encode", None)
    again = Embedder(alone, tmp_path)
    np.testing.assert_array_equal(again.media("image", pictures[::-1]).rows, first.rows[8::-1])
    np.testing.assert_array_equal(again.texts(TEXTS[1:]), texts[1:])
    assert len(decoded) == len(hashed) == COUNT


def test_files_are_known_by_their_bytes(alone, decoded, hashed, tmp_path, monkeypatch):
    one, path = Embedder(alone, tmp_path / "cache"), tmp_path / "x.bmp"
    grey, white = (media_files.picture(np.full((9, 9, 3), v, np.uint8), "BMP") for v in (99, 255))
    assert len(grey) == len(white)

    def embed(data, changed_s_ago):
        path.write_bytes(data)
        os.utime(path, (time.time() - changed_s_ago,) * 2)
        counts = len(hashed), len(decoded)
        rows = one.media("image", [Clip(path)]).rows
        return rows, len(hashed) - counts[0], len(decoded) - counts[1]

    first, *counts = embed(grey, 0)
    assert counts == [1, 1]
    for data, changed_s_ago, counts in [
        (white, 0, [1, 1]),  # a file that just changed is not known by its time
        (grey, 3600, [1, 0]),
        (white, 7200, [1, 0]),
    ]:
        rows, *found = embed(data, changed_s_ago)
        assert found == counts
        assert np.array_equal(rows, first) == (data == grey)
    monkeypatch.setattr(embedder, "SETTLED_S", -1.0)  # as if the changes were long ago
    for _ in range(2):
        assert one.media("image", [Clip(path)]).failed == {}
        assert len(hashed) == 5
    (tmp_path / "copy.bmp").write_bytes(grey)
    np.testing.assert_array_equal(one.media("image", [Clip(tmp_path / "copy.bmp")]).rows, first)
    assert len(decoded) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("other", [{"digest": "0" * 64}, {"dtype": np.float16}])
def test_another_model_finds_nothing(folder, alone, pictures, decoded, hashed, other, tmp_path):
    Embedder(alone, tmp_path).media("image", pictures)
    twin = api.load(folder, devices=jax.local_devices()[:1])
    twin._programs = alone._programs
    for name, value in other.items():
        setattr(twin, name, value)
    twin._parameters = alone._parameters
    Embedder(twin, tmp_path).media("image", pictures)
    assert len(decoded) == 2 * COUNT
    assert len(hashed) == COUNT  # the bytes are the same for every model


@pytest.mark.parametrize("place", [0, 4, COUNT])
def test_a_corrupt_file_changes_nothing_but_its_own_row(alone, pictures, place, tmp_path):
    expected = Embedder(alone, None).media("image", pictures).rows
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[3].path.read_bytes()[:500])
    clips = [*pictures[:place], Clip(bad), *pictures[place:], Clip(tmp_path / "none.png")]
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        found = Embedder(alone, cache).media("image", clips)
        assert sorted(found.failed) == [place, COUNT + 1]
        assert found.failed[place].startswith(f"{bad}: is damaged or cut off")
        assert found.failed[COUNT + 1].startswith(f"{tmp_path}/none.png: does not exist")
        assert np.isnan(found.rows[[place, COUNT + 1]]).all()
        np.testing.assert_array_equal(np.delete(found.rows, [place, COUNT + 1], axis=0), expected)


@pytest.mark.usefixtures("settled")
def test_progress_counts_what_was_kept(alone, pictures, tmp_path):
    seen = []
    one = Embedder(alone, tmp_path, progress=lambda *told: seen.append(told))
    one.media("image", pictures[:4])
    assert seen == [("image", done, 4) for done in range(5)]
    seen.clear()
    one.media("image", [*pictures, Clip(tmp_path / "none.png")])
    assert seen == [("image", done, 10) for done in range(4, 11)]
    seen.clear()
    one.texts(TEXTS)
    one.texts(TEXTS)
    assert seen == [("text", 0, 3), ("text", 3, 3)]


@pytest.mark.parametrize("views", [None, Views(2, 1)])
def test_few_decoded_clips_are_in_memory(folder, views, monkeypatch):
    model = api.load(folder, devices=jax.local_devices()[:1], batch_size=4)
    begun, encoded, most = [], [], []

    def read(*arguments):
        begun.append(1)
        most.append(len(begun) - len(encoded))
        return np.zeros(3) if views is None else np.zeros((2, 3))

    def encode(modality, array, unit):
        encoded.extend([1] * (len(array) // (1 if views is None else 2)))
        return np.zeros((len(array), 64), np.float32)

    monkeypatch.setattr(clips_lib, "preprocess", read)
    monkeypatch.setattr(clips_lib, "views", read)
    monkeypatch.setattr(model, "encode", encode)
    many = [Clip(Path(str(i))) for i in range(60)]
    found = Embedder(model, None, threads=2).media("video", many, views)
    assert (found.failed, len(encoded)) == ({}, 60)
    assert max(most) <= (4 + 4 + 1 if views is None else 2 + 2 + 1)


def test_nothing_gives_nothing(alone, tmp_path):
    one = Embedder(alone, tmp_path / "cache")
    assert one.media("image", []).rows.shape == (0, 1, 64)
    assert one.texts([]).shape == (0, 64)
    assert not (tmp_path / "cache").exists()


def test_mistakes_are_told(alone, pictures, tmp_path):
    one = Embedder(alone, tmp_path)
    with pytest.raises(errors.ConfigError, match=r"embedded as audio, depth.*got 'text'"):
        one.media("text", pictures)
    with pytest.raises(errors.ConfigError, match="embedded as video in views; got 'image'"):
        one.media("image", pictures, Views())
    with pytest.raises(errors.DataError, match=r"^text 2: is empty"):
        one.texts(["a", "b", " ", "c"])


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: b"", lambda data: data.replace(b"\0", b"\1")]
)
def test_a_damaged_file_of_vectors_is_named(alone, pictures, damage, tmp_path):
    Embedder(alone, tmp_path).media("image", pictures)
    (path,) = tmp_path.glob("*/float32/image/*.npz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.DataError, match=rf"{path.name}: is damaged \(.*remove it"):
        Embedder(alone, tmp_path).media("image", pictures)
    path.unlink()
    assert Embedder(alone, tmp_path).media("image", pictures).failed == {}


def test_a_folder_that_cannot_be_written_to_is_named(alone, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match=r"file.*cannot be written to"):
        Embedder(alone, tmp_path / "file").media("image", pictures[:1])


def test_store_keeps_rows_of_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_cache, "FLUSH_ROWS", 3)
    kept, other = vector_cache.VectorCache(tmp_path, 2), vector_cache.VectorCache(tmp_path, 2)
    keys = [vector_cache.key(i) for i in range(10)]
    for i, key in enumerate(keys):
        kept.put(key, np.float32([i, 0]))
    other.refresh()
    assert [key in other for key in keys] == [True] * 9 + [False]
    kept.flush()
    other.refresh()
    numbers, rows = other.lookup([keys[7], None, keys[0], vector_cache.key("no"), keys[9]])
    assert numbers.tolist() == [0, 2, 4]
    assert rows.tolist() == [[7, 0], [0, 0], [9, 0]]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("rows", [np.zeros((2, 3), np.float32), np.zeros((1, 2), np.float32)])
def test_rows_that_do_not_fit_their_keys_are_damage(tmp_path, rows):
    kept = vector_cache.VectorCache(tmp_path, 2)
    keys = [vector_cache.key(i) for i in range(2)]
    for key in keys:
        kept.put(key, np.float32([1, 2]))
    kept.flush()
    path = next(tmp_path.glob("*.npz"))
    with np.load(path) as held:
        stored = held["keys"]
    np.savez(path, keys=stored, rows=rows)
    kept.refresh()
    with pytest.raises(errors.DataError, match=rf"{path.name}: is damaged \(rows .* for 2 keys"):
        kept.lookup(keys)


def test_files_that_changed_places_are_embedded_again(alone, pictures, tmp_path, monkeypatch):
    """Equal sizes and times, as an archive gives them."""
    monkeypatch.setattr(embedder, "SETTLED_S", -1.0)
    clips = []
    for name, source in (("a", pictures[0]), ("b", pictures[1])):
        path = tmp_path / f"{name}.bmp"
        with Image.open(source.path) as picture:
            picture.convert("RGB").resize((40, 40)).save(path)
        os.utime(path, ns=(10**18, 10**18))
        clips.append(Clip(path))
    first = Embedder(alone, tmp_path / "cache").media("image", clips).rows
    a, b = (clip.path for clip in clips)
    a.rename(tmp_path / "c.bmp")
    b.rename(a)
    (tmp_path / "c.bmp").rename(b)
    second = Embedder(alone, tmp_path / "cache").media("image", clips).rows
    np.testing.assert_array_equal(second, first[::-1])


# Arguments: checkpoint, cache, folder of pictures, number of items after which it dies.
CHILD = """
import os, signal, sys
import jax
from pathlib import Path
from lb_jax.media.clips import Clip
from lb_jax.inference import api, embedder, vector_cache

model, cache, media, last = sys.argv[1:]
vector_cache.FLUSH_ROWS = 2

def progress(what, done, total):
    if done == int(last):
        os.kill(os.getpid(), signal.SIGKILL)

model = api.load(model, devices=jax.local_devices()[:1])
clips = [Clip(path) for path in sorted(Path(media).glob("*.png"))]
embedder.Embedder(model, cache, threads=2, progress=progress).media("image", clips)
"""


def _start(*arguments):
    return subprocess.Popen([sys.executable, "-c", CHILD, *map(str, arguments)])


def test_killed_and_parallel_runs_leave_what_they_made(
    folder, alone, media, pictures, decoded, tmp_path
):
    children = [
        _start(folder, tmp_path / "killed", media, 5),
        _start(folder, tmp_path / "shared", media, -1),
        _start(folder, tmp_path / "shared", media, -1),
    ]
    assert [child.wait() for child in children] == [-9, 0, 0]
    expected = Embedder(alone, None).media("image", pictures).rows
    for name, missing in (("killed", COUNT - 4), ("shared", 0)):
        decoded.clear()
        found = Embedder(alone, tmp_path / name).media("image", pictures)
        assert len(decoded) == missing
        np.testing.assert_allclose(found.rows, expected, rtol=1e-5)
