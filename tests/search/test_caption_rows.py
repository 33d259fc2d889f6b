"""A file of captions: rows appended whole, a torn line mended, nothing else overwritten."""

import dataclasses
import json

import pytest

from lb_jax.core import errors
from lb_jax.search import caption_rows
from lb_jax.search.caption_rows import Row

WRITER = "model=abc group=any beams=3"


def row(name, caption="a dog", writer=WRITER):
    return Row(f"/m/{name}", "tva", caption, "0" * 64, 3, 5, writer)


def write(path, *rows, order=None):
    with caption_rows.opened(path, WRITER) as found:
        for one in rows:
            found.append(one)
        if order is not None:
            found.put_in_order([f"/m/{name}" for name in order])
        return dict(found.rows)


def names(path):
    return [json.loads(line)["path"][3:] for line in path.read_text().splitlines()]


def test_a_row_is_a_line_with_all_that_is_known(tmp_path):
    one = row("ä.mp4", "ein Hund\nbellt")
    write(tmp_path / "c.jsonl", one)
    (line,) = (tmp_path / "c.jsonl").read_text().splitlines()
    assert json.loads(line) == dataclasses.asdict(one)
    assert '"/m/ä.mp4"' in line
    assert write(tmp_path / "c.jsonl") == {one.path: one}


@pytest.mark.parametrize("cut", [1, 5, 10, 11, 60])
def test_a_line_that_was_cut_off_is_dropped(tmp_path, cut):
    path = tmp_path / "c.jsonl"
    write(path, row("a"), row("b"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + cut])
    assert [one[3:] for one in write(path)] == ["a"]
    assert path.read_bytes() == whole[:first]
    write(path, row("b"))
    assert path.read_bytes() == whole


def test_the_last_row_of_a_path_counts_and_the_files_give_the_order(tmp_path):
    path = tmp_path / "c.jsonl"
    write(path, row("old"), row("c"), row("b"), row("c", "a cat"))
    assert write(path)["/m/c"].caption == "a cat"
    write(path, row("a"), order=["a", "b", "c", "unwritten"])
    assert names(path) == ["old", "a", "b", "c"]
    before = path.stat().st_mtime_ns
    write(path, order=["a", "b", "c"])
    assert path.stat().st_mtime_ns == before  # in order already


def test_what_is_forgotten_is_taken_out(tmp_path):
    path = tmp_path / "c.jsonl"
    write(path, row("a"), row("b"))
    with caption_rows.opened(path, WRITER) as found:
        found.forget(["/m/a"])
        found.put_in_order(["/m/a", "/m/b"])
    assert names(path) == ["b"]


def test_a_file_without_rows_is_not_left(tmp_path):
    write(tmp_path / "c.jsonl", order=[])
    assert not any(tmp_path.iterdir())


OTHER = {
    "a list": '{"id": 1, "caption": "a"}\n',
    "text": "shopping",
    "a row with more": json.dumps(dataclasses.asdict(row("a")) | {"more": 1}) + "\n",
    "a row of other types": json.dumps(dataclasses.asdict(row("a")) | {"size": "3"}) + "\n",
    "half of another": json.dumps(dataclasses.asdict(row("a"))) + '\n{"pa": ',
}


@pytest.mark.parametrize("what", OTHER)
def test_what_is_no_file_of_captions_is_left_alone(tmp_path, what):
    path = tmp_path / "c.jsonl"
    path.write_text(OTHER[what])
    with pytest.raises(
        errors.DataError, match=r"line . is .* no row of `lb-jax caption`"
    ) as caught:
        write(path, row("b"))
    assert "\n" not in str(caught.value)
    assert path.read_text() == OTHER[what]


def test_captions_of_another_writer_are_refused_by_what_differs(tmp_path):
    path = tmp_path / "c.jsonl"
    write(path, row("a"))
    before = path.read_bytes()
    for writer, told in (
        ("model=abc group=any beams=1", "written with beams 3, not 1;"),
        ("model=def group=tv beams=3", "written with model abc, not def, group any, not tv;"),
    ):
        with (
            pytest.raises(errors.DataError, match=told),
            caption_rows.opened(path, writer),
        ):
            pass
    assert path.read_bytes() == before


def test_two_runs_do_not_write_into_one_file(tmp_path):
    path = tmp_path / "c.jsonl"
    with caption_rows.opened(path, WRITER) as found:
        with (
            pytest.raises(errors.ConfigError, match="another run writes"),
            caption_rows.opened(path, WRITER),
        ):
            pass
        found.append(row("a"))
    assert names(path) == ["a"]


def test_a_full_disk_leaves_what_was_whole(tmp_path, monkeypatch):
    path, true = tmp_path / "c.jsonl", caption_rows.os.write
    write(path, row("a"))
    before = path.read_bytes()

    def full(handle, content):
        if len(content) < 30:
            raise OSError(28, "No space left on device")
        return true(handle, content[:30])

    with monkeypatch.context() as patched:
        patched.setattr(caption_rows.os, "write", full)
        with pytest.raises(errors.DataError, match=r"cannot be written \(No space left"):
            write(path, row("b"))
    assert path.read_bytes() == before


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(errors.DataError, match="cannot be written"):
        write(tmp_path, row("a"))
