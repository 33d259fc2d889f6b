"""Which caption is drawn, and the frame that goes with it."""

import collections

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.corpora import captions
from lb_jax.corpora.rows import Row

TEXTS = {
    "caption": "a cat",
    "raw": "A Cat! #shorts #cats",
    "mplug": "a cat sits",
    "polish_mplug": "In the video, a cat sits",
    "sound_mplug": "a cat purrs",
    "ofa": tuple(f" frame {k}" for k in range(8)),
    "question": "what purrs",
    "answer": ("a cat", "the cat"),
}


def _row(**changes):
    return Row("abc", {**TEXTS, **changes}, {})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("mplug", "a cat sits"),
        ("sound_mplug", "a cat purrs"),
        ("raw", "a cat!, cats"),
        ("ofa_3", "frame 3"),
    ],
)
def test_each_kind_gives_its_text(kind, text):
    assert captions.draw_text(_row(), kind, np.random.default_rng(0))[0] == text


def test_mix_follows_the_published_weights():
    rng = np.random.default_rng(0)
    counts = collections.Counter(captions.draw_text(_row(), "mix", rng)[0] for _ in range(8000))
    assert sum(captions.MIX_WEIGHTS.values()) == pytest.approx(1)
    for text in ("a cat!, cats", "a cat sits", "In the video, a cat sits", "a cat purrs"):
        assert counts[text] / 8000 == pytest.approx(0.2, abs=0.02)
    for k in range(8):
        assert counts[f"frame {k}"] / 8000 == pytest.approx(0.025, abs=0.01)


@pytest.mark.parametrize("kind", ["mix", "ofa"])
def test_a_caption_of_a_frame_ties_the_frame(kind):
    rng = np.random.default_rng(0)
    draws = [captions.draw_text(_row(), kind, rng) for _ in range(500)]
    tied = [(text, frame) for text, frame in draws if text.startswith("frame")]
    assert len(tied) > 50
    assert all(text == f"frame {frame}" for text, frame in tied)


def test_other_captions_take_a_uniform_frame():
    rng = np.random.default_rng(0)
    counts = np.bincount([captions.draw_text(_row(), "mplug", rng)[1] for _ in range(4000)])
    assert len(counts) == captions.FRAMES_PER_ITEM
    np.testing.assert_allclose(counts / 4000, 1 / 8, atol=0.03)


def test_one_of_several_captions_is_drawn():
    rng = np.random.default_rng(0)
    row = _row(sound_mplug=("purr", "meow"))
    assert {captions.draw_text(row, "sound_mplug", rng)[0] for _ in range(50)} == {
        "purr",
        "meow",
    }


def test_the_generator_is_used_alike_for_every_kind():
    after = set()
    for kind in captions.DRAW_KINDS:
        rng = np.random.default_rng(0)
        captions.draw_text(_row(), kind, rng)
        after.add(rng.random())
    assert len(after) == 1


def test_an_unknown_kind_is_refused_with_the_nearest_name():
    with pytest.raises(errors.ConfigError, match="Did you mean 'polish_mplug'"):
        captions.require_kinds(["polished_mplug"])
    with pytest.raises(errors.ConfigError, match="no text kind 'chatgpt'"):
        captions.draw_text(_row(), "chatgpt", np.random.default_rng(0))


def test_mix_keeps_to_the_kinds_a_row_has():
    row, rng = Row("a", {"raw": "dog", "ofa_3": "frame 3"}, {}), np.random.default_rng(0)
    drawn = collections.Counter(captions.draw_text(row, "mix", rng)[0] for _ in range(900))
    assert set(drawn) == {"dog", "frame 3"}
    assert drawn["dog"] / 900 == pytest.approx(0.2 / 0.225, abs=0.05)
    with pytest.raises(errors.DataError, match="none of the kinds of mix; it has caption"):
        captions.draw_text(Row("a", {"caption": "x"}, {}), "mix", rng)


def test_a_single_frame_shows_whatever_is_described():
    rng = np.random.default_rng(0)
    assert captions.draw_text(_row(), "ofa_5", rng, 1) == ("frame 5", 0)
    with pytest.raises(errors.DataError, match="has 4 frames, none for its caption ofa_5"):
        captions.draw_text(_row(), "ofa_5", rng, 4)


@pytest.mark.parametrize("kind", captions.DRAW_KINDS)
def test_what_can_be_drawn_is_listed(kind):
    row, rng = _row(mplug=("one", "two")), np.random.default_rng(0)
    drawn = {captions.draw_text(row, kind, rng)[0] for _ in range(2000)}
    assert drawn == set(captions.all_texts(row, kind))


@pytest.mark.parametrize(
    ("title", "clean"),
    [
        (
            "WHY SCUBA DIVERS ROLL BACKWARDS OFF BOAT #shorts",
            "why scuba divers roll backwards off boat",
        ),
        ("Cat's video! #viral #cats", "cat's !, cats"),
        ("#shortsfeed", "feed"),
        ("50% more", "50 more"),
        ("#shorts", ""),
    ],
)
def test_titles_lose_their_advertising(title, clean):
    assert captions.clean_title(title) == clean
