"""Ranks and recall against hand-worked tables, naive loops and the reference's numbers."""

import json

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import recall
from tests import goldens

# query x candidate; the right answer of query i is candidate i
SIMILARITY = np.array(
    [
        [0.9, 0.1, 0.3, 0.2],  # first
        [0.8, 0.5, 0.7, 0.1],  # third
        [0.4, 0.2, 0.4, 0.1],  # tied for first: second
        [0.0, 0.0, 0.0, 0.0],  # tied with all: last
    ]
)


def test_ranks_of_a_hand_computed_table():
    np.testing.assert_array_equal(recall.ranks(SIMILARITY, np.arange(4)), [1, 3, 2, 4])


def test_retrieval_of_a_hand_computed_table():
    expected = {"R@1": 0.25, "R@5": 1.0, "R@10": 1.0, "median_rank": 2.5, "mean_rank": 2.5}
    assert recall.retrieval(SIMILARITY) == expected | {"std_rank": 1.25**0.5}


def test_ranks_take_truth_anywhere():
    np.testing.assert_array_equal(
        recall.ranks(np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0]]), np.array([2, 0])), [2, 1]
    )


def test_a_constant_model_gets_nothing():
    assert recall.retrieval(np.ones((7, 7)))["R@1"] == 0
    assert recall.retrieval(np.ones((7, 7)))["mean_rank"] == 7


def test_ranks_equal_naive_loops_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(20):
        n, m = generator.integers(1, 12, 2)
        scores = generator.integers(0, 4, (n, m)).astype(float)
        truth = generator.integers(0, m, n)
        naive = [
            1 + sum(scores[i, j] >= scores[i, truth[i]] for j in range(m) if j != truth[i])
            for i in range(n)
        ]
        np.testing.assert_array_equal(recall.ranks(scores, truth), naive)


def test_ranks_do_not_depend_on_the_order_of_candidates():
    generator = np.random.default_rng(1)
    scores, order = generator.integers(0, 3, (9, 9)).astype(float), generator.permutation(9)
    moved = recall.ranks(scores[:, order], np.argsort(order))
    np.testing.assert_array_equal(moved, recall.ranks(scores, np.arange(9)))


def test_grouped_retrieval_of_a_hand_computed_table():
    similarity = np.array(
        [[0.9, 0.1], [0.3, 0.2], [0.8, 0.7]]
    )  # texts 0 and 1 are of item 0, text 2 of item 1
    to_item, to_text = recall.grouped_retrieval(similarity, np.array([0, 0, 1]))
    assert (to_item["R@1"], to_item["median_rank"]) == (2 / 3, 1)
    assert to_text["R@1"] == 1  # item 0: 0.9 against 0.8; item 1: 0.7 against 0.2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    scores = SIMILARITY.copy()
    scores[1, 2] = bad
    with pytest.raises(errors.DataError, match=r"not finite.*\(1, 2\)"):
        recall.retrieval(scores)


@pytest.mark.parametrize("shape", [(3, 4), (0, 0), (4,)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(errors.DataError, match="shape"):
        recall.retrieval(np.zeros(shape))


def test_an_item_without_text_is_refused():
    with pytest.raises(
        errors.DataError, match="1 of 2 have no member, such as a text; the first is 1"
    ):
        recall.grouped_retrieval(np.zeros((2, 2)), np.array([0, 0]))


@pytest.fixture(scope="module")
def golden():
    if not (goldens.FOLDER / "retrieval_metrics.npz").is_file():
        pytest.skip(f"no reference numbers at {goldens.FOLDER}; set LB_JAX_GOLDENS")
    with np.load(goldens.FOLDER / "retrieval_metrics.npz", allow_pickle=False) as arrays:
        expected = json.loads((goldens.FOLDER / "retrieval_metrics.json").read_text())
        return dict(arrays), expected


def _assert_as_published(ours, published, *, recall_rtol):
    for key, name in (("R@1", "R1"), ("R@5", "R5"), ("R@10", "R10")):
        np.testing.assert_allclose(100 * ours[key], published[name], rtol=recall_rtol)
    assert (ours["median_rank"], ours["mean_rank"]) == (published["MedianR"], published["MeanR"])


@pytest.mark.golden
def test_single_caption_metrics_equal_the_reference(golden):
    arrays, expected = golden
    _assert_as_published(
        recall.retrieval(arrays["single"]), expected["single_t2v"], recall_rtol=1e-14
    )
    _assert_as_published(
        recall.retrieval(arrays["single"].T), expected["single_v2t"], recall_rtol=1e-14
    )


@pytest.mark.golden
def test_multi_caption_metrics_equal_the_reference(golden):
    arrays, expected = golden
    to_item, to_text = recall.grouped_retrieval(arrays["multi"], arrays["multi_owner"])
    _assert_as_published(
        to_item, expected["multi_t2v"], recall_rtol=1e-7
    )  # the reference averages in float32
    assert to_item["std_rank"] == expected["multi_t2v"]["Std_Rank"]
    _assert_as_published(to_text, expected["multi_v2t"], recall_rtol=1e-14)
