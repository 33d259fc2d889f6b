"""The parts that convolutional towers share: convolution, pooling, batch norm with its statistics.

Everything lies channels last and is filled up at its borders as TensorFlow's SAME does. Batch norm
keeps what is published of it (MMV spec 1.1, Haiku's form) under `running/` beside its scale and
bias, in the same dict as the parameters; the rules of `STATE` tell the two apart.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from lb_jax.core import paths
from lb_jax.models import planes, pooling

DECAY = 0.9
EPSILON = 1e-5

# Statistics, which training counts and no gradient moves.
STATE = ((r"(.*/)?running/(mean|var)/(average|hidden|counter)", True), (r".*", False))


class Features(NamedTuple):
    """What a convolutional tower makes of its input; what is not used costs nothing under jit.

    Attributes:
      pooled: [b, f], the mean over all places of the last map.
      maps: name -> the map behind that part of the tower, in their order.
    """

    pooled: jax.Array
    maps: dict[str, jax.Array]


def convolve(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    """[b, *places, i], [*window, i, o] -> [b, *places / strides, o]."""
    places = "DHW"[-len(strides) :]
    layout = (f"N{places}C", f"{places}IO", f"N{places}C")
    return jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)


def max_pool(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
    """The largest of each window: [b, *places, c] -> [b, *places / strides, c]."""
    window, strides = (1, *window, 1), (1, *strides, 1)
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, "SAME")


class Ways(NamedTuple):
    """How windows are computed: functions of (x, kernel, strides) and of (x, window, strides)."""

    convolve: Callable[[jax.Array, jax.Array, Sequence[int]], jax.Array]
    max_pool: Callable[[jax.Array, Sequence[int], Sequence[int]], jax.Array]


# The same functions, but for rounding: XLA's own, and what its CPU backend computes fast.
CONVOLUTIONS = {
    "xla": Ways(convolve, max_pool),
    "planes": Ways(planes.convolve, pooling.max_pool),
}


def usual_convolution(platform: str) -> str:
    """The row of `CONVOLUTIONS` that is fast on "cpu", "gpu" or "tpu" (docs/benchmarks.md)."""
    return "planes" if platform == "cpu" else "xla"


class Conv(nnx.Module):
    """[b, *places, i] -> [b, *places / strides, o], a kernel [*window, i, o] without bias.

    Args:
      inputs, outputs: channels.
      window, strides: of each axis of places.
      convolution: a row of `CONVOLUTIONS`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: Sequence[int],
        strides: Sequence[int] | None = None,
        *,
        rngs: nnx.Rngs,
        dtype,
        convolution: str,
    ):
        shape = (*window, inputs, outputs)
        size = math.prod(shape[:-1]) ** -0.5
        self.kernel = nnx.Param(size * jax.random.normal(rngs.params(), shape))
        self.strides = tuple(strides or (1,) * len(window))
        self.dtype, self.convolution = dtype, convolution

    def __call__(
        self, x: jax.Array, order: Callable[[jax.Array], jax.Array] = lambda kernel: kernel
    ) -> jax.Array:
        """Runs the layer, in the compute dtype; `order` brings the kernel's channels into x's."""
        x, kernel = x.astype(self.dtype), order(self.kernel[...]).astype(self.dtype)
        return CONVOLUTIONS[self.convolution].convolve(x, kernel, self.strides)


def require_shape(x: jax.Array, places: str, channels: int) -> None:
    """Checks the input of a tower: [b, *places, channels].

    Raises:
      ValueError: naming both shapes.
    """
    if x.ndim != 3 + places.count(",") or x.shape[-1] != channels:
        raise ValueError(
            f"input of shape {x.shape} where the tower takes [b, {places}, {channels}]; preprocess "
            "it with this model's own spec."
        )


class Average(nnx.Module):
    """A running average of what training saw, from its first batch on: [c].

    Attributes:
      average: what is read.
      hidden: the decaying sum that it is made of.
      counter: batches seen, a whole number; float32, as every leaf of a model is.
    """

    def __init__(self, width: int):
        self.average, self.hidden = nnx.BatchStat(jnp.zeros(width)), nnx.BatchStat(jnp.zeros(width))
        self.counter = nnx.BatchStat(jnp.zeros(()))

    def update(self, value: jax.Array, is_seen: jax.Array) -> None:
        """Takes the value of a batch in, unless nothing of it was seen."""
        value = jax.lax.stop_gradient(value)
        counter = self.counter[...] + 1
        hidden = DECAY * self.hidden[...] + (1 - DECAY) * value
        average = hidden / (1 - DECAY**counter)
        for leaf, now in ((self.counter, counter), (self.hidden, hidden), (self.average, average)):
            # assigning to leaf[...] looks up the tracer's origin, in time that grows with the trace
            leaf.set_value(jnp.where(is_seen, now, leaf[...]))


