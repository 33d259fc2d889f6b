"""Narrations of any corpus, and the bag of those that a clip is learnt with."""

import json
import pickle
import warnings

import msgpack
import numpy as np
import pytest

from lb_jax.core import errors, notices
from lb_jax.corpora import narrations, pack, record, sources, tfds_builder
from lb_jax.corpora.narrations import Narrated
from lb_jax.corpora.subtitles import Files, Narrations
from tests.corpora.test_tar import packed

CUE = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"
FOUR = Narrations((0.0, 2.0, 6.0, 20.0), (2.0, 5.0, 8.0, 30.0), ("a", "b", "c", "d"))


def _asr(path, *ids):
    said = {one: {"start": [1], "end": [2], "text": [f"of {one}"]} for one in ids}
    path.write_text(json.dumps(said))
    return path


@pytest.fixture
def films(tmp_path):
    """Films a to d: subtitles of a, of b in a language, of c in two; none of d."""
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a.mp4", "b.x.mkv", "c.mp4", "d.mp4", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "a.srt").write_text(CUE.format("a"))
    (folder / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nbest\n")
    (folder / "b.x.en-GB.srt").write_text(CUE.format("b"))
    for language in ("de", "en"):
        (folder / f"c.{language}.srt").write_text(CUE.format("c"))
    return folder


def test_subtitles_beside_the_films_of_a_folder_are_theirs(films):
    source = sources.open_source(films)
    assert [source[n].id for n in (0, 1, 3)] == ["a.mp4", "b.x.mkv", "d.mp4"]
    assert (source.modalities, source.text_kinds, len(source)) == (("video",), (), 4)
    assert source[0].media == {"video": (films / "a.mp4",)}
    assert narrations.read(source[0]).texts == ("best",)
    assert narrations.read(source[1]).texts == ("b",)
    with pytest.raises(errors.DataError, match=r"c\.de\.srt: is one of several .*: c\.en\.srt\)"):
        narrations.read(source[2])
    with pytest.raises(errors.DataError, match="which have no captions"):
        source.require(["caption"])


def test_films_without_narration_are_counted(films):
    source = sources.open_source(films)
    assert narrations.without(source, [0, 1]) is None
    assert narrations.without(source, range(4)) == (
        "1 of 4 films without narration (d.mp4); they are taken as films without text"
    )
    for name in "efgh":
        (films / f"{name}.mp4").write_bytes(b"x")
    told = narrations.without(sources.open_source(films), range(8))
    assert told.startswith("5 of 8 films without narration (d.mp4, e.mp4, f.mp4, …); ")


def test_of_many_films_some_are_looked_at(films, monkeypatch):
    monkeypatch.setattr(narrations, "LOOKED_AT", 2)
    told = narrations.without(sources.open_source(films), range(4))
    assert told.startswith("1 of 2 films that were looked at without narration (d.mp4)")


def test_a_narration_that_says_nothing_is_told(films):
    (films / "d.srt").write_text(CUE.format(""))
    source = sources.open_source(films, narrations=_asr(films.parent / "asr.json", "a"))
    with notices.collected() as told:
        assert narrations.read(source[3]) == Narrations()
    assert told == []
    with notices.collected() as told:
        found = narrations.read(sources.open_source(films)[3])
    assert found == Narrations()
    assert [str(one) for one in told] == ["d.mp4: has no narration; taken as a film without text"]


def test_a_folder_without_subtitles_knows_of_no_narration(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert narrations.read(sources.open_source(tmp_path)[0]) is None


def test_a_manifest_names_subtitles_in_a_column(films):
    path = films.parent / "m.csv"
    path.write_text("video,said\nfilms/a.mp4,films/a.srt\nfilms/d.mp4,\nfilms/d.mp4,no.srt\n")
    source = sources.open_source(path, columns={"narrations": "said"})
    assert narrations.read(source[0]).texts == ("a",)
    assert narrations.read(source[1]) == Narrations()
    assert narrations.without(source, [0, 1, 2]).startswith("1 of 3 films without narration (")
    with pytest.raises(errors.DataError, match=r"no\.srt: cannot be read"):
        narrations.read(source[2])
    assert narrations.read(sources.open_source(path)[0]) is None


def test_recognised_speech_is_found_by_id_or_by_the_name_of_the_film(films):
    root = films.parent
    (root / "m.csv").write_text("id,video\na,films/d.mp4\nx,films/d.mp4\nd,films/a.mp4\n")
    for path, expected in (
        (root / "m.csv", ["of a", "of d", "of d"]),
        (films, ["of a", None, "of d"]),
    ):
        source = sources.open_source(path, narrations=_asr(root / "asr.json", "a", "d"))
        source = pickle.loads(pickle.dumps(source))
        rows = [source[n] for n in ((0, 1, 2) if path.suffix else (0, 1, 3))]
        texts = [narrations.read(row).texts for row in rows if row.narrations != Files()]
        assert [one[0] for one in texts] == [one for one in expected if one]
        assert (source.where, source.modalities) == (str(path), ("video",))
        assert list(source.having("video")) == list(range(len(source)))


def test_any_corpus_may_be_narrated(tmp_path):
    (tmp_path / "x.tar").write_bytes(packed({"v1.mp4": b"x", "v1.txt": b"t", "v2.mp4": b"x"}))
    (tmp_path / "said").mkdir()
    (tmp_path / "said" / "v1.srt").write_text(CUE.format("one"))
    source = sources.open_source(tmp_path / "x.tar", narrations=tmp_path / "said")
    assert type(source) is Narrated
    assert narrations.read(source[0]).texts == ("one",)
    assert source[1].narrations == Files()
    assert source[0].texts == {"caption": "t"}


@pytest.mark.parametrize("is_folder", [True, False])
def test_narrations_of_another_corpus_are_refused(films, is_folder):
    path = _asr(films.parent / "asr.json", "q", "r")
    if is_folder:
        path = films.parent / "said"
        path.mkdir()
        for one in "qr":
            (path / f"{one}.srt").write_text(CUE.format("x"))
    reason = r"has narrations of 2 films \(first 'q'\), none of the rows of .*films; expected"
    with pytest.raises(errors.DataError, match=reason):
        sources.open_source(films, narrations=path)


@pytest.mark.parametrize("is_folder", [True, False])
def test_no_narrations_at_all_are_refused(films, is_folder):
    path = films.parent / "none"
    if is_folder:
        path.mkdir()
    else:
        path.write_text("{}")
    with pytest.raises(errors.DataError, match="none: "):
        sources.open_source(films, narrations=path)


@pytest.mark.parametrize(
    ("clip", "count", "expected"),
    [
        ((2.5, 4.5), 1, [1]),
        ((2.5, 4.5), 2, [1, 0]),  # 0.5 s before, 1.5 s behind
        ((2.5, 4.5), 3, [0, 1, 2]),
        ((2.5, 4.5), 9, [0, 1, 2, 3]),
        ((1.0, 7.0), 1, [1]),  # touches three: the middle one is nearest in its middle
        ((5.0, 6.0), 2, [1, 2]),  # both touch it
        ((12.0, 16.0), 1, [2]),  # 4 s to both: the middle of "c" is nearer
        ((40.0, 41.0), 2, [2, 3]),
    ],
)
def test_the_nearest_narrations_of_a_clip(clip, count, expected):
    assert narrations.nearest(FOUR, *clip, count) == sorted(expected)


def test_a_bag_is_padded_with_nothing():
    bag = narrations.bag(FOUR, 2.5, 4.5, 6)
    assert bag.texts == ("a", "b", "c", "d", "", "")
    np.testing.assert_array_equal(bag.present, [True] * 4 + [False] * 2)
    for without in (None, Narrations()):
        bag = narrations.bag(without, 0.0, 3.2, 2)
        assert (bag.texts, bag.present.tolist()) == (("", ""), [False, False])


def test_narrations_are_packed_with_their_films(films, tmp_path):
    (films / "c.de.srt").unlink()
    pack.pack(sources.open_source(films), tmp_path / "packed")
    source = sources.open_source(tmp_path / "packed")
    assert [source[n].narrations.texts for n in range(4)] == [("best",), ("b",), ("c",), ()]
    assert source[0].narrations == Narrations((1.0,), (2.0,), ("best",))
    with pytest.raises(errors.DataError, match="has narrations, which TFDS has no place for"):
        pack.pack(source, tmp_path / "tfds", to=tfds_builder.shards(source))
    (films / "a.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nanother\n")
    with pytest.raises(errors.ConfigError, match="was packed from another corpus"):
        pack.pack(sources.open_source(films), tmp_path / "packed")


@pytest.mark.parametrize(
    "narrations",
    [
        1,
        {"starts_s": [1.0]},
        {"starts_s": [1.0], "ends_s": [2.0], "texts": []},
        {"starts_s": ["1"], "ends_s": [2.0], "texts": ["x"]},
        {"starts_s": 1, "ends_s": 1, "texts": 1},
    ],
)
def test_a_record_of_other_narrations_is_refused(narrations):
    fields = {"id": "a", "texts": {}, "media": {"video": [b"x"]}, "narrations": narrations}
    with pytest.raises(errors.DataError, match="shard 0: has narrations that are none"):
        record.decode(msgpack.packb(fields), "shard 0")
