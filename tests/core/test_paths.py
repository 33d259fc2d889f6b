"""Path rules: first match wins, every path has a rule, every rule a path."""

import pytest

from lb_jax.core import errors, paths

TREE = {"base": {"blocks": {"kernel": 1, "bias": 2}}, "text": {"kernel": 3}}


def test_unflatten_inverts_flatten():
    assert paths.unflatten(paths.flatten(TREE)) == TREE
    assert list(paths.flatten(TREE)) == ["base/blocks/bias", "base/blocks/kernel", "text/kernel"]


def test_later_tree_wins_in_overlay():
    merged = paths.overlay(TREE, {"base": {"blocks": {"bias": 9}}, "towers": {"x": 5}})
    assert merged == {
        "base": {"blocks": {"kernel": 1, "bias": 9}},
        "text": {"kernel": 3},
        "towers": {"x": 5},
    }


def test_first_matching_rule_wins():
    flat = paths.flatten(TREE)
    assert paths.match([(r".*/bias", "b"), (r"base/.*", "k"), (r"text/.*", "t")], flat) == {
        "base/blocks/bias": "b",
        "base/blocks/kernel": "k",
        "text/kernel": "t",
    }


def test_rules_match_whole_paths():
    with pytest.raises(
        errors.ConfigError, match=r"no rule matches 'base/blocks/bias'.*rule 'bias' matches nothing"
    ):
        paths.match([("bias", 1), (r".*kernel", 2)], paths.flatten(TREE))


def test_partition_covers_the_tree_once():
    yes, no = paths.partition(TREE, [(r".*/kernel", True), (r".*", False)])
    assert paths.overlay(yes, no) == TREE
    assert not set(paths.flatten(yes)) & set(paths.flatten(no))
