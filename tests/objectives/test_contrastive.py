"""The plain losses against their definitions, written out pair by pair."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives.contrastive import (
    LOSSES,
    of_groups,
    of_scores,
    sigmoid_loss,
    symmetric_infonce,
)


def pairs(items=5):
    return np.random.default_rng(0).normal(size=(2, items, 4)).astype(np.float32)


def test_infonce_is_two_softmax_cross_entropies():
    a, b = pairs()
    logits = np.exp(1.3) * a @ b.T
    rows = -np.mean([np.log(np.exp(logits[i, i]) / np.exp(logits[i]).sum()) for i in range(5)])
    columns = -np.mean(
        [np.log(np.exp(logits[i, i]) / np.exp(logits[:, i]).sum()) for i in range(5)]
    )
    np.testing.assert_allclose(symmetric_infonce(a, b, 1.3), (rows + columns) / 2, rtol=1e-5)


def test_sigmoid_decides_every_pair_by_itself():
    a, b = pairs()
    logits = np.exp(0.4) * a @ b.T - 2.5
    total = 0.0
    for i in range(5):
        for j in range(5):
            z = 1 if i == j else -1
            total -= math.log(1 / (1 + math.exp(-z * logits[i, j])))
    np.testing.assert_allclose(sigmoid_loss(a, b, 0.4, -2.5), total / 5, rtol=1e-5)


def test_equal_captions_are_no_negatives():
    a, b = pairs(3)
    logits = a @ b.T
    same = np.array([7, 8, 7])
    kept = [[0, 1], [0, 1, 2], [1, 2]]  # by row, and as the matrix of ids is symmetric by column
    rows = [np.log(np.exp(logits[i, k]).sum()) - logits[i, i] for i, k in enumerate(kept)]
    columns = [np.log(np.exp(logits[k, i]).sum()) - logits[i, i] for i, k in enumerate(kept)]
    expected = (np.mean(rows) + np.mean(columns)) / 2
    np.testing.assert_allclose(symmetric_infonce(a, b, 0.0, same=same), expected, rtol=1e-5)
    signs = 2 * np.eye(3) - 1
    losses = [np.log1p(np.exp(-signs[i, k] * logits[i, k])).sum() for i, k in enumerate(kept)]
    np.testing.assert_allclose(sigmoid_loss(a, b, 0.0, same=same), np.sum(losses) / 3, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_ids_of_two_words_are_equal_when_both_are(loss):
    a, b = pairs(4)
    words = np.array([[1, 1], [1, 2], [1, 1], [2, 2]], np.uint32)
    np.testing.assert_array_equal(
        loss(a, b, 0.0, same=words), loss(a, b, 0.0, same=np.array([0, 1, 0, 2]))
    )
    np.testing.assert_array_equal(loss(a, b, 0.0, same=np.arange(4)), loss(a, b, 0.0))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_all_captions_equal_leaves_the_positives(loss):
    a, b = pairs(4)
    gradient = jax.grad(loss, argnums=(0, 1))(a, b, 0.0, 0.0, np.zeros(4, int))
    assert all(np.isfinite(one).all() for one in gradient)
    alone = [float(loss(a[i : i + 1], b[i : i + 1], 0.0)) for i in range(4)]
    np.testing.assert_allclose(loss(a, b, 0.0, 0.0, np.zeros(4, int)), np.mean(alone), atol=1e-6)


def test_bias_does_not_reach_a_softmax():
    a, b = pairs()
    assert symmetric_infonce(a, b, 0.5, 9.0) == symmetric_infonce(a, b, 0.5)


def test_perfect_pairs_at_high_scale_cost_nothing():
    eye = jnp.eye(6)
    assert symmetric_infonce(eye, eye, jnp.log(100.0)) < 1e-6
    np.testing.assert_allclose(symmetric_infonce(eye, eye, -20.0), np.log(6), rtol=1e-5)


def test_gradient_pulls_partners_together():
    a, b = jax.random.normal(jax.random.key(0), (2, 4, 8))
    gradient = jax.grad(symmetric_infonce)(a, b, 0.0)
    assert symmetric_infonce(a - 0.1 * gradient, b, 0.0) < symmetric_infonce(a, b, 0.0)


def test_scores_give_the_worked_loss():
    """VALOR spec 3.2: rows cost 0.21483 and 10.71431, columns 0.39847 and 10.00005."""
    scores = np.array([[0.9, 0.8], [0.85, 0.1]], np.float32)
    np.testing.assert_allclose(of_scores(scores, 0.07), 5.331913, rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_absent_items_leave_the_loss_of_the_others(loss):
    a, b = pairs(6)
    present = np.array([True, False, True, True, False, True])
    graded = jax.value_and_grad(loss, argnums=(0, 1, 2))
    expected, slopes = graded(a[present], b[present], 0.5, -1.0)
    a[1], b[4] = np.nan, np.nan
    value, found = graded(a, b, 0.5, -1.0, None, present)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for one, other in zip(found[:2], slopes[:2], strict=True):
        np.testing.assert_allclose(one[present], other, atol=1e-6)
        assert not one[~present].any()
    np.testing.assert_allclose(found[2], slopes[2], atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_nobody_present_costs_nothing(loss):
    a, b = pairs(3)
    value, gradient = jax.value_and_grad(loss)(a, b, 0.5, -1.0, None, np.zeros(3, bool))
    assert value == 0
    assert not gradient.any()


def test_groups_with_too_few_items_leave_the_mean():
    losses = {"tva": jnp.float32(3), "tv": jnp.float32(1), "ta": jnp.float32(5)}
    valid = {"tva": jnp.int32(1), "tv": jnp.int32(4), "ta": jnp.int32(2)}
    assert of_groups(losses, valid, 2) == 3
    assert of_groups(losses, valid, 1) == 3
    assert of_groups(losses, valid, 4) == 1
    assert of_groups(losses, valid, 5) == 0
