"""Captions beside vectors: kept by content, searched for words, ranked with the vectors."""

import dataclasses

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.search import captions as captions_lib
from lb_jax.search import database, query, spoken
from lb_jax.search.captions import Caption, Captioner
from lb_jax.search.filters import Filter
from lb_jax.search.store import Store
from tests.search import stores
from tests.search.stores import MAKER, OTHER
from tests.search.test_query import AXIS, asker, axis_rows

WHO = Captioner("1" * 64, "models/writer")


def caption(path, text, start=0.0, modality="video", window_s=5.0):
    """That of a window of `stores.rows`."""
    timed = modality in ("video", "audio")
    times = (start, start + window_s) if timed else (None, None)
    return Caption(f"hash of {path}", modality, *times, text)


@pytest.fixture
def store(tmp_path):
    """Three films, a picture and a sound; the captions tell another story than the vectors."""
    found = Store.create(tmp_path / "media.index", MAKER)
    found.add(axis_rows([0.9, 0.3], "/a.mp4", "video"))
    found.add(axis_rows([0.8], "/b.mp4", "video"))
    found.add(axis_rows([0.7], "/c.mp4", "video"))
    found.add(axis_rows([0.6], "/p.png", "image"))
    found.add(axis_rows([0.5], "/s.wav", "audio"))
    return found


@pytest.fixture
def told(store):
    """The same with captions."""
    captions = store.captions(make=True)
    captions.add(
        [
            caption("/a.mp4", "rain falls on a roof"),
            caption("/a.mp4", "a dog runs", 5.0),
            caption("/c.mp4", "a red dog barks and barks"),
            caption("/p.png", "a dog at the sea", modality="image"),
            caption("/s.wav", "barking", modality="audio"),
        ],
        WHO,
    )
    captions.build_index()
    return store


def paths(found):
    return [one.path for one in found]


def find(store, words="a dog barks", model=None, **given):
    given = {"k": 9, "where": Filter(modalities=("video",)), **given}
    return query.find(store, model or asker(), AXIS, words=words, **given)


def test_a_store_without_captions_has_none(store):
    assert store.captions() is None
    assert "captions" not in store.info()
    assert {one.caption for one in find(store)} == {None}
    assert "caption" not in find(store)[0].as_json()
    with pytest.raises(errors.DataError, match=r"holds no captions; .*--captions` writes them"):
        find(store, by="both")


def test_words_are_searched_by_their_stems_with_filters(told):
    captions = told.captions()
    found = captions.search("barks", 9, Filter())
    assert [one.text for one in found] == ["barking", "a red dog barks and barks"]
    assert found[0].score >= found[1].score > 0
    only = Filter(modalities=("video",), after_s=6.0)
    assert [one.text for one in captions.search("the dog", 9, only)] == ["a dog runs"]
    assert captions.search("the of a", 9, Filter()) == []
    assert captions.search("dog \ud800", 9, Filter()) == captions.search("dog", 9, Filter())
    assert captions.search('"(dog', 9, Filter(modalities=("image",)))[0].start_s is None
    captions.add([caption("/b.mp4", "a barking seal")], WHO)
    assert "a barking seal" in {one.text for one in captions.search("bark", 9, Filter())}


def test_both_rankings_are_made_one(told):
    by_vector = find(told, by="vector")
    assert paths(by_vector) == ["/a.mp4", "/b.mp4", "/c.mp4", "/a.mp4"]
    assert [one.caption for one in by_vector[:2]] == ["rain falls on a roof", None]
    by_caption = find(told, by="caption")
    assert [(one.path, one.start_s) for one in by_caption] == [("/c.mp4", 0.0), ("/a.mp4", 5.0)]
    assert by_caption[0].cosine == pytest.approx(0.7, abs=1e-6)
    both = find(told, by="both")
    # c: 1/63 + 1/61; a at 5 s: 1/64 + 1/62; a at 0 s: 1/61; b: 1/62
    expected = [("/c.mp4", 0.0), ("/a.mp4", 5.0), ("/a.mp4", 0.0), ("/b.mp4", 0.0)]
    assert [(one.path, one.start_s) for one in both] == expected
    assert both[0].caption == "a red dog barks and barks"
    assert both[0].as_json()["caption"] == "a red dog barks and barks"
    assert "best_s" not in both[0].as_json()
    assert {one.cosine for one in both} == {one.cosine for one in by_vector}
    with pytest.raises(errors.ConfigError, match="searched for words; give a sentence"):
        find(told, None, by="both")


