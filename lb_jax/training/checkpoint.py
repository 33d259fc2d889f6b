"""Saved states of a run, written by Orbax in the background, whole or not at all.

A state is trainable parameters, optimiser, step, key, data position.

Frozen parameters are not saved: they come again from their own source, and their hash is checked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from lb_jax.core import errors


class StateStore:
    """The states under one folder.

    Args:
      folder: absolute or relative; created when missing.
      keep: how many of the newest states stay.
    """

    def __init__(self, folder: Path, *, keep: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True)
        self.folder = Path(folder).resolve()
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    @property
    def latest(self) -> int | None:
        """Step of the newest complete state, None if there is none."""
        return self._manager.latest_step()

    def save(self, step: int, state: Any, data: Mapping[str, Any], frozen_digest: str) -> None:
        """Starts writing a state; returns once the arrays are copied."""
        extra = {"data": data, "frozen": frozen_digest}
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), extra=ocp.args.JsonSave(extra)
            ),
        )

    def restore(self, step: int, state: Any, frozen_digest: str) -> tuple[Any, dict[str, Any]]:
        """Reads a state in the structure and shardings of `state`, and the data position.

        Raises:
          CheckpointError: when it was trained on other frozen parameters.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), extra=ocp.args.JsonRestore()
        )
        restored = self._manager.restore(step, args=args)
        if restored["extra"]["frozen"] != frozen_digest:
            raise errors.CheckpointError(
                f"{self.folder}: saved with other frozen parameters (hash "
                f"{restored['extra']['frozen'][:12]}, now {frozen_digest[:12]}); "
                "config.init_from must be the checkpoint the run was started from."
            )
        return restored["state"], restored["extra"]["data"]

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
