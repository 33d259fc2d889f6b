"""Reciprocal ranks, counted by hand; windows that overlap are one moment."""

import pytest

from lb_jax.search import fusion
from lb_jax.search.moments import Moment


def moment(path, start=None, end=None, caption=None, modality="video"):
    return Moment(path, modality, start, end, 0.5, caption=caption)


def order(one):
    return one.path


def names(found):
    return [one.path for one in found]


def test_two_rankings_are_summed_by_reciprocal_ranks():
    near = [moment("a"), moment("b"), moment("c")]
    said = [moment("c", caption="x"), moment("d", caption="y")]
    # c: 1/63 + 1/61; a: 1/61; b and d: 1/62
    found = fusion.fused(near, said, order, merge=True)
    assert names(found) == ["c", "a", "b", "d"]
    assert [one.caption for one in found] == ["x", None, None, "y"]
    assert fusion.fused(near, [], order, merge=True) == near
    assert names(fusion.fused([], said, order, merge=True)) == ["c", "d"]


def test_windows_that_overlap_are_one_moment_with_one_rank():
    near = [moment("a", 0, 20), moment("b", 0, 10)]
    said = [
        moment("a", 5, 10, "first"),
        moment("a", 10, 15, "second"),  # of the same range: no rank of its own
        moment("a", 20, 30, "touches"),
        moment("a", 25, 35, "overlaps that"),
        moment("b", 5, 15, "b"),
    ]
    found = fusion.fused(near, said, order, merge=True)
    assert [(one.path, one.start_s, one.end_s, one.caption) for one in found] == [
        ("a", 0, 20, "first"),
        ("b", 0, 10, "b"),  # 1/62 + 1/63
        ("a", 20, 30, "touches"),
    ]
    single = fusion.fused(near, said[:2], order, merge=False)
    assert [(one.path, one.start_s) for one in single] == [
        ("a", 0),
        ("a", 5),
        ("a", 10),
        ("b", 0),
    ]


@pytest.mark.parametrize("modality", ["audio", "image"])
def test_modalities_of_a_file_stay_apart(modality):
    found = fusion.fused([moment("a", 0, 5)], [moment("a", 0, 5, "x", modality)], order, merge=True)
    assert [one.caption for one in found] == [None, "x"]
