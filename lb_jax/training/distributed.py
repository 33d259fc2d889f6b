"""Several hosts that train together: each runs the same command, and they find each other."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils
from orbax import checkpoint

from lb_jax.core import errors

# How hosts find each other where nothing else tells them; jax itself reads the first.
ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
PATIENCE_S = 600  # of a process that waits until the others are there


def start() -> None:
    """Connects this process to the others, before anything is computed.

    Cloud TPU, Slurm, Open MPI and Kubernetes tell each process its place. Elsewhere the environment
    does: `JAX_COORDINATOR_ADDRESS` (host:port of process 0), `JAX_NUM_PROCESSES`, `JAX_PROCESS_ID`.

    Raises:
      ConfigError: when they cannot be found.
    """
    try:
        numbers = [int(os.environ[name]) if name in os.environ else None for name in (COUNT, INDEX)]
        print("lb-jax: looking for the other hosts", file=sys.stderr)
        jax.distributed.initialize(num_processes=numbers[0], process_id=numbers[1])
    except (ValueError, RuntimeError, IndexError) as error:
        raise errors.ConfigError(
            f"--multihost: the other processes cannot be found ({' '.join(str(error).split())}); "
            "run the same command on every host of a Cloud TPU slice, Slurm, Open MPI or "
            f"Kubernetes job, or set {ADDRESS}=HOST:PORT, {COUNT} and {INDEX} on each."
        ) from error


def connect(mesh: jax.sharding.Mesh) -> None:
    """Waits for the other processes and lets the devices of the mesh find each other.

    Devices connect where they first compute together, and on CPU they give up after half a minute.
    Here they do so when every process is there, not where one may still compile what another runs.
    """
    if jax.process_count() == 1:
        return
    meet = checkpoint.multihost.get_barrier_sync_fn()
    meet(key="lb_jax_connect", timeout_ms=1000 * PATIENCE_S)
    multihost_utils.process_allgather(np.zeros(1))
    for axes in (*[(name,) for name in mesh.axis_names if mesh.shape[name] > 1], mesh.axis_names):
        spec = jax.sharding.PartitionSpec(axes)
        summed = jax.shard_map(
            lambda x, axes=axes: jax.lax.psum(x, axes),
            mesh=mesh,
            in_specs=spec,
            out_specs=jax.sharding.PartitionSpec(),
        )
        size = int(np.prod([mesh.shape[name] for name in axes]))
        ones = jax.jit(
            lambda size=size: jax.numpy.ones(size), out_shardings=jax.NamedSharding(mesh, spec)
        )
        jax.block_until_ready(jax.jit(summed)(ones()))


def require_started() -> None:
    """Checks that a slice of several hosts was not started as if each were alone.

    Raises:
      ConfigError: saying what to add.
    """
    if jax.process_count() > 1 and not jax.distributed.is_initialized():
        raise errors.ConfigError(
            f"{jax.process_count()} hosts share these devices; add --multihost to the command on "
            "each of them."
        )


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Says in one sentence that the hosts could not go on together.

    Ends the process when a computation of several processes failed.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        what = str(error).strip().splitlines()[0][:300]
        print(
            f"lb-jax: process {jax.process_index()} of {jax.process_count()} cannot compute with "
            f"the others ({what}); if one of them ended, see what it said, then run the same "
            "command on every host again: it goes on from the last state.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)  # leaving in the usual way, jax would wait for the others and then abort


def of_all(position: Mapping[str, int]) -> dict[str, int]:
    """A data position whose counts are those of all processes together; all must call."""
    counts = {name: value for name, value in position.items() if name != "batch"}
    total = multihost_utils.process_allgather(np.array(list(counts.values())))
    total = np.reshape(total, (-1, len(counts))).sum(0)
    return {**position, **{name: int(value) for name, value in zip(counts, total, strict=True)}}


def of_this_process(position: Mapping[str, int]) -> dict[str, int]:
    """The part of such a position that this process goes on counting: the first one takes all."""
    if jax.process_index() == 0:
        return dict(position)
    return {name: value if name == "batch" else 0 for name, value in position.items()}
