"""Parameters that Orbax wrote, as lazy tensors by path."""

from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors, paths


def read_orbax(folder: Path) -> dict[str, LazyTensor]:
    """Opens a folder of `ocp.StandardCheckpointer`: path -> tensor.

    Raises:
      CheckpointError: when Orbax finds no parameters there.
    """
    folder = Path(folder).resolve()
    with ocp.PyTreeCheckpointer() as reader:
        stored = reader.metadata(folder).item_metadata
    if stored is None:
        raise errors.CheckpointError(
            f"{folder}: Orbax finds no parameters here; write the checkpoint again."
        )
    return {
        path: LazyTensor(tuple(one.shape), np.dtype(one.dtype), _reader(folder, path))
        for path, one in paths.flatten(stored.tree).items()
    }


def _reader(folder: Path, path: str):
    def read() -> np.ndarray:
        wanted = paths.unflatten({path: 0})
        how = paths.unflatten({path: ocp.RestoreArgs(restore_type=np.ndarray)})
        args = ocp.args.PyTreeRestore(item=wanted, restore_args=how, partial_restore=True)
        with ocp.PyTreeCheckpointer() as reader:
            return np.asarray(paths.flatten(reader.restore(folder, args=args))[path])

    return read
