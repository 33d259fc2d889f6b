"""File names that are not UTF-8: every command works or tells in one line."""

import json
import os

import numpy as np
import pytest

from lb_jax.cli import main
from lb_jax.core import errors
from lb_jax.corpora import image_folder, pack, sources
from lb_jax.demo import media
from lb_jax.feed import pipeline
from lb_jax.media import specs
from tests.media import media_files

NAME = b"caf\xe9.png".decode("utf-8", "surrogateescape")
SHOWN = "caf\\xe9.png"


@pytest.fixture
def folder(tmp_path):
    """A folder of classes; a name of a class and names of files are not UTF-8."""
    rng = np.random.default_rng(0)
    for place in ("cats", os.fsdecode(b"th\xe9")):
        (tmp_path / "in" / place).mkdir(parents=True)
        for name in ("good.png", NAME):
            picture = media_files.picture(rng.integers(0, 256, (32, 32, 3), np.uint8))
            (tmp_path / "in" / place / name).write_bytes(picture)
    return tmp_path / "in"


def broken(folder):
    (folder / "cats" / os.fsdecode(b"bad\xff.png")).write_bytes(b"nothing")


@pytest.mark.parametrize("form", ["array_record", "tfds"])
def test_a_folder_is_packed_and_its_names_are_shown(folder, tmp_path, form, capsys):
    assert main.main(["data", "convert", str(folder), str(tmp_path / "out"), "--to", form]) == 0
    packed = sources.open_source(str(tmp_path / "out"))
    ids = {packed[number].id for number in range(len(packed))}
    assert f"cats/{SHOWN}" in ids or any(SHOWN in one for one in ids)
    assert {packed[n].texts["caption"] for n in range(4)} == {"cats", "th\\xe9"}
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_listed_with_its_name(folder, tmp_path):
    (folder / "cats" / os.fsdecode(b"cut\xff.png")).write_bytes(b"")
    pack.pack(sources.open_source(str(folder)), tmp_path / "out", max_bad_rate=1)
    (row,) = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert row["path"].endswith("cats/cut\\xff.png")
    assert row["id"] == "cats/cut\\xff.png"


def test_a_check_names_what_is_bad(folder, tmp_path, capsys):
    broken(folder)
    report = tmp_path / os.fsdecode(b"r\xe9port.json")
    line = ["data", "check", str(folder), "--processes", "1", "--report", str(report)]
    assert main.main(line) == 0
    assert "cats/bad\\xff.png: is not a readable image" in capsys.readouterr().out
    assert json.loads(report.read_text())["bad"][0]["path"].endswith("bad\\xff.png")


def test_mistakes_are_one_line_on_stderr(folder, capsys):
    for line in (
        ["data", "check", str(folder / os.fsdecode(b"no\xe9"))],
        ["embed", str(folder / os.fsdecode(b"no\xe9")), "-o", "store"],
        ["data", "convert", str(folder / "cats" / NAME), "out"],
        [NAME],
    ):
        assert main.main(line) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1
        assert said.err.startswith("lb-jax: ")
        (said.out + said.err).encode("utf-8")


def test_a_run_trains_on_such_names_and_lists_what_is_bad(folder):
    broken(folder)
    source = image_folder.ImageFolder(folder)

    def encode(text):
        return np.zeros(4, np.int32), False

    loader = pipeline.Loader(
        [(source, 1.0)], "image", specs.ImageSpec(size=16), "caption", encode, seed=0
    )
    assert loader.identity()[0]["rows"] == 5
    assert "th\\xe9" in set(loader.texts())
    bad = [one for number in range(10) for one in loader(number).bad]
    assert bad
    assert all(one.path.endswith("bad\\xff.png") for one in bad)
    json.dumps([one.path for one in bad]).encode()


def test_errors_show_names():
    error = errors.DataError(NAME, f"lies beside {NAME}")
    assert str(error) == f"{SHOWN}: lies beside {SHOWN}"
    assert error.path == SHOWN


def test_the_corpus_is_written_to_any_folder(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for place in (tmp_path / "plain", tmp_path / os.fsdecode(b"d\xe9mo")):
        media.write_jpegs(place / "jpg", frames)
        media.write_depth_pngs(place / "png", frames[..., 0].astype(np.uint16) * 200)
        media.write_video(place / "film.mp4", frames, 2)
        media.write_sound(place / "sound.wav", np.arange(-99, 99, dtype=np.int16), 16_000)
    for name in ("jpg/0.jpg", "png/1.png", "film.mp4", "sound.wav"):
        written = (tmp_path / "plain" / name).read_bytes()
        assert (tmp_path / os.fsdecode(b"d\xe9mo") / name).read_bytes() == written


def test_a_store_in_a_folder_that_is_not_utf8_is_refused(folder, tmp_path, capsys):
    store = tmp_path / os.fsdecode(b"st\xe9re.index")
    assert main.main(["index", "build", str(folder), "-o", str(store)]) == 2
    assert "not UTF-8, which LanceDB needs" in capsys.readouterr().err