@pytest.mark.parametrize("by", ["vector", "caption", "both"])
def test_a_vector_without_a_direction_is_refused(told, by):
    with pytest.raises(errors.ConfigError, match=r"not zero; got shape .* and length 0"):
        query.find(told, asker(), 0 * AXIS, words="dog", by=by)


def test_probabilities_stay_those_of_the_vector(told):
    curves = {"image": "10 -6", "audio": "20 -2", "video": "10 -5"}
    everything = {"where": Filter(), "model": asker(**curves)}
    by_vector = {one.path: one.probability for one in find(told, **everything)}
    both = find(told, by="both", **everything)
    assert all(one.probability == by_vector[one.path] for one in both if one.path != "/a.mp4")
    assert paths(both)[0] in ("/s.wav", "/c.mp4")  # one list over modalities
    assert len({one.modality for one in both[:3]}) > 1
    grouped = find(told, by="both", where=Filter())
    kinds = [one.modality for one in grouped]
    assert kinds == sorted(kinds, key=kinds.index)
    assert {one.probability for one in grouped} == {None}


def test_filters_of_folders_hold_for_captions_too(told, monkeypatch):
    where = Filter(under="/a.mp4")
    assert [one.start_s for one in find(told, by="caption", where=where)] == [5.0]
    captions = told.captions()
    others = [caption(f"/none{i}.mp4", "a dog barks") for i in range(60)]
    captions.add(others, WHO)
    found = spoken.find(told, AXIS, "dog", 1, Filter(under="/p.png"))
    assert paths(found) == ["/p.png"]


def test_copies_share_a_caption_and_an_upgrade_keeps_it(told):
    copy = dataclasses.replace(axis_rows([0.7], "/c.mp4", "video")[0], path="/copy.mp4")
    told.add([copy])
    assert paths(find(told, by="caption"))[:2] == ["/c.mp4", "/copy.mp4"]
    before = find(told, by="both")
    new = Store.upgrade(told.uri, OTHER)
    new.add([dataclasses.replace(row, model=OTHER.digest) for row in rows_of(told)])
    new.make_current()
    model = asker()
    model.digest = OTHER.digest
    assert find(Store.open(told.uri), by="both", model=model) == before
    assert Store.open(told.uri).info()["captions"]["rows"] == 6


def rows_of(store):
    hashes = {one.sha256 for one in store.windows()}
    return store.of_contents(hashes, Filter())


def test_captions_of_another_captioner_are_not_mixed(told):
    captions = told.captions()
    assert captions.captioner == WHO
    captions.require(Captioner(WHO.key, "elsewhere"))
    with pytest.raises(errors.DataError, match=r"models/writer \(1{12}\), not of b .*--captions-a"):
        captions.require(Captioner("2" * 64, "b"))
    assert told.info()["captions"] == {"rows": 5, "captioner": "models/writer", "key": WHO.key}
    captions.remove(["hash of /a.mp4"])
    assert len(captions) == 3
    captions.clear()
    assert told.captions() is None


def test_vectors_do_not_know_of_captions(told, tmp_path):
    plain = Store.create(tmp_path / "plain", MAKER)
    plain.add(rows_of(told))
    query_vector = stores.unit(1, 7)[0]
    assert told.search(query_vector, 9) == plain.search(query_vector, 9)
    assert [one for one in told.check() if one.is_serious and "gone" not in one.what] == []
    assert database.tables(told.uri)[0].maker == MAKER
    assert captions_lib.NAME not in {table.name for table in database.tables(told.uri)}
    assert np.isfinite(query_vector).all()
