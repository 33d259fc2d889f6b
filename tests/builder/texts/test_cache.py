"""Answers that are kept: by content, by several processes, in a file that is no such."""

import concurrent.futures
import contextlib
import multiprocessing
import sqlite3

import pytest

from lb_jax.builder.texts import cache
from lb_jax.builder.texts.cache import Answer, Answers
from lb_jax.core import errors


def test_an_answer_is_kept(tmp_path):
    with Answers(tmp_path / "new") as answers:
        assert answers.get("a") is None
        assert answers.put("a", Answer("ä cat\n", "stop")) == Answer("ä cat\n", "stop")
    with Answers(tmp_path / "new") as answers:
        assert (answers.get("a"), len(answers)) == (Answer("ä cat\n", "stop"), 1)


def test_of_two_answers_the_first_stays(tmp_path):
    with Answers(tmp_path) as first, Answers(tmp_path) as second:
        first.put("a", Answer("one"))
        assert second.put("a", Answer("two")) == Answer("one", "")


def test_all_that_is_asked_counts():
    asked = {"model": "m", "messages": [{"role": "user", "content": "a cat"}], "temperature": 0.0}
    found = {
        cache.content_of(url, asked | more)
        for url, more in [
            ("http://a", {}),
            ("http://b", {}),
            ("http://a", {"model": "n"}),
            ("http://a", {"temperature": 0.5}),
            ("http://a", {"messages": []}),
        ]
    }
    assert len(found) == 5
    assert cache.content_of("http://a", dict(reversed(asked.items()))) in found


def test_the_folder_of_the_user_is_the_usual_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Answers() as answers:
        assert answers.path == tmp_path / "lb_jax" / "answers" / "answers.sqlite"


def test_what_is_no_such_file_is_one_line(tmp_path):
    (tmp_path / cache.FILE).write_bytes(b"no database at all, but long enough to be taken for one")
    with pytest.raises(errors.DataError, match=r"cannot be used for answers \(file is not a data"):
        Answers(tmp_path)
    (tmp_path / "later").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "later" / cache.FILE)) as opened:
        opened.execute("PRAGMA user_version = 7")
    with pytest.raises(errors.DataError, match="is of version 7, expected 1"):
        Answers(tmp_path / "later")
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.DataError, match="cannot be used for answers"):
        Answers(tmp_path / "file")


def _put(folder, name):
    with Answers(folder) as answers:
        return [answers.put(f"{n}", Answer(f"{n} of {name}")).text for n in range(40)]


def test_processes_that_write_together_agree(tmp_path):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(3, context) as pool:
        found = list(pool.map(_put, [tmp_path] * 3, "abc"))
    assert found[0] == found[1] == found[2]
    with Answers(tmp_path) as answers:
        assert [answers.get(f"{n}").text for n in range(40)] == found[0]
