"""Captions of the five VIDAL kinds (spec 8.5, 8.6) and the prompts that score the attributes.

A prompt is a caption with one attribute fixed. For every class of a task the same sentences are
written with the same other attributes and wordings, so the classes differ in that attribute alone
and the ensemble averages over the rest.
"""

import dataclasses
import re

import numpy as np

from lb_jax.demo import scene, words

PROMPTS_PER_CLASS = 48
_PROMPT_SEED = (
    20_231_003  # prompts belong to the tasks, not to a corpus: they are the same for every seed
)

# Every kind of caption and its templates. A field names attributes; `{a:…}` sets the article that
# fits before them, `{tag}` is the category in one word.
TEMPLATES = {
    "raw": (
        "{colour} {category} going {motion} #shorts #{tag}",
        "Look: {category} moving {motion} #{tag} #{colour} #shorts",
        "{temperature} {colour} {category} {distance}! #shorts",
    ),
    "mplug": (
        "{a:category} goes {motion}, {distance}, looking {temperature}",
        "we see {a:category} {temperature} {distance} that is going {motion}",
        "{distance} there is {a:category} going {motion} and it feels {temperature}",
    ),
    "polish_mplug": (
        "{a:temperature colour category} is moving {motion}, {distance}",
        "{a:colour category} {distance} moves {motion} and is {temperature}",
        "{distance}, {a:temperature colour category} moves {motion}",
        "{a:temperature colour category} {distance} moves {motion}, {source}",
    ),
    "sound_mplug": (
        "the sound of {a:category} {source}",
        "{a:category} {source}",
        "we hear {a:category} {source}",
        "we hear {a:colour category} {source}",
    ),
    "ofa": (
        "{a:colour category}",
        "a picture of {a:colour category}",
        "there is {a:colour category}",
        "{a:colour category} in front of a wall",
    ),
}

# What is asked of each modality, and the kinds of caption its prompts are written in.
TASKS = {
    "image/category": ("ofa", "polish_mplug"),
    "image/colour": ("ofa", "polish_mplug"),
    "video/category": ("polish_mplug",),
    "video/motion": ("polish_mplug",),
    "depth/category": ("polish_mplug",),
    "depth/distance": ("polish_mplug",),
    "thermal/category": ("polish_mplug",),
    "thermal/temperature": ("polish_mplug",),
    "audio/source": ("sound_mplug",),
    "imu/motion": ("polish_mplug",),
    "imu/category": ("polish_mplug",),
}


def captions(attributes: scene.Attributes, rng: np.random.Generator) -> dict[str, str | list[str]]:
    """Returns a text for each kind of caption.

    `raw`, `mplug`, `polish_mplug` and `sound_mplug` are one text each, `ofa` a text for each still
    frame.

    Every caption takes the next wording of each attribute, so `mplug` and `polish_mplug` share
    none.
    """
    kinds = ["raw", "mplug", "polish_mplug", "sound_mplug"] + ["ofa"] * len(scene.STILLS)
    first = rng.integers(1 << 16, size=len(scene.VALUES))
    texts = [_write(kind, attributes, first + turn, rng) for turn, kind in enumerate(kinds)]
    return dict(zip(kinds[:4], texts[:4], strict=True)) | {"ofa": texts[4:]}


def prompts() -> dict[str, dict[str, list[str]]]:
    """Returns task -> class -> texts, the same for every corpus."""
    contexts = _contexts()
    tasks = {}
    for task, kinds in TASKS.items():
        attribute = task.split("/")[1]
        tasks[task] = {
            value: _ensemble(value, attribute, kinds, contexts) for value in scene.VALUES[attribute]
        }
    return tasks


def _ensemble(
    value: str, attribute: str, kinds: tuple[str, ...], contexts: list[scene.Attributes]
) -> list[str]:
    texts = (_prompt(i, value, attribute, kinds, context) for i, context in enumerate(contexts))
    return list(dict.fromkeys(texts))  # short templates may repeat


def _contexts() -> list[scene.Attributes]:
    """The attributes around the one that is asked for, each value equally often."""
    rng = np.random.default_rng(_PROMPT_SEED)
    streams = {name: scene.rounds(values, rng) for name, values in scene.VALUES.items()}
    draws = (
        {name: next(stream) for name, stream in streams.items()} for _ in range(PROMPTS_PER_CLASS)
    )
    return [scene.Attributes("test", **draw) for draw in draws]


def _prompt(
    index: int, value: str, attribute: str, kinds: tuple[str, ...], context: scene.Attributes
) -> str:
    rng = np.random.default_rng([_PROMPT_SEED, index])  # the same draws for every class
    attributes = dataclasses.replace(context, **{attribute: value})
    if attribute == "source":
        owner = next(category for category, own in scene.SOURCES.items() if value in own)
        attributes = dataclasses.replace(attributes, category=owner)
    else:
        attributes = dataclasses.replace(
            attributes, source=scene.SOURCES[attributes.category][index % 3]
        )
    return _write(
        kinds[index % len(kinds)], attributes, rng.integers(1 << 16, size=len(scene.VALUES)), rng
    )


def _write(
    kind: str, attributes: scene.Attributes, turns: np.ndarray, rng: np.random.Generator
) -> str:
    """Fills a template of the kind, drawn by `rng`.

    `turns` [attributes] counts through each attribute's wordings.
    """
    said = {"tag": attributes.category}
    for turn, name in zip(turns, scene.VALUES, strict=True):
        wordings = words.WORDS[name][getattr(attributes, name)]
        said[name] = wordings[turn % len(wordings)]
    template = TEMPLATES[kind][rng.integers(len(TEMPLATES[kind]))]
    return re.sub(r"\{(a:)?([a-z ]+)\}", lambda field: _field(field, said), template)


def _field(field: re.Match, said: dict[str, str]) -> str:
    text = " ".join(said[name] for name in field[2].split())
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}" if field[1] else text
