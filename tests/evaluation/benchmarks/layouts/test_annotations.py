"""Annotation files: what is read of them, what is refused, and that a pickle runs nothing."""

import pickle
from pathlib import Path

import pytest

from lb_jax.core import errors
from lb_jax.evaluation.benchmarks.layouts import annotations
from tests.evaluation import miniatures
from tests.evaluation.benchmarks.layouts.folders import new, read, without, write


def test_quote_without_end_and_absent_columns_are_refused(tmp_path):
    folder = write(tmp_path, "msrvtt")
    path = folder / "MSRVTT_JSFUSION_test.csv"
    whole = path.read_text()
    path.write_text(whole + 'ret4,msr4,video4,"no end\n')
    with pytest.raises(errors.DataError, match=r"line \d+ is no row"):
        read(folder)
    path.write_text(whole.replace("sentence", "caption"))
    with pytest.raises(errors.DataError, match=r"has no column sentence.*video_id, caption"):
        read(folder)
    path.write_text("")
    with pytest.raises(errors.DataError, match=r"has no column.*nothing"):
        read(folder)


def test_row_of_another_length_is_left_out(tmp_path):
    folder = write(tmp_path, "msrvtt")
    before = read(folder)
    with (folder / "MSRVTT_JSFUSION_test.csv").open("a") as file:
        file.write("ret4,msr4,video4,a cat, not in quotes\n")
    after = read(folder)
    assert new(before, after) == [("annotation", "line 6 of MSRVTT_JSFUSION_test.csv", None)]
    assert without(after) == without(before)


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("evil-was-here"),)


def test_pickle_never_runs_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path, "msvd")
    for evil in (Evil(), {"a": [Evil()]}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            (folder / "raw-captions.pkl").write_bytes(pickle.dumps(evil, protocol))
            with pytest.raises(errors.DataError, match="no pickle of plain lists and text"):
                read(folder)
    assert not Path("evil-was-here").exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"garbage", pickle.dumps({"a": 1})[:-4]])
def test_damaged_pickle_is_refused(content, tmp_path):
    path = miniatures.put(tmp_path / "x.pkl", content)
    with pytest.raises(errors.DataError, match="no pickle of plain lists and text"):
        annotations.pickled(path)
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(errors.DataError, match="holds a list, expected a dictionary"):
        annotations.pickled(path)


def test_pickle_of_python_2_is_read(tmp_path):
    # {'v': [['caf\xc3\xa9', u'x']]} as cPickle of Python 2 writes it, protocols 0 and 2
    plain = b"(dp1\nS'v'\np2\n(lp3\n(lp4\nS'caf\\xc3\\xa9'\np5\naVx\np6\naas."
    binary = (
        b"\x80\x02}q\x01U\x01vq\x02]q\x03]q\x04(U\x05caf\xc3\xa9q\x05X\x01\x00\x00\x00xq\x06eas."
    )
    for content in (plain, binary):
        path = miniatures.put(tmp_path / "x.pkl", content)
        assert annotations.pickled(path) == {"v": [["caf\u00e9", "x"]]}
