"""Films with sound, for a model that sees, hears and writes: the captioner's corpus.

What is seen and what is heard know nothing of each other: any object goes with any sound. So who
only sees can but guess the sound, and who only hears the colour. A caption names four things, each
by one word that no other thing has.

films/{id}.mp4         H.264, 16 frames at 8 Hz, and AAC, mono, 16 kHz, 2 s
train.csv, test.csv    a table video,caption,question,answer of each split
vocab.txt              WordPiece vocabulary of all that is said and asked
attributes.json        facts, for scoring only
corpus.json            kind, seed, items, version; written last
"""

import csv
import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lb_jax.demo import film as film_lib
from lb_jax.demo import folder, scene
from lb_jax.text import wordpiece

VERSION = 1  # raise it whenever the same seed gives other bytes
FOLDER = "films"
SPLITS = ("train", "test")
COLUMNS = ("video", "caption", "question", "answer")

# Kind of word -> value -> how a caption says it; the last word is the one that counts.
WORDS: Mapping[str, Mapping[str, str]] = {
    **{kind: {one: one for one in scene.VALUES[kind]} for kind in ("category", "colour", "motion")},
    "source": {one: one for one in scene.VALUES["source"]}
    | {one: f"a {one}" for one in ("horn", "siren", "propeller", "jet", "doorbell")}
    | {one: f"an {one}" for one in ("alarm", "engine")},
}
QUESTIONS = {
    "category": ("what is it", "what moves"),
    "colour": ("what colour is it", "which colour does it have"),
    "motion": ("which way does it move", "where does it go"),
    "source": ("what do we hear", "what sounds"),
}


@dataclasses.dataclass(frozen=True)
class Film(film_lib.Film):
    """The facts of a film, and what is said of it."""

    @property
    def words(self) -> dict[str, str]:
        """Kind of word -> the one that is right."""
        return {kind: said[getattr(self, kind)].split()[-1] for kind, said in WORDS.items()}

    @property
    def caption(self) -> str:
        """What is seen and heard."""
        said = {kind: values[getattr(self, kind)] for kind, values in WORDS.items()}
        return "a {colour} {category} moves {motion} and we hear {source}".format(**said)


def named(caption: str) -> dict[str, str]:
    """Kind -> the words of that kind that a text has; in order, with spaces between several."""
    said = caption.split()
    return {kind: " ".join(one for one in said if one in words) for kind, words in _known().items()}


def schedule(seed: int, items: int) -> list[Film]:
    """The facts of all films; a shorter schedule of the same seed is a prefix of a longer one.

    As `scene.schedule`, but for the sound, which is drawn without a look at the object. Films of
    the test show objects in combinations of colour and motion that training does not have.
    """
    rng = {split: np.random.default_rng([seed, place, 1]) for place, split in enumerate(SPLITS)}
    sounds = {split: scene.rounds(scene.VALUES["source"], one) for split, one in rng.items()}
    return [
        Film(one.split, one.category, one.colour, one.motion, next(sounds[one.split]))
        for one in scene.schedule(seed, items)
    ]


def write_item(out: Path, seed: int, index: int, film: Film) -> tuple[str, Film, dict[str, str]]:
    """Writes one film; depends on nothing but its arguments.

    Returns:
      Its id, its facts, and its row of the table.
    """
    rng, name = film_lib.generators(seed, index), f"film{index:06d}"
    file = f"{FOLDER}/{name}.mp4"
    film_lib.write(out / file, film, rng)
    kind = tuple(WORDS)[rng["words"].integers(len(WORDS))]
    question = QUESTIONS[kind][rng["words"].integers(len(QUESTIONS[kind]))]
    cells = (file, film.caption, question, film.words[kind])
    return name, film, dict(zip(COLUMNS, cells, strict=True))


def vocabulary() -> list[str]:
    """The pieces that captions, questions and answers are made of, the same for every corpus."""
    said = itertools.chain.from_iterable(values.values() for values in WORDS.values())
    asked = itertools.chain.from_iterable(QUESTIONS.values())
    films = schedule(0, 1)
    return wordpiece.vocabulary_of([*(one.caption for one in films), *said, *asked])


@functools.cache
def _known() -> dict[str, set[str]]:
    """Kind -> its words."""
    return {kind: {said.split()[-1] for said in values.values()} for kind, values in WORDS.items()}


def _finish(out: Path, items: Sequence[tuple[str, Film, dict[str, str]]]) -> None:
    for split in SPLITS:
        with (out / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(row for _, film, row in items if film.split == split)
    wordpiece.WordPiece(vocabulary()).write(out)
    folder.write_json(
        out / "attributes.json", {name: dataclasses.asdict(film) for name, film, _ in items}
    )


FILMS = folder.Corpus(
    {"version": VERSION, "kind": "films"}, (FOLDER,), schedule, write_item, _finish
)
