"""BERT: who sees whom, which branches run, scan equals loop."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors, paths
from lb_jax.models.bert import CROSS, SIGHTS, Bert, BertConfig

CFG = BertConfig(
    16, 2, 2, 32, vocab=20, context=12, cross="va_concate", begin=1, end=2, mask=3, dropout=0.2
)
IDS = np.array([[1, 5, 6, 7, 2, 0], [1, 8, 9, 2, 0, 0]], np.int32)
PROMPT = np.array([[1, 4, 2], [1, 2, 0]], np.int32)
MEMORY = {role: jax.random.normal(jax.random.key(i), (2, 3, 16)) for i, role in enumerate("va")}
MEMORY = dict(zip(("video", "audio"), MEMORY.values(), strict=True))


@functools.cache
def built(cross="va_concate", **options):
    cfg = dataclasses.replace(CFG, cross=cross)
    return nnx.split(Bert(cfg, rngs=nnx.Rngs(params=0), **options))


@functools.cache
def program(cross="va_concate", sight="causal"):
    graph, state = built(cross)
    run = jax.jit(lambda state, *x, **y: nnx.merge(graph, state)(*x, **y, sight=sight))
    return functools.partial(run, state)


def test_scan_equals_loop_in_value_and_gradient_with_dropout():
    def loss(graph, state):
        found = nnx.merge(graph, state)(
            IDS, prompt=PROMPT, memory=MEMORY, sight="causal", key=jax.random.key(5)
        )
        return (found.text**2 * jnp.arange(16.0)).mean()

    (value, gradient), (other, other_gradient) = (
        jax.jit(jax.value_and_grad(functools.partial(loss, graph)))(state)
        for graph, state in (built(), built(scan=False))
    )
    np.testing.assert_allclose(value, other, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), gradient, other_gradient
    )


def test_a_causal_word_changes_nothing_before_it_and_not_the_prompt():
    before = program()(IDS, prompt=PROMPT, memory=MEMORY)
    changed = IDS.copy()
    changed[:, 3] = 11
    after = program()(changed, prompt=PROMPT, memory=MEMORY)
    np.testing.assert_array_equal(before.text[:, :3], after.text[:, :3])
    np.testing.assert_array_equal(before.prompt, after.prompt)
    assert np.abs(before.text[:, 3] - after.text[:, 3]).min(axis=1).max() > 0


def test_an_encoders_prompt_and_text_see_each_other():
    run = program(sight="all")
    plain, other = run(IDS, prompt=PROMPT), run(IDS, prompt=PROMPT[:, ::-1])
    assert np.abs(plain.text - other.text).max() > 1e-3
    assert np.abs(plain.prompt - run(IDS[::-1], prompt=PROMPT).prompt).max() > 1e-3


def test_padding_is_not_seen():
    run = program(sight="all")
    short = run(IDS[1:, :4], prompt=PROMPT[1:, :2])
    np.testing.assert_allclose(run(IDS, prompt=PROMPT).text[1:, :4], short.text, atol=1e-5)


def test_slots_see_words_up_to_theirs_and_themselves():
    allowed = SIGHTS["slots"].allowed(6)
    np.testing.assert_array_equal(np.nonzero(allowed[4])[0], [0, 1, 4])
    np.testing.assert_array_equal(np.nonzero(allowed[1])[0], [0, 1])
    np.testing.assert_array_equal(SIGHTS["slots"].positions(6), [0, 1, 2, 1, 2, 3])


@pytest.mark.parametrize("cross", CROSS)
def test_without_a_role_only_the_others_branch_runs(cross):
    run = program(cross)
    both, seen, plain = (
        run(IDS, memory=memory).text for memory in (MEMORY, {"video": MEMORY["video"]}, None)
    )
    assert np.abs(both - seen).max() > 1e-3
    assert np.abs(seen - plain).max() > 1e-3


def test_all_forms_differ():
    found = [program(cross)(IDS, memory=MEMORY).text for cross in CROSS]
    assert min(np.abs(a - b).max() for i, a in enumerate(found) for b in found[:i]) > 1e-3


def test_an_encoder_has_no_cross_attention_and_takes_no_memory():
    graph, state = built(None)
    assert not any("cross" in path for path in paths.flatten(nnx.to_pure_dict(state)))
    with pytest.raises(ValueError, match="a memory of audio, video"):
        nnx.merge(graph, state)(IDS, memory=MEMORY)


def test_a_text_longer_than_the_positions_is_refused():
    with pytest.raises(errors.ConfigError, match="13 tokens where the model has 12 positions"):
        nnx.merge(*built())(np.ones((1, 13), np.int32))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"cross": "va_concat"}, "Did you mean 'va_concate'"),
        ({"heads": 3}, "does not split into 3 heads"),
        ({"mask": 20}, "mask token 20 is not in a vocabulary of 20"),
    ],
)
def test_a_config_that_cannot_be_says_why(changed, told):
    with pytest.raises(errors.ConfigError, match=told):
        dataclasses.replace(CFG, **changed)
