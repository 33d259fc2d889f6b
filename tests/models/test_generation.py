"""The compiled loop with kept keys equals searching with the whole prefix computed again."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors
from lb_jax.models.bert import Bert, BertConfig
from lb_jax.models.generation import Decoding, generate

CFG = BertConfig(
    16, 2, 2, 32, vocab=12, context=16, cross="va_concate", begin=1, end=2, mask=3, dropout=0.0
)
PROMPT = np.array([[1, 5, 6, 2, 0], [1, 7, 2, 0, 0], [1, 4, 8, 9, 2]], np.int32)


@functools.cache
def bert(cross="va_concate"):
    cfg = BertConfig(**{**CFG.__dict__, "cross": cross})
    made = Bert(cfg, rngs=nnx.Rngs(params=1))
    made.token_embed.embedding[...] = 40 * made.token_embed.embedding[...]  # texts that differ
    made.head.bias[...] = made.head.bias[...].at[CFG.end].set(1.0)  # and end
    return nnx.split(made)


@functools.cache
def memory():
    draw = functools.partial(jax.random.normal, shape=(3, 4, 16))
    return {"video": draw(jax.random.key(1)), "audio": draw(jax.random.key(2))}


@functools.cache
def program(cross, decoding):
    graph, _ = bert(cross)

    @jax.jit
    def run(state, memory, prompt, key):
        return generate(nnx.merge(graph, state), memory, decoding, prompt=prompt, key=key)

    return functools.partial(run, bert(cross)[1])


@functools.cache
def next_words(cross):
    graph, state = bert(cross)

    @jax.jit
    def run(ids, prompt, memory):
        made = nnx.merge(graph, state)
        found = made(ids, prompt=prompt, memory=memory, sight="causal")
        return jax.nn.log_softmax(made.logits(found.text))

    def of(prefix, prompt, memory):
        ids = [CFG.begin, *prefix, CFG.mask]
        padded = np.array([ids + [CFG.pad] * (CFG.context - len(ids))], np.int32)
        return np.array(run(padded, prompt, memory)[0, len(ids) - 1], np.float64)

    return of


def banned(prefix, d):
    """The words that the options of a `Decoding` forbid."""
    n = d.no_repeat_ngram
    runs = [tuple(prefix[i : i + n]) for i in range(len(prefix) - n + 1)] if n else []
    found = {run[-1] for run in runs if run[:-1] == tuple(prefix[len(prefix) - n + 1 :])}
    return (found - {CFG.end}) | ({CFG.end} if len(prefix) < d.shortest else set())


def searched(cross, i, d, prompt):
    """Beam search of one item by its definition."""
    given = {role: one[i : i + 1] for role, one in memory().items()}
    asked = None if prompt is None else prompt[i : i + 1]
    beams = [((), 0.0)]

    def rank(beam):
        return beam[1] / len(beam[0]) ** d.length_penalty

    for _ in range(d.longest):
        found = []
        for words, score in beams:
            if words and words[-1] == CFG.end:
                found.append((words, score))
                continue
            logs = next_words(cross)(words, asked, given)
            free = [v for v in range(CFG.vocab) if v not in banned(words, d)]
            found += [((*words, v), score + logs[v]) for v in free]
        beams = sorted(found, key=rank, reverse=True)[: d.beams]
    return beams[0]


@pytest.mark.parametrize(
    ("cross", "with_prompt", "decoding"),
    [
        ("va_concate", False, Decoding(beams=1, longest=6)),
        ("va_concate", True, Decoding(beams=3, longest=6)),
        ("video_audio", True, Decoding(beams=4, longest=5, length_penalty=1.0)),
        ("va_parallel", False, Decoding(beams=2, longest=6, shortest=3, no_repeat_ngram=2)),
        ("audio_video", True, Decoding(beams=1, longest=7, shortest=6, no_repeat_ngram=1)),
    ],
    ids=["greedy", "beam", "length", "bigrams", "unigrams"],
)
def test_kept_keys_equal_the_whole_prefix_again(cross, with_prompt, decoding):
    prompt = PROMPT if with_prompt else None
    found = program(cross, decoding)(memory(), prompt, None)
    for i in range(3):
        words, score = searched(cross, i, decoding, prompt)
        filled = [*words, *[CFG.end] * (decoding.longest - len(words))]
        np.testing.assert_array_equal(found.ids[i], filled)
        assert math.isclose(found.scores[i], score, abs_tol=1e-4)


def test_several_beams_never_score_below_one():
    one = program("va_concate", Decoding(beams=1, longest=6))(memory(), None, None)
    for beams in (2, 5):
        several = program("va_concate", Decoding(beams=beams, longest=6))(memory(), None, None)
        assert (several.scores >= one.scores - 1e-5).all()


def test_an_item_is_written_the_same_in_any_batch():
    decoding = Decoding(beams=3, longest=6)
    whole = program("va_concate", decoding)(memory(), PROMPT, None)
    one = {role: x[1:2] for role, x in memory().items()}
    alone = program("va_concate", decoding)(one, PROMPT[1:2, :3], None)  # without its padding
    np.testing.assert_array_equal(whole.ids[1], alone.ids[0])


def test_drawn_words_have_the_probabilities_of_all_places_at_once():
    decoding = Decoding(beams=1, longest=6)
    found = program("va_concate", decoding)(memory(), PROMPT, jax.random.key(3))
    other = program("va_concate", decoding)(memory(), PROMPT, jax.random.key(4))
    assert (found.ids != other.ids).any()
    graph, state = bert()
    made = nnx.merge(graph, state)
    words = jnp.concatenate([jnp.full((3, 1), CFG.begin), found.ids], axis=1)
    ids = jnp.concatenate([words, jnp.full_like(words, CFG.mask)], axis=1)
    hidden = made(ids, prompt=PROMPT, memory=memory(), sight="slots").text[:, words.shape[1] : -1]
    logs = jax.nn.log_softmax(made.logits(hidden))
    expected = np.take_along_axis(np.asarray(logs), np.asarray(found.ids)[..., None], 2)[..., 0]
    after = np.cumsum(np.asarray(found.ids) == CFG.end, axis=1) - (found.ids == CFG.end) > 0
    np.testing.assert_allclose(found.log_probs, np.where(after, 0, expected), atol=1e-5)
    np.testing.assert_allclose(found.log_probs.sum(axis=1), found.scores, atol=1e-5)


def test_low_temperature_draws_the_likeliest_words():
    cold = Decoding(beams=1, longest=6, temperature=1e-4)
    drawn = program("va_concate", cold)(memory(), None, jax.random.key(0))
    likeliest = program("va_concate", Decoding(beams=1, longest=6))(memory(), None, None)
    np.testing.assert_array_equal(drawn.ids, likeliest.ids)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"longest": 16}, "17 tokens where the model has 16 positions"),
        ({"beams": 0}, "beams is 0"),
        ({"shortest": 5, "longest": 5}, "shortest is 5 and longest 5"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_what_cannot_be_written_is_told(given, told):
    with pytest.raises(errors.ConfigError, match=told):
        generate(nnx.merge(*bert()), memory(), Decoding(**given))


def test_drawing_takes_one_beam():
    with pytest.raises(errors.ConfigError, match="2 beams where words are drawn"):
        generate(nnx.merge(*bert()), memory(), Decoding(beams=2, longest=6), key=jax.random.key(0))
