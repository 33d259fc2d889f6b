"""The nearest name is a hint, never the very name that was refused."""

from lb_jax.core import errors


def test_a_close_name_is_suggested_and_a_far_one_is_not():
    assert errors.nearest("vidoe", ["audio", "video"]) == " Did you mean 'video'?"
    assert errors.nearest("xyz", ["audio", "video"]) == ""
    assert errors.nearest(3, ["audio", "video"]) == ""


def test_the_refused_name_is_not_suggested():
    assert errors.nearest("video", ["video", "videos"]) == ""
