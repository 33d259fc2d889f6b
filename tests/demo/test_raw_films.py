"""Raw films: as many faults of each kind, each as its name says, and how they are scored."""

import collections
import json

import numpy as np
import pytest

from lb_jax.demo import faults, folder, raw_films, scene, words
from lb_jax.media import audio, samples, specs, tracks, video

ITEMS = 40
PLAN = raw_films.schedule(0, 500)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("raw")
    folder.write(raw_films.RAW_FILMS, out, seed=5, items=ITEMS, workers=1)
    return out


def read(corpus, name):
    return json.loads((corpus / f"{name}.json").read_text(encoding="utf-8"))


def of_fault(corpus, fault):
    """Key of the film with a fault, and its film."""
    (key,) = (key for key, one in read(corpus, "faults").items() if one == fault)
    return key, corpus / read(corpus, "raw")[key]["file"]


def test_one_in_five_has_a_fault_and_each_is_as_frequent():
    counts = collections.Counter(one.fault for one in PLAN)
    assert counts.pop("") == 400
    assert set(counts) == set(raw_films.FAULTS)
    assert set(counts.values()) == {12, 13}


def test_what_a_fault_is_made_with_has_none():
    for number, one in enumerate(PLAN):
        if one.fault == "copied":
            assert one.number < number
            assert PLAN[one.number].fault == ""
        elif raw_films.FAULTS.get(one.fault, raw_films.Fault("")).needs:
            assert PLAN[one.other].fault == ""
            assert one.of_other.category != one.film.category
            assert one.of_other.colour != one.film.colour


def test_another_seed_is_another_corpus():
    other = raw_films.schedule(1, 500)
    assert [one.fault for one in other] != [one.fault for one in PLAN]
    assert [one.film for one in other] != [one.film for one in PLAN]


def test_films_are_of_combinations_that_the_demo_trains_on():
    assert not any(
        scene.is_held_out(one.film.category, one.film.colour, one.film.motion) for one in PLAN
    )


def test_same_seed_same_bytes_with_any_number_of_processes(corpus, tmp_path):
    folder.write(raw_films.RAW_FILMS, tmp_path / "again", seed=5, items=ITEMS, workers=2)
    for path in sorted(corpus.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(corpus)).read_bytes()


def test_all_items_have_title_file_licence_and_source(corpus):
    raw = read(corpus, "raw")
    assert len(raw) == ITEMS
    for fields in raw.values():
        assert set(fields) == {"title", "file", "licence", "source"}
        assert (corpus / fields["file"]).is_file()


def test_a_good_title_says_what_is_seen(corpus):
    facts, wrong = read(corpus, "attributes"), read(corpus, "faults")
    for key, fields in read(corpus, "raw").items():
        says = [
            any(wording in fields["title"] for wording in words.WORDS[name][facts[key][name]])
            for name in ("category", "colour", "motion", "source")
        ]
        if wrong.get(key) not in ("wrong_language", "other_caption"):
            assert all(says), (fields["title"], facts[key])
    key, _ = of_fault(corpus, "other_caption")
    title = read(corpus, "raw")[key]["title"]
    assert not any(one in title for one in words.WORDS["category"][facts[key]["category"]])


def test_faults_are_what_they_are_called(corpus):
    spec, sound = specs.VideoSpec(frames=8), specs.AudioSpec(sample_rate_hz=None)
    _, black = of_fault(corpus, "black")
    assert video.decode(str(black), spec).max() < 12
    _, silent = of_fault(corpus, "silent")
    assert np.abs(samples.read(str(silent), sound)[0]).max() < 1e-3
    _, too_long = of_fault(corpus, "too_long")
    assert 24 <= tracks.duration_s(str(too_long), "video") <= 32
    _, cut = of_fault(corpus, "cut")
    shown = video.decode(str(cut), specs.VideoSpec(frames=16)).astype(int)
    steps = np.abs(np.diff(shown, axis=0)).mean(axis=(1, 2, 3))
    assert 5 <= steps.argmax() <= 9
    _, written = of_fault(corpus, "text_overlay")
    assert (video.decode(str(written), spec)[0] > 200).all(axis=-1).mean() > 0.004


def test_a_copy_looks_like_what_it_is_of_and_is_another_file(corpus):
    key, path = of_fault(corpus, "copied")
    number = raw_films.schedule(5, ITEMS)[int(key[4:])].number
    original = corpus / "films" / f"clip{number:06}.mp4"
    assert path.read_bytes() != original.read_bytes()
    shown, first = (
        video.decode(str(one), specs.VideoSpec(frames=8)).astype(int) for one in (path, original)
    )
    assert np.abs(shown - first).mean() < 4


def test_films_have_sound(corpus):
    fields = next(iter(read(corpus, "raw").values()))
    assert audio.decode(str(corpus / fields["file"]), specs.AudioSpec()).size


def test_score():
    told = {"a": "black", "b": "silent", "c": "copied", "d": "black"}
    by = {"a": "black", "b": "duration", "c": "", "d": "black", "e": "", "f": "still", "g": ""}
    found = faults.score(by, told)
    assert found["faults"]["black"] == {
        "stage": "black",
        "films": 2,
        "right": 2,
        "by_another": {},
        "missed": [],
    }
    assert found["faults"]["silent"]["by_another"] == {"duration": 1}
    assert found["faults"]["copied"]["missed"] == ["c"]
    assert (found["found"], found["good"], found["refused"]) == (0.5, 3, 1 / 3)
    assert found["by"] == {"still": 1}
    assert faults.lines(found)[-1].startswith("found by the stage that should: 50.0%")
