"""VALOR on towers of every kind, its parameters, and what it refuses."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import (
    TEMPERATURES,
    Valor,
    ValorConfig,
    extend_frames,
    of_group,
    valor_config,
)
from lb_jax.models.vision import VisionConfig

TEXT = BertConfig(16, 2, 2, 32, vocab=20, context=12, cross="va_concate", begin=1, end=2, mask=3)
STILL = VisionConfig(24, 2, 2, 48, patch_size=4, image_size=(8, 8), embed_dim=0)
VIDEO = dataclasses.replace(STILL, frames=2, temporal=True)
AST = ast_config(16, 2, 2, 32, image_size=(8, 16), patch_size=4)
CROPS = VisionConfig(24, 2, 2, 48, patch_size=4, image_size=(8, 16), embed_dim=0)  # LanguageBind's
SWIN = SwinConfig(8, (2, 2), (2, 2), window=(2, 2, 2), patch_size=2)
OWN = ValorConfig(TEXT, STILL, AST, embed_dim=8)
LANGUAGEBIND = ValorConfig(TEXT, VIDEO, CROPS, embed_dim=8, temperature="logit_scale")

WINDOWS = dataclasses.replace(OWN, video=SWIN)

IDS = np.array([[1, 5, 2, 0], [1, 6, 7, 2]], np.int32)


@functools.cache
def built(cfg):
    made, rng = Valor(cfg), np.random.default_rng(0)
    return made, jax.tree.map(
        lambda leaf: jnp.asarray(0.2 * rng.standard_normal(leaf.shape), jnp.float32), made.shapes
    )


@functools.cache
def program(cfg, role):
    made, params = built(cfg)
    return functools.partial(jax.jit(lambda params, x: made.perceive(params, role, x)), params)


def normal(*shape):
    return jax.random.normal(jax.random.key(7), shape)


def test_parameters_are_drawn_in_the_announced_shapes():
    for cfg in (OWN, LANGUAGEBIND, WINDOWS):
        drawn = jax.eval_shape(Valor(cfg).init, jax.random.key(0))
        shapes = {path: leaf.shape for path, leaf in paths.flatten(Valor(cfg).shapes).items()}
        assert shapes == {path: leaf.shape for path, leaf in paths.flatten(drawn).items()}


def test_the_temperature_starts_alike_however_it_is_kept():
    for meaning, start in TEMPERATURES.values():
        np.testing.assert_allclose(meaning(start), 0.07, rtol=1e-5)


def test_frames_of_a_clip_tower_are_seen_apart():
    video = normal(2, 3, 8, 8, 3)
    found = program(OWN, "video")(video)
    assert found.tokens.shape == (2, 3, 5, 24)
    other = program(OWN, "video")(video.at[:, 0].set(0))
    np.testing.assert_allclose(found.tokens[:, 1:], other.tokens[:, 1:], atol=1e-5)
    np.testing.assert_array_equal(found.pooled, found.tokens[:, :, 0])


def test_a_picture_is_a_film_of_one_frame():
    made, params = built(OWN)
    seen = jax.eval_shape(lambda x: made.perceive(params, "video", x), normal(2, 8, 8, 3))
    assert seen.tokens.shape == (2, 1, 5, 24)


def test_frames_of_a_languagebind_tower_see_each_other():
    video = normal(2, 2, 8, 8, 3)
    found = program(LANGUAGEBIND, "video")(video)
    swapped = program(LANGUAGEBIND, "video")(video.at[:, 1].set(0))
    assert found.tokens.shape == (2, 2, 5, 24)
    assert np.abs(found.tokens[:, 0] - swapped.tokens[:, 0]).max() > 1e-3


def test_three_crops_of_a_languagebind_sound_are_three_clips():
    hear, sound = program(LANGUAGEBIND, "audio"), normal(2, 8, 16, 3)
    found = hear(sound)
    assert found.tokens.shape == (2, 3, 9, 24)
    only = hear(jnp.broadcast_to(sound[..., 1:2], sound.shape))
    np.testing.assert_allclose(only.tokens[:, 0], found.tokens[:, 1], atol=1e-5)


@pytest.mark.parametrize("cfg", [OWN, LANGUAGEBIND, WINDOWS], ids=["own", "languagebind", "swin"])
def test_a_model_aligns_and_writes_whatever_its_towers(cfg):
    made, params = built(cfg)

    @jax.jit
    def run(params, given):
        seen = {role: made.perceive(params, role, x) for role, x in given.items()}
        tokens = {role: one.pooled for role, one in seen.items()}
        tokens["text"] = made.read(params, IDS, prompt=np.array([1, 9, 2]))
        memory = made.hand_over(params, {role: one.tokens for role, one in seen.items()})
        logits = made.write(params, IDS, of_group(memory, "tva"))
        return {role: made.align(params, role, one) for role, one in tokens.items()}, logits

    given = {"video": normal(2, 2, 8, 8, 3)}
    given["audio"] = normal(2, 8, 16, 3) if cfg is LANGUAGEBIND else normal(2, 2, 8, 16)
    aligned, logits = run(params, given)
    for role, count in (("text", 4), ("video", 2), ("audio", 3 if cfg is LANGUAGEBIND else 2)):
        assert aligned[role].weight_logits.shape == (2, count)
        length = np.linalg.norm(aligned[role].features, axis=-1)
        np.testing.assert_allclose(length, 1, atol=1e-5)
    assert logits.shape == (2, 4, 20)


def test_a_tower_that_is_not_asked_gets_no_gradient():
    made, params = built(OWN)

    def loss(params):
        tokens = {"video": jnp.ones((2, 2, 5, 24))}
        return made.write(params, IDS, made.hand_over(params, tokens)).mean()

    gradient = jax.jit(jax.grad(loss))(params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["audio"]))
    over = gradient["hand_over"]
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(over["audio"]))
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(over["video"]["norm"]))


def test_dropout_is_drawn_from_the_key_alone():
    made, params = built(OWN)
    sound = normal(2, 2, 8, 16)
    hear = jax.jit(lambda key: made.perceive(params, "audio", sound, key=key).tokens)
    first, again, other = hear(jax.random.key(0)), hear(jax.random.key(0)), hear(jax.random.key(1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


def test_a_config_comes_back_from_its_dict():
    for cfg in (OWN, LANGUAGEBIND, WINDOWS):
        assert valor_config(config_lib.to_dict(cfg)) == cfg


@pytest.mark.parametrize(
    ("group", "told"),
    [
        ("tx", "unknown group 'tx'; give different letters"),
        ("t", "unknown group 't'"),
        ("tvv", "unknown group 'tvv'"),
        ("ta", "group 'ta' needs audio, and there is video; choose another group"),
    ],
)
def test_a_group_that_cannot_be_is_told(group, told):
    with pytest.raises(errors.ConfigError, match=told):
        of_group({"video": 1}, group)


def test_more_frames_than_embeddings_are_refused():
    made = Valor(dataclasses.replace(OWN, frames=2))
    tokens = {"video": jax.ShapeDtypeStruct((1, 3, 5, 24), jnp.float32)}
    with pytest.raises(errors.ConfigError, match="3 frames or clips where the model has embed"):
        jax.eval_shape(made.hand_over, made.shapes, tokens)


def test_frames_beyond_the_trained_ones_have_the_embedding_of_the_last():
    _, params = built(OWN)
    table = extend_frames(params, {"video": 3})["hand_over"]["video"]["frame_embed"]
    before = params["hand_over"]["video"]["frame_embed"]
    np.testing.assert_array_equal(table[:3], before[:3])
    np.testing.assert_array_equal(table[3:], np.broadcast_to(before[2], table[3:].shape))
    with pytest.raises(errors.ConfigError, match="trained with 33 of audio, and there are embed"):
        extend_frames(params, {"audio": 33})


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"temperature": "tau"}, "unknown temperature 'tau'"),
        ({"alignment": "weighed"}, "Did you mean 'weighted'"),
        ({"video": None, "audio": None}, "without video and audio"),
    ],
)
def test_a_config_that_cannot_be_says_why(changed, told):
    with pytest.raises(errors.ConfigError, match=told):
        dataclasses.replace(OWN, **changed)
