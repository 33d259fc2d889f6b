"""Rows that a model was trained on are known again, also after the corpus was moved."""

import json

import pytest

from lb_jax.core import checkpoint, errors
from lb_jax.corpora import seen, sources

ROWS = ["path,caption", "a/0.png,a red car", "a/1.png,a clock", "b/0.png,a blue car"]


def opened(folder, rows=ROWS):
    """A manifest of pictures that nobody reads."""
    folder.mkdir(exist_ok=True)
    (folder / "my.csv").write_text("\n".join(rows) + "\n")
    return sources.open_source(str(folder / "my.csv"), modality="image")


def known(source):
    return seen.of_sources([source], "image", "caption")


def test_a_row_is_known_by_its_path_and_by_its_end_with_the_caption(tmp_path):
    found = known(opened(tmp_path))
    assert len(found) == 2 * 3
    for file, caption, is_known in (
        (tmp_path / "a" / "0.png", "other words", True),
        (tmp_path / "b" / ".." / "a" / "0.png", "other words", True),
        (tmp_path / "moved" / "a" / "0.png", "a red car", True),
        (tmp_path / "moved" / "a" / "0.png", "other words", False),
        (tmp_path / "moved" / "c" / "0.png", "a red car", False),
    ):
        assert bool(seen.of_row(file, caption) & found) == is_known, (file, caption)


def test_a_checkpoint_tells_what_it_was_told(tmp_path):
    found = {"image": known(opened(tmp_path)), "audio": set()}
    seen.write(tmp_path, found)
    assert seen.read(tmp_path) == found
    assert seen.read(tmp_path / "without") == {}
    for damaged in ({"image": "no base64"}, ["image"], {"image": 3}):
        (tmp_path / checkpoint.SEEN).write_text(json.dumps(damaged))
        with pytest.raises(errors.CheckpointError, match="no list of rows"):
            seen.read(tmp_path)


def test_of_many_rows_and_of_media_that_are_no_files_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "AT_MOST", 2)
    assert known(opened(tmp_path)) is None

    class Inside:
        def having(self, modality):
            return range(2)

        def __getitem__(self, number):
            return seen.Row(str(number), {"caption": "words"}, {"image": (b"content",)})

    assert known(Inside()) is None
