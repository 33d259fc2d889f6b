"""Raw films with titles, as a collection brings them: one in five has a fault.

films/{key}.mp4    H.264, 192 px, 16 frames at 8 Hz, and AAC, mono, 16 kHz, 2 s
raw.json           key -> title, file, licence, source; in the order of collection
faults.json        key -> fault, for scoring only: `FAULTS`
attributes.json    facts of what is seen and heard, for scoring only
corpus.json        kind, seed, items, version; written last

Pictures are those of the demo's scenes, enlarged, so that writing over them can be read and the
demo's model still knows them.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from lb_jax.demo import film as film_lib
from lb_jax.demo import folder, media, scene, silhouettes, sound, words

VERSION = 1  # raise it whenever the same seed gives other bytes
FOLDER = "films"
ENLARGED = 4
SIDE = silhouettes.SIDE * ENLARGED
FAULTY = 5  # one film in so many has a fault
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0")
SOURCE = "lb-jax demo"
LONG_TURNS = (12, 16)  # times that a film goes to and fro which is too long
WHERE = (0.1, 0.9)  # of the height, where writing stands
_OWN = 21  # of the draws of this corpus, beside seed and number

# What a title says of a film; tags follow, as of clips that are shared.
TITLES = (
    "{look} is moving {motion}, {source}",
    "{look} moves {motion}, {source}",
    "we see {look} that is going {motion}, {source}",
    "there is {look} going {motion}, {source}",
)
TAGS = ("#shorts", "#{tag}", "#shorts #{tag}", "#{tag} #video")


@dataclasses.dataclass(frozen=True)
class Foreign:
    """How another language says what is seen; words in the order of `scene.VALUES`."""

    sentence: str
    category: tuple[str, ...]
    colour: tuple[str, ...]
    motion: tuple[str, ...]


FOREIGN = {
    "de": Foreign(
        "hier sieht man, wie {category} in {colour} Farbe sich {motion} bewegt",
        (
            *("eine Uhr", "ein Auto", "ein Telefon", "ein Flugzeug", "ein Haus", "ein Vogel"),
            *("ein Gartentor", "eine Fahne"),
        ),
        ("roter", "gelber", "grüner", "türkiser", "blauer", "rosa"),
        ("nach links", "nach rechts", "nach oben", "nach unten"),
    ),
    "fr": Foreign(
        "on voit ici {category} de couleur {colour} qui se déplace {motion}",
        (
            *("une horloge", "une voiture", "un téléphone", "un avion", "une maison", "un oiseau"),
            *("un portail", "un drapeau"),
        ),
        ("rouge", "jaune", "verte", "turquoise", "bleue", "rose"),
        ("vers la gauche", "vers la droite", "vers le haut", "vers le bas"),
    ),
    "es": Foreign(
        "aquí se ve {category} de color {colour} que se mueve {motion}",
        (
            *("un reloj", "un coche", "un teléfono", "un avión", "una casa", "un pájaro"),
            *("una puerta", "una bandera"),
        ),
        ("rojo", "amarillo", "verde", "turquesa", "azul", "rosa"),
        ("hacia la izquierda", "hacia la derecha", "hacia arriba", "hacia abajo"),
    ),
    "it": Foreign(
        "qui si vede {category} di colore {colour} che si muove {motion}",
        (
            *("un orologio", "una macchina", "un telefono", "un aereo", "una casa", "un uccello"),
            *("un cancello", "una bandiera"),
        ),
        ("rosso", "giallo", "verde", "turchese", "blu", "rosa"),
        ("verso sinistra", "verso destra", "verso l'alto", "verso il basso"),
    ),
    "nl": Foreign(
        "hier zie je hoe {category} in de kleur {colour} zich {motion} beweegt",
        (
            *("een klok", "een auto", "een telefoon", "een vliegtuig", "een huis", "een vogel"),
            *("een hek", "een vlag"),
        ),
        ("rood", "geel", "groen", "turkoois", "blauw", "roze"),
        ("naar links", "naar rechts", "naar boven", "naar beneden"),
    ),
}
WRITINGS = (
    "SUBSCRIBE NOW",
    "LIKE AND SHARE",
    "FOLLOW FOR MORE",
    "LINK IN PROFILE",
    "PART TWO SOON",
    "WATCH TILL END",
)


COPY_CRF = "26"  # a copy is encoded anew, as hosts of films do


@dataclasses.dataclass(frozen=True)
class Raw:
    """The facts of a raw film.

    Attributes:
      film: what is seen and heard; of a copy, what its original shows.
      number: of the film that is drawn: its own, or that of its original.
      fault: a row of `FAULTS`; empty for none.
      other: number of the film whose title it has, or that its second half is of; -1 for none.
      of_other: what that one shows.
    """

    film: film_lib.Film
    number: int
    fault: str = ""
    other: int = -1
    of_other: film_lib.Film | None = None


@dataclasses.dataclass(frozen=True)
class Fault:
    """What may be wrong with a raw film.

    Attributes:
      stage: that should find it.
      needs: how another film is chosen that it is made with: "" for none, "before" one that came
        before, "unlike" one of another category and colour.
    """

    stage: str
    needs: str = ""


FAULTS = {
    "copied": Fault("copies", "before"),
    "black": Fault("black"),
    "silent": Fault("silence"),
    "too_long": Fault("duration"),
    "cut": Fault("cuts", "unlike"),
    "wrong_language": Fault("language"),
    "text_overlay": Fault("overlay"),
    "other_caption": Fault("agreement", "unlike"),
}


def schedule(seed: int, items: int) -> list[Raw]:
    """The facts of all films, of combinations that the demo trains on.

    Faults are equally frequent, and lie anywhere; what a film with a fault is made with is one
    without. The caption of another film is of another category and colour, or it might be right.
    """
    rng = np.random.default_rng([seed, _OWN])
    many = scene.schedule(seed, scene.TEST_EVERY * (items // (scene.TEST_EVERY - 1) + 1))
    films = [
        film_lib.Film(one.split, one.category, one.colour, one.motion, one.source)
        for one in many
        if one.split == "train"
    ][:items]
    count = items // FAULTY
    places = np.sort(rng.choice(np.arange(items // 10, items), count, replace=False)).tolist()
    kinds = rng.permutation(list(itertools.islice(itertools.cycle(FAULTS), count))).tolist()
    faults = dict(zip(places, kinds, strict=True))
    good = [number for number in range(items) if number not in faults]
    found = []
    for number, film in enumerate(films):
        fault = faults.get(number, "")
        if not fault or not FAULTS[fault].needs:
            found.append(Raw(film, number, fault))
            continue
        needs = FAULTS[fault].needs
        other = int(rng.choice([one for one in good if _NEEDS[needs](films, number, one)]))
        if needs == "before":
            found.append(Raw(films[other], other, fault))
        else:
            found.append(Raw(film, number, fault, other, films[other]))
    return found


_NEEDS: Mapping[str, Callable[[Sequence[film_lib.Film], int, int], bool]] = {
    "before": lambda films, number, other: other < number,
    "unlike": lambda films, number, other: (
        films[number].category != films[other].category
        and films[number].colour != films[other].colour
    ),
}


def title(film: film_lib.Film, rng: np.random.Generator) -> str:
    """What somebody calls a film who shares it."""
    said = {
        name: wordings[rng.integers(len(wordings))]
        for name in ("category", "colour", "motion", "source")
        for wordings in [words.WORDS[name][getattr(film, name)]]
    }
    look = f"{said['colour']} {said['category']}"
    said["look"] = f"{'an' if look[0] in 'aeiou' else 'a'} {look}"
    tag = TAGS[rng.integers(len(TAGS))].format(tag=film.category)
    return f"{TITLES[rng.integers(len(TITLES))].format(**said)} {tag}"


def foreign(film: film_lib.Film, rng: np.random.Generator) -> str:
    """A title in another language."""
    of = FOREIGN[list(FOREIGN)[rng.integers(len(FOREIGN))]]
    said = {
        name: getattr(of, name)[scene.VALUES[name].index(getattr(film, name))]
        for name in ("category", "colour", "motion")
    }
    return of.sentence.format(**said) + " #shorts"


def write_item(out: Path, seed: int, index: int, raw: Raw) -> tuple[str, dict, str, dict]:
    """Writes one film; depends on nothing but its arguments.

    Returns:
      Its key, its entry of `raw.json`, its fault and its facts.
    """
    name, rng = f"clip{index:06d}", np.random.default_rng([seed, index, _OWN])
    file = f"{FOLDER}/{name}.mp4"
    frames, samples = _draw(seed, raw.number, raw.film)
    if raw.fault in _CHANGES:
        frames, samples = _CHANGES[raw.fault](frames, samples, seed, raw, rng)
    quality = {"crf": COPY_CRF} if raw.fault == "copied" else {}
    rates = {"rate_hz": scene.FRAME_RATE_HZ, "sound_hz": sound.SAMPLE_RATE_HZ}
    media.write_film(out / file, frames, samples, **rates, **quality)
    said = raw.of_other if raw.fault == "other_caption" and raw.of_other else raw.film
    entry = {
        "title": foreign(said, rng) if raw.fault == "wrong_language" else title(said, rng),
        "file": file,
        "licence": LICENCES[rng.integers(len(LICENCES))],
        "source": SOURCE,
    }
    return name, entry, raw.fault, dataclasses.asdict(raw.film)


def _draw(seed: int, number: int, film: film_lib.Film) -> tuple[np.ndarray, np.ndarray]:
    """A film without fault: uint8 [16, SIDE, SIDE, 3], int16 [n]."""
    # Other draws than those of the scenes that the demo's model has learned.
    rng = {
        stream: np.random.default_rng([seed, number, place, _OWN])
        for place, stream in enumerate(film_lib.STREAMS)
    }
    frames, samples, _ = film_lib.draw(film, rng)
    size = (SIDE, SIDE)
    large = [cv2.resize(one, size, interpolation=cv2.INTER_CUBIC) for one in frames]
    return np.stack(large), samples


def _black(frames, samples, seed, raw, rng):
    """No light, but the noise of a camera."""
    return rng.integers(0, 4, frames.shape, np.uint8), samples


def _silent(frames, samples, seed, raw, rng):
    """No sound but the last bit."""
    return frames, rng.integers(-1, 2, samples.shape).astype(np.int16)


def _too_long(frames, samples, seed, raw, rng):
    """To and fro, so that there is no cut."""
    turns = int(rng.integers(LONG_TURNS[0], LONG_TURNS[1] + 1))
    walks = [frames if turn % 2 == 0 else frames[::-1] for turn in range(turns)]
    return np.concatenate(walks), np.tile(samples, turns)


def _cut(frames, samples, seed, raw, rng):
    """Another film from the middle on."""
    others, _ = _draw(seed, raw.other, raw.of_other)
    middle = int(rng.integers(len(frames) // 2 - 2, len(frames) // 2 + 3))
    return np.concatenate([frames[:middle], others[middle:]]), samples


def _text_overlay(frames, samples, seed, raw, rng):
    """White writing with a black edge, somewhere across the picture."""
    text = WRITINGS[rng.integers(len(WRITINGS))]
    font, thick = cv2.FONT_HERSHEY_DUPLEX, 1
    (wide, high), _ = cv2.getTextSize(text, font, 1.0, thick)
    scale = rng.uniform(0.75, 0.92) * SIDE / wide
    x = int((SIDE - scale * wide) / 2)
    y = int(rng.uniform(*WHERE) * (SIDE - scale * high) + scale * high)
    written = []
    for one in frames:
        page = one.copy()
        cv2.putText(page, text, (x, y), font, scale, (0, 0, 0), thick + 2, cv2.LINE_AA)
        cv2.putText(page, text, (x, y), font, scale, (255, 255, 255), thick, cv2.LINE_AA)
        written.append(page)
    return np.stack(written), samples


# fault -> what becomes of frames and samples; the others are faults of the title, or of the name
_CHANGES = {
    "black": _black,
    "silent": _silent,
    "too_long": _too_long,
    "cut": _cut,
    "text_overlay": _text_overlay,
}


def _finish(out: Path, items: Sequence[tuple[str, dict, str, dict]]) -> None:
    folder.write_json(out / "raw.json", {name: entry for name, entry, _, _ in items})
    folder.write_json(out / "faults.json", {name: fault for name, _, fault, _ in items if fault})
    folder.write_json(out / "attributes.json", {name: facts for name, _, _, facts in items})


RAW_FILMS = folder.Corpus(
    {"version": VERSION, "kind": "raw_films"}, (FOLDER,), schedule, write_item, _finish
)
