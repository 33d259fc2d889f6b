"""Masked captioning: which tokens are to be guessed, and what a guess costs.

VALOR spec 4 and 5.3. Token ids are [b, n], a row is `[CLS] words [SEP] padding`; targets are of the
same shape, `NO_TARGET` where nothing is asked. Who sees whom is for the decoder to say. Read
`mask_tokens`, then `cross_entropy`; the mean over groups of modalities is `contrastive.of_groups`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

NO_TARGET = -1
RATES = {"caption": 0.6, "answer": 0.99, "mlm": 0.15}  # share of tokens that are asked (spec 4.1)
MASKED, REPLACED = 0.8, 0.1  # of these: [MASK], another word; the rest stay as they are (BERT)


class Vocabulary(NamedTuple):
    """The ids that a tokenizer gives a meaning of their own.

    Attributes:
      size: number of ids.
      pad: of padding.
      mask: of [MASK].
      first_word: lowest of the ids that a token may be replaced by; the highest is `size - 1`.
    """

    size: int
    pad: int
    mask: int
    first_word: int


def choose(key: jax.Array, candidates: jax.Array, rate: float) -> jax.Array:
    """Each candidate with probability `rate`, given that every row gets at least one.

    The same distribution as drawing a row again until something is chosen, in one pass: which
    candidate is the first is a truncated geometric number, those behind it are independent.

    Args:
      key: of the draw.
      candidates: bool [b, n]; a row without any stays empty.
      rate: above 0, at most 1.

    Returns:
      Bool [b, n].
    """
    if not 0 < rate <= 1:
        raise ValueError(f"rate {rate}: a share of tokens lies above 0 and is at most 1")
    of_first, of_others = jax.random.split(key)
    count = candidates.sum(1, keepdims=True)
    if rate < 1:
        passed = math.log1p(-rate)  # logarithm of the probability to pass one candidate by
        some = -jnp.expm1(count * passed)  # probability that a row has any
        uniform = jax.random.uniform(of_first, count.shape)
        first = jnp.floor(jnp.log1p(-uniform * some) / passed)
    else:
        first = jnp.zeros(count.shape)
    number = jnp.cumsum(candidates, axis=1) - 1  # of each candidate in its row
    first = jnp.minimum(first, count - 1)
    other = jax.random.bernoulli(of_others, rate, candidates.shape)
    return candidates & ((number == first) | ((number > first) & other))


def mask_tokens(
    key: jax.Array, ids: jax.Array, vocabulary: Vocabulary, rate: float
) -> tuple[jax.Array, jax.Array]:
    """Hides tokens of every text; the targets are what stood there, at the same positions.

    The first token and padding are never asked, the last one, [SEP], is: so the end is learnt.

    Args:
      key: of the draw.
      ids: int [b, n].
      vocabulary: its special ids.
      rate: a row of `RATES`.

    Returns:
      Ids with [MASK] (80 %), another word (10 %) or the same word (10 %) where one is asked, and
      targets, both [b, n].
    """
    of_choice, of_fate, of_word = jax.random.split(key, 3)
    candidates = (ids != vocabulary.pad) & (jnp.arange(ids.shape[1]) > 0)
    chosen = choose(of_choice, candidates, rate)
    fate = jax.random.uniform(of_fate, ids.shape)
    words = jax.random.randint(of_word, ids.shape, vocabulary.first_word, vocabulary.size)
    hidden = jnp.where(fate < MASKED, vocabulary.mask, ids)
    hidden = jnp.where((fate >= MASKED) & (fate < MASKED + REPLACED), words, hidden)
    return (
        jnp.where(chosen, hidden, ids).astype(ids.dtype),
        jnp.where(chosen, ids, NO_TARGET).astype(ids.dtype),
    )


def next_tokens(ids: jax.Array, pad: int) -> jax.Array:
    """Targets [b, n] of a language model that sees `ids`: at each position the one behind it."""
    following = jnp.pad(ids[:, 1:], ((0, 0), (0, 1)), constant_values=pad)
    return jnp.where(following == pad, NO_TARGET, following)


def doubled(ids: jax.Array, vocabulary: Vocabulary) -> tuple[jax.Array, jax.Array]:
    """Every token as a target in one pass, under the condition of inference (`full_masker`).

    Behind the text stands a [MASK] for each of its tokens. Mask k becomes token k + 1, stands at
    its position and sees tokens 0 to k and itself: the sight of slots in the decoder. So the costs
    of a sampled text, as `scst` needs them, come from one pass too.

    Args:
      ids: int [b, n].
      vocabulary: its special ids.

    Returns:
      Ids and targets, [b, 2n]; text and last mask have no target.
    """
    slots = jnp.full_like(ids, vocabulary.mask)
    none = jnp.full_like(ids, NO_TARGET)
    return (
        jnp.concatenate([ids, slots], axis=1),
        jnp.concatenate([none, next_tokens(ids, vocabulary.pad)], axis=1),
    )


def cross_entropy(logits: jax.Array, targets: jax.Array, smoothing: float = 0.0) -> jax.Array:
    """What each guess costs, [b, n]; 0 where there is no target.

    Args:
      logits: [b, n, v].
      targets: int [b, n].
      smoothing: share of the probability that the target gives up to all other words in equal
        parts; the cost is then the KL divergence from that distribution (spec 4.4).
    """
    logits = logits.astype(jnp.float32)
    whole = jax.nn.logsumexp(logits, axis=-1)
    asked = targets >= 0
    safe = jnp.where(asked, targets, 0)[..., None]
    right = jnp.take_along_axis(logits, safe, axis=-1)[..., 0] - whole  # log-probability
    cost = -right
    if smoothing:
        words = logits.shape[-1]
        each = smoothing / (words - 1)
        everything = logits.sum(-1) - words * whole
        entropy = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(each)
        cost = entropy - (1 - smoothing) * right - each * (everything - right)
    return jnp.where(asked, cost, 0.0)


def token_mean(costs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over all targets of the batch, a scalar; 0 without any."""
    return costs.sum() / jnp.maximum((targets >= 0).sum(), 1)


def sample_means(costs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over the targets of each text, [b]; 0 for a text without any."""
    return costs.sum(1) / jnp.maximum((targets >= 0).sum(1), 1)


def sample_mean(costs: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over texts of the mean over their targets, a scalar (answers, spec 5.3)."""
    asked = (targets >= 0).any(1)
    return sample_means(costs, targets).sum() / jnp.maximum(asked.sum(), 1)


def weighted_answers(
    costs: jax.Array, targets: jax.Array, weights: jax.Array, questions: int | jax.Array
) -> jax.Array:
    """Several answers to a question, each of its own weight, a scalar (VQAv2, spec 5.3).

    Args:
      costs: [m, n], all answers of the batch one behind the other.
      targets: int [m, n].
      weights: [m].
      questions: of how many questions they are the answers.
    """
    return (weights * sample_means(costs, targets)).sum() / questions


def of_present(targets: jax.Array, present: jax.Array) -> jax.Array:
    """Targets of those texts alone whose group is there; present: bool [b]."""
    return jnp.where(present[:, None], targets, NO_TARGET)


def total(
    alignment: jax.Array, captioning: jax.Array, alpha: float, mlm: jax.Array | float = 0.0
) -> jax.Array:
    """The loss of pretraining; alpha is 1.5 for both released models (spec 4.6)."""
    return alpha * alignment + captioning + mlm
