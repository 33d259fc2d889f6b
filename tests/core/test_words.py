"""Numbers and their nouns."""

import ast
import itertools
import re

import pytest

from lb_jax.core import words
from tests.goldens import ROOT

# Rooms that print tables, pages and sums; a number in them stands before its noun by `counted`.
PRINTING = ("lb_jax/cli", "lb_jax/evaluation/reports", "lb_jax/serve", "convert")
PLURAL = re.compile(r"^ (?!as |has |is |its |this )(?:[a-z]+ )?([a-z]{2,}s)\b")
# Units and what is never one.
MANY = {"times", "bytes", "characters", "tokens", "pieces", "bins", "parameters", "words", "ones"}


def plurals(source):
    """Nouns in the plural behind a number, in the f-strings of a program."""
    for node in ast.walk(ast.parse(source)):
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for number, text in itertools.pairwise(parts):
            if isinstance(number, ast.FormattedValue) and isinstance(text, ast.Constant):
                written = ast.unparse(ast.JoinedStr([number]))
                found = PLURAL.match(text.value)
                is_count = re.search(r"len\(|:,\}|count|total|tensors|items|rows", written)
                if found and is_count and "noun(" not in written and "counted(" not in written:
                    yield found[1]


@pytest.mark.parametrize(
    ("count", "what", "told"),
    [
        (0, "file", "0 files"),
        (1, "file", "1 file"),
        (2, "bad file", "2 bad files"),
        (3, "class", "3 classes"),
        (1, "query", "1 query"),
        (2, "query", "2 queries"),
        (2, "entry", "2 entries"),
    ],
)
def test_a_number_has_its_noun(count, what, told):
    assert words.counted(count, what) == told


def test_numbers_of_tables_and_pages_have_their_noun():
    files = [file for room in PRINTING for file in (ROOT / room).rglob("*.py")]
    found = [(file.name, one) for file in files for one in plurals(file.read_text("utf-8"))]
    assert [one for one in found if one[1] not in MANY] == []
    assert len(files) > 50


def test_a_noun_that_does_not_follow_its_number_is_found():
    written = 'f"{len(found)} files", f"{n:,} bad rows", f"{counted(n, \'row\')} or captions"'
    assert list(plurals(written)) == ["files", "rows"]
