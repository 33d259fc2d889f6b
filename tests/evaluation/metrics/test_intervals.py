"""Bootstrap intervals cover the truth as often as they say, also with several captions an item."""

import numpy as np
import pytest

from lb_jax.evaluation.metrics import intervals


def recall(ranks):
    return float(np.mean(ranks <= 1))


def test_the_truth_is_covered():
    generator, truth = np.random.default_rng(0), 0.4
    covered = 0
    for trial in range(300):
        ranks = np.where(generator.random(200) < truth, 1, 2)
        low, high = intervals.bootstrap(ranks, recall, draws=300, seed=trial)
        covered += low <= truth <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_captions_of_an_item_are_drawn_together():
    generator, truth = np.random.default_rng(1), 0.4
    groups = np.repeat(np.arange(100), 5)
    covered = {"items": 0, "captions": 0}
    for trial in range(100):
        ranks = np.where(generator.random(100) < truth, 1, 2)[groups]
        for name, given in (("items", groups), ("captions", None)):
            low, high = intervals.bootstrap(ranks, recall, groups=given, draws=200, seed=trial)
            covered[name] += low <= truth <= high
    assert covered["items"] / 100 >= 0.9
    assert covered["captions"] / 100 < 0.8  # what goes wrong otherwise


def test_the_same_seed_gives_the_same_interval():
    ranks = np.arange(50)
    first = intervals.bootstrap(ranks, np.median)
    assert intervals.bootstrap(ranks, np.median) == first
    assert first[0] < np.median(ranks) < first[1]
    assert intervals.bootstrap(np.full(9, 3), np.mean) == (3, 3)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_level_is_the_share_inside(level):
    values = np.random.default_rng(2).normal(size=400)
    low, high = intervals.bootstrap(values, np.mean, level=level, draws=4000)
    width = {0.5: 0.674, 0.9: 1.645}[level] * 2 * values.std() / 20
    assert high - low == pytest.approx(width, rel=0.1)
