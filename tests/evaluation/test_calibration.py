"""A fitted probability means what it says, on pairs that took no part in the fit."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation import calibration


def pairs(seed, n=4000):
    generator = np.random.default_rng(seed)
    return generator.normal(0.3, 0.05, n), generator.normal(0.2, 0.05, n)


def test_equal_normal_curves_give_the_known_answer():
    found = calibration.fit(*pairs(0, 200_000))
    assert found.scale == pytest.approx(0.1 / 0.05**2, rel=0.02)  # of the likelihood ratio
    assert found.threshold() == pytest.approx(0.25, abs=1e-3)
    assert found.n == 400_000


def test_held_out_pairs_match_as_often_as_said():
    found = calibration.fit(*pairs(0))
    matching, others = pairs(1)
    said = found.probability(np.concatenate([matching, others]))
    truth = np.repeat([True, False], len(matching))
    assert calibration.calibration_error(said, truth) < 0.02
    assert calibration.calibration_error(1 - said, truth) > 0.5


def test_many_other_pairs_do_not_move_the_threshold():
    matching, others = pairs(2)
    found = calibration.fit(matching[:200], np.tile(others, 5))
    assert found.threshold() == pytest.approx(0.25, abs=0.01)


def test_pairs_that_are_apart_stay_finite():
    found = calibration.fit(np.array([0.9, 0.8]), np.array([0.1, 0.2]))
    assert np.isfinite([found.scale, found.bias]).all()
    assert 0.2 < found.threshold() < 0.8


@pytest.mark.parametrize(
    ("matching", "others", "message"),
    [([], [0.1], "0 matching and 1 other"), ([0.1, 0.2], [0.3, 0.4], "no more similar")],
)
def test_what_cannot_be_fitted(matching, others, message):
    with pytest.raises(errors.DataError, match=message):
        calibration.fit(np.array(matching), np.array(others))
