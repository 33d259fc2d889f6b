"""Sides and frames: the scripts' own arithmetic beside the sound one."""

import numpy as np
import pytest

from lb_jax.builder import picked, resizing
from lb_jax.core import errors
from tests.media import media_files


@pytest.mark.parametrize(
    ("sides", "script", "rounded"),
    [
        ((720, 1280), (256, 455), (256, 455)),
        ((1280, 720), (455, 256), (455, 256)),
        ((300, 520), (256, 443), (256, 444)),
        ((196, 98), (511, 256), (512, 256)),  # the script loses a pixel
        ((98, 98), (255, 256), (256, 256)),
        ((240, 320), (256, 341), (256, 341)),
    ],
)
def test_sides_that_are_written(sides, script, rounded):
    assert resizing.RULES["script"](*sides, 256) == script
    assert resizing.RULES["rounded"](*sides, 256) == rounded


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ((720, 1280), (480, 864)),
        ((1280, 720), (864, 480)),
        ((480, 640), (480, 640)),
        ((100, 1000), (128, 1152)),  # the longer side is not exceeded
        ((4, 4000), (32, 1152)),
    ],
)
def test_sides_that_keep_the_shape(sides, expected):
    assert resizing.fitting(*sides, short=480, longest=1152, multiple=32) == expected


@pytest.mark.parametrize(
    ("rule", "available", "expected"),
    [
        ("script", 17, [0, 2, 4, 6, 8, 10, 12, 14]),
        ("even", 17, [0, 2, 4, 6, 8, 10, 12, 14]),
        ("script", 23, [0, 2, 4, 6, 8, 10, 12, 14]),
        ("even", 23, [0, 2, 5, 8, 11, 14, 17, 20]),
        ("script", 5, [0] * 8),
        ("even", 5, [0, 0, 1, 1, 2, 3, 3, 4]),
    ],
)
def test_numbers_of_frames(rule, available, expected):
    assert picked.Frames(rule=rule).numbers(available).tolist() == expected


def test_frames_of_a_film():
    content = media_files.clip(20)
    whole = picked.read(content, picked.Frames(20))
    assert whole.shape == (20, 48, 64, 3)
    found = picked.read(content, picked.USUAL)
    np.testing.assert_array_equal(found, whole[[0, 2, 5, 7, 10, 12, 15, 17]])
    script = picked.read(content, picked.Frames(rule="script", as_stored=True))
    np.testing.assert_array_equal(script, whole[:16:2])


def test_frames_that_are_none():
    with pytest.raises(errors.DataError, match="uint8"):
        picked.read(np.zeros((2, 4, 4), np.uint8), picked.USUAL)
    with pytest.raises(errors.ConfigError, match="rule"):
        picked.Frames(rule="evn")


def test_kernels_that_are_none():
    with pytest.raises(errors.ConfigError, match="bicubic"):
        resizing.require_kernel("bicubik", True)
