"""Files of sound alone go the whole way, and have no pictures."""

import json
import tarfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from lb_jax.builder import films, laying, out, sheet
from lb_jax.builder.stage import Wants
from lb_jax.builder.stages import STAGES
from lb_jax.core import errors
from lb_jax.corpora import check, records, vidal, webdataset
from lb_jax.media import specs
from tests.builder import raw, test_out
from tests.media import media_files

STAGES_OF_SOUND = ("title_length", "word_list", "duration", "silence", "clipping")
SECONDS = 2


def sounds(folder):
    """A source of sounds in several forms, one of them silent."""
    noise = media_files.noise(16000 * SECONDS, 1)
    contents = {
        "wave.wav": media_files.sound(noise, 16000),
        "flac.flac": media_files.sound(noise, 16000, "FLAC"),
        "vorbis.ogg": media_files.sound(noise, 16000, "OGG"),
        "mpeg.mp3": media_files.sound(noise, 16000, "MP3"),
        "aac.m4a": media_files.coded_sound("mp4", "aac"),
        "silent.wav": media_files.sound(0 * noise, 16000),
    }
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        told[name] = {"title": f"a sound of {name}", "file": name, "licence": "CC0-1.0"}
    (folder / "raw.json").write_text(json.dumps(told))
    return folder / "raw.json"


@pytest.mark.parametrize("name", ["wave.wav", "vorbis.ogg", "mpeg.mp3"])
def test_facts_of_a_sound(tmp_path, name):
    sounds(tmp_path)
    with films.Film(str(tmp_path / name), name, Wants(frozenset({8}), 32)) as film:
        facts = film.facts
        assert not film.has_pictures
        assert (facts.width, facts.height, facts.frames, facts.has_sound) == (0, 0, 0, True)
        assert facts.duration_s == pytest.approx(SECONDS, abs=0.1)
        wave, rate_hz = film.sound()
        assert len(wave) / rate_hz == facts.duration_s
        with pytest.raises(errors.MissingError, match="has sound alone, no pictures"):
            film.pictures(8)
        with pytest.raises(errors.MissingError):
            film.every()


@pytest.mark.parametrize("name", ["resolution", "aspect", "frame_rate", "black", "still"])
def test_stages_of_pictures_keep_no_sound(tmp_path, name):
    from lb_jax.builder.engine import looking
    from lb_jax.builder.stages import Planned

    sounds(tmp_path)
    one = STAGES[name]
    looks = looking.Looks.of([Planned(one, one.settings(), one.settings())])
    path = str(tmp_path / "wave.wav")
    ((_, verdict),) = looks.all(path, path, looks.names)
    assert not verdict.kept
    assert verdict.reason


def test_sounds_are_laid_out(tmp_path):
    pytest.importorskip("lancedb")
    cfg = raw.config(sounds(tmp_path / "source"), STAGES_OF_SOUND, engine=sheet.Engine(workers=1))
    card = test_out.run(cfg, tmp_path / "out", formats=tuple(out.FORMATS))
    assert (card["items"], card["kept"]) == (6, 5)
    corpus = tmp_path / "out" / "corpus"
    rows = vidal.Vidal(corpus / "annotation.json")
    assert check.check(rows, {"audio": specs.preset("audio")}, processes=1).bad == []
    assert not list(corpus.rglob("*.mp4"))
    assert not list(corpus.rglob("*.jpg"))
    (path,) = rows[0].media["audio"]
    wave, _rate_hz = soundfile.read(path)
    assert np.std(wave) == pytest.approx(0.1, rel=0.2)
    packed = tmp_path / "out" / "packed"
    assert pq.read_table(packed / "corpus.parquet").column_names == ["id", "raw", "audio"]
    assert len(records.Records(packed / "array_record")) == 5
    with tarfile.open(packed / "webdataset" / "corpus-00000.tar") as shard:
        assert {name.split(".", 1)[1] for name in shard.getnames()} == {"raw.txt", "wav"}
    assert len(webdataset.WebDataset(packed / "webdataset")) == 5


def test_what_is_written_stays(tmp_path, monkeypatch):
    sounds(tmp_path)
    raw.film(tmp_path, "film.mp4", *raw.drawn())
    cfg, one = sheet.Out(short_px=96), {name: str(tmp_path / name) for name in ("wave.wav",)}
    laying.write(one | {"film": str(tmp_path / "film.mp4")}, tmp_path / "out", cfg, workers=1)
    monkeypatch.setattr(laying.films, "Film", None)  # nothing is opened again
    laying.write(one | {"film": str(tmp_path / "film.mp4")}, tmp_path / "out", cfg, workers=1)
    # a film whose sound is there and whose pictures are not is not there
    laying.files(tmp_path / "out", cfg, "film")["video"][0].unlink()
    with pytest.raises(TypeError):
        laying.write({"film": str(tmp_path / "film.mp4")}, tmp_path / "out", cfg, workers=1)
    laying.remove(["wave.wav", "film"], tmp_path / "out", cfg)
    assert [one for one in (tmp_path / "out").rglob("*") if one.is_file()] == []
