"""Folders are walked in one order, past what cannot be read."""

import os

import pytest

from lb_jax.core import errors
from lb_jax.corpora import files


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_links_that_lead_nowhere_or_back_do_not_stop_the_walk(tmp_path):
    write(tmp_path, "b/2.png", "a.png", ".hidden.png")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    assert list(files.walk(tmp_path)) == ["a.png", "self", "b/2.png"]


def test_closed_folders_are_told_or_raise(tmp_path, monkeypatch):
    write(tmp_path, "a/1.png", "closed/2.png", "z/3.png")
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    closed = []
    assert list(files.walk(tmp_path, closed=closed)) == ["a/1.png", "z/3.png"]
    assert closed == [tmp_path / "closed"]
    with pytest.raises(errors.DataError, match="Permission denied"):
        list(files.walk(tmp_path))
    with pytest.raises(errors.DataError, match="Permission denied"):
        list(files.walk(tmp_path / "closed", closed=[]))
