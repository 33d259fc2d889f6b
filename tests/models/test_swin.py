"""Video Swin: how maps are cut, padded, shifted and merged; what stages and drop path do."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors, paths
from lb_jax.models import swin

# maps of (3, 4, 5) and (3, 2, 3) tokens: larger than the window, and as large but for time
CFG = swin.SwinConfig(8, (1, 5), (1, 2), window=(2, 2, 3), patch_size=2, drop_path=0.5)
VIDEO = (2, 3, 8, 9, 3)


@functools.cache
def built(cfg, options):
    graph, state = nnx.split(swin.VideoSwin(cfg, rngs=nnx.Rngs(params=0), **dict(options)))
    flat = paths.flatten(nnx.to_pure_dict(state))
    keys = jax.random.split(jax.random.key(1), len(flat))
    drawn = {  # so that no bias is zero
        path: leaf + 0.3 * jax.random.normal(key, leaf.shape)
        for (path, leaf), key in zip(flat.items(), keys, strict=True)
    }
    return graph, paths.unflatten(drawn)


def encoder(cfg=CFG, **options):
    return nnx.merge(*built(cfg, tuple(options.items())))


def video(shape=VIDEO, key=2):
    return jax.random.normal(jax.random.key(key), shape)


@functools.cache
def run(cfg=CFG, **options):
    graph, state = built(cfg, tuple(options.items()))
    apply = jax.jit(lambda state, x, key: nnx.merge(graph, state)(x, key=key))
    return lambda x, key=None: apply(state, x, key)


@functools.cache
def value_and_gradient(**options):
    graph, state = built(CFG, tuple(options.items()))

    def loss(state):
        return (nnx.merge(graph, state)(video(), key=jax.random.key(3)).pooled ** 2).sum()

    return jax.jit(jax.value_and_grad(loss))(state)


@pytest.mark.parametrize("options", [{"scan": False}, {"remat": "full"}], ids=str)
def test_scan_loop_and_remat_agree_in_value_and_gradient(options):
    value, gradient = value_and_gradient()
    other_value, other_gradient = value_and_gradient(**options)
    np.testing.assert_allclose(value, other_value, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), gradient, other_gradient
    )


@pytest.mark.parametrize(
    ("size", "window", "clamped", "shift"),
    [
        ((8, 56, 56), (8, 7, 7), (8, 7, 7), (0, 3, 3)),  # a map of the window's size is not shifted
        ((8, 7, 7), (8, 7, 7), (8, 7, 7), (0, 0, 0)),
        ((9, 28, 28), (8, 7, 7), (8, 7, 7), (4, 3, 3)),
        ((2, 14, 14), (8, 7, 7), (2, 7, 7), (0, 3, 3)),  # other axes keep their shift
        ((5, 4, 4), (4, 3, 5), (4, 3, 4), (2, 1, 0)),
        ((3, 3, 3), (1, 2, 5), (1, 2, 3), (0, 1, 0)),
    ],
)
def test_windows_are_clamped_axis_by_axis(size, window, clamped, shift):
    assert swin.clamp(size, window) == (clamped, shift)


def test_maps_are_filled_up_to_whole_windows():
    assert swin.padded((9, 10, 16), (8, 7, 7)) == (16, 14, 21)
    assert swin.padded((8, 14, 7), (8, 7, 7)) == (8, 14, 7)


def test_relative_index_is_of_the_whole_window():
    t, h, w = window = (2, 3, 4)
    places = list(itertools.product(range(t), range(h), range(w)))
    expected = [
        [
            ((a - d + t - 1) * (2 * h - 1) + b - e + h - 1) * (2 * w - 1) + c - f + w - 1
            for d, e, f in places
        ]
        for a, b, c in places
    ]
    np.testing.assert_array_equal(swin.relative_index(window, 24), expected)


def test_a_clamped_window_reads_the_corner_of_the_index():
    whole = swin.relative_index((2, 3, 4), 24)
    np.testing.assert_array_equal(swin.relative_index((2, 3, 4), 6), whole[:6, :6])
    one_frame = swin.relative_index((1, 3, 4), 12) - swin.relative_index((1, 3, 4), 12)[0, 0]
    np.testing.assert_array_equal(whole[:12, :12] - whole[0, 0], one_frame)  # time alone is exact
    assert (swin.relative_index((1, 3, 4), 4) - swin.relative_index((1, 2, 2), 4)).std() > 0


def test_regions_of_a_shifted_axis_are_three():
    labels = swin.window_labels((1, 1, 9), (1, 1, 3), (0, 0, 1))
    np.testing.assert_array_equal(labels, [[0, 0, 0], [0, 0, 0], [1, 1, 2]])
    labels = swin.window_labels((1, 4, 2), (1, 2, 2), (0, 1, 0))
    np.testing.assert_array_equal(labels, [[0, 0, 0, 0], [3, 3, 6, 6]])
    assert not swin.shift_mask((2, 4, 6), (2, 2, 3), (0, 0, 0)).any()


def plain_attention(block, x, window, shift):
    """Window by window, head by head, pair by pair; of one item."""
    size = x.shape[:3]
    whole = [-(-s // w) * w for s, w in zip(size, window, strict=True)]
    x = np.pad(x, [*((0, w - s) for s, w in zip(size, whole, strict=True)), (0, 0)])
    x = np.roll(x, [-s for s in shift], (0, 1, 2))
    mask = swin.shift_mask(tuple(whole), window, shift)
    starts = itertools.product(*(range(0, n, w) for n, w in zip(whole, window, strict=True)))
    table = np.asarray(block.position.bias[...])
    for number, start in enumerate(starts):
        here = tuple(slice(a, a + w) for a, w in zip(start, window, strict=True))
        tokens = x[here].reshape(-1, x.shape[-1])
        q, k, v = (
            np.asarray(project(tokens))
            for project in (block.attn.q_proj, block.attn.k_proj, block.attn.v_proj)
        )
        index = swin.relative_index(block.position.window, len(tokens))
        seen = []
        for head, columns in enumerate(np.split(np.arange(x.shape[-1]), block.attn.heads)):
            scores = q[:, columns] @ k[:, columns].T / np.sqrt(len(columns))
            scores = scores + table[index, head] - 100.0 * mask[number]
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            seen.append(scores / scores.sum(-1, keepdims=True) @ v[:, columns])
        x[here] = np.asarray(block.attn.out_proj(np.concatenate(seen, -1))).reshape(x[here].shape)
    return np.roll(x, shift, (0, 1, 2))[: size[0], : size[1], : size[2]]


@pytest.mark.parametrize("size", [(3, 5, 4), (2, 4, 3), (1, 1, 7)])
@pytest.mark.parametrize("is_shifted", [False, True])
def test_attention_equals_the_plain_loop_over_windows(size, is_shifted):
    graph, state = nnx.split(encoder().stages["1"].blocks)
    block = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[1], state))
    window, shift = swin.clamp(size, CFG.window)
    shift = shift if is_shifted else swin.NO_SHIFT
    x = video((2, *size, 16))
    attend = jax.jit(lambda x: block.attend(x, window, shift))
    for found, item in zip(attend(x), np.asarray(x), strict=True):
        expected = plain_attention(block, item, window, shift)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_odd_blocks_are_the_shifted_ones():
    stage, x = encoder().stages["1"], video((2, 3, 4, 5, 16))
    window, shift = swin.clamp((3, 4, 5), CFG.window)
    assert any(shift)
    graph, state = nnx.split(stage.blocks)

    def by_hand(x):
        for i, by in enumerate((swin.NO_SHIFT, shift, swin.NO_SHIFT, shift, swin.NO_SHIFT)):
            block = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[i], state))  # noqa: B023
            x = block(x, window=window, shift=by)
        return x

    np.testing.assert_allclose(jax.jit(stage.run)(x), jax.jit(by_hand)(x), atol=1e-5)


def test_four_neighbours_are_merged_column_by_column_and_odd_ones_with_zeros():
    merge = encoder().stages["0"].merge
    x = video((1, 2, 3, 4, 8))
    filled = jnp.pad(x, ((0, 0), (0, 0), (0, 1), (0, 0), (0, 0)))
    four = [filled[:, :, row::2, column::2] for row, column in ((0, 0), (1, 0), (0, 1), (1, 1))]
    expected = merge.proj(merge.norm(jnp.concatenate(four, -1)))
    assert expected.shape == (1, 2, 2, 2, 16)
    np.testing.assert_allclose(merge(x), expected, atol=1e-6)


def test_patch_embedding_equals_a_convolution_over_frames_and_zeros_behind():
    embed, x = encoder().patch_embed, video((2, 3, 5, 7, 3))
    filled = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 1), (0, 0)))
    layout = ("NDHWC", "DHWIO", "NDHWC")
    convolved = jax.lax.conv_general_dilated(
        filled, embed.kernel[...], (1, 2, 2), "VALID", dimension_numbers=layout
    )
    np.testing.assert_allclose(embed(x), convolved + embed.bias[...], atol=1e-5)


def test_every_frame_keeps_its_tokens_and_their_mean():
    out = run()(video())
    assert out.tokens.shape == (2, 3, 6, 16)
    np.testing.assert_allclose(out.pooled, out.tokens.mean(2), atol=1e-6)


def test_frames_are_seen_together():
    x = video()
    changed = run()(x.at[:, 2].add(1.0)).pooled
    assert np.abs(changed - run()(x).pooled)[:, 0].min(-1).max() > 1e-4


def test_a_picture_is_a_video_of_one_frame():
    x = video()[:, 0]
    np.testing.assert_array_equal(run()(x).tokens, run()(x[:, None]).tokens)


def test_items_do_not_see_each_other():
    x = video()
    np.testing.assert_allclose(run()(x).tokens[:1], run()(x[:1]).tokens, atol=1e-5)


def test_drop_path_rises_over_all_blocks_and_keeps_the_mean():
    np.testing.assert_allclose(CFG.drop_rates, np.arange(6) / 10)
    kept = swin.draw_kept(jax.random.key(0), jnp.arange(4000), CFG.drop_rates)
    assert kept.shape == (6, 2, 4000)
    for rate, both in zip(CFG.drop_rates, np.asarray(kept), strict=True):
        assert {*np.unique(both)} <= {0.0, np.float32(1 / (1 - rate))}
        np.testing.assert_allclose((both == 0).mean(-1), rate, atol=4 * 0.5 / 4000**0.5)
    first, second = np.asarray(kept[-1]) == 0
    np.testing.assert_allclose((first & second).mean(), 0.25, atol=0.03)  # drawn one by one


def test_an_item_drops_the_same_in_any_part_of_its_batch():
    draw = functools.partial(swin.draw_kept, jax.random.key(5), rates=CFG.drop_rates)
    np.testing.assert_array_equal(draw(jnp.array([4, 1])), draw(jnp.arange(6))[..., [4, 1]])


def test_a_block_that_is_left_out_changes_nothing():
    graph, state = nnx.split(encoder().stages["1"].blocks)
    block = nnx.merge(graph, jax.tree.map(lambda leaf: leaf[0], state))
    x, kept = video((2, 2, 2, 3, 16)), jnp.array([[0.0, 1.0], [0.0, 1.0]])
    call = jax.jit(functools.partial(block, window=(2, 2, 3), shift=swin.NO_SHIFT))
    out, whole = call(x, kept=kept), call(x)
    np.testing.assert_array_equal(out[0], x[0])
    np.testing.assert_allclose(out[1], whole[1], atol=1e-6)


def test_training_drops_by_its_key_alone():
    x, one, other = video(), jax.random.key(7), jax.random.key(8)
    np.testing.assert_array_equal(run()(x, one).tokens, run()(x, one).tokens)
    assert np.abs(run()(x, one).tokens - run()(x, other).tokens).max() > 1e-3
    none = dataclasses.replace(CFG, drop_path=0.0)
    np.testing.assert_allclose(run(none)(x, one).tokens, run()(x).tokens, atol=1e-5)


def test_bfloat16_compute_stays_close():
    x = video()
    exact, rounded = run()(x).pooled, run(dtype=jnp.bfloat16)(x).pooled
    assert rounded.dtype == jnp.bfloat16
    assert np.abs(exact - rounded.astype(jnp.float32)).max() < 0.1 * np.abs(exact).max()


def test_every_parameter_gets_a_gradient_and_no_bias_decays():
    from lb_jax.training.optimizer import DECAY

    flat = paths.flatten(value_and_gradient()[1])
    assert all(np.abs(leaf).max() > 0 for leaf in flat.values())
    undecayed = {path for path in flat if not paths.match_one(DECAY, path)}
    assert "stages/0/blocks/position/bias" in undecayed


@pytest.mark.parametrize("shape", [(3, 8, 14, 1), (8, 14, 3), (1, 0, 8, 8, 3)])
def test_wrong_input_shape_is_named(shape):
    with pytest.raises(ValueError, match="where the encoder takes"):
        encoder()(jnp.zeros(shape))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"heads": (1, 2, 4)}, "for each stage"),
        ({"heads": (3, 2)}, "width 8 does not split into 3 heads"),
        ({"window": (2, 0, 3)}, "window"),
        ({"drop_path": 1.0}, "drop_path 1.0"),
    ],
)
def test_a_shape_that_cannot_be_is_named(changed, said):
    with pytest.raises(errors.ConfigError, match=said):
        dataclasses.replace(CFG, **changed)
