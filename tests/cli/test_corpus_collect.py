"""`lb-jax corpus terms` and `lb-jax corpus collect`, from files to a source that runs."""

import json

import pyarrow.parquet as pq
import pytest

from lb_jax.builder import items, sheet
from lb_jax.cli import corpus
from lb_jax.core import errors
from tests.media import media_files


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "labels.csv").write_text("label_id,label_name\n0,Dog\n1,dogs\n2,Cat\n")
    return tmp_path / "labels.csv"


def terms(labels, out, *more):
    files = f"--config.terms.files=('yt8m={labels}',)"
    corpus.main(["terms", "--config=corpus_vidal", f"--out={out}", files, *more])


def test_terms_are_written(tmp_path, labels, capsys):
    for name in ("yake", "snowballstemmer", "rapidfuzz"):
        pytest.importorskip(name)
    terms(labels, tmp_path / "new" / "terms.parquet", "--config.terms.limit=1")
    assert "2 terms" in capsys.readouterr().out
    rows = pq.read_table(tmp_path / "new" / "terms.parquet").to_pylist()
    assert [(row["term"], row["count"], row["weight"]) for row in rows] == [
        ("Dog", 2, 0.5),
        ("Cat", 1, 1.0),
    ]
    with pytest.raises(errors.ConfigError, match=r"ends in one of .parquet, .csv, .jsonl"):
        terms(labels, tmp_path / "terms.txt")
    with pytest.raises(errors.ConfigError, match=r"config.terms.similarty.*mean"):
        terms(labels, tmp_path / "terms.csv", "--config.terms.similarty=1")


def test_a_missing_library_is_one_line(tmp_path, labels, monkeypatch):
    from lb_jax.builder.stage import Package
    from lb_jax.builder.terms import table

    monkeypatch.setattr(table, "PACKAGES", (Package("no_such_module", "no-such-package"),))
    with pytest.raises(errors.ConfigError, match="corpus terms needs no-such-package, which is"):
        terms(labels, tmp_path / "terms.csv")


def collect(out, *more):
    corpus.main(["collect", "--config=corpus_vidal", f"--out={out}", *more])


def test_a_folder_is_collected(tmp_path, capsys):
    pytest.importorskip("httpx2")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a_dog.mp4").write_bytes(media_files.clip(frames=4))
    given = [f"--config.collect.sources=('folder={tmp_path / 'films'}',)"]
    given.append("--config.collect.folder.licence=CC0-1.0")
    collect(tmp_path / "raw", *given)
    told = capsys.readouterr().out
    assert "fetched 1; in all 1 done" in told
    assert str(tmp_path / "raw" / "raw.json") in told
    (one,) = json.loads((tmp_path / "raw" / "raw.json").read_text()).values()
    assert (one["title"], one["licence"], one["source"]) == ("a dog", "CC0-1.0", "films")
    found = items.read(sheet.Source(path=str(tmp_path / "raw" / "raw.json")))
    assert found.rows["title"].to_pylist() == ["a dog"]
    with pytest.raises(errors.ConfigError, match="there is no kind of source 'folders'"):
        collect(tmp_path / "raw", "--config.collect.sources=('folders=films',)")
    with pytest.raises(errors.ConfigError, match="expected HOST=NUMBER"):
        collect(tmp_path / "raw", *given, "--config.collect.rates=('a.org',)")
