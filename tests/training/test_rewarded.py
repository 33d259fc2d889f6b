"""Captions by reward: what earns more is written more often."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.generation import Decoding
from lb_jax.models.valor import Valor
from lb_jax.training import rewarded
from tests.inference import valor_models

ITEMS, LONGEST, WANTED = 32, 3, 10
LEAF = "text/head/bias"


def test_what_earns_more_is_drawn_more_often_and_absent_items_teach_nothing():
    model = Valor(valor_models.CONFIG)
    params = model.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    memory = {"video": jnp.asarray(rng.standard_normal((ITEMS, 2, 16)), jnp.float32)}
    there = jnp.arange(ITEMS) < ITEMS // 2

    def rewards(items, ids):  # the absent ones would earn for another word
        wanted = np.where(items < ITEMS // 2, WANTED, WANTED + 1)
        return 4.0 * (ids[:, 0] == wanted)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def gradient(leaf, key):
        own = paths.overlay(params, paths.unflatten({LEAF: leaf}))
        reward = rewarded.on_host(rewards)
        options = {"longest": LONGEST, "prompt": None, "key": key}
        value = rewarded.loss(model, own, memory, jnp.arange(ITEMS), there, reward, **options)
        drawn = model.generate(own, memory, Decoding(beams=1, longest=LONGEST), key=key)
        return value, (drawn.ids[:, 0] == jnp.array([[WANTED], [WANTED + 1]])).mean(axis=1)

    leaf, shares = params["text"]["head"]["bias"], []
    for step in range(60):
        slope, found = gradient(leaf, jax.random.key(step))
        leaf = leaf - 3.0 * slope
        shares.append(found)
    first, last = np.mean(shares[:5], axis=0), np.mean(shares[-5:], axis=0)
    assert first[0] < 0.2
    assert last[0] > 0.9
    assert last[1] < 0.1
