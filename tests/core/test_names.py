"""File names as text that can be written down."""

import io
import json
import sys

import pytest

from lb_jax.core import names

RAW = b"caf\xe9/\xff.jpg"
NAME = RAW.decode("utf-8", "surrogateescape")


def test_bytes_that_are_not_utf8_are_shown_as_escapes():
    assert names.shown(NAME) == "caf\\xe9/\\xff.jpg"
    assert json.loads(json.dumps(names.shown(NAME))).encode("utf-8")


@pytest.mark.parametrize("name", ["café/你好.jpg", "plain", "back\\slash", ""])
def test_text_is_shown_as_it_is(name):
    assert names.shown(name) == name
    assert names.is_text(name)


def test_halves_of_characters_are_shown_as_escapes():
    assert names.shown("\ud83d") == "\\ud83d"
    assert not names.is_text("\ud83d")


def test_any_name_can_be_printed(monkeypatch):
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    names.make_printable()
    print(NAME, "é")
    pipe.flush()
    assert pipe.buffer.getvalue() == b"caf\\xe9/\\xff.jpg \\xe9\n"
