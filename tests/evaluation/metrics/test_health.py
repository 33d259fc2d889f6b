"""Figures of embeddings at their known extremes."""

import numpy as np
import pytest

from lb_jax.evaluation.metrics import health, scoring


def test_effective_rank_counts_directions():
    for count in (1, 3, 8):
        axes = np.eye(8)[:count]
        assert health.effective_rank(np.concatenate([axes, -axes])) == pytest.approx(count)
    assert health.effective_rank(np.ones((5, 8))) == 1


def test_uniformity_of_one_point_and_of_a_sphere():
    assert health.uniformity(scoring.unit(np.ones((9, 8)))) == pytest.approx(0, abs=1e-6)
    spread = scoring.unit(np.random.default_rng(0).normal(size=(400, 256)))
    assert health.uniformity(spread) == pytest.approx(-4, abs=0.05)


def test_modality_gap_of_opposite_cones():
    rows = scoring.unit(np.eye(4)[:1].repeat(3, 0))
    assert health.modality_gap(rows, rows) == 0
    assert health.modality_gap(rows, -rows) == 2
