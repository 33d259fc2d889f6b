"""`lb-jax index`: the table, the JSON document, and one line for every mistake."""

import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest

from lb_jax.cli import index
from lb_jax.core import errors, words
from lb_jax.search import database, rows, stamps
from lb_jax.search.maker import Maker
from lb_jax.search.store import Store
from tests.media import media_files


@pytest.fixture
def model(load, model_dir):
    """The tiny model."""
    return load(str(model_dir), dtype="float32")


@pytest.fixture
def indexed(model, media_dir, tmp_path, monkeypatch):
    """A store in the current folder: the picture, the clip, and two neighbouring windows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no media")
    store = Store.create(index.STORE, Maker.of(model, 5, 5))
    add(store, model, media_dir / "picture.png", "image", [(None, None)])
    add(store, model, media_dir / "clip.mp4", "video", [(0.0, 5.0), (5.0, 10.0)])
    add(store, model, media_dir / "sound.wav", "audio", [(0.0, 1.0)])
    return store


def add(store, model, path, modality, times):
    vector = model.embed(modality, [path])[0]
    told = dataclasses.astuple(stamps.stamp(path))
    made = store.maker.digest, store.maker.preprocessing
    store.add([rows.Row(str(path), modality, *time, *told, *made, vector) for time in times])


def test_search_prints_a_table(call, indexed, media_dir):
    result = call("index search 'a cat'")
    assert (result.status, result.err) == (0, "")
    head, *lines, last, _ = result.out.splitlines()
    assert head.split() == ["rank", "cosine", "modality", "time", "file"]
    assert [line[:1] for line in lines] == ["1", "", "1", "", "1", ""]  # a block for each modality
    assert last.startswith("a block for each modality")
    found = {tuple(line.split()[2:]) for line in lines if line}
    assert found == {
        ("image", f"{media_dir}/picture.png"),
        ("video", "0:00-0:10", f"{media_dir}/clip.mp4"),
        ("audio", "0:00-0:01", f"{media_dir}/sound.wav"),
    }


def test_search_prints_json(call, indexed, model, media_dir):
    told = json.loads(call("index search 'a cat' --json --no-merge -k 2 --modality video").out)
    assert told["query"] == {"text": "a cat", "like": None, "weights": {}}
    assert told["model"] == {"source": model.source, "digest": model.digest}
    cosine = float(
        model.embed("text", "a cat")[0] @ model.embed("video", media_dir / "clip.mp4")[0]
    )
    assert told["results"] == [
        {
            "rank": rank,
            "path": f"{media_dir}/clip.mp4",
            "modality": "video",
            "start_s": start,
            "end_s": start + 5,
            "cosine": pytest.approx(cosine, abs=1e-5),
            "probability": None,
            "withheld": None,
        }
        for rank, start in ((1, 0.0), (2, 5.0))
    ]


def test_search_by_file_and_text_with_filters(call, indexed, media_dir, load, model_dir):
    line = "index search --like {media}/picture.png --json"
    first = json.loads(call(line).out)["results"][0]
    assert (first["modality"], first["path"]) == ("image", f"{media_dir}/picture.png")
    assert first["cosine"] == pytest.approx(1, abs=1e-5)
    both = f"{line} 'a cat' --weight text=0.3 --weight image=2"
    assert json.loads(call(both).out)["query"]["weights"] == {"text": 0.3, "image": 2.0}
    depth = json.loads(call(line + " --like-modality thermal").out)["results"]
    assert all(one["cosine"] < 0.999 for one in depth)

    def found(options):
        told = json.loads(call(f"index search 'a cat' --json {options}").out)["results"]
        return sorted({one["modality"] for one in told})

    assert found("--modality audio image") == ["audio", "image"]
    assert found("--under {media}/clip.mp4") == ["video"]
    assert found("--after 0:02") == ["video"]
    assert found("--before 1:00") == ["audio", "video"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--modality thermal", "no row is thermal; there is audio (1 row), image (1 row), vi"),
        ("--under {tmp}/no", "no row lies under {tmp}/no, which does not exist, nearest that "),
        ("--under {tmp}", "nearest that has: {media} (3 files)"),
        ("--under {media}/clap.mp4", "nearest that has: {media}/clip.mp4 (1 file)"),
        ("--modality audio --under {media}/clip.mp4", "no row of audio lies under {media}/clip.mp"),
        ("--after 1:00", "no row ends after 1:00; the last ends at 0:10"),
        ("--before 0:04 --after 0:30", "no row ends after 0:30; the last ends at 0:10"),
        ("--before 0", "no row starts before 0:00; the first starts at 0:00"),
        ("--modality image --after 0:01", "no row of image has a time, these are stills"),
        ("--like {tmp}/no.png", "--like={tmp}/no.png: does not exist; give a media file"),
        ("--like {media}", "--like={media}: is a folder; give a media file"),
        ("--like notes.txt", "--like=notes.txt: the ending does not tell what it is"),
    ],
)
def test_a_filter_that_nothing_passes_is_told_before_the_model_loads(
    call, indexed, media_dir, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr(Maker, "load", None)
    result = call(f"index search 'a cat' {options}")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert message.format(tmp=tmp_path, media=media_dir) in result.err


@pytest.mark.parametrize(
    "line",
    [
        "index search other/store 'a cat' --json",
        "index search other/store --json 'a cat'",
        "index search 'a cat' --json --store other/store",
        "index search --like {media}/picture.png --json other/store",
        "index search other/store --like {media}/picture.png 'a cat' --json",
        "index search other/store --json --store other/store",
        "index info other/store --json",
        "index info --json --store other/store",
        "index check other/store --json",
        "index check --store other/store other/store --json",
    ],
)
def test_a_store_is_the_first_word_or_an_option(call, indexed, tmp_path, line):
    (tmp_path / "other").mkdir()
    (tmp_path / "media.index").rename(tmp_path / "other" / "store")
    result = call(line)
    assert (result.status, result.err) == (0, "")
    told = json.loads(result.out)
    assert (told.get("store") or told["uri"]) == "other/store"
    text = "other/store" if "--store" in line else "a cat" if "'a cat'" in line else None
    if "query" in told and "--store" not in line:
        assert told["query"]["text"] == text


def test_the_file_of_a_search_is_told_as_files_of_a_store_are(indexed, tmp_path):
    values = np.linspace(1000, 3000, 64).astype(np.uint16).reshape(8, 8)
    known = ("image", "depth", "thermal")
    (tmp_path / "near.png").write_bytes(media_files.picture(values))
    assert index.modality_of(str(tmp_path / "near.png"), known) == "depth"
    (tmp_path / "odd.png").write_bytes(media_files.picture(7000 + values // 4))
    assert index.modality_of(str(tmp_path / "odd.png"), known, depth_unit="tum") == "depth"
    with pytest.raises(errors.ConfigError, match=r"not plain.*--like-modality"):
        index.modality_of(str(tmp_path / "odd.png"), known)


def test_probability_is_named_where_it_is_calibrated(call, indexed, model, monkeypatch):
    curve = types.SimpleNamespace(probability=lambda cosines: np.full(len(cosines), 0.75))
    found = {f"{name},text": types.SimpleNamespace(curve=curve) for name in ("audio", "image")}
    found["text,video"] = found["image,text"]
    monkeypatch.setitem(model.__dict__, "calibration", types.SimpleNamespace(pairs=found, usual={}))
    head, first, *_ = call("index search 'a cat'").out.splitlines()
    assert head.split()[:3] == ["rank", "probability", "cosine"]
    assert first.split()[1] == "0.750"


def test_search_says_which_command_gives_a_probability(call, indexed):
    out = call("index search 'a cat'").out.splitlines()
    assert "probability" not in out[0]
    assert out[-1].startswith("no probability: ")
    assert "fit one with `lb-jax calibrate" in out[-1]
    mixed = call("index search 'a cat' --like {media}/picture.png").out
    assert "no probability" not in mixed  # no calibration is of both together


def test_info_tells_what_is_there(call, indexed, model):
    told = json.loads(call("index info --json").out)
    assert (told["rows"], told["files"]) == (4, 3)
    assert told["modalities"]["video"] == {"files": 1, "rows": 2}
    assert told["models"][0]["digest"] == model.digest
    out = call("index info").out
    assert "media.index: 4 vectors of 3 files" in out
    assert f"current  {model.source} ({model.digest[:12]}), width" in out


def test_check_says_what_is_wrong(call, indexed, model, tmp_path):
    assert call("index check").out == "media.index: 4 vectors are sound\n"
    path = tmp_path / "own.png"
    path.write_bytes(pathlib.Path(next(iter(indexed.files()))[0]).read_bytes())
    indexed.add(
        [
            dataclasses.replace(row, path=str(path))
            for row in indexed.vectors(stamps.stamp(path).sha256, "image")
        ]
    )
    path.unlink()
    result = call("index check")
    assert result.status == 2
    assert f"wrong  {path}: image file is gone" in result.out
    assert result.err == "lb-jax: media.index: 1 thing is wrong, see above.\n"
    told = json.loads(call("index check --json").out)
    assert told["problems"][0]["path"] == str(path)


def test_upgrade_switches_to_the_new_model(call, indexed, model):
    result = call(f"index upgrade --model {model.source} --frames 3 --drop-previous")
    assert result.status == 0, result.err
    assert "media.index: 3 files, from " in result.out
    assert "; 0 left out" in result.out
    (table,) = database.tables(index.STORE)
    assert (table.maker.frames, table.maker.source) == (3, model.source)
    assert table.maker.digest != model.digest
    found = json.loads(call("index search 'a cat' --json --modality video").out)["results"]
    assert found  # with the model of three frames
    assert json.loads(call("index info --json").out)["models"][0]["frames"] == 3
    assert ", frames 3, since" in call("index info").out


@pytest.mark.parametrize("given", ["", "--model models/second "])
def test_kept_vectors_are_dropped_later(call, indexed, model, monkeypatch, given):
    second = dataclasses.replace(indexed.maker, digest="f" * 64, source="models/second")
    Store.upgrade(indexed.uri, second).make_current()
    assert "`lb-jax index upgrade media.index --drop-previous` drops it" in call("index check").out
    monkeypatch.setattr(Maker, "of", lambda *_: second)
    monkeypatch.setattr("lb_jax.inference.opening.load_encoder", lambda *_, **__: model)
    result = call(f"index upgrade {given}--drop-previous")
    assert (result.status, result.err) == (0, "")
    assert "dropped" in result.out
    assert [table.maker.source for table in database.tables(index.STORE)] == ["models/second"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("index", "index: no command; Commands: build, search, info, check, upgrade"),
        ("index serch x", "unknown command 'serch'. Did you mean 'search'"),
        ("index search", "give a sentence, --like FILE, or both"),
        ("index search a red car", "search: 3 words are given; a sentence of several words stands"),
        ("index search red car", "'red' is no store of vectors; a sentence of several words sta"),
        ("index search media.index", "media.index is a store; give a sentence behind it"),
        ("index search a car --store media.index", "--store is given, and 2 words; a sentence"),
        ("index info a --store b", "two stores are given, a and b; give one"),
        ("index search x --store {tmp}/no", "no: there is no store of vectors here"),
        ("index info --store {media}/clip.mp4", "clip.mp4: is a file, not a store"),
        ("index check --store {media}", "is no store of vectors; `lb-jax index build"),
        ("index search x -k 0", "-k is 0; it must be at least 1"),
        ("index search x --after 1:xx", "the time '1:xx' is none; write 45, 0:30 or 1:02:03"),
        ("index search x --weight text", "--weight is 'text'; expected NAME=NUMBER"),
        ("index search x --weight image=1", "'image', which is no part of the query"),
        ("index search --like {tmp}/notes.txt", "notes.txt: the ending does not tell what"),
        ("index search x --modality vidoe", "invalid choice: 'vidoe'"),
        ("index upgrade --frames 3", "--model is needed, the model to go over to"),
        ("index upgrade --model {media}/clip.mp4", "expected a safetensors or torch file"),
    ],
)
def test_mistake_is_one_line(call, indexed, line, message):
    result = call(line)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("lb-jax: ")
    assert result.err.count("\n") == 1
    assert message in result.err


def test_model_that_did_not_make_the_store_is_refused(call, indexed, monkeypatch):
    other = dataclasses.replace(indexed.maker, digest="f" * 64, source="models/other")
    store = Store.upgrade(indexed.uri, other)
    store.make_current()
    result = call("index search 'a cat' --model {model}")
    assert result.status == 2
    assert "holds vectors of models/other (ffffffffffff), not of" in result.err


def test_build_then_search_finds_the_file(call, media_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("picture.png", "sound.wav"):
        (tmp_path / "mine" / name).write_bytes((media_dir / name).read_bytes())
    result = call("index build mine --model {model}")
    assert result.status == 0, result.err
    assert "media.index: 2 files, 2 embedded into 2 rows" in result.out
    found = json.loads(call("index search --like mine/picture.png --json").out)["results"]
    assert found[0]["path"] == str(tmp_path / "mine" / "picture.png")
    assert call("index check").status == 0


@pytest.mark.parametrize(
    ("text", "time"), [("45", 45), ("45.5", 45.5), ("0:30", 30), ("1:02:03", 3723), (None, None)]
)
def test_times_are_read(text, time):
    assert index.seconds(text) == time


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "0:00"), (2.5, "0:02.5"), (59.96, "1:00"), (600, "10:00"), (3723, "1:02:03")],
)
def test_times_are_written(time, text):
    assert words.clock(time) == text
