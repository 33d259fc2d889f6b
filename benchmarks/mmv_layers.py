"""Ways to compute the layers of MMV's networks by XLA on CPU: milliseconds of processor time.

    python benchmarks/mmv_layers.py [--repetitions 7] [--only S3D]

Each layer at the sizes of batch 4, 8 frames of 112: forward, and what its gradients by the kernel
and by the input take (of pooling and batch norm: forward and gradient together). "planes" is the
package's way on CPU, "patches" one product over all that a window sees beside each other, "shifted"
the sum of a product for each place of the window, "nd" a product without flattening the places.
Processor time says the same beside other work; with `MALLOC_MMAP_MAX_=0
MALLOC_TRIM_THRESHOLD_=100000000000` before the command results lie in memory that was used before,
as they do inside of a program.
"""

import argparse
import functools
import operator
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.models import convolution, planes


def seen(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> list[jax.Array]:
    """What lies at each place of a window, for all windows."""
    found = [x]
    for axis, (side, stride) in enumerate(zip(window, strides, strict=True), 1):
        found = [part for one in found for part in planes.shifts(one, axis, side, stride)]
    return found


def patches(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    beside = jnp.concatenate(seen(x, kernel.shape[:-2], strides), -1)
    return nd(beside, kernel.reshape(-1, kernel.shape[-1]), ())


def shifted(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    parts = seen(x, kernel.shape[:-2], strides)
    kernels = kernel.reshape(-1, *kernel.shape[-2:])
    return functools.reduce(operator.add, map(jnp.matmul, parts, kernels))


def nd(x: jax.Array, kernel: jax.Array, strides: Sequence[int]) -> jax.Array:
    x = x[:, *(slice(None, None, step) for step in strides)]
    return x @ kernel.reshape(kernel.shape[-2:])


def plain_norm(x: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    axes = tuple(range(x.ndim - 1))
    mean = (weight * x).sum(axes)
    var = (weight * jnp.square(x - mean)).sum(axes)
    return (x - mean) * (scale * jax.lax.rsqrt(var + convolution.EPSILON)) + bias


CONVOLUTIONS = {
    "xla": convolution.convolve,
    "patches": patches,
    "shifted": shifted,
    "nd": nd,
    "planes": planes.convolve,
}
WAYS_TO_NORMALISE = {
    "plain": plain_norm,
    "own": lambda *arrays: convolution.normalise(*arrays)[0],
}
# Input, window, channels, strides.
LAYERS = {
    "TSM stem": ((32, 112, 112, 3), (7, 7), 64, (2, 2)),
    "TSM 3x3 of 64": ((32, 28, 28, 64), (3, 3), 64, (1, 1)),
    "TSM 3x3 of 128, stride 2": ((32, 28, 28, 128), (3, 3), 128, (2, 2)),
    "TSM 3x3 of 512": ((32, 4, 4, 512), (3, 3), 512, (1, 1)),
    "TSM 1x1, 64 to 256": ((32, 28, 28, 64), (1, 1), 256, (1, 1)),
    "TSM 1x1, 512 to 128": ((32, 14, 14, 512), (1, 1), 128, (1, 1)),
    "TSM 1x1, 256 to 512, stride 2": ((32, 28, 28, 256), (1, 1), 512, (2, 2)),
    "S3D stem, 2x4x4": ((4, 4, 56, 56, 24), (2, 4, 4), 64, (1, 1, 1)),
    "S3D 1x3x3, 64 to 192": ((4, 4, 28, 28, 64), (1, 3, 3), 192, (1, 1, 1)),
    "S3D 3x1x1 of 192": ((4, 4, 28, 28, 192), (3, 1, 1), 192, (1, 1, 1)),
    "S3D 1x1x1, 192 to 64": ((4, 4, 14, 14, 192), (1, 1, 1), 64, (1, 1, 1)),
}
POOLS = {
    "TSM pool 3x3, stride 2": ((32, 56, 56, 64), (3, 3), (2, 2)),
    "S3D pool 1x3x3, stride 2": ((4, 4, 56, 56, 64), (1, 3, 3), (1, 2, 2)),
    "S3D pool 3x3x3": ((4, 4, 14, 14, 192), (3, 3, 3), (1, 1, 1)),
    "S3D pool 3x3x3, stride 2": ((4, 4, 14, 14, 480), (3, 3, 3), (2, 2, 2)),
}
NORMS = {
    "TSM norm of 256": (32, 28, 28, 256),
    "TSM norm of 512": (32, 14, 14, 512),
    "S3D norm of 192": (4, 4, 28, 28, 192),
}


def milliseconds(function: Callable, *arrays: jax.Array, repetitions: int) -> float:
    """Processor time of a compiled function, the median."""
    run, used = jax.jit(function), []
    for _ in range(2 + repetitions):
        start = time.process_time()
        jax.block_until_ready(run(*arrays))
        used.append(time.process_time() - start)
    return 1e3 * float(np.median(used[2:]))


def drawn(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(0), shape)


def gradients(function: Callable, *arrays: jax.Array, of: Sequence[int]) -> tuple:
    """A function of gradients by some of the arrays, and what it takes."""
    ahead = drawn(*jax.eval_shape(function, *arrays).shape)

    def back(ahead, *arrays):
        found = jax.vjp(function, *arrays)[1](ahead)
        return [found[i] for i in of]

    return back, ahead, *arrays


def of_convolution(layer: str, way: str, took: Callable) -> list[float]:
    shape, window, outputs, strides = LAYERS[layer]
    run = functools.partial(CONVOLUTIONS[way], strides=strides)
    arrays = drawn(*shape), drawn(*window, shape[-1], outputs)
    back = [took(*gradients(run, *arrays, of=[i])) for i in (1, 0)]
    return [took(run, *arrays), *back]


def of_pooling(layer: str, way: str, took: Callable) -> list[float]:
    shape, window, strides = POOLS[layer]
    pool = convolution.CONVOLUTIONS[way].max_pool
    run = functools.partial(pool, window=window, strides=strides)
    return [took(run, drawn(*shape)), took(*gradients(run, drawn(*shape), of=[0]))]


def of_norm(layer: str, way: str, took: Callable) -> list[float]:
    shape = NORMS[layer]
    weight = jnp.full((shape[0], *(1,) * (len(shape) - 1)), 1 / np.prod(shape[:-1]))
    arrays = drawn(*shape), weight, drawn(shape[-1]), drawn(shape[-1])

    def run(*arrays):
        return jax.nn.relu(WAYS_TO_NORMALISE[way](*arrays))

    return [took(run, *arrays), took(*gradients(run, *arrays, of=[0, 2, 3]))]


def ways_of(layer: str) -> list[str]:
    """A window of one place has one product."""
    is_one = np.prod(LAYERS[layer][1]) == 1
    return ["xla", *(["nd"] if is_one else ["patches", "shifted"]), "planes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--only", default="", help="what the layers' names begin with")
    given = parser.parse_args()
    took = functools.partial(milliseconds, repetitions=given.repetitions)
    rows = [
        (of_convolution, LAYERS, ways_of, ("forward", "kernel", "input")),
        (of_pooling, POOLS, lambda _: convolution.CONVOLUTIONS, ("forward", "and back")),
        (of_norm, NORMS, lambda _: WAYS_TO_NORMALISE, ("forward", "and back")),
    ]
    for measured, layers, ways, columns in rows:
        print(f"{'':32}{'':9}" + "".join(f"{one:>9}" for one in columns))
        for layer in layers:
            for way in ways(layer) if layer.startswith(given.only) else ():
                figures = measured(layer, way, took)
                print(f"{layer:32}{way:9}" + "".join(f"{one:9.1f}" for one in figures), flush=True)


if __name__ == "__main__":
    main()
