"""`index build --captions` and a search that reads them; one line for every mistake."""

import json
import pathlib

import pytest

from tests.inference import valor_models
from tests.media import media_files

NAMES = ("picture.png", "sound.wav")


@pytest.fixture(scope="module")
def writer_dir(tmp_path_factory):
    return valor_models.save(tmp_path_factory.mktemp("valor") / "writer")


@pytest.fixture
def mine(media_dir, tmp_path, monkeypatch):
    """A folder of a film with sound, a picture and a sound; it is beside the store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in NAMES:
        (tmp_path / "mine" / name).write_bytes((media_dir / name).read_bytes())
    (tmp_path / "mine" / "film.mp4").write_bytes(media_files.clip(sound=True))
    return tmp_path / "mine"


def test_build_search_and_another_captioner(call, mine, writer_dir, tmp_path):
    build = "index build mine --model {model} --workers 1"
    assert call(build).status == 0
    plain = call("index search 'a dog' --json").out
    table = call("index search 'a dog'").out
    assert "caption" not in plain + table
    result = call(f"{build} --captions --captioner {writer_dir}")
    assert result.status == 0, result.err
    assert "  captions: 4 captions in " in result.out
    assert call("index search 'a dog' --json --by vector").status == 0

    told = json.loads(call("index search 'a dog' --json").out)
    assert told["query"]["by"] == "both"
    rows = told["results"]
    assert len(rows) == 4
    texts = {(pathlib.Path(row["path"]).name, row["modality"]): row["caption"] for row in rows}
    before = json.loads(plain)["results"]
    cosines = {(row["path"], row["modality"]): row["cosine"] for row in before}
    assert {(row["path"], row["modality"]): row["cosine"] for row in rows} == cosines
    by_vector = json.loads(call("index search 'a dog' --json --by vector").out)
    assert "by" not in by_vector["query"]
    assert [{**row, "caption": None} for row in by_vector["results"]] == [
        {**row, "caption": None} for row in before
    ]
    head, *lines = call("index search 'a dog'").out.splitlines()
    assert head.split()[-1] == "caption"
    assert any(line.endswith(texts["picture.png", "image"]) for line in lines)

    word = next(one for one in texts["film.mp4", "video"].split() if len(one) > 3)
    found = json.loads(call(f"index search '{word}' --json --by caption").out)["results"]
    assert all(word in row["caption"] for row in found)
    assert ("film.mp4", "video") in {
        (pathlib.Path(row["path"]).name, row["modality"]) for row in found
    }
    nothing = call("index search 'qqq' --by caption").out
    assert "nothing found: no caption of what passes the filters has a word" in nothing
    like = json.loads(call("index search --like mine/picture.png --json").out)
    assert "by" not in like["query"]
    assert call(f"{build} --captions --captioner {writer_dir}").out.count("4 there already") == 1
    line = f"  captions 4 by {writer_dir} ("
    assert line in call("index info").out
    assert json.loads(call("index info --json").out)["captions"]["rows"] == 4

    other = valor_models.save(tmp_path / "other", seed=1)
    refused = call(f"{build} --captions --captioner {other}")
    assert (refused.status, refused.out) == (2, "")
    assert f"holds captions of {writer_dir} (" in refused.err
    assert refused.err.count("\n") == 1
    assert call(f"{build} --captions-anew --captioner {other}").status == 0
    assert f"  captions 4 by {other} (" in call("index info").out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("index build mine --captioner x", "--captioner writes captions; give --captions with it"),
        ("index build mine --model {model} --captions --captioner {model}", "does not write"),
        ("embed mine --captions -o x.npz", "--captions goes with a store"),
        ("index search 'a' --by caption", "holds no captions; `lb-jax index build FOLDER -o"),
        ("index search --like mine/picture.png --by both", "looks for words in captions; give a"),
        ("index search 'a' --by words", "invalid choice: 'words'"),
    ],
)
def test_a_mistake_is_one_line(call, mine, line, message):
    if "search" in line:
        assert call("index build mine --model {model} --workers 1 --modality image").status == 0
    result = call(line)
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1, result.err
    assert message in result.err
