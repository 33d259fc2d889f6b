"""Films whose sound follows what they show, for a model that learns from films alone.

What a thing sounds like tells its category and which pair of colours it has one of; as it moves to
the right its sound grows louder, as it moves to the top higher. So who sees and hears such films
finds category, colour and motion in both, without a word about them. Half of the films are
also talked about, as people do: not always about what is there, nor when it is there.

train/{id}.mp4, test/    H.264, 16 frames at 8 Hz, and AAC, mono, 16 kHz, 2 s
train/{id}.vtt           subtitles of half of the films, beside them
words.txt                the words that are said
attributes.json          facts, for scoring only
corpus.json              kind, seed, items, version; written last
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lb_jax.demo import film as film_lib
from lb_jax.demo import folder, scene, sound, words
from lb_jax.text.words import Words

VERSION = 1  # raise it whenever the same seed gives other bytes
SPLITS = ("train", "test")

LOUDER_DB = 40.0  # for a way from the left edge to the right one
HIGHER = 1.3  # octaves, for one from the bottom edge to the top one

# What is said about a film, and what is said in any; a film has one of the first two and of both.
SEEN = ("look at the {colour} {category}", "there goes the {colour} {category}")
MOVING = ("the {category} is moving {motion}", "it is going {motion} now")
SMALL_TALK = (
    "welcome back to the channel",
    "thanks for watching and see you soon",
    "let me know what you think below",
)


@dataclasses.dataclass(frozen=True)
class Film(film_lib.Film):
    """The facts of a film, and whether it is talked about."""

    narrated: bool

    @property
    def query(self) -> str:
        """What somebody types who looks for it."""
        motion = words.WORDS["motion"][self.motion][0]
        return f"{self.colour} {self.category} moving {motion}"


def schedule(seed: int, items: int) -> list[Film]:
    """The facts of all films; a shorter schedule of the same seed is a prefix of a longer one.

    As `scene.schedule`, but that a category makes its three sounds in colours of its own each.
    Every second film for training is narrated.
    """
    turns = itertools.count()
    return [
        Film(
            one.split,
            one.category,
            one.colour,
            one.motion,
            scene.SOURCES[one.category][scene.VALUES["colour"].index(one.colour) // 2],
            one.split == "train" and next(turns) % 2 == 0,
        )
        for one in scene.schedule(seed, items)
    ]


def heard(samples: np.ndarray, path: np.ndarray) -> np.ndarray:
    """A sound as its object moves: louder to the right, higher to the top.

    Args:
      samples: int16 [n], as it is where the object is furthest to the right and to the top.
      path: float [frames, 2], the object's place, as `scene.draw_path` gives it.

    Returns:
      int16 [n].
    """
    when = np.linspace(0, len(path) - 1, len(samples))
    right, down = (np.interp(when, np.arange(len(path)), side) for side in path.T)
    speed = 2 ** (HIGHER * (down.min() - down))  # at most 1, so the sound lasts
    at = np.cumsum(speed) - speed[0]
    played = np.interp(at, np.arange(len(samples)), samples.astype(np.float64))
    gain = 10 ** (LOUDER_DB * (right - right.max()) / 20)
    return np.round(played * gain).astype(np.int16)


def narration(film: Film, rng: np.random.Generator) -> list[tuple[float, float, str]]:
    """What is said in a film: (start, end, text) in seconds, in order."""
    said = {
        name: words.WORDS[name][getattr(film, name)][rng.integers(2)]
        for name in ("category", "colour", "motion")
    }
    lines = [one[rng.integers(len(one))] for one in (SEEN, MOVING, SMALL_TALK)]
    order = rng.permutation(len(lines))
    third = sound.SECONDS / len(lines)
    return [
        (round(n * third, 3), round((n + 1) * third, 3), lines[line].format(**said))
        for n, line in enumerate(order)
    ]


def write_item(out: Path, seed: int, index: int, film: Film) -> tuple[str, Film]:
    """Writes one film; depends on nothing but its arguments.

    Returns:
      Its id and its facts.
    """
    rng, name = film_lib.generators(seed, index), f"film{index:06d}"
    place = out / film.split / f"{name}.mp4"
    film_lib.write(place, film, rng, heard)
    if film.narrated:
        cues = (
            f"00:00:{start:06.3f} --> 00:00:{end:06.3f}\n{text}\n"
            for start, end, text in narration(film, rng["words"])
        )
        place.with_suffix(".vtt").write_text("\n".join(("WEBVTT\n", *cues)), encoding="utf-8")
    return name, film


def vocabulary() -> Words:
    """The words of every narration, the same for every corpus."""
    return Words.build(_sayings())


def _sayings() -> Iterator[str]:
    said = {name: words.WORDS[name].values() for name in ("category", "colour", "motion")}
    for line in (*SEEN, *MOVING, *SMALL_TALK):
        yield line.format_map(dict.fromkeys(said, ""))
    yield from itertools.chain.from_iterable(itertools.chain(*said.values()))


def _finish(out: Path, items: Sequence[tuple[str, Film]]) -> None:
    vocabulary().write(out)
    folder.write_json(
        out / "attributes.json", {name: dataclasses.asdict(film) for name, film in items}
    )


NARRATED = folder.Corpus(
    {"version": VERSION, "kind": "narrated"}, SPLITS, schedule, write_item, _finish
)