class Running(nnx.Module):
    """Mean and variance of every channel."""

    def __init__(self, width: int):
        self.mean, self.var = Average(width), Average(width)


class BatchNorm(nnx.Module):
    """Normalises each channel of [b, *places, c], in float32 whatever the compute dtype.

    Under `jax.jit` the batch is that of the whole mesh, and so are its mean and variance.
    """

    def __init__(self, width: int, *, dtype):
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))
        self.running = Running(width)
        self.dtype = dtype

    def __call__(self, x: jax.Array, counted: jax.Array | None = None) -> jax.Array:
        """[b, *places, c] -> same, in the compute dtype.

        Args:
          x: the input.
          counted: in training, which items count, [b]: the mean and variance are those of the batch
            without the others, and `running` takes them in. None reads `running`.
        """
        x = x.astype(jnp.float32)
        scale, bias = self.scale[...], self.bias[...]
        if counted is None:
            mean, var = self.running.mean.average[...], self.running.var.average[...]
            return ((x - mean) * (scale * jax.lax.rsqrt(var + EPSILON)) + bias).astype(self.dtype)
        weight = counted.astype(jnp.float32)
        count = weight.sum() * math.prod(x.shape[1:-1])
        weight = (weight / jnp.maximum(count, 1))[:, None]
        y, mean, var = normalise(x, weight, scale, bias)
        self.running.mean.update(mean, count > 0)
        self.running.var.update(var, count > 0)
        return y.astype(self.dtype)


def _of_items(x: jax.Array) -> jax.Array:
    """[b, *places, c] -> [b, c], the sum over the places of each item."""
    return x.sum(tuple(range(1, x.ndim - 1)))


@jax.custom_vjp
def normalise(
    x: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Normalises each channel by its own mean and variance, with a gradient that keeps x alone.

    What differentiation finds by itself keeps several arrays of x's size. Sums are of each item
    first, which cores share; numbers of channels are known before the pass that reads them, else
    CPUs compute them anew for every element; no two passes read the same x - mean, which would
    then be written down (docs/benchmarks.md).

    Args:
      x: [b, *places, c].
      weight: of each item in mean and variance, [b, 1]; over all places their sum is 1, or 0.
      scale, bias: [c].

    Returns:
      The normalised array, and mean and variance, [c]: to be kept, no gradient goes through these.
    """
    return _normalise(x, weight, scale, bias)[0]


def _normalise(x, weight, scale, bias):
    mean = (weight * _of_items(x)).sum(0)
    var = (weight * _of_items(jnp.square(x - mean))).sum(0)
    rate = jax.lax.rsqrt(var + EPSILON)
    factor = scale * rate
    factor, offset = jax.lax.optimization_barrier((factor, bias - mean * factor))
    return (x * factor + offset, mean, var), (x, weight, mean, rate, scale)


def _normalise_back(kept, gradients):
    x, weight, mean, rate, scale = kept
    gradient = gradients[0]
    sums, products = jax.lax.optimization_barrier((_of_items(gradient), _of_items(gradient * x)))
    of_bias = sums.sum(0)
    of_scale = (products - mean * sums).sum(0) * rate
    # scale rate (gradient - weight (of_bias + (x - mean) rate of_scale)), in terms of x
    factor = scale * rate
    slope = factor * rate * of_scale
    offset = factor * of_bias - mean * slope
    factor, slope, offset = jax.lax.optimization_barrier((factor, slope, offset))
    weight = weight.reshape(-1, *(1,) * (x.ndim - 1))
    return factor * gradient - weight * (x * slope + offset), None, of_scale, of_bias


normalise.defvjp(_normalise, _normalise_back)


def state_of(params: Mapping[str, Any]) -> tuple[paths.Tree, paths.Tree]:
    """Splits a dict into the statistics of its batch norms and all else."""
    return paths.divide(params, STATE)
