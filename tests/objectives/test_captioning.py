"""What is masked and how often, and what a guess costs, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.objectives import captioning
from lb_jax.objectives.captioning import NO_TARGET, RATES, Vocabulary

PAD, CLS, SEP, MASK, FIRST = 0, 101, 102, 103, 106
VOCABULARY = Vocabulary(size=300, pad=PAD, mask=MASK, first_word=FIRST)
NOT = NO_TARGET


def texts(rows, length=32, seed=0):
    draw = np.random.default_rng(seed)
    words = draw.integers(FIRST, VOCABULARY.size, (rows, length))
    lengths = draw.integers(4, length + 1, (rows, 1))
    place = np.arange(length)
    words = np.where(place == lengths - 1, SEP, np.where(place < lengths, words, PAD))
    words[:, 0] = CLS
    return words.astype(np.int32)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_masker_has_its_rates(rate):
    """Five standard errors of each share, and 3 % for rows that would have been empty."""
    ids = texts(2000)
    masked, targets = (
        np.asarray(x) for x in captioning.mask_tokens(jax.random.key(0), ids, VOCABULARY, rate)
    )
    asked, words = targets >= 0, (ids != PAD) & (np.arange(32) > 0)
    assert asked.any(1).all()
    assert not asked[~words].any()
    np.testing.assert_array_equal(targets[asked], ids[asked])
    np.testing.assert_array_equal(masked[~asked], ids[~asked])

    def share(found, of, expected, slack=0.0):
        error = 5 * np.sqrt(expected * (1 - expected) / of.sum())
        assert abs((found & of).sum() / of.sum() - expected) < error + slack

    share(asked, words, rate, 0.03 * (1 - rate))
    share(asked, words & (ids == SEP), rate, 0.06 * (1 - rate))
    share(masked == MASK, asked, 0.8)
    others = (masked != MASK) & (masked != ids)
    share(others, asked, 0.1 * (1 - 1 / (VOCABULARY.size - FIRST)))
    assert masked[others].min() >= FIRST
    assert len(np.unique(masked[others])) > 150  # of 194 words


def test_draw_is_that_of_drawing_again_until_something_is_chosen():
    """Every outcome of three candidates at the chance that it has under the condition."""
    rows, rate = 60_000, 0.15
    candidates = np.tile([False, True, True, False, True], (rows, 1))
    chosen = np.asarray(captioning.choose(jax.random.key(1), candidates, rate))
    assert not chosen[:, [0, 3]].any()
    found = np.bincount(chosen[:, [1, 2, 4]] @ [1, 2, 4], minlength=8) / rows
    ones = np.array([bin(i).count("1") for i in range(8)])
    expected = rate**ones * (1 - rate) ** (3 - ones)
    expected[0] = 0
    expected /= expected.sum()
    assert found[0] == 0
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected / rows))


def test_rows_without_candidates_stay_and_certain_ones_are_all_chosen():
    candidates = np.array([[False, False], [True, True]])
    np.testing.assert_array_equal(captioning.choose(jax.random.key(0), candidates, 1.0), candidates)
    assert not captioning.choose(jax.random.key(0), candidates, 0.5)[0].any()
    with pytest.raises(ValueError, match="rate 0: a share"):
        captioning.choose(jax.random.key(0), candidates, 0)


def test_a_language_model_sees_the_text_and_guesses_what_follows():
    ids = np.array([[CLS, 111, 112, SEP, PAD], [CLS, 111, 112, 113, SEP]])
    expected = [[111, 112, SEP, NOT, NOT], [111, 112, 113, SEP, NOT]]
    np.testing.assert_array_equal(captioning.next_tokens(ids, PAD), expected)


def test_doubled_text_asks_for_every_token():
    """VALOR spec 4.5: 1, 11, 12, 2, 0 gives targets 11, 12, 2 and two without."""
    vocabulary = VOCABULARY._replace(mask=3)
    ids, targets = captioning.doubled(np.array([[1, 11, 12, 2, 0]]), vocabulary)
    np.testing.assert_array_equal(ids, [[1, 11, 12, 2, 0, 3, 3, 3, 3, 3]])
    np.testing.assert_array_equal(targets, [[NOT] * 5 + [11, 12, 2, NOT, NOT]])


def test_cost_is_the_logarithm_of_the_probability():
    logits = np.log([[[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1.0, 1.0, 1.0]]])
    targets = np.array([[0, 1, NOT]])
    costs = captioning.cross_entropy(logits, targets)
    np.testing.assert_allclose(costs, [[np.log(2), np.log(5), 0]], rtol=1e-6)
    np.testing.assert_allclose(captioning.token_mean(costs, targets), np.log(10) / 2, rtol=1e-6)


def test_smoothing_is_a_divergence_and_least_where_it_is_met():
    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    targets = np.array([[0, 4, NOT], [1, NOT, 2]])
    wanted = np.full((2, 3, 5), 0.1 / 4)
    np.put_along_axis(wanted, np.maximum(targets, 0)[..., None], 0.9, -1)
    expected = (wanted * (np.log(wanted) - jax.nn.log_softmax(logits))).sum(-1)
    found = captioning.cross_entropy(logits, targets, 0.1)
    np.testing.assert_allclose(found, np.where(targets >= 0, expected, 0), atol=1e-6)
    met = captioning.cross_entropy(np.log(wanted), targets, 0.1)
    np.testing.assert_allclose(met, 0, atol=1e-6)


def test_answers_are_weighed_by_sample():
    """A long answer counts as much as a short one; of several, each has its weight."""
    costs = np.array([[1.0, 0, 0], [2, 4, 0], [3, 3, 3]], np.float32)
    targets = np.array([[5, NOT, NOT], [5, 5, NOT], [5, 5, 5]])
    assert captioning.sample_mean(costs, targets) == (1 + 3 + 3) / 3
    weights = np.array([0.5, 1, 0.25], np.float32)
    assert captioning.weighted_answers(costs, targets, weights, 2) == (0.5 + 3 + 0.75) / 2


def test_texts_of_absent_groups_cost_nothing():
    targets = np.array([[5, 2], [5, NOT]])
    logits = np.random.default_rng(0).normal(size=(2, 2, 9)).astype(np.float32)

    def loss(logits, present):
        asked = captioning.of_present(targets, present)
        return captioning.token_mean(captioning.cross_entropy(logits, asked), asked)

    value, gradient = jax.value_and_grad(loss)(logits, np.array([True, False]))
    alone = captioning.cross_entropy(logits[:1], targets[:1]).mean()
    np.testing.assert_allclose(value, alone, rtol=1e-6)
    assert not gradient[1].any()
    value, gradient = jax.value_and_grad(loss)(logits, np.zeros(2, bool))
    assert value == 0
    assert not gradient.any()


def test_total_weighs_the_alignment():
    assert captioning.total(jnp.float32(2), jnp.float32(3), 1.5, jnp.float32(1)) == 7
