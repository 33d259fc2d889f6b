"""A fitted probability means what it says, on pairs that took no part in the fit."""

import numpy as np
import pytest

from lb_jax.core import errors
from lb_jax.evaluation.metrics import calibration


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


def law(seed, n, scale=12.0, bias=-3.6):
    """Similarities, and matches drawn by a logistic law; half of all match, by symmetry."""
    generator = np.random.default_rng(seed)
    similarity = generator.uniform(0.0, 0.6, n)  # around -bias / scale = 0.3
    truth = 1 / (1 + np.exp(-(scale * similarity + bias)))
    return similarity, truth, generator.random(n) < truth


def test_a_planted_law_is_found():
    similarity, _, match = law(3, 40_000)
    found = calibration.fit(similarity[match], similarity[~match])
    _, truth, fresh = law(4, 40_000)
    said = found.probability(law(4, 40_000)[0])
    # four standard errors: 2 / sqrt(40000) of the log-odds in the middle, a quarter of it here
    assert np.abs(said - truth).max() < 0.015
    assert calibration.calibration_error(said, fresh) < 0.01
    assert found.threshold() == pytest.approx(0.3, abs=0.005)


def test_another_prior_is_bayes_rule():
    similarity, _, match = law(5, 40_000)
    found = calibration.fit(similarity[match], similarity[~match])
    fresh, _, drawn = law(6, 80_000)
    rare = np.random.default_rng(7).random(len(fresh)) < 1 / 9  # a tenth of what is left matches
    kept = ~drawn | rare
    said = found.probability(fresh[kept], prior=0.1)
    assert calibration.calibration_error(said, drawn[kept]) < 0.01
    assert calibration.calibration_error(found.probability(fresh[kept]), drawn[kept]) > 0.1
    half = found.probability(fresh[:5])
    np.testing.assert_allclose(
        found.probability(fresh[:5], prior=0.1),
        0.1 * half / (0.1 * half + 0.9 * (1 - half)),
        rtol=1e-12,
    )
    assert found.probability(found.threshold(0.1), prior=0.1) == pytest.approx(0.5)
    assert found.threshold(0.1) > found.threshold()


@pytest.mark.parametrize("prior", [0, 1, -0.1, 2, float("nan")])
def test_prior_that_is_no_share_of_pairs(prior):
    curve = calibration.Calibration(10.0, -3.0, 2)
    with pytest.raises(errors.ConfigError, match=r"prior is .*above 0 and below 1"):
        curve.probability(np.zeros(1), prior)


def test_both_kinds_count_the_same_when_measured():
    curve = calibration.Calibration(10.0, 0.0, 2)
    matching, others = np.array([1.0, -1.0]), np.array([-1.0] * 98 + [1.0] * 2)
    error, accuracy = calibration.held_out(curve, matching, others)
    assert accuracy == pytest.approx((0.5 + 0.98) / 2)
    sure = 1 / (1 + np.exp(-10))
    high, low = 0.25 + 0.01, 0.25 + 0.49  # weights of the two bins
    expected = abs(high * sure - 0.25) + abs(low * (1 - sure) - 0.25)
    assert error == pytest.approx(expected)
    with pytest.raises(errors.DataError, match="2 matching and 0 other"):
        calibration.held_out(curve, matching, others[:0])
