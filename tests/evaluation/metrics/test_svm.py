"""The linear SVM on standardised columns, against its formula and scikit-learn's own scaler."""

import importlib.util

import numpy as np
import pytest
from sklearn import preprocessing
from sklearn import svm as peer

from lb_jax.core import errors
from lb_jax.evaluation.metrics import svm


def data(classes=3, each=8, width=5, views=2):
    generator = np.random.default_rng(classes)
    centres = 3 * generator.standard_normal((classes, width))
    labels = np.repeat(np.arange(classes), each)
    rows = centres[labels][:, None] + generator.standard_normal((len(labels), views, width))
    return rows * [1, 10, 0.01, 1, 1], labels, np.eye(classes, dtype=bool)[labels]


def test_two_rows_are_told_by_hand():
    # standardised to -1 and 1: w minimises (w² + b²) / 2 + 2 C (1 - w)² for w < 1, b = 0
    train = np.array([[[3.0]], [[7.0]]])
    c = 0.5
    found = svm.scores(train, np.eye(2, dtype=bool), np.array([[[5.0]], [[9.0]]]), c)
    weight = 4 * c / (1 + 4 * c)
    np.testing.assert_allclose(found, [[0, 0], [-2 * weight, 2 * weight]], atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_scores_are_scikit_learn_s_averaged_over_views(classes):
    train, labels, matrix = data(classes)
    test = data(classes, each=3, views=4)[0]
    scaler = preprocessing.StandardScaler().fit(train.reshape(-1, 5))
    model = peer.LinearSVC(C=0.1, dual=False, max_iter=10_000)
    model.fit(scaler.transform(train.reshape(-1, 5)), labels.repeat(2))
    expected = model.decision_function(scaler.transform(test.reshape(-1, 5)))
    found = svm.scores(train, matrix, test, 0.1)
    if classes == 2:
        expected = np.stack([-expected, expected], 1)
    np.testing.assert_allclose(found, expected.reshape(len(test), 4, -1).mean(1), atol=1e-9)


def test_several_classes_are_learnt_one_by_one_without_what_is_unsure():
    train, labels, matrix = data(3, views=1)
    wrong = matrix.copy()
    wrong[0] = False  # an example of the first class that the annotation is not sure of
    unsure = np.zeros_like(matrix)
    unsure[0, 0] = True
    found = svm.scores(train, wrong, train, 1.0, unsure)
    without = svm.scores(train[1:], matrix[1:], train, 1.0, unsure[1:])
    kept = np.arange(len(labels)) != 0
    assert (found[kept, 0] > 0).tolist() == matrix[kept, 0].tolist()
    assert found.shape == without.shape
    naive = svm.scores(train, wrong, train, 1.0, np.zeros_like(matrix))
    assert found[0, 0] > naive[0, 0]


def test_a_class_of_which_nothing_is_learnt_comes_last_and_a_constant_column_is_nothing():
    train, _, matrix = data(3)
    train[..., 3] = 7.0
    train[..., 4] = 0.0
    wide = np.concatenate([matrix, np.zeros((len(matrix), 1), bool)], axis=1)
    found = svm.scores(train, wide, train, 1.0)
    assert np.isfinite(found).all()
    assert (found[:, 3] == svm.ABSENT).all()
    assert (found.argmax(1) == matrix.argmax(1)).all()


def test_mistakes_are_one_line(monkeypatch):
    train, _, matrix = data()
    with pytest.raises(errors.ConfigError, match="C is 0"):
        svm.scores(train, matrix, train, 0)
    with pytest.raises(errors.DataError, match=r"features of the test.*not finite"):
        svm.scores(train, matrix, np.full_like(train, np.nan), 1.0)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.ConfigError, match=r"scikit-learn.*pip install 'lb_jax\[linear\]'"):
        svm.require()
