"""Prompts: their places, what is put there, and files that are none."""

import pytest

from lb_jax.builder.texts import prompts
from lb_jax.core import errors


def test_that_of_the_package_takes_title_and_caption():
    found = prompts.read("", "here")
    assert found.kinds == ("raw", "mplug")
    filled = found.filled({"raw": "cat!", "mplug": "a {raw} cat", "most_words": "40"})
    assert "Title: cat!\nCaption: a {raw} cat\n" in filled  # what is put in is no place
    assert "at most 40 words" in filled


def test_braces_that_are_no_place_stay(tmp_path):
    (tmp_path / "mine.txt").write_text('Say {"text": "…"} of {ofa} and { mplug }\n')
    found = prompts.read(str(tmp_path / "mine.txt"), "here")
    assert found.names == ("ofa",)
    assert found.filled({"ofa": "1. a"}) == 'Say {"text": "…"} of 1. a and { mplug }'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{mplugs}", r"has a place {mplugs}; there are {raw}, .*mean 'mplug'\?"),
        ("{most_words} words", "has no place for a text of an item; write {raw} or {mplug}"),
    ],
)
def test_wrong_places_are_told(tmp_path, text, told):
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(errors.ConfigError, match=told):
        prompts.read(str(tmp_path / "mine.txt"), "here")


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(errors.ConfigError, match=r"here: .*no.txt cannot be read"):
        prompts.read(str(tmp_path / "no.txt"), "here")


def test_texts_as_they_are_shown():
    assert prompts.as_text("a\n cat ") == "a cat"
    assert prompts.as_text(["a", "b"]) == "1. a\n2. b"
    assert [prompts.as_text(one) for one in (None, "", " ", [])] == ["(none)"] * 4
