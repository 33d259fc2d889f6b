"""Recognised speech of many films in one JSON, read film by film."""

import json
import pickle

import pytest

from lb_jax.core import errors
from lb_jax.corpora import asr
from lb_jax.corpora.subtitles import Narrations

SAID = {
    "0a-_b": {"start": [0.5, 3], "end": [3.25, 5.5], "text": ['cut {the} "bread" \\', " "]},
    "ü": {"start": [], "end": [], "text": [], "more": 1},
    "c": {"text": ["eat"], "start": [2], "end": [2.5]},
}


def _file(tmp_path, content):
    content = content if isinstance(content, bytes | str) else json.dumps(content)
    path = tmp_path / "asr.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(SAID),
        json.dumps(SAID, ensure_ascii=False, indent=2) + "\n",
        json.dumps(SAID).encode("utf-8-sig"),
    ],
)
def test_films_are_read_by_their_id(tmp_path, content):
    found = asr.Asr(_file(tmp_path, content))
    assert list(found) == list(SAID)
    for one in (found, pickle.loads(pickle.dumps(found))):
        assert one.read("0a-_b") == Narrations((0.5,), (3.25,), ('cut {the} "bread" \\',))
        assert one.read("ü") == Narrations()
        assert one.read("c") == Narrations((2.0,), (2.5,), ("eat",))
    assert "d" not in found


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", r"asr\.json: is empty; expected"),
        ("[]", "is no JSON of narrations from byte 0 on"),
        ('{"a": {"start": []}, }', "from byte 20 on"),
        ('{"a": [1]}', "from byte 1 on"),
        (json.dumps(SAID)[:-1], "is no JSON of narrations"),
        (json.dumps(SAID) + "x", "is no JSON of narrations"),
        ('{"a": {}, "a": {}}', "has 'a' twice"),
    ],
)
def test_what_is_no_such_json_is_one_line(tmp_path, content, reason):
    with pytest.raises(errors.DataError, match=reason):
        asr.Asr(_file(tmp_path, content))


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"start": [1], "end": [2]}, r"asr\.json: a: has start, end; expected lists of start, end"),
        ({}, "has nothing; expected lists"),
        ({"start": [1], "end": [2], "text": []}, "has 1 of start, 1 of end, 0 of text"),
        ({"start": ["1"], "end": [2], "text": ["x"]}, r"narration 0: is \['1', 2, 'x'\]; expected"),
        ({"start": [2], "end": [1], "text": ["x"]}, "narration 0: ends at 1 s, before it begins"),
        ({"start": [2, 1], "end": [3, 3], "text": ["x", "y"]}, "narration 1: .* run backwards"),
    ],
)
def test_an_entry_that_cannot_be_is_one_line(tmp_path, entry, reason):
    found = asr.Asr(_file(tmp_path, {"a": entry}))
    with pytest.raises(errors.DataError, match=reason):
        found.read("a")


def test_a_file_that_has_changed_is_told(tmp_path):
    found = asr.Asr(_file(tmp_path, SAID))
    _file(tmp_path, {"c": SAID["c"]})
    with pytest.raises(errors.DataError, match="has changed since this run opened it"):
        found.read("c")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(errors.DataError, match="cannot be read"):
        asr.Asr(tmp_path / "none.json")
