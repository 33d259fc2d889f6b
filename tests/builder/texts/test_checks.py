"""What is wrong with an answer, and what is put off before one looks."""

import pytest

from lb_jax.builder.filters.language import Language
from lb_jax.builder.texts import checks
from lb_jax.builder.texts.cache import Answer
from lb_jax.builder.texts.polish_mplug import REFUSALS

ALL = checks.Checks(4, 12, 80, REFUSALS, Language())
GOOD = "A grey cat jumps over a small wooden box."


def told(text, finish="stop", which=ALL):
    return checks.problem(checks.cleaned(text), Answer(text, finish), which)


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        (GOOD, "stop", ""),
        (GOOD, "", ""),
        (GOOD, "length", "is cut off"),
        (GOOD, "content_filter", "refuses"),
        ("I’m sorry, but I can't do that.", "stop", 'refuses ("i can\'t")'),
        ("As an AI I see no video at all here.", "stop", "refuses ('as an ai')"),
        ("", "stop", "has 0 words, expected 4 to 12"),
        ("A cat jumps.", "stop", "has 3 words, expected 4 to 12"),
        ("cat " * 13, "stop", "has 13 words, expected 4 to 12"),
        ("A cat sees something unbelievable " + "x" * 60, "stop", "has 94 characters"),
        ("Captions:\n\n1. A cat jumps.\n2. A box.", "stop", "has 3 lines, expected one"),
        ("Eine graue Katze springt über eine kleine Kiste.", "stop", "is de by its words"),
    ],
)
def test_problems(text, finish, expected):
    pytest.importorskip("lingua")
    found = told(text, finish)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_phrases_are_whole_words():
    assert told("A Taiwan television host sings a very new song.", which=ALL) == ""


def test_any_language_is_one():
    some = checks.Checks(1, 12, 80, (), None)
    assert told("Eine graue Katze.", which=some) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'"{GOOD}"\n', GOOD),
        (f"“{GOOD}”", GOOD),
        (f"<think>\nWhat is it?\n</think>\n\n{GOOD}", GOOD),
        ('"One" and "two"', '"One" and "two"'),
        ('"', '"'),
    ],
)
def test_what_stands_around_an_answer_goes(text, expected):
    assert checks.cleaned(text) == expected
