"""Ranks in blocks are the ranks of the whole matrix: ties, copies, scores a rounding apart."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import ranks, recall, scoring


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(ranks, "QUERIES", 16)
    monkeypatch.setattr(ranks, "CANDIDATES", 32)


def require_equal(queries, candidates, truth):
    whole = recall.ranks(scoring.cosine(queries, candidates), truth)
    np.testing.assert_array_equal(ranks.ranks(queries, candidates, truth), whole)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (16, 32), (17, 33), (50, 100), (40, 7)])
def test_random_rows(n, m):
    generator = np.random.default_rng(n)
    queries, candidates = (scoring.unit(generator.normal(size=(k, 24))) for k in (n, m))
    require_equal(queries, candidates, generator.integers(0, m, n))


def test_copies_in_other_blocks_tie():
    generator = np.random.default_rng(0)
    few = scoring.unit(generator.normal(size=(5, 24)))
    candidates = few[generator.integers(0, 5, 100)]
    queries = scoring.unit(candidates + 0.1 * generator.normal(size=candidates.shape))
    require_equal(queries, candidates, np.arange(100))


def test_a_constant_model_gets_nothing():
    same = scoring.unit(np.ones((70, 24)))
    np.testing.assert_array_equal(ranks.ranks(same, same, np.arange(70)), 70)


def test_scores_a_rounding_apart():
    generator = np.random.default_rng(1)
    base = generator.normal(size=24)
    candidates = scoring.unit(base + 1e-7 * generator.normal(size=(90, 24)))
    queries = scoring.unit(base + generator.normal(size=(40, 24)))
    require_equal(queries, candidates, generator.integers(0, 90, 40))


@pytest.mark.parametrize(("n", "groups", "m"), [(1, 1, 1), (17, 5, 40), (40, 30, 200), (9, 3, 300)])
def test_groups_are_ranked_by_their_best_member(n, groups, m):
    generator = np.random.default_rng(m)
    few = scoring.unit(generator.normal(size=(max(1, m // 2), 24)))
    same = generator.integers(0, len(few), m)
    group = generator.permutation(
        np.concatenate([np.arange(groups), generator.integers(0, groups, m - groups)])
    )
    queries = scoring.unit(
        few[generator.integers(0, len(few), n)] + 0.2 * generator.normal(size=(n, 24))
    )
    truth = generator.integers(0, groups, n)
    scores = scoring.cosine(queries, few[same])
    for alike in (None, same):
        np.testing.assert_array_equal(
            ranks.group_ranks(queries, few[same], group, truth, alike),
            recall.group_ranks(scores, group, truth, alike),
        )


def test_rows_of_any_length_are_ranked_by_dot_product():
    generator = np.random.default_rng(3)
    queries, candidates = (
        (generator.normal(size=(k, 24)) * generator.lognormal(2, 1, (k, 1))).astype(np.float32)
        for k in (40, 90)
    )
    candidates[50:] = candidates[:40]
    truth = generator.integers(0, 90, 40)
    whole = recall.ranks(scoring.cosine(queries, candidates), truth)
    np.testing.assert_array_equal(ranks.ranks(queries, candidates, truth), whole)


def test_what_does_not_fit_is_refused():
    rows = scoring.unit(np.eye(4))
    with pytest.raises(errors.DataError, match="truth"):
        ranks.ranks(rows, rows, np.array([0, 1, 2, 4]))
    with pytest.raises(errors.DataError, match="queries"):
        ranks.ranks(rows * np.nan, rows, np.arange(4))
