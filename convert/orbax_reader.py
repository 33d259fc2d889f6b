"""Parameters that Orbax wrote, as lazy tensors by path."""

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp

from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors, paths


def read_orbax(folder: Path) -> dict[str, LazyTensor]:
    """Opens a folder of `ocp.StandardCheckpointer`: path -> tensor.

    Raises:
      CheckpointError: when Orbax finds no parameters there, or, reading one, that it is damaged.
    """
    folder = Path(folder).resolve()
    with _told_of(folder), ocp.PyTreeCheckpointer() as reader:
        stored = reader.metadata(folder).item_metadata
    if stored is None:
        raise errors.CheckpointError(
            f"{folder}: Orbax finds no parameters here; write the checkpoint again."
        )
    # Orbax reads whole arrays; rows are asked for in turn, of at most three arrays at a time
    kept = functools.lru_cache(maxsize=3)(functools.partial(_read, folder))

    def reader(path: str):
        return lambda rows=None: _read(folder, path) if rows is None else kept(path)[rows].copy()

    return {
        path: LazyTensor(tuple(one.shape), np.dtype(one.dtype), reader(path))
        for path, one in paths.flatten(stored.tree).items()
    }


def _read(folder: Path, path: str) -> np.ndarray:
    wanted = paths.unflatten({path: 0})
    how = paths.unflatten({path: ocp.RestoreArgs(restore_type=np.ndarray)})
    args = ocp.args.PyTreeRestore(item=wanted, restore_args=how, partial_restore=True)
    with _told_of(folder), ocp.PyTreeCheckpointer() as reader:
        return np.asarray(paths.flatten(reader.restore(folder, args=args))[path])


@contextlib.contextmanager
def _told_of(folder: Path) -> Iterator[None]:
    """Turns what Orbax and TensorStore raise on damaged files into one error of one line."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, RuntimeError) as error:
        raise errors.CheckpointError(
            f"{folder}: damaged: Orbax cannot read it ({' '.join(str(error).split())[:200]}); copy "
            "it again or write the checkpoint again."
        ) from error
