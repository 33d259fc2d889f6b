"""Losses of groups: any mesh gives the same, and of what is absent nothing is learnt."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.valor import Valor, ValorConfig
from lb_jax.models.vision import VisionConfig
from lb_jax.objectives.captioning import Vocabulary
from lb_jax.training import grouping, optimizer, sharding, step
from lb_jax.training.grouping import GroupingConfig

GROUPS = ("tva", "tv", "ta")
WORDS, ITEMS = 20, 8
MODEL = ValorConfig(
    BertConfig(16, 2, 2, 32, vocab=WORDS, context=12, cross="va_concate", begin=1, end=2, mask=3),
    VisionConfig(24, 2, 2, 48, patch_size=4, image_size=(8, 8), embed_dim=0),
    ast_config(16, 2, 2, 32, image_size=(8, 16), patch_size=4),
    embed_dim=8,
)
EVERYTHING = GroupingConfig(GROUPS, ("tva", "ta"), ("tv",), ("tv",), alpha=1.5, tile=3)
PROMPTS = {name: np.array([1, 4, 2]) for name in ("text", "caption", "qa", "mlm_tv")}


@functools.cache
def params():
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda leaf: np.float32(0.2 * rng.standard_normal(leaf.shape)), Valor(MODEL).shapes
    )
    return {**drawn, "temperature": np.float32(0.5)}


def batch(present=None, items=ITEMS):
    rng = np.random.default_rng(1)

    def texts(length):
        ids = rng.integers(4, WORDS, (items, length)).astype(np.int32)
        ids[:, 0], ids[: items // 2, -1] = 1, 0
        return ids

    there = np.ones((items, 2), bool) if present is None else present
    media = {
        "video": rng.standard_normal((items, 2, 8, 8, 3)).astype(np.float32),
        "audio": rng.standard_normal((items, 1, 8, 16)).astype(np.float32),
    }
    for i, role in enumerate(media):
        media[role][~there[:, i]] = 0
    kinds = {"caption": 6, "question": 5, "answer": 4}
    media["present"] = there
    return {"items": {"media": media, "text": {kind: texts(n) for kind, n in kinds.items()}}}


def found(shape, cfg=EVERYTHING, data=None):
    """Loss, metrics and gradient on a mesh of so many devices."""
    count = int(np.prod(shape))
    mesh = sharding.make_mesh(dict(zip(sharding.AXES, shape, strict=True)), jax.devices()[:count])
    losses = grouping.make_losses(Valor(MODEL), cfg, PROMPTS, mesh)
    losses = functools.partial(_without_dropout, losses)
    loss = grouping.make_loss(grouping.make_draw(cfg, Vocabulary(WORDS, 0, 3, 4)), losses)
    on = sharding.tree_shardings(params(), mesh)
    run = jax.jit(
        jax.value_and_grad(loss, has_aux=True),
        in_shardings=(on, None, sharding.batch_sharding(mesh), sharding.replicated(mesh)),
    )
    (total, metrics), gradient = run(params(), {}, data or batch(), jax.random.key(3))
    return total, metrics, paths.flatten(jax.device_get(gradient))


def _without_dropout(losses, params, batch, asked, key):
    return losses(params, batch, asked)


@functools.cache
def alone():
    return found((1, 1, 1))


def test_eight_devices_give_the_loss_and_gradient_of_one():
    total, metrics, gradient = alone()
    others = found((2, 2, 2))
    np.testing.assert_allclose(others[0], total, rtol=1e-5)
    for name, one in metrics.items():
        np.testing.assert_allclose(others[1][name], one, rtol=1e-5, err_msg=name)
    for path, one in gradient.items():
        limit = 1e-5 * max(np.abs(one).max(), 1)
        np.testing.assert_allclose(others[2][path], one, rtol=0, atol=limit, err_msg=path)


def test_the_total_is_that_of_the_groups():
    total, metrics, _ = alone()

    def mean(task):
        losses = [one for name, one in metrics.items() if name.startswith(f"loss/{task}/")]
        return sum(losses) / len(losses)

    written = mean("caption") + mean("answer") + mean("mlm")
    np.testing.assert_allclose(total, 1.5 * mean("align") + written, rtol=1e-5)


def test_encoders_of_what_is_absent_learn_nothing():
    silent = np.tile([True, False], (ITEMS, 1))
    total, metrics, gradient = found((1, 1, 1), data=batch(silent))
    assert np.isfinite(total)
    parts = ("audio/", "align/audio/", "hand_over/audio/")
    assert all(not one.any() for path, one in gradient.items() if path.startswith(parts))
    assert all(one.any() for path, one in gradient.items() if path.startswith("video/blocks/mlp"))
    assert metrics["loss/align/ta"] == metrics["loss/caption/ta"] == 0


def test_half_of_the_sound_is_left_out_of_the_groups_that_need_it():
    half = np.stack([np.ones(ITEMS, bool), np.arange(ITEMS) % 2 == 0], axis=1)
    data = batch(half)
    cfg = GroupingConfig(align=GROUPS, tile=3)
    _, metrics, _ = found((1, 1, 1), cfg, data)
    kept = jax.tree.map(lambda one: one[::2], data)
    _, expected, _ = found((1, 1, 1), cfg, kept)
    for group in ("tva", "ta"):
        name = f"loss/align/{group}"
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)


def test_what_is_asked_is_what_stood_there():
    draw = grouping.make_draw(EVERYTHING, Vocabulary(WORDS, 0, 3, 4))
    texts = jax.tree.map(jnp.asarray, batch()["items"]["text"])
    asked = draw(jax.random.key(3), texts)
    assert set(asked) == {"caption", "answer", "mlm"}
    for name, kind in (("caption", "caption"), ("answer", "answer"), ("mlm", "caption")):
        ids, targets = map(np.asarray, asked[name])
        assert ids.shape == targets.shape == texts[kind].shape
        assert (targets[targets >= 0] == np.asarray(texts[kind])[targets >= 0]).all()
    several = {**texts, "answer": jnp.stack([texts["answer"]] * 2, axis=1)}
    assert draw(jax.random.key(3), several)["answer"][0].shape == several["answer"].shape


def test_a_step_keeps_the_only_temperature_as_it_is_learnt():
    def gradient(trainable, frozen, batch, key):
        return (jnp.float32(0), {"loss": jnp.float32(0)}), {"logit_scale": jnp.float32(-1)}

    schedule = optimizer.warmup_linear(lr=1.0, warmup_steps=0, steps=2)
    options = {"b1": 0.9, "b2": 0.98, "eps": 1e-6, "weight_decay": 0.0}
    start = {"logit_scale": jnp.float32(4.6)}
    updates = optimizer.make_optimizer(start, schedule, **options, kind="valor")
    run = step.make_step(gradient, updates, schedule, bound=lambda params: params)
    after, _ = run(step.initial_state(updates, start), {}, {}, jax.random.key(0))
    np.testing.assert_allclose(after["params"]["logit_scale"], 5.1, rtol=1e-4)
