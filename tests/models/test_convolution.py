"""Convolutions, and batch norm: its statistics, missing items, several devices, training or not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lb_jax.core import paths
from lb_jax.models import convolution, deflation, planes, resnet, s3d, tsm
from lb_jax.training import sharding


def normed(x, counted=None, state=None):
    """A batch norm's output, and its leaves behind it."""
    graph, leaves = nnx.split(convolution.BatchNorm(x.shape[-1], dtype=jnp.float32))
    module = nnx.merge(graph, leaves if state is None else state)
    y = module(x, counted)
    return y, nnx.to_pure_dict(nnx.split(module)[1])


def drawn(*shape, key=0):
    return 2 * jax.random.normal(jax.random.key(key), shape) + 1


# What the convolutions of the networks see: window and strides; and one axis alone.
WINDOWS = [
    *(((3,), (1,)), ((2,), (2,))),
    *(((1, 1), (1, 1)), ((1, 1), (2, 2)), ((3, 3), (1, 1)), ((3, 3), (2, 2)), ((7, 7), (2, 2))),
    *(((1, 1, 1), (1, 1, 1)), ((1, 3, 3), (1, 1, 1)), ((3, 1, 1), (1, 1, 1))),
    *(
        ((7, 7, 7), (2, 2, 2)),
        ((1, 7, 7), (2, 2, 2)),
        ((2, 4, 4), (1, 1, 1)),
        ((1, 4, 4), (1, 1, 1)),
    ),
]
POOLS = sorted(
    {((3, 3), (2, 2)), ((3, 3, 3), (1, 1, 1))}
    | {(one.window, one.strides) for one in s3d.LAYERS.values() if isinstance(one, s3d.Pool)}
)


def places_of(window):
    """Sizes that strides of two divide, and sizes that they do not; some below the window."""
    return {1: [(6,), (7,)], 2: [(9, 8), (6, 5)], 3: [(4, 9, 8), (3, 6, 5)]}[len(window)]


def value_and_gradients(name, way, x, *given):
    """Of a row of `CONVOLUTIONS`: what it gives, and gradients by all arrays."""
    arrays = [one for one in given if isinstance(one, jax.Array)]
    rest = given[len(arrays) :]
    found, back = jax.vjp(
        lambda *them: getattr(convolution.CONVOLUTIONS[name], way)(*them, *rest), x, *arrays
    )
    return found, back(jnp.cos(jnp.arange(float(found.size))).reshape(found.shape))


def test_the_windows_of_all_networks_are_here():
    sound = resnet.ResNetConfig((4, 8), (1, 1), bottleneck=False, stem=4)
    made = (
        lambda: tsm.TSM(tsm.TSMConfig((8, 16), (1, 1), stem=4), rngs=nnx.Rngs(params=0)),
        lambda: resnet.AudioResNet(sound, rngs=nnx.Rngs(params=0)),
        lambda: s3d.S3D(s3d.S3DConfig(), rngs=nnx.Rngs(params=0)),
    )
    found = {
        (module.kernel.shape[:-2], module.strides)
        for make in made
        for _, module in nnx.iter_modules(nnx.eval_shape(make))
        if isinstance(module, convolution.Conv)
    }
    for is_folded in (False, True):
        video = s3d.S3DConfig(space_to_depth=is_folded)
        found |= {cfg.entry[1:] for cfg in (video, deflation.deflated(video, {})[0])}
    assert found == set(WINDOWS[2:])


@pytest.mark.parametrize("many", [False, True], ids=["few channels", "many channels"])
@pytest.mark.parametrize(("window", "strides"), WINDOWS)
def test_ways_to_convolve_are_equal_in_value_and_gradient(window, strides, many, monkeypatch):
    if many:
        monkeypatch.setattr(planes, "MANY", 1)
    kernel = drawn(*window, 3, 4, key=1)
    for places in places_of(window):
        x = drawn(2, *places, 3)
        both = [
            value_and_gradients(name, "convolve", x, kernel, strides)
            for name in convolution.CONVOLUTIONS
        ]
        require = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
        jax.tree.map(require, *both)


@pytest.mark.parametrize(("window", "strides"), POOLS)
def test_ways_to_pool_are_one_and_of_equal_places_the_first_counts(window, strides):
    for places in places_of(window):
        x = jnp.round(drawn(2, *places, 3))  # with many equal numbers
        both = [
            value_and_gradients(name, "max_pool", x, window, strides)
            for name in convolution.CONVOLUTIONS
        ]
        np.testing.assert_array_equal(*(value for value, _ in both))
        np.testing.assert_allclose(*(gradient[0] for _, gradient in both), rtol=1e-6, atol=1e-6)


def test_cpu_has_its_own_way():
    assert convolution.usual_convolution("cpu") == "planes"
    assert convolution.usual_convolution("tpu") == "xla"


def test_borders_are_filled_up_as_tensorflow_does():
    x = jnp.arange(1.0, 6.0)[None, :, None]
    kernel = jnp.array([1.0, 10.0])[:, None, None]
    found = convolution.convolve(x, kernel, (1,))  # an even window: more behind than before
    np.testing.assert_array_equal(found[0, :, 0], [21, 32, 43, 54, 5])
    np.testing.assert_array_equal(convolution.max_pool(-x, (3,), (2,))[0, :, 0], [-1, -2, -4])


