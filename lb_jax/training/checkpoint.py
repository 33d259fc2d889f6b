"""Saved states of a run, written by Orbax in the background, whole or not at all.

A state is trainable parameters, optimiser, step, key, data position. Beside it lie the hashes of
its arrays: one that was damaged on disk is told from a good one, and the one before it is used.

Frozen parameters are not saved: they come again from their own source, and their hash is checked.
"""

import contextlib
import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from lb_jax.core import errors, paths
from lb_jax.training import fingerprint

DAMAGED = "damaged"  # folder beside the states that keeps those that cannot be used


class StateStore:
    """The states under one folder.

    Args:
      folder: absolute or relative; created when missing.
      keep: how many of the newest states stay; None only reads, beside a run that may be writing.
    """

    def __init__(self, folder: Path, *, keep: int | None):
        self._reads_only = keep is None
        if self._reads_only:
            options = ocp.CheckpointManagerOptions(read_only=True)
        else:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=keep, enable_async_checkpointing=True, cleanup_tmp_directories=True
            )
        self.folder = Path(folder).resolve()
        # what Orbax logs of a state that it cannot write or read it also raises, and we say it
        logging.getLogger("absl").setLevel(logging.CRITICAL)
        with self._told("cannot be opened"):
            self._manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def steps(self) -> list[int]:
        """Steps of the complete states, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def save(self, step: int, state: Any, data: Mapping[str, Any], frozen_digest: str) -> None:
        """Starts writing a state; returns once the arrays are copied.

        Raises:
          CheckpointError: when the disk does not take it, or did not take the one before.
        """
        extra = {"data": data, "frozen": frozen_digest, "arrays": _hashes(state)}
        with self._told("a state cannot be written"):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    extra=ocp.args.JsonSave({**extra, "hash": _hash(extra)}),
                ),
            )

    def restore(
        self, like: Any, frozen_digest: str, *, at_most: int | None = None
    ) -> tuple[int, Any, dict[str, Any]] | None:
        """Reads the newest good state.

        Damaged ones are told of on stderr and moved to the folder `damaged` beside the states.

        Args:
          like: state of the structure and shardings wanted, of whatever mesh.
          frozen_digest: of the frozen parameters of this run.
          at_most: no state of a later step.

        Returns:
          (step, state, data position); None where there is no state yet.

        Raises:
          CheckpointError: when it was trained on other frozen parameters, or none is good.
        """
        found = [step for step in self.steps if at_most is None or step <= at_most]
        for step in found:
            restored, problem = None, ""
            try:
                restored = self._read(step, like)
            except Exception as error:  # Orbax raises a bare one too; what is no damage passes on
                if not is_damage(error):
                    raise
                problem = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            if _any_process(restored is None) or restored is None:
                self._set_aside(step, problem or "another process cannot read it")
                continue
            state, extra = restored
            if extra["frozen"] != frozen_digest:
                raise errors.CheckpointError(
                    f"{self.folder}: saved with other frozen parameters (hash "
                    f"{extra['frozen'][:12]}, now {frozen_digest[:12]}); "
                    "config.init_from must be the checkpoint the run was started from."
                )
            return step, state, extra["data"]
        if found or (at_most is None and self._aside.is_dir()):
            raise errors.CheckpointError(
                f"{self.folder}: no state of this run can be read, see {self._aside}; start again "
                "in another --workdir."
            )
        return None

    def close(self) -> None:
        """Waits until everything is on disk.

        Raises:
          CheckpointError: when the disk does not take it.
        """
        with self._told("a state cannot be written"):
            self._manager.wait_until_finished()
        self._manager.close()

    @property
    def _aside(self) -> Path:
        return self.folder.parent / DAMAGED

    def _read(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        """A state and what lies beside it; raises a ValueError where they do not agree."""
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like)),
            extra=ocp.args.JsonRestore(),
        )
        restored = self._manager.restore(step, args=args)
        state, extra = restored["state"], dict(restored["extra"])
        if extra.pop("hash", None) != _hash(extra):
            raise ValueError("its JSON was changed")
        hashes = _hashes(state)
        changed = [path for path in hashes if hashes[path] != extra["arrays"].get(path)]
        if changed:
            raise ValueError(f"its arrays were changed: {', '.join(changed)}")
        return state, extra

    def _set_aside(self, step: int, problem: str) -> None:
        if self._reads_only:
            print(f"lb-jax: state of step {step} is not used ({problem})", file=sys.stderr)
            return
        target = self._aside / str(step)
        if jax.process_index() == 0:
            target.parent.mkdir(exist_ok=True)
            for i in range(1, 1 + len(list(target.parent.iterdir()))):
                target = target if not target.exists() else self._aside / f"{step}-{i}"
            (self.folder / str(step)).rename(target)
            print(
                f"lb-jax: state of step {step} is damaged and is not used ({problem}); it is now "
                f"{target}",
                file=sys.stderr,
            )
        multihost_utils.sync_global_devices(f"damaged state {step}")
        self._manager.reload()

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Makes one sentence of what Orbax raises in the background or at once."""
        try:
            yield
        except (OSError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            steps = [one.name for one in self.folder.glob("*") if one.name.isdigit()]
            last = max(map(int, steps), default=None)
            rest = "no state is there yet" if last is None else f"the newest one is of step {last}"
            raise errors.CheckpointError(
                f"{self.folder}: {what} ({lines[-1][:300]}); {rest}. Make room or mend the disk; "
                "the same command goes on from there."
            ) from error


def is_damage(error: Exception) -> bool:
    """Whether Orbax or TensorStore found a file that is missing, cut short or changed.

    What the machine lacks, memory or permission, is not that: the state stays where it is.
    """
    kinds = (ValueError, KeyError, TypeError, FileNotFoundError, EOFError)
    return isinstance(error, kinds) or type(error) is Exception  # Orbax raises it bare


def _hashes(state: Any) -> dict[str, list[int]]:
    """Path of each array -> its fingerprint, the same on every mesh."""
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
    found = jax.device_get(_fingerprints(named))
    return {path: [int(one) for one in values] for path, values in paths.flatten(found).items()}


@jax.jit
def _fingerprints(named: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    return {path: fingerprint.of_array(leaf) for path, leaf in named.items()}


def _hash(extra: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(extra, sort_keys=True).encode()).hexdigest()


def _any_process(flag: bool) -> bool:
    """Whether it holds in any of the processes that train together."""
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))
