"""Captions say what is so, in few tokens, and prompts differ in the class alone."""

import dataclasses
import itertools

import numpy as np
import pytest

from lb_jax.demo import captions, scene, words
from lb_jax.text import clip_bpe

PLAN = scene.schedule(0, 400)
TEXTS = [captions.captions(a, np.random.default_rng([0, i])) for i, a in enumerate(PLAN)]


def says(text, name, value):
    return any(wording in text for wording in words.WORDS[name][value])


def flat(texts):
    return [
        texts["raw"],
        texts["mplug"],
        texts["polish_mplug"],
        texts["sound_mplug"],
        *texts["ofa"],
    ]


def test_every_value_has_two_or_three_wordings_of_its_own():
    assert {name: tuple(values) for name, values in words.WORDS.items()} == scene.VALUES
    for values in words.WORDS.values():
        wordings = list(itertools.chain.from_iterable(values.values()))
        assert len(set(wordings)) == len(wordings)
        assert all(len(w) in (2, 3) for w in values.values())


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mplug", ("category", "motion", "distance", "temperature")),
        ("polish_mplug", ("category", "colour", "motion", "distance", "temperature")),
        ("sound_mplug", ("category", "source")),
        ("raw", ("category",)),
    ],
)
def test_caption_names_its_attributes(kind, names):
    for attributes, texts in zip(PLAN, TEXTS, strict=True):
        for name in names:
            assert says(texts[kind], name, getattr(attributes, name)), (texts[kind], name)


def test_frame_captions_name_category_and_colour_only():
    for attributes, texts in zip(PLAN, TEXTS, strict=True):
        assert len(texts["ofa"]) == 8
        for text in texts["ofa"]:
            assert says(text, "category", attributes.category)
            assert says(text, "colour", attributes.colour)
            assert not any(says(text, "motion", m) for m in scene.VALUES["motion"])


def test_captions_name_no_wrong_value():
    for attributes, texts in zip(PLAN, TEXTS, strict=True):
        padded = f" {texts['polish_mplug'].replace(',', ' ')} "
        for name in ("category", "colour", "motion", "distance", "temperature"):
            for value in scene.VALUES[name]:
                if value != getattr(attributes, name):
                    assert not any(f" {w} " in padded for w in words.WORDS[name][value]), (
                        padded,
                        value,
                    )


def test_mplug_is_a_paraphrase():
    for attributes, texts in zip(PLAN, TEXTS, strict=True):
        for name in ("distance", "temperature", "motion"):
            shared = [
                w
                for w in words.WORDS[name][getattr(attributes, name)]
                if w in texts["mplug"] and w in texts["polish_mplug"]
            ]
            assert all(
                any(
                    w != longer and w in longer
                    for longer in words.WORDS[name][getattr(attributes, name)]
                )
                for w in shared
            )


def test_every_text_fits_28_tokens():
    prompts = itertools.chain.from_iterable(
        t for classes in captions.prompts().values() for t in classes.values()
    )
    for text in itertools.chain(prompts, *(flat(t) for t in TEXTS)):
        assert len(clip_bpe.encode(text)) + 2 <= 28, text


def test_captions_are_varied():
    assert len({t["polish_mplug"] for t in TEXTS}) > 0.95 * len(TEXTS)
    assert len({o for t in TEXTS for o in t["ofa"]}) > 300


def test_prompts_cover_every_class():
    prompts = captions.prompts()
    assert set(prompts) == set(captions.TASKS)
    for task, classes in prompts.items():
        assert tuple(classes) == scene.VALUES[task.split("/")[1]]
        assert all(len(texts) >= 6 for texts in classes.values())


def test_prompts_of_two_classes_differ_in_the_class_alone():
    def blank(texts, name):
        forms = sorted(
            itertools.chain.from_iterable(words.WORDS[name].values()), key=len, reverse=True
        )
        for form in forms:
            texts = [text.replace(form, "_") for text in texts]
        return texts

    classes = captions.prompts()["depth/distance"]
    near, far = blank(classes["near"], "distance"), blank(classes["far"], "distance")
    assert near == far
    assert classes["near"] != classes["far"]


def test_article_fits():
    attributes = dataclasses.replace(PLAN[0], category="plane", colour="green")
    texts = [captions.captions(attributes, np.random.default_rng(i)) for i in range(50)]
    everything = " ".join(itertools.chain.from_iterable(flat(t) for t in texts)).split()
    pairs = {
        (a, b[0] in "aeiou")
        for a, b in itertools.pairwise(everything)
        if a in ("a", "an") and b != "an"
    }
    assert pairs == {("a", False), ("an", True)}
