"""Samples of films: a stretch in sync at a drawn place, with what is said about then."""

import dataclasses
import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import sources
from lb_jax.feed import films
from lb_jax.media import specs
from tests.media import media_files

SPECS = {
    "video": dataclasses.replace(specs.preset("video", "mmv"), frames=4, size=16),
    "audio": dataclasses.replace(specs.preset("audio", "mmv"), mel_bins=8, target_frames=19),
}
CLIP_S = 0.4


def _ids(text):
    return np.array([len(text), ord(text[0])], np.int32), len(text) > 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Film "a" has sound and is narrated, "b" is silent and not narrated."""
    folder = tmp_path_factory.mktemp("films")
    (folder / "a.mp4").write_bytes(media_files.clip(10, sound=True))
    (folder / "b.mp4").write_bytes(media_files.clip(10))
    starts = [0, 0.25, 0.5, 0.75]
    said = {"start": starts, "end": [*starts[1:], 1], "text": ["1", "2", "3", "4 long"]}
    (folder.parent / "asr.json").write_text(json.dumps({"a": said}))
    return folder


def _loader(folder, *, said=True, seed=0, **options):
    source = sources.open_source(folder, narrations=folder.parent / "asr.json" if said else None)
    options = {"words": 2, "candidates": 3, "clip_s": CLIP_S} | options
    return films.Films([(source, 1.0)], SPECS, _ids, seed=seed, **options)


def _of(loader, corpus_row, seeds=8):
    return [loader.load(0, corpus_row, np.random.default_rng(seed)) for seed in range(seeds)]


def test_a_sample_is_a_stretch_with_its_candidates(folder):
    media, texts, _ = _of(_loader(folder), 0, 1)[0]
    assert {name: one.shape for name, one in media.items()} == {
        "video": (4, 16, 16, 3),
        "audio": (19, 8, 1),
        "present": (2,),
    }
    assert media["present"].all()
    assert texts["narration"].shape == (3, 2)
    assert texts["narration"].dtype == np.int32
    assert texts["narration_present"].all()


def test_the_place_is_drawn_and_the_candidates_go_with_it(folder):
    """Of a second with four texts: the nearest two are those about the drawn place."""
    loader, firsts = _loader(folder, candidates=2), set()
    for seed in range(12):
        start_s = np.random.default_rng(seed).random(2)[1] * (1.0 - CLIP_S)  # a file first
        _, texts, cut = loader.load(0, 0, np.random.default_rng(seed))
        middle = start_s + CLIP_S / 2
        order = np.argsort(np.abs(np.array([0.125, 0.375, 0.625, 0.875]) - middle))[:2]
        assert sorted(order + ord("1")) == texts["narration"][:, 1].tolist()
        assert cut == (3 in order)
        firsts.add(int(min(order)))
    assert len(firsts) > 1


def test_samples_repeat_with_the_seed(folder):
    loaders = [_loader(folder), _loader(folder), _loader(folder, seed=1)]
    first, again, other = ([one(number) for number in range(6)] for one in loaders)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.media["video"], two.media["video"])
        np.testing.assert_array_equal(one.text["narration"], two.text["narration"])
    same = [
        np.array_equal(x.media["video"], y.media["video"])
        for x, y in zip(first, other, strict=True)
    ]
    assert not all(same)


def test_a_film_without_sound_is_told_and_of_narrations_how_many_films_have_none(folder):
    with pytest.warns(errors.DataWarning, match=r"1 of 2 films without narration \(b.mp4\)"):
        loader = _loader(folder)
    found = [sample for sample in map(loader, range(4)) if not sample.media["present"].all()]
    assert found
    for sample in found:
        assert sample.media["present"].tolist() == [True, False]
        assert not sample.media["audio"].any()
        assert not sample.text["narration"].any()
        assert not sample.text["narration_present"].any()
        reasons = {one.reason for one in sample.remarks}
        assert reasons == {"is a film without a sound track; taken as an item without audio"}


def test_a_film_without_sound_is_one_line_where_it_is_needed(folder):
    bad = _loader(folder, needs=("audio",)).load(0, 1, np.random.default_rng(0))
    assert bad.path.endswith("b.mp4")
    assert bad.reason == (
        "is a film without a sound track; this training needs audio, leave the film out"
    )


def test_films_that_nobody_narrates_have_empty_candidates_without_a_word(folder):
    loader = _loader(folder, said=False)
    samples = [loader(number) for number in range(4)]
    assert not any(sample.text["narration_present"].any() for sample in samples)
    reasons = {one.reason for sample in samples for one in sample.remarks}
    assert not any("narration" in one for one in reasons)
    assert list(loader.texts()) == []
    assert sorted(_loader(folder).texts()) == ["1", "2", "3", "4 long"]


def test_a_narration_that_cannot_be_read_spoils_its_own_row(folder, tmp_path):
    (tmp_path / "a.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (tmp_path / "a.srt").write_text("1\n00:00:05,000 --> 00:00:04,000\nx\n")
    source = sources.open_source(tmp_path)
    loader = films.Films([(source, 1.0)], SPECS, _ids, words=2, seed=0, clip_s=CLIP_S)
    bad = loader.load(0, 0, np.random.default_rng(0))
    assert bad.path.endswith("a.srt: line 2")
    assert bad.reason.startswith("ends at 4 s, before it begins at 5 s")


def _spread(specs_):
    return specs_ | {"video": dataclasses.replace(specs_["video"], choice="spread")}


def test_a_film_as_long_as_a_stretch_is_decoded_once(folder, monkeypatch):
    monkeypatch.setitem(globals(), "SPECS", _spread(SPECS))
    loader, decoded = _loader(folder, clip_s=2.0, cache=True), []
    decode = films.media_items.decode
    monkeypatch.setattr(
        films.media_items, "decode", lambda *one, **how: decoded.append(1) or decode(*one, **how)
    )
    found = _of(loader, 0, 3)
    assert len(decoded) == 1
    plain = _of(_loader(folder, clip_s=2.0), 0, 3)
    for (media, _, _), (expected, _, _) in zip(found, plain, strict=True):
        for name, array in expected.items():
            np.testing.assert_array_equal(media[name], array)


def test_a_longer_film_is_not_kept(folder, monkeypatch):
    monkeypatch.setitem(globals(), "SPECS", _spread(SPECS))
    with pytest.raises(errors.ConfigError, match=r"a.mp4.* lasts 1 s, of which each sample has o"):
        _loader(folder, cache=True).load(0, 0, np.random.default_rng(0))
