"""Symmetric InfoNCE against its definition."""

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.objectives.contrastive import symmetric_infonce


def test_equals_two_softmax_cross_entropies():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 4)).astype(np.float32)
    logits = np.exp(1.3) * a @ b.T
    rows = -np.mean([np.log(np.exp(logits[i, i]) / np.exp(logits[i]).sum()) for i in range(5)])
    columns = -np.mean(
        [np.log(np.exp(logits[i, i]) / np.exp(logits[:, i]).sum()) for i in range(5)]
    )
    np.testing.assert_allclose(symmetric_infonce(a, b, 1.3), (rows + columns) / 2, rtol=1e-5)


def test_perfect_pairs_at_high_scale_cost_nothing():
    eye = jnp.eye(6)
    assert symmetric_infonce(eye, eye, jnp.log(100.0)) < 1e-6
    np.testing.assert_allclose(symmetric_infonce(eye, eye, -20.0), np.log(6), rtol=1e-5)


def test_gradient_pulls_partners_together():
    a, b = jax.random.normal(jax.random.key(0), (2, 4, 8))
    gradient = jax.grad(symmetric_infonce)(a, b, 0.0)
    assert symmetric_infonce(a - 0.1 * gradient, b, 0.0) < symmetric_infonce(a, b, 0.0)
