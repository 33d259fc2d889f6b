"""Top-1 accuracy and confusions against hand-worked tables."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import classes


def test_classification_of_a_hand_computed_table():
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.5, 0.5, 0.0], [0.1, 0.8, 0.3]])
    table = classes.classification(scores, np.array([0, 0, 1, 1]))
    assert table == {"top1": 0.5, "chance": 1 / 3, "n": 4, "per_class": [0.5, 0.5, None]}
    counts = classes.confusion(scores, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(counts, [[1, 0, 1], [1, 1, 0], [0, 0, 0]])


def test_a_constant_model_gets_nothing():
    assert classes.classification(np.ones((6, 3)), np.zeros(6, int))["top1"] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    scores = np.ones((4, 4))
    scores[1, 2] = bad
    with pytest.raises(errors.DataError, match=r"not finite.*\(1, 2\)"):
        classes.classification(scores, np.zeros(4, int))


@pytest.mark.parametrize("labels", [[0, 1, 2, 4], [0, 1, -1, 2], [0, 1], [0.0, 1.0, 2.0, 3.0]])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(errors.DataError, match="labels"):
        classes.classification(np.ones((4, 4)), np.array(labels))
