"""TSM and ResNet v2: what a frame sees of its neighbours, layouts, shapes that cannot be."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import errors
from lb_jax.models import convolution, resnet, tsm

CFG = tsm.TSMConfig(channels=(16, 32), blocks=(2, 1), stem=8, shift=0.25)


@functools.cache
def program(cfg, **options):
    made = tsm.TSM(cfg, rngs=nnx.Rngs(params=0), **options)
    graph, state = nnx.split(made)

    @jax.jit
    def run(state, x, counted=None):
        module = nnx.merge(graph, state)
        return module(x, counted), nnx.to_pure_dict(nnx.split(module)[1])

    return run, nnx.to_pure_dict(state)


def video(frames=6, items=2):
    return jax.random.uniform(jax.random.key(1), (items, frames, 17, 12, 3))


def seen(cfg=CFG):
    """The leaves of a tower that has seen a batch, so that its norms let something through."""
    run, state = program(cfg)
    return run(state, video(), jnp.ones(2, bool))[1]


def test_the_shift_takes_from_next_and_last_frame_and_swaps():
    x = jnp.arange(1.0, 13.0).reshape(1, 3, 4)  # 3 frames of 4 channels
    found = tsm.temporal_shift(x, 0.25)
    np.testing.assert_array_equal(found[0], [[8, 2, 3, 0], [12, 6, 7, 1], [0, 10, 11, 5]])
    np.testing.assert_array_equal(tsm.temporal_shift(x, 0.0), x)
    np.testing.assert_array_equal(tsm.temporal_shift(x, 0.2), x)  # less than a channel


def test_kernels_that_swap_make_up_for_channels_that_stay():
    x, kernel = (jax.random.normal(jax.random.key(i), s) for i, s in enumerate([(2, 3, 8), (8, 5)]))
    published = tsm.temporal_shift(x, 0.25) @ kernel
    ours = tsm.shift_in_place(x, 0.25) @ tsm.swap_ends(kernel, 0.25, axis=-2)
    np.testing.assert_allclose(ours, published, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("trains", [False, True])
def test_layouts_are_one_function(trains):
    counted = jnp.array([True, False]) if trains else None
    both = [
        program(dataclasses.replace(CFG, layout=layout))[0](seen(), video(), counted)
        for layout in tsm.LAYOUTS
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *both)


def test_a_frame_sees_as_many_neighbours_as_there_are_blocks():
    run, _ = program(CFG)
    x = video(frames=9)
    changed = x.at[:, 8].add(1.0)
    last = [run(seen(), one)[0].maps[resnet.LAST] for one in (x, changed)]
    apart = np.abs(last[0] - last[1]).max((0, 2, 3, 4)) > 1e-6
    np.testing.assert_array_equal(apart, np.arange(9) >= 8 - sum(CFG.blocks))


def test_missing_videos_are_counted_out_with_all_their_frames():
    run, state = program(CFG)
    x = video(items=3)
    found, after = run(state, x, jnp.array([True, False, True]))
    alone, expected = run(state, x[jnp.array([0, 2])], jnp.ones(2, bool))
    np.testing.assert_allclose(found.pooled[::2], alone.pooled, rtol=1e-4, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), after, expected
    )


def test_ways_to_convolve_give_the_same_features():
    found = [
        program(CFG, convolution=name)[0](seen(), video())[0] for name in convolution.CONVOLUTIONS
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *found)


def test_wider_towers_have_wider_stems():
    assert CFG.wider(2) == dataclasses.replace(CFG, channels=(32, 64), stem=16)
    assert tsm.TSMConfig().wider(2).width == 4096


def test_shortcuts_convolve_where_the_shape_changes():
    cfg = resnet.ResNetConfig((8, 16, 16), (2, 2, 2), bottleneck=False, stem=8)
    made = nnx.eval_shape(lambda: resnet.AudioResNet(cfg, rngs=nnx.Rngs(params=0)))
    shortcuts = {
        f"{i}/{j}": block.shortcut is not None
        for i, group in made.groups.items()
        for j, block in group.items()
    }
    changes = {"1/0", "2/0"}  # channels and places, and places alone
    assert shortcuts == {f"{i}/{j}": f"{i}/{j}" in changes for i in range(3) for j in range(2)}
    sound = resnet.AudioResNet(cfg, rngs=nnx.Rngs(params=0))
    assert sound(jnp.zeros((1, 16, 8, 1))).pooled.shape == (1, 16)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"channels": (16,)}, "for each group"),
        ({"blocks": (0, 1)}, "for each group"),
        ({"channels": (16, 30)}, "30 channels, of which a bottleneck takes a quarter"),
        ({"shift": 0.6}, "shift 0.6"),
        ({"layout": "time-major"}, "Did you mean 'time_major'"),
    ],
)
def test_a_shape_that_cannot_be_is_named(changed, said):
    with pytest.raises(errors.ConfigError, match=said):
        dataclasses.replace(CFG, **changed)


def test_wrong_inputs_are_named():
    made = tsm.TSM(CFG, rngs=nnx.Rngs(params=0))
    with pytest.raises(ValueError, match=r"\[b, frames, height, width, 3\]"):
        made(jnp.zeros((1, 8, 8, 3)))
    sound = resnet.AudioResNet(
        resnet.ResNetConfig((4,), (1,), bottleneck=False), rngs=nnx.Rngs(params=0)
    )
    with pytest.raises(ValueError, match=r"\[b, frames, mel bins, 1\]"):
        sound(jnp.zeros((1, 8, 8)))
