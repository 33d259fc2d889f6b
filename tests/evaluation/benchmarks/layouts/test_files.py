"""Files of a test set are looked for in its folder alone."""

import pytest

from lb_jax.evaluation.benchmarks.layouts import files
from tests.evaluation.benchmarks.layouts.folders import read, write


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        ("a/b.mp4", "a/b.mp4"),
        ("./a//b.mp4", "a/b.mp4"),
        ("a\\b.mp4", "a/b.mp4"),
        ("{root}/a.mp4", "a.mp4"),
        ("{root}/../a.mp4", None),
        ("{root}x/a.mp4", None),
        ("/a", None),
        ("..", None),
        ("", None),
        (".", None),
        ("C:/a", None),
        ("a\0b", None),
    ],
)
def test_paths_stay_inside(path, relative, tmp_path):
    assert files.inside(tmp_path, path.format(root=tmp_path)) == relative


def test_links_are_followed_and_loops_end(tmp_path):
    folder = write(tmp_path, "msrvtt")
    before = read(folder)
    (folder / "videos").rename(tmp_path / "elsewhere")
    (folder / "videos").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/all/loop").symlink_to(tmp_path / "elsewhere")
    assert read(folder) == before
