"""ImageBind's forms of a tower: one function in any way and on any mesh, with LoRA; its sizes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import config as config_lib
from lb_jax.core import errors, paths
from lb_jax.core.modalities import TEXT
from lb_jax.models import adapt, imagebind, layers
from lb_jax.models.languagebind import LanguageBind, input_shape, model_config, unit
from lb_jax.models.lora import LoraConfig
from lb_jax.models.vision import Form, VisionConfig, VisionTower, patchify
from lb_jax.training import sharding

SIZE = imagebind.Size(16, 2, 2, 4, image_size=(12, 16), stride=3)
SOUND = dataclasses.replace(imagebind.tower("audio", SIZE, 8), lora=LoraConfig(rank=2, dropout=0.3))
MOTION = imagebind.tower("imu", dataclasses.replace(SIZE, image_size=(1, 40), stride=None), 8)
STILL = imagebind.tower("image", imagebind.Size(16, 2, 2, 4, image_size=(8, 12)), 8)
CFGS = {"sound": SOUND, "motion": MOTION, "still": STILL}


@functools.cache
def built(cfg, options=()):
    graph, state = nnx.split(VisionTower(cfg, rngs=nnx.Rngs(params=0), **dict(options)))
    flat = paths.flatten(nnx.to_pure_dict(state))
    draw = np.random.default_rng(0).standard_normal
    spread = {path: leaf + 0.1 * draw(leaf.shape).astype(np.float32) for path, leaf in flat.items()}
    return graph, paths.unflatten(spread)


def inputs(cfg, items=8):
    return np.random.default_rng(1).standard_normal((items, *cfg.frame), np.float32)


def loss(graph, params, x, **call):
    found = unit(nnx.merge(graph, params)(x, **call).embed)
    return (found * jnp.cos(jnp.arange(found.size)).reshape(found.shape)).mean()


def value_and_gradient(cfg, **options):
    graph, params = built(cfg, tuple(options.items()))
    call = {"key": jax.random.key(2), "patch_dropout": 0.4, "drop_path": 0.5, "head_dropout": 0.3}
    run = jax.jit(jax.value_and_grad(lambda params, x: loss(graph, params, x, **call)))
    return run(params, inputs(cfg))


def require_close(one, other, bar):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert float(np.abs(np.asarray(a) - np.asarray(b)).max()) <= bar


@pytest.mark.parametrize("name", CFGS)
@pytest.mark.parametrize(
    "options",
    [{"scan": False}, {"remat": "dots"}, {"remat": "full"}, {"attention": "head_major"}],
    ids=str,
)
def test_ways_to_compute_are_one_function(name, options):
    require_close(value_and_gradient(CFGS[name], **options), value_and_gradient(CFGS[name]), 1e-5)


@pytest.mark.parametrize("name", ["sound", "motion"])
@pytest.mark.parametrize("shape", [(8, 1, 1), (2, 2, 2), (1, 4, 2)], ids=str)
def test_eight_devices_equal_one(name, shape):
    cfg = CFGS[name]
    graph, params = built(cfg)
    x = inputs(cfg)
    run = jax.value_and_grad(lambda params, x: loss(graph, params, x))
    alone = jax.jit(run)(params, x)
    mesh = sharding.make_mesh(dict(zip(sharding.AXES, shape, strict=True)))
    placed = jax.device_put(params, sharding.tree_shardings(params, mesh))
    bias = placed["blocks"]["attn"]["bias_k"].sharding.spec
    assert tuple(bias) == (None, "tensor")
    together = jax.jit(run)(placed, sharding.put_whole(x, mesh))
    require_close(together, alone, 1e-5)


def test_the_bias_row_stands_behind_all_keys():
    """By hand: one more key and value that every query sees, not projected."""
    attn = layers.Attention(8, 2, rngs=nnx.Rngs(params=0), dtype=jnp.float32, bias_kv=True)
    x = np.random.default_rng(0).standard_normal((3, 5, 8), np.float32)
    q, k, v = (np.asarray(part(x)) for part in (attn.q_proj, attn.k_proj, attn.v_proj))
    rows = []
    for head in range(2):
        mine = slice(4 * head, 4 * head + 4)
        keys, values = (
            np.concatenate([one[..., mine], np.broadcast_to(row[...][mine], (3, 1, 4))], axis=1)
            for one, row in ((k, attn.bias_k), (v, attn.bias_v))
        )
        scores = q[..., mine] @ keys.swapaxes(1, 2) / 2
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        rows.append(weights / weights.sum(-1, keepdims=True) @ values)
    expected = np.asarray(attn.out_proj(np.concatenate(rows, axis=-1)))
    np.testing.assert_allclose(attn(x), expected, atol=1e-5)


def test_causal_attention_has_no_bias_row():
    with pytest.raises(ValueError, match="causal"):
        layers.Attention(
            8, 2, rngs=nnx.Rngs(params=0), dtype=jnp.float32, bias_kv=True, causal=True
        )


def test_windows_that_overlap_are_those_of_a_strided_convolution():
    plain_form = dataclasses.replace(SOUND.form, stem_norm=None)
    graph, params = built(dataclasses.replace(SOUND, form=plain_form))
    x = jnp.asarray(inputs(SOUND))
    embed = nnx.merge(graph, params).patch_embed
    found = embed(patchify(x, SOUND))[:, 0]
    plain = jax.lax.conv_general_dilated(
        x,
        embed.kernel[...],
        (3, 3),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    assert SOUND.grid == plain.shape[1:3] == (3, 5)
    np.testing.assert_allclose(found, plain.reshape(len(x), -1, 16), atol=2e-5)


def test_a_still_is_a_tube_of_equal_frames():
    graph, params = built(STILL)
    tower, x = nnx.merge(graph, params), inputs(STILL)
    plain = tower(np.repeat(x[:, None], STILL.frames, axis=1)).embed
    np.testing.assert_allclose(tower(x).embed, plain, atol=1e-5)
    np.testing.assert_allclose(tower(x[:, None]).embed, plain, atol=1e-5)
    ours, oracle = (
        jax.grad(lambda params, given=given: loss(graph, params, given))(params)
        for given in (x, np.repeat(x[:, None], STILL.frames, axis=1))
    )
    require_close(ours, oracle, 1e-5)


def test_other_towers_take_no_still_for_a_tube():
    tubes = VisionConfig(16, 1, 2, 32, patch_size=4, image_size=(8, 12), embed_dim=8, frames=2)
    with pytest.raises(ValueError, match="where the tower takes"):
        patchify(jnp.zeros((1, 8, 12, 3)), dataclasses.replace(tubes, tube_size=2))
    with pytest.raises(errors.ConfigError, match="4 frames are 2 tubes, and a still is one"):
        dataclasses.replace(tubes, frames=4, tube_size=2, form=Form(stills=True))


def test_forms_are_stored_and_read():
    cfg = imagebind.huge()
    stored = config_lib.to_dict(cfg)
    assert stored["family"] == "ImageBind"
    assert stored["towers"]["imu"]["form"]["patch"] == [1, 8]
    assert model_config(stored) == cfg
    old = config_lib.to_dict(Form())  # what was stored before has no new field
    assert set(old) == {"channels", "patch_bias", "pre_norm", "epsilon", "dropout"}


def test_items_have_the_shapes_of_their_preprocessing():
    cfg = imagebind.huge()
    assert {name: input_shape(cfg, name) for name in cfg.towers} == {
        "image": (224, 224, 3),
        "video": (2, 224, 224, 3),
        "audio": (128, 204, 1),
        "depth": (224, 224, 1),
        "thermal": (224, 224, 1),
        "imu": (2000, 6),
    }
    grids = {name: tower.grid for name, tower in cfg.towers.items()}
    assert grids["audio"] == (12, 19)
    assert grids["imu"] == (1, 250)
    assert grids["depth"] == (14, 14)


def test_a_drawn_model_has_one_tower_for_stills_and_clips():
    small = {"imu": MOTION, "image": STILL, "video": STILL}
    model = LanguageBind(imagebind.model(small, imagebind.text(16, 1, 2, 8, vocab=20, context=6)))
    params = model.init(jax.random.key(0))
    assert set(params["logit_scale"]) == {"imu", TEXT}
    assert "blocks" in params["towers"]["imu"]  # its own, though as large
    assert "blocks" not in params["towers"]["image"]
    for a, b in zip(
        jax.tree.leaves(model.tower(params, "image")),
        jax.tree.leaves(model.tower(params, "video")),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_positions_are_resized_without_smoothing():
    """Against a loop over taps; the edge is repeated."""
    for source, target in ((16, 12), (16, 20), (5, 9), (7, 7)):
        found = adapt.plain_cubic_matrix(source, target)
        np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
        for row in range(target):
            centre = (row + 0.5) * source / target - 0.5
            first, expected = int(np.floor(centre)), np.zeros(source)
            for tap in range(first - 1, first + 3):
                weight = adapt.cubic(np.array([centre - tap]), -0.75)[0]
                expected[min(max(tap, 0), source - 1)] += weight
            np.testing.assert_allclose(found[row], expected, atol=1e-12)
