"""Films with sound: what they show, what they sound, and what is said of them."""

import collections
import csv
import json

import av
import pytest

from lb_jax.demo import films, folder, scene
from lb_jax.media import items
from lb_jax.text import wordpiece

ITEMS = 40
PLAN = films.schedule(0, 4000)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("films")
    folder.write(films.FILMS, out, seed=5, items=ITEMS, workers=1)
    return out


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_shorter_schedule_is_a_prefix():
    assert films.schedule(0, 30) == PLAN[:30]


def test_sound_and_object_know_nothing_of_each_other():
    pairs = collections.Counter((one.category, one.source) for one in PLAN)
    expected = len(PLAN) / (8 * 24)
    square = sum((count - expected) ** 2 / expected for count in pairs.values())
    assert len(pairs) == 8 * 24
    assert square < 7 * 23 * 1.3  # chi square, of as many degrees of freedom


def test_training_has_no_combination_of_the_test():
    looks = {
        split: {(one.category, one.colour, one.motion) for one in PLAN if one.split == split}
        for split in films.SPLITS
    }
    assert not looks["train"] & looks["test"]
    assert looks["test"] == {
        (category, colour, motion)
        for category in scene.VALUES["category"]
        for colour in scene.VALUES["colour"]
        for motion in scene.VALUES["motion"]
        if scene.is_held_out(category, colour, motion)
    }


def test_a_caption_names_each_kind_by_one_word():
    words = [word for one in films.WORDS.values() for said in one.values() for word in said.split()]
    assert len({*words} - {"a", "an"}) == 8 + 6 + 4 + 24
    for film in PLAN[:200]:
        assert films.named(film.caption) == film.words


def test_what_a_text_leaves_out_or_says_twice_is_told():
    found = films.named("a red car and a blue car moves left")
    assert found == {"category": "car car", "colour": "red blue", "motion": "left", "source": ""}


def test_the_vocabulary_spells_no_word(corpus):
    tokens = wordpiece.WordPiece.read(corpus)
    assert list(tokens.vocabulary) == films.vocabulary()
    asked = [one for pair in films.QUESTIONS.values() for one in pair]
    for text in [*{one.caption for one in PLAN}, *asked]:
        assert tokens.lengths([text], "bare") == [len(text.split())]


def test_tables_have_every_film_with_its_sound(corpus):
    facts = json.loads((corpus / "attributes.json").read_text())
    table = {split: rows(corpus / f"{split}.csv") for split in films.SPLITS}
    assert [len(table[split]) for split in films.SPLITS] == [ITEMS * 4 // 5, ITEMS // 5]
    for split, found in table.items():
        for row in found:
            film = films.Film(**facts[row["video"][len("films/") : -len(".mp4")]])
            assert (film.split, film.caption) == (split, row["caption"])
            kind = next(kind for kind, asked in films.QUESTIONS.items() if row["question"] in asked)
            assert row["answer"] == film.words[kind]
    assert len({row["question"] for row in table["train"]}) == 8


def test_a_film_is_pictures_and_a_track(corpus):
    path = corpus / rows(corpus / "test.csv")[0]["video"]
    assert [*items.of_file(path)] == ["video", "audio"]
    with av.open(str(path)) as opened:
        pictures, track = opened.streams.video[0], opened.streams.audio[0]
        assert (pictures.codec_context.name, pictures.average_rate) == ("h264", 8)
        assert (track.codec_context.name, track.rate, track.codec_context.channels) == (
            *("aac", 16_000),
            1,
        )
        assert opened.duration / av.time_base == pytest.approx(2, abs=0.1)


def test_two_workers_write_the_same_bytes_as_one(corpus, tmp_path):
    folder.write(films.FILMS, tmp_path, seed=5, items=ITEMS, workers=2)
    for path in corpus.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(corpus)).read_bytes() == path.read_bytes()
