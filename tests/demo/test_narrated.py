"""Films whose sound follows what they show: what goes with what, and what is said."""

import collections
import json

import numpy as np
import pytest

from lb_jax.corpora import films as films_lib
from lb_jax.corpora import narrations
from lb_jax.demo import folder, narrated, scene
from lb_jax.media import items
from lb_jax.text.words import Words

ITEMS = 40
PLAN = narrated.schedule(0, 4000)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("narrated")
    folder.write(narrated.NARRATED, out, seed=5, items=ITEMS, workers=1)
    return out


def test_a_shorter_schedule_is_a_prefix():
    assert narrated.schedule(0, 30) == PLAN[:30]


def test_category_and_colour_tell_the_sound():
    heard = collections.defaultdict(set)
    for one in PLAN:
        heard[one.category, one.colour].add(one.source)
    assert all(len(sources) == 1 for sources in heard.values())
    assert {source for sources in heard.values() for source in sources} == {*scene.VALUES["source"]}


def test_every_second_film_for_training_is_narrated():
    trained = [one.narrated for one in PLAN if one.split == "train"]
    assert sum(trained) == len(trained) / 2
    assert not any(one.narrated for one in PLAN if one.split == "test")


@pytest.mark.parametrize(
    ("motion", "is_louder", "is_higher"),
    [("left", -1, 0), ("right", 1, 0), ("up", 0, 1), ("down", 0, -1)],
)
def test_sound_follows_the_motion(motion, is_louder, is_higher):
    rng = np.random.default_rng(0)
    path = scene.draw_path(motion, (0.3, 0.3), rng)
    tone = np.round(10_000 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000))
    found = narrated.heard(tone.astype(np.int16), path).astype(float)
    halves = np.split(found, 2)
    level = [np.log(np.square(half).mean()) for half in halves]
    pitch = [np.mean(np.diff(np.sign(half)) != 0) for half in halves]
    assert np.sign(np.round(level[1] - level[0], 1)) == is_louder
    assert np.sign(np.round(pitch[1] / pitch[0] - 1, 2)) == is_higher


@pytest.mark.filterwarnings("ignore:.*has no narration")
def test_narrations_lie_beside_films_and_are_known_words(corpus):
    facts = json.loads((corpus / "attributes.json").read_text())
    known = Words.read(corpus)
    assert known.vocabulary == narrated.vocabulary().vocabulary
    source = films_lib.Films(corpus / "train")
    assert len(source) == ITEMS * 4 // 5
    for number in range(len(source)):
        row = source[number]
        film = narrated.Film(**facts[row.id.removesuffix(".mp4")])
        said = narrations.read(row)
        assert bool(len(said or ())) == film.narrated
        for text in () if said is None else said.texts:
            assert known.unknown not in known.encode(text)[0]
    for one in PLAN[:100]:
        assert known.unknown not in known.encode(one.query)[0]


def test_a_film_has_pictures_and_sound(corpus):
    path = next((corpus / "test").glob("*.mp4"))
    assert [*items.of_file(path)] == ["video", "audio"]


def test_two_workers_write_the_same_bytes_as_one(corpus, tmp_path):
    folder.write(narrated.NARRATED, tmp_path, seed=5, items=ITEMS, workers=2)
    for path in corpus.rglob("*"):
        if path.is_file():
            assert (tmp_path / path.relative_to(corpus)).read_bytes() == path.read_bytes()
