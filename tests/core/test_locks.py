"""Locks: one process at a time, and what is said to the second."""

import errno
import fcntl

import pytest

from lb_jax.core import errors, locks


def test_a_folder_is_held_by_one_at_a_time_and_free_again_behind_it(tmp_path):
    said = "busy here; wait."
    with (
        locks.of_folder(tmp_path, said, "elsewhere"),
        pytest.raises(errors.ConfigError, match=r"^busy here; wait\.$"),
        locks.of_folder(tmp_path, said, "elsewhere"),
    ):
        raise AssertionError("two hold it")
    with locks.of_folder(tmp_path, "", ""):
        pass


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def refuse(handle, kind):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(errors.ConfigError, match=r"has no locks \(No locks available\); go away\."),
        locks.of_folder(tmp_path, "", "go away"),
    ):
        raise AssertionError("it is not held")
