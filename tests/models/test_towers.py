"""Towers: scan equals loop, remat changes nothing.

Frames and patches are treated as the original treats them.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.models.lora import LoraConfig
from lb_jax.models.text import TextConfig, TextTower
from lb_jax.models.vision import VisionConfig, VisionTower, kept_patches, patchify

STILL = VisionConfig(16, 2, 2, 32, patch_size=4, image_size=(8, 14), embed_dim=8)
CLIP = dataclasses.replace(
    STILL,
    frames=4,
    temporal=True,
    lora=LoraConfig(rank=2, dropout=0.3, targets=r"blocks/temporal_attn/.*"),
)
TUBES = dataclasses.replace(CLIP, tube_size=2, lora=None)
TEXT = TextConfig(16, 2, 2, 32, embed_dim=8, vocab=50, context=12)


@functools.cache
def built(cfg, options):
    make = TextTower if isinstance(cfg, TextConfig) else VisionTower
    graph, state = nnx.split(make(cfg, rngs=nnx.Rngs(params=0), **dict(options)))
    return graph, nnx.to_pure_dict(
        state
    )  # tests that change a module must not change the next one's


def tower(cfg, **options):
    return nnx.merge(*built(cfg, tuple(options.items())))


def pixels(cfg, items=3):
    shape = (items, cfg.frames, 8, 14, 3) if cfg.frames > 1 else (items, 8, 14, 3)
    return jax.random.normal(jax.random.key(1), shape)


@functools.cache
def value_and_gradient(cfg, **options):
    x = jax.random.randint(jax.random.key(1), (3, 9), 0, 50) if cfg is TEXT else pixels(cfg)
    graph, state = nnx.split(tower(cfg, **options))
    call = {} if cfg is TEXT else {"key": jax.random.key(2), "patch_dropout": 0.4}
    loss = jax.value_and_grad(lambda s: (nnx.merge(graph, s)(x, **call).embed ** 2).sum())
    return jax.jit(loss)(state)


@pytest.mark.parametrize("cfg", [STILL, CLIP, TUBES, TEXT], ids=["still", "clip", "tubes", "text"])
@pytest.mark.parametrize(
    "options", [{"scan": False}, {"remat": "dots"}, {"remat": "full"}], ids=str
)
def test_scan_loop_and_remat_agree_in_value_and_gradient(cfg, options):
    value, gradient = value_and_gradient(cfg)
    other_value, other_gradient = value_and_gradient(cfg, **options)
    np.testing.assert_allclose(value, other_value, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), gradient, other_gradient
    )


def test_patch_embedding_equals_a_strided_convolution():
    x, module = pixels(STILL), tower(STILL)
    kernel = module.patch_embed.kernel[...]
    convolved = jax.lax.conv_general_dilated(
        x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose(
        module.patch_embed(patchify(x, STILL))[:, 0], convolved.reshape(3, -1, 16), atol=1e-5
    )


def test_tube_embedding_equals_a_strided_3d_convolution():
    x, module = pixels(TUBES), tower(TUBES)
    layout = ("NDHWC", "DHWIO", "NDHWC")
    convolved = jax.lax.conv_general_dilated(
        x, module.patch_embed.kernel[...], (2, 4, 4), "VALID", dimension_numbers=layout
    )
    np.testing.assert_allclose(
        module.patch_embed(patchify(x, TUBES)), convolved.reshape(3, 2, -1, 16), atol=1e-5
    )


def test_without_time_attention_a_clip_is_the_mean_of_its_frames_after_the_norm():
    cfg = dataclasses.replace(STILL, frames=4)
    module, clip = tower(cfg), pixels(cfg)
    frames = jnp.stack([module(clip[:, t]).pooled for t in range(4)])
    np.testing.assert_allclose(module(clip).pooled, frames.mean(0), atol=1e-5)


def test_time_attention_sees_the_order_of_frames():
    clip = pixels(CLIP)
    assert np.abs(tower(CLIP)(clip).embed - tower(CLIP)(clip[:, ::-1]).embed).max() > 1e-4


def test_a_single_frame_goes_through_time_attention_without_time_embedding():
    module, clip = tower(CLIP), pixels(CLIP)[:, :1]
    before = module(clip).embed
    module.blocks.temporal_embed[...] = module.blocks.temporal_embed[...] + 5
    np.testing.assert_array_equal(module(clip).embed, before)
    module.blocks.temporal_attn.out_proj.bias[...] = module.blocks.temporal_attn.out_proj.bias[
        ...
    ] + jnp.arange(16.0)
    assert np.abs(module(clip).embed - before).max() > 1e-3


@pytest.mark.parametrize(
    ("patches", "dropout", "kept"),
    [
        (256, 0.3, 179),
        (256, 0.5, 128),
        (256, 0.1, 230),
        (666, 0.1, 599),
        (592, 0.1, 532),
        (3, 0.9, 1),
    ],
)
def test_patch_dropout_keeps_the_published_counts(patches, dropout, kept):
    chosen = kept_patches(jax.random.key(0), jnp.arange(5), patches, dropout)
    assert chosen.shape == (5, kept)
    assert all(len(set(row)) == kept for row in chosen.tolist())
    assert len({tuple(sorted(row)) for row in chosen.tolist()}) > 1  # independent between items


def test_patch_dropout_drops_the_same_patches_in_all_frames():
    """Zeroing dropped patches in every frame of the input changes nothing."""
    module, clip, key = tower(CLIP), pixels(CLIP, 1), jax.random.key(3)
    drop_key, _ = jax.random.split(key)
    kept = set(kept_patches(drop_key, jnp.arange(1), 6, 0.5)[0].tolist())
    for i in set(range(6)) - kept:
        row, column = divmod(i, 3)
        clip = clip.at[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].set(99.0)
    options = {"key": key, "patch_dropout": 0.5}
    np.testing.assert_array_equal(
        module(clip, **options).embed, module(clip.clip(max=50), **options).embed
    )


def test_an_item_keeps_the_same_patches_in_any_part_of_its_batch():
    module, x, key = tower(STILL), pixels(STILL, 6), jax.random.key(3)
    whole = module(x, key=key, patch_dropout=0.5).embed
    part = jnp.array([4, 1])
    np.testing.assert_allclose(
        module(x[part], key=key, items=part, patch_dropout=0.5).embed, whole[part], atol=1e-6
    )
    moved = module(x[part], key=key, patch_dropout=0.5).embed
    assert np.abs(moved - whole[part]).max() > 1e-3


def test_inference_has_no_dropout():
    x = pixels(STILL)
    np.testing.assert_array_equal(tower(STILL)(x, patch_dropout=0.5).embed, tower(STILL)(x).embed)


def test_what_does_not_fill_a_patch_is_cut_off():
    x, module = pixels(STILL), tower(STILL)  # 14 columns hold three patches of 4
    np.testing.assert_array_equal(module(x.at[:, :, 12:].set(7.0)).embed, module(x).embed)


@pytest.mark.parametrize("shape", [(3, 8, 8, 3), (3, 8, 14, 1), (3, 2, 8, 14, 3), (8, 14, 3)])
def test_wrong_input_shape_is_named(shape):
    with pytest.raises(ValueError, match="where the tower takes"):
        tower(CLIP)(jnp.zeros(shape))


def test_text_ignores_what_follows_the_end_token():
    ids = jnp.array([[48, 3, 7, 49, 0, 0], [48, 3, 7, 49, 49, 49]])
    module = tower(TEXT)
    long, short = module(ids).embed, module(ids[:, :4]).embed
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)
    np.testing.assert_allclose(long, short, atol=1e-6)


def test_text_longer_than_the_context_is_named():
    with pytest.raises(ValueError, match="n <= 12"):
        tower(TEXT)(jnp.zeros((2, 13), int))


def test_bfloat16_compute_stays_close():
    x = pixels(CLIP)
    exact, rounded = tower(CLIP)(x).embed, tower(CLIP, dtype=jnp.bfloat16)(x).embed
    assert rounded.dtype == jnp.bfloat16
    assert np.abs(exact - rounded.astype(jnp.float32)).max() < 0.05 * np.abs(exact).max()
