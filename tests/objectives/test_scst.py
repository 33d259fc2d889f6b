"""The gradient of self-critical training is that of the expected reward, over all texts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives.scst import drawn, scst

WORDS, LENGTH, END = 3, 3, 2


def every_text():
    """All texts: they end with END or after LENGTH tokens; filled with END."""
    found = set()
    for one in itertools.product(range(WORDS), repeat=LENGTH):
        ended = one.index(END) + 1 if END in one else LENGTH
        found.add(one[:ended] + (END,) * (LENGTH - ended))
    return jnp.array(sorted(found))


def tokens_of(logits, ids):
    """Log-probability of each token; the logits depend on place and token before, [n, v, v]."""
    before = jnp.pad(ids[:, :-1], ((0, 0), (1, 0)))
    found = jax.nn.log_softmax(logits)[np.arange(LENGTH), before]
    return jnp.take_along_axis(found, ids[..., None], -1)[..., 0]


@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_gradient_is_that_of_the_expected_reward(baseline):
    ids = every_text()
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(LENGTH, WORDS, WORDS)).astype(np.float32)
    rewards = jnp.asarray(draw.random(len(ids)), jnp.float32)

    def chances(logits):
        return jnp.exp((tokens_of(logits, ids) * drawn(ids, END)).sum(1))

    np.testing.assert_allclose(chances(logits).sum(), 1, rtol=1e-6)
    expected = jax.grad(lambda x: -(chances(x) * rewards).sum())(logits)
    each = jax.vmap(
        jax.grad(
            lambda x, i: scst(tokens_of(x, ids)[i][None], ids[i][None], rewards[i], baseline, END)
        ),
        in_axes=(None, 0),
    )
    found = jnp.einsum("k,k...->...", chances(logits), each(logits, np.arange(len(ids))))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 0.01


def test_what_follows_the_end_does_not_count():
    ids = np.array([[5, END, 7, END], [END, 1, 1, 1], [5, 5, 5, 5]])
    expected = [[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(drawn(ids, END), np.array(expected, bool))


def test_samples_of_one_item_share_its_baseline():
    log_probabilities = np.array([[[-1.0, -2.0], [-4.0, -8.0]]], np.float32)
    ids = np.array([[[0, END], [END, END]]])
    rewards, greedy = np.array([[0.9, 0.3]]), np.array([[0.5]])
    found = scst(log_probabilities, ids, rewards, greedy, END)
    np.testing.assert_allclose(found, (0.4 * 3 - 0.2 * 4) / 2, rtol=1e-6)


def test_a_sample_as_good_as_the_greedy_text_teaches_nothing():
    gradient = jax.grad(scst)(np.full((2, 3), -1.0), np.zeros((2, 3), int), 0.4, 0.4, END)
    assert not gradient.any()