def test_training_normalises_by_the_batch_and_its_places():
    x = drawn(4, 3, 5, 2)
    y, _ = normed(x, jnp.ones(4, bool))
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(2), atol=1e-5)
    np.testing.assert_allclose(y.var((0, 1, 2)), np.ones(2), atol=1e-4)


@pytest.mark.parametrize("there", [(1, 1, 1, 1), (1, 0, 1, 1), (0, 0, 0, 0)])
def test_the_gradient_of_normalising_is_that_of_its_definition(there):
    x = 1 + drawn(4, 3, 5, 2)
    each = jnp.array(there, jnp.float32)[:, None] / max(15 * sum(there), 1)
    weight = each.reshape(4, 1, 1, 1)
    scale, bias, ahead = (drawn(*shape, key=i) for i, shape in enumerate([(2,), (2,), x.shape]))

    def plain(x, scale, bias):
        mean = (weight * x).sum((0, 1, 2))
        var = (weight * (x - mean) ** 2).sum((0, 1, 2))
        return (x - mean) / jnp.sqrt(var + convolution.EPSILON) * scale + bias

    def ours(x, scale, bias):
        return convolution.normalise(x, each, scale, bias)[0]

    both = [jax.vjp(function, x, scale, bias) for function in (plain, ours)]
    both = [(value, back(ahead)) for value, back in both]
    # without any item the variance is 0, and all is 1 / sqrt(epsilon) times as large
    largest = max(np.abs(one).max() for one in jax.tree.leaves(both[0]))
    require = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6 * largest)
    jax.tree.map(require, *both)


def test_statistics_are_averages_from_the_first_batch_on():
    state, means, variances = None, [], []
    for i in range(3):
        x = drawn(4, 5, 2, key=i)
        means.append(np.asarray(x.mean((0, 1))))
        variances.append(np.asarray(x.var((0, 1))))  # the biased one
        _, state = normed(x, jnp.ones(4, bool), state)
        weights = 0.1 * 0.9 ** np.arange(i, -1, -1)
        running = state["running"]
        for kept, batches in ((running["mean"], means), (running["var"], variances)):
            hidden = np.tensordot(weights, np.stack(batches), 1)
            np.testing.assert_allclose(kept["hidden"], hidden, rtol=1e-5)
            np.testing.assert_allclose(kept["average"], hidden / weights.sum(), rtol=1e-5)
            assert kept["counter"] == i + 1


def test_evaluation_reads_them_and_changes_nothing():
    _, state = normed(drawn(8, 3), jnp.ones(8, bool))
    x = drawn(2, 3, key=5)
    y, after = normed(x, state=state)
    mean, var = (state["running"][name]["average"] for name in ("mean", "var"))
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + convolution.EPSILON), rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_missing_items_change_neither_statistics_nor_others():
    x, there = drawn(6, 4, 3), jnp.array([True, False, True, True, False, True])
    y, state = normed(x, there)
    alone, expected = normed(x[there], jnp.ones(4, bool))
    np.testing.assert_allclose(y[there], alone, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), state, expected)

    def loss(x):
        return jnp.where(there[:, None, None], jnp.sin(normed(x, there)[0]), 0).sum()

    gradient = jax.grad(loss)(x)
    assert not np.any(gradient[~there])
    assert np.any(gradient[there])


def test_a_batch_without_any_item_is_not_counted():
    _, state = normed(drawn(4, 3), jnp.ones(4, bool))
    y, after = normed(drawn(4, 3, key=1), jnp.zeros(4, bool), state)
    assert np.isfinite(y).all()
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_no_gradient_goes_through_the_statistics_that_are_kept():
    def kept(x):
        return normed(x, jnp.ones(4, bool))[1]["running"]["mean"]["average"].sum()

    assert not np.any(jax.grad(kept)(drawn(4, 3)))


def test_eight_devices_count_the_batch_as_one_does():
    x, there = drawn(16, 3, 5), jnp.arange(16) % 3 > 0
    mesh = sharding.make_mesh({"data": 4, "fsdp": 2, "tensor": 1})
    batch = sharding.batch_sharding(mesh)

    @jax.jit
    def run(x, there):
        def loss(x):
            y, state = normed(x, there)
            return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), (y, state)

        (_, found), gradient = jax.value_and_grad(loss, has_aux=True)(x)
        return found, gradient

    expected = run(x, there)
    found = run(jax.device_put(x, batch), jax.device_put(there, batch))
    require = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(require, found, expected)


def test_rules_tell_statistics_from_what_trains():
    params = {"norm": normed(drawn(2, 3))[1], "proj": {"kernel": jnp.ones((3, 3))}}
    state, rest = convolution.state_of(params)
    assert set(paths.flatten(state)) == {
        f"norm/running/{name}/{leaf}"
        for name in ("mean", "var")
        for leaf in ("average", "hidden", "counter")
    }
    assert set(paths.flatten(rest)) == {"norm/scale", "norm/bias", "proj/kernel"}
    jax.tree.map(np.testing.assert_array_equal, paths.overlay(state, rest), params)


def test_bfloat16_keeps_statistics_in_float32():
    graph, leaves = nnx.split(convolution.BatchNorm(3, dtype=jnp.bfloat16))
    module = nnx.merge(graph, leaves)
    y = module(drawn(4, 3).astype(jnp.bfloat16), jnp.ones(4, bool))
    assert y.dtype == jnp.bfloat16
    kinds = {leaf.dtype for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.split(module)[1]))}
    assert kinds == {np.dtype(np.float32)}
