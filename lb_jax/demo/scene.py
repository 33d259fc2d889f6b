"""What an item of the demo corpus is: its attributes, its split, and the path its object takes.

Attributes are what the models are scored on; each is visible to one sensor (or to those that see the silhouette) and named in the
captions. Size, angle and position are nuisances: drawn without looking at any attribute except that the motion sets the direction.
"""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

FRAMES = 16
FRAME_RATE_HZ = 8
STILLS = tuple(
    int(t) for t in np.linspace(0, FRAMES - 1, 8)
)  # the frames that become files, as linspace truncates them

# A category makes exactly these two sounds and no other category makes them, so a sound tells the category (and nothing else).
SOURCES = {
    "clock": ("ticking", "alarm"),
    "car": ("engine", "horn"),
    "phone": ("ringing", "buzzing"),
    "plane": ("propeller", "jet"),
    "house": ("doorbell", "knocking"),
    "bird": ("chirping", "cawing"),
    "gate": ("creaking", "clanking"),
    "umbrella": ("rain", "flapping"),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # (x, y) with y downwards

VALUES = {
    "category": tuple(SOURCES),
    "colour": ("red", "yellow", "green", "turquoise", "blue", "pink"),
    "motion": tuple(DIRECTIONS),
    "distance": ("near", "middle", "far"),
    "temperature": ("cold", "warm", "hot"),
    "source": tuple(itertools.chain.from_iterable(SOURCES.values())),
}

TEST_EVERY = 5  # one item in five is held out
HELD_OUT_STEPS = (0, 2)  # category i is never shown in colours i and i + 2 (modulo 6) before the test

TRAVEL = (0.42, 0.60)  # way from the first to the last frame, as a fraction of the frame; never out of the picture


@dataclasses.dataclass(frozen=True)
class Attributes:
    """The facts of one item; every field but `split` is one of `VALUES`."""

    split: str
    category: str
    colour: str
    motion: str
    distance: str
    temperature: str
    source: str


def is_held_out(category: str, colour: str) -> bool:
    """Whether this pair is kept for test items: two colours of each category, in the manner of a Latin square."""
    step = VALUES["colour"].index(colour) - VALUES["category"].index(category)
    return step % len(VALUES["colour"]) in HELD_OUT_STEPS


def schedule(seed: int, items: int) -> list[Attributes]:
    """Returns the attributes of all items; a shorter schedule of the same seed is a prefix of a longer one.

    Within each split every attribute is balanced for any prefix (rounds of permutations, not independent draws) and the attributes
    are independent of each other, but for the held-out pairs and the two sources of a category.
    """
    streams = {"train": _stream("train", seed), "test": _stream("test", seed)}
    return [next(streams["test" if i % TEST_EVERY == TEST_EVERY - 1 else "train"]) for i in range(items)]


def draw_path(motion: str, extent: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Draws the path of an object that stays in the picture and moves at constant speed.

    Both axes draw a start and a travel by the same law; the axis of the motion walks it, the other one stops at a random moment of
    it. So a single frame drawn at random looks the same for all four motions, and reversing time turns each into its opposite.

    Args:
      motion: one of `VALUES["motion"]`.
      extent: width and height of the object's bounding box as fractions of the frame.
      rng: generator of this item's geometry.

    Returns:
      float64 [FRAMES, 2], x and y of the bounding box's centre as fractions of the frame.
    """
    direction = np.array(DIRECTIONS[motion])
    room = 1.0 - np.array(extent)
    travel = rng.uniform(TRAVEL[0], np.minimum(TRAVEL[1], room))
    start = np.array(extent) / 2 + rng.uniform(0.0, room - travel)
    stopped_at = rng.integers(FRAMES) / (FRAMES - 1)
    time = np.linspace(0.0, 1.0, FRAMES)[:, None]  # [FRAMES, 1]
    progress = np.where(direction > 0, time, np.where(direction < 0, 1.0 - time, stopped_at))
    return start + travel * progress  # [FRAMES, 2]


def _stream(split: str, seed: int) -> Iterator[Attributes]:
    rng = np.random.default_rng([seed, split == "test"])
    streams = {name: rounds(VALUES[name], rng) for name in ("category", "motion", "distance", "temperature")}
    sources = {category: rounds(pair, rng) for category, pair in SOURCES.items()}
    used = dict.fromkeys(VALUES["colour"], 0)
    while True:
        category, motion, distance, temperature = (next(stream) for stream in streams.values())
        allowed = [c for c in VALUES["colour"] if is_held_out(category, c) == (split == "test")]
        colour = min(
            allowed, key=lambda c: (used[c], rng.random())
        )  # the least used: 8 categories do not divide by 6 colours
        used[colour] += 1
        yield Attributes(split, category, colour, motion, distance, temperature, next(sources[category]))


def rounds(values: tuple[str, ...], rng: np.random.Generator) -> Iterator[str]:
    """Yields all values in a random order, then all in another, without end."""
    while True:
        yield from (values[i] for i in rng.permutation(len(values)))
