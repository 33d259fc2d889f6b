"""Zero-shot classification: class weights."""

import numpy as np

from lb_jax.evaluation.metrics import zero_shot


def test_class_weights_average_directions_not_lengths():
    weights = zero_shot.class_weights([np.array([[10.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 2.0]])])
    np.testing.assert_allclose(weights, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-7)
