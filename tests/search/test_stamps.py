"""A stamp tells which content of a file was embedded, and in which unit its depth was read."""

import hashlib
import os

import pytest

from lb_jax.core import errors
from lb_jax.search import stamps


def test_stamp_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"bytes")
    os.utime(path, ns=(1, 2))
    found = stamps.stamp(path)
    assert found == stamps.FileStamp(hashlib.sha256(b"bytes").hexdigest(), 5, 2)
    with pytest.raises(errors.DataError, match="cannot be read"):
        stamps.stamp(tmp_path / "none")


@pytest.mark.parametrize("unit", ["", "tum"])
def test_unit_of_depth_is_kept_behind_the_preprocessing(unit):
    found = stamps.stamp_of("hash", 1, 2, stamps.with_unit("b" * 16, unit))
    assert (found.sha256, found.size, found.mtime_ns, found.depth_unit) == ("hash", 1, 2, unit)
    assert (found == stamps.FileStamp("hash", 1, 2)) == (unit == "")
