"""Which mesh axis each parameter and batch axis lies on, decided by path rules outside the models.

The mesh has the axes `data` (batch), `fsdp` (batch, and parameters split) and `tensor` (heads and
MLP columns split). LoRA factors stay replicated: they are small, and sharded `lora_b` beside a
sharded kernel has given wrong values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lb_jax.core import errors, paths
from lb_jax.core.words import counted

AXES = ("data", "fsdp", "tensor")
BATCH = PartitionSpec(("data", "fsdp"))

# First match wins. Axes are named from the last one backwards, so stacked leaves (leading layer
# axis) follow the same row.
RULES = (
    (r".*/lora_[ab]", ()),
    (r".*/(q|k|v)_proj/kernel|.*/fc1/kernel", ("fsdp", "tensor")),
    (r".*/out_proj/kernel|.*/fc2/kernel", ("tensor", "fsdp")),
    (r".*/(q|k|v)_proj/bias|.*/attn/bias_[kv]|.*/fc1/bias", ("tensor",)),
    (r".*/token_embed/embedding|.*/proj/kernel|.*/patch_embed/kernel", ("fsdp", None)),
    (r".*", ()),
)


def make_mesh(shape: Mapping[str, int], devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Builds the mesh from `{"data": n, "fsdp": m, "tensor": k}`.

    Args:
      shape: devices on each axis; one may be -1 and takes those that are left.
      devices: what it is made of, all of this run's by default. A plan gives those of a machine
        that is not there.

    Raises:
      ConfigError: when the sizes do not multiply to the number of devices.
    """
    sizes = [shape[axis] for axis in AXES]
    count = jax.device_count() if devices is None else len(devices)
    known = 1
    for size in sizes:
        known *= size if size != -1 else 1
    if sizes.count(-1) == 1 and count % known == 0:
        sizes[sizes.index(-1)] = count // known
        known = count
    if known != count or -1 in sizes:
        raise errors.ConfigError(
            f"mesh {dict(shape)} does not fit {counted(count, 'device')}; make data x fsdp x "
            f"tensor equal to {count}, or give one of them, and no more, -1."
        )
    axis_types = (jax.sharding.AxisType.Auto,) * len(AXES)
    return jax.make_mesh(tuple(sizes), AXES, axis_types=axis_types, devices=devices)


def batch_devices(mesh: Mesh) -> int:
    """Over how many parts a batch is spread: `data` x `fsdp`."""
    return mesh.shape["data"] * mesh.shape["fsdp"]


def require_divisible(batch_sizes: Mapping[str, int], mesh: Mesh, accumulate: int = 1) -> None:
    """Checks that every batch splits evenly over the devices it is spread on.

    Args:
      batch_sizes: items per step, by modality.
      mesh: the devices.
      accumulate: parts that each device goes through one after the other.

    Raises:
      ConfigError: naming the batches that do not.
    """
    parts = batch_devices(mesh) * accumulate
    uneven = {name: size for name, size in batch_sizes.items() if size % parts}
    if uneven:
        times = f" x {accumulate} parts (config.accumulate)" if accumulate > 1 else ""
        raise errors.ConfigError(
            f"batch sizes {uneven} do not split over {counted(batch_devices(mesh), 'device')} "
            f"(data x fsdp){times}; make config.batch_size, and that of each modality, a multiple "
            f"of {parts}."
        )
    here, tensor = len(mesh.local_devices), mesh.shape["tensor"]
    if here % tensor:
        raise errors.ConfigError(
            f"config.mesh.tensor={tensor} goes over hosts of {here} devices each, and every host "
            f"reads its own items; take one that divides {here}, and a larger data or fsdp axis."
        )


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of whatever every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of every array of a batch: first axis over `data` and `fsdp`."""
    return NamedSharding(mesh, BATCH)


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> Any:
    """Puts this process's part of a batch onto its devices as one global array per leaf."""
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(batch_sharding(mesh), leaf), batch
    )


def put_whole(array: np.ndarray, mesh: Mesh) -> jax.Array:
    """Spreads a batch that every process has whole."""
    return jax.make_array_from_callback(array.shape, batch_sharding(mesh), lambda i: array[i])


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """A `NamedSharding` for every leaf of a parameter tree or of an optimiser state over one.

    An axis that its mesh axis does not divide stays whole.
    """

    def sharding(path, leaf) -> NamedSharding:
        name = "/".join(
            str(getattr(part, "key", getattr(part, "name", getattr(part, "idx", part))))
            for part in path
        )
        spec = paths.match_one(RULES, f"/{name}")
        spec = (None,) * (len(leaf.shape) - len(spec)) + tuple(
            spec[len(spec) - len(leaf.shape) :] if len(spec) > len(leaf.shape) else spec
        )
        fits = [
            axis if axis and size % mesh.shape[axis] == 0 else None
            for axis, size in zip(spec, leaf.shape, strict=True)
        ]
        return NamedSharding(mesh, PartitionSpec(*fits))

    return jax.tree_util.tree_map_with_path(sharding, tree)
