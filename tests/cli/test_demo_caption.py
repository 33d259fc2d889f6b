"""`lb-jax demo caption` with the captioner of the package in place of the one it trains."""

import dataclasses
import json

import pytest

import lb_jax
from lb_jax.cli import demo_caption
from lb_jax.core import checkpoint, shipped
from lb_jax.demo import card, films
from lb_jax.text import wordpiece
from lb_jax.training import families

ITEMS = 60


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run, what was asked of training, and the metrics."""
    out, asked = tmp_path_factory.mktemp("caption"), []

    def train(arguments):
        asked.append(arguments)
        checkpoint.copy(shipped.unpacked(shipped.CAPTIONER), out / "run" / "checkpoint")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_caption.train, "main", train)
        return out, asked, demo_caption.run(out, seed=77, items=ITEMS)


def test_training_gets_the_films_and_the_seed(ran):
    out, (arguments,), _ = ran
    assert f"--config.data.sources.main.path={out}/films/train.csv" in arguments
    assert "--config.seed=77" in arguments
    assert json.loads((out / "films" / "corpus.json").read_text())["seed"] == 77


def test_the_run_is_of_the_vocabulary_of_the_films_and_the_tower_of_the_demo(ran):
    cfg, _ = demo_caption.train.parse(ran[1][0])
    shape, preprocess = families.of(cfg).build(cfg)
    assert shape.text.vocab == len(films.vocabulary())
    tower = lb_jax.load(shipped.DEMO).config.towers["video"]
    assert shape.video == dataclasses.replace(tower, embed_dim=0, lora=None)
    assert preprocess["video"].frames == tower.frames
    longest = max(len(one.caption.split()) for one in films.schedule(0, 2000))
    assert cfg.text_length == longest + wordpiece.SPECIAL_TOKENS


def test_the_captioner_of_the_package_writes_what_is_so_of_films_it_has_not_seen(ran):
    words = ran[2]["words"]
    assert words["tva"][demo_caption.ALL] >= 0.9
    assert words["tv"]["colour"] >= 0.9
    assert words["ta"]["source"] >= 0.9


def test_who_cannot_know_guesses(ran):
    words = ran[2]["words"]
    assert words["tv"]["source"] <= 0.3  # of 12 films
    assert words["ta"]["colour"] <= 0.5


def test_it_answers_questions(ran):
    assert set(ran[2]["answers"]) == {asked[0] for asked in films.QUESTIONS.values()}
    assert min(ran[2]["answers"].values()) >= 0.75


def test_every_held_out_film_has_its_captions(ran):
    rows = [json.loads(line) for line in (ran[0] / "captions.jsonl").read_text().splitlines()]
    assert len(rows) == ITEMS // 5
    for row in rows:
        assert list(row) == ["id", "right", "tva", "tv", "ta"]
        assert list(films.named(row["right"]).values()).count("") == 0


def test_the_checkpoint_stands_apart_with_its_card(ran):
    folder = ran[0] / "checkpoint"
    assert (folder / checkpoint.CARD).read_text() == card.of_captioner()
    assert (folder / checkpoint.VOCABULARY).is_file()
    assert "lb-jax demo caption" in (ran[0] / "report.html").read_text()
    assert json.loads((ran[0] / "metrics.json").read_text())["words"] == ran[2]["words"]


def test_shares_are_a_table():
    words = {"tva": {"colour": 0.5, "all words": 0.25}}
    assert demo_caption.table(words).split() == (
        ["right", "words,", "%", "colour", "all", "words", "tva", "50.0", "25.0"]
    )
