"""Rows and their similarity: exact for equal rows, refused without direction."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import scoring


def test_equal_vectors_score_exactly_equal():
    rows = scoring.unit(np.random.default_rng(2).normal(size=(50, 96)))
    similarity = scoring.cosine(rows, np.concatenate([rows, rows[::-1]]))
    np.testing.assert_array_equal(similarity[:, :50], similarity[:, :49:-1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    scores = np.ones((4, 4))
    scores[1, 2] = bad
    with pytest.raises(errors.DataError, match=r"not finite.*\(1, 2\)"):
        scoring.unit(scores)


def test_a_vector_without_direction_is_refused():
    with pytest.raises(errors.DataError, match="row 1 is all zeros"):
        scoring.unit(np.array([[1.0, 0.0], [0.0, 0.0]]))
