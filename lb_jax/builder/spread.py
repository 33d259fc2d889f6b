"""A network over all devices: each holds the parameters, and runs its part of a batch."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lb_jax.inference import programs

# Frames at once, of all devices together: a film of 8. On a CPU fewer, whose memory is that of all
# else: GLPN's maps at the full size of a frame (768 x 448 x 64) take 88 MB each.
BATCH, BATCH_ON_CPU = 8, 2
WHOLE, SPLIT = PartitionSpec(), PartitionSpec(programs.AXIS)


class Spread:
    """Runs (params, *arrays [b, ...]) -> [b, ...] on any number of items.

    Products are of full float32 whatever the device would take for them, since a picture is made of
    what comes out. One size of batch is compiled for a shape of items: the last one is filled up.

    Args:
      run: the function; every item's result must be its own.
      params: tree of arrays.
      devices: each takes its part of a batch; all of this process when None.
      batch_size: items at once, of all devices together; rounded up to a multiple of these. None is
        `BATCH`, or `BATCH_ON_CPU`.
    """

    def __init__(
        self,
        run: Callable[..., jax.Array],
        params: Mapping[str, Any],
        *,
        devices: Sequence[jax.Device] | None = None,
        batch_size: int | None = None,
    ):
        devices = jax.local_devices() if devices is None else devices
        if batch_size is None:
            batch_size = BATCH_ON_CPU if devices[0].platform == "cpu" else BATCH
        programs.require_batch(batch_size)
        self.mesh = Mesh(np.array(devices), (programs.AXIS,))
        self.batch_size = -(-batch_size // len(devices)) * len(devices)
        self._params = jax.device_put(dict(params), NamedSharding(self.mesh, WHOLE))
        self._run = jax.jit(self._on_each(run))

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        """Arrays of equally many items [n, ...] -> [n, ...]."""
        count, size = len(arrays[0]), self.batch_size
        found = []
        for start in range(0, count, size):
            batch = [_filled(array[start : start + size], size) for array in arrays]
            there = jax.device_put(batch, NamedSharding(self.mesh, SPLIT))
            found.append(np.asarray(self._run(self._params, *there))[: count - start])
        return np.concatenate(found)

    def _on_each(self, run: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
        def exactly(params: Any, *arrays: jax.Array) -> jax.Array:
            with jax.default_matmul_precision("highest"):
                return run(params, *arrays)

        if self.mesh.size == 1:
            return exactly

        def spread(params: Any, *arrays: jax.Array) -> jax.Array:
            return jax.shard_map(
                exactly,
                mesh=self.mesh,
                in_specs=(WHOLE, *[SPLIT] * len(arrays)),
                out_specs=SPLIT,
                check_vma=False,
            )(params, *arrays)

        return spread


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """The items, and the last one again until there are so many."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
