"""Average precision and area under the curve equal scikit-learn's, ties included."""

import numpy as np
import pytest
import sklearn.metrics

from lb_jax.core import errors
from lb_jax.evaluation.metrics import labels as multilabel


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_equal_to_scikit_learn(levels):
    generator = np.random.default_rng(levels)
    scores = generator.integers(0, levels, (300, 12)) / levels
    labels = generator.random((300, 12)) < np.linspace(0.01, 0.9, 12)
    labels[0], labels[1] = True, False
    found = multilabel.score(scores, labels)
    assert found["classes"] == 12
    precision = sklearn.metrics.average_precision_score(labels, scores, average=None)
    np.testing.assert_allclose(found["per_class"], precision, rtol=1e-12)
    assert found["mAP"] == pytest.approx(precision.mean(), rel=1e-12)
    area = sklearn.metrics.roc_auc_score(labels, scores, average="macro")
    assert found["mAUC"] == pytest.approx(area, rel=1e-12)


def test_hand_computed():
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    positive = np.array([True, False, True, False])
    assert multilabel.average_precision(scores, positive) == pytest.approx((1 + 2 / 3) / 2)
    assert multilabel.roc_area(scores, positive) == pytest.approx(3 / 4)


def test_classes_of_all_or_no_items_are_left_out_and_counted():
    scores = np.array([[0.1, 0.2, 0.3], [0.3, 0.2, 0.1]])
    found = multilabel.score(scores, np.array([[True, True, False], [False, True, False]]))
    assert found["classes"] == 1
    assert found["per_class"][1:] == [None, None]
    with pytest.raises(errors.DataError, match="every class is of all items or of none"):
        multilabel.score(scores, np.ones((2, 3), bool))


def test_a_perfect_model_has_a_finite_d_prime():
    found = multilabel.score(np.eye(4), np.eye(4, dtype=bool))
    assert (found["mAP"], found["mAUC"]) == (1, 1)
    assert 2 < found["d_prime"] < 10
