"""Fixtures of several files of tests."""

import shutil

import pytest


@pytest.fixture
def copy(folder, tmp_path):
    """The checkpoint again, to damage."""
    return shutil.copytree(folder, tmp_path / "copy")
