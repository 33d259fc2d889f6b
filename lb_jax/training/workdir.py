"""The folder of a run: whose it is, and whether it can still be written."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from lb_jax.core import checkpoint, errors, locks
from lb_jax.core import config as config_lib
from lb_jax.core.words import counted
from lb_jax.training import config as train_config
from lb_jax.training.config import TrainConfig

CONFIG, CORPORA, LOCK = "config.json", "corpora.json", ".lock"


@contextlib.contextmanager
def writable(workdir: Path) -> Iterator[None]:
    """Says in one sentence that the work directory cannot be written any more."""
    try:
        yield
    except OSError as error:
        inside = Path(error.filename or "").absolute().is_relative_to(workdir.absolute())
        if not inside and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        raise errors.CheckpointError(
            f"{error.filename or workdir}: cannot be written ({error.strerror or error}); make "
            "room or mend the disk, and the same command goes on from the last state."
        ) from error


def check(cfg: TrainConfig, workdir: Path) -> None:
    """Checks that the work directory is this run's, or free.

    Raises:
      ConfigError: naming the settings that differ from those the directory was made with.
    """
    path, ours = workdir / CONFIG, config_lib.to_dict(cfg)
    if path.is_file():
        theirs = checkpoint.read_json(path)
        if not isinstance(theirs, dict):
            raise errors.CheckpointError(f"{path}: no settings of a run; give another --workdir.")
        differing = train_config.difference(_completed(theirs), ours)
        if differing:
            raise errors.ConfigError(
                f"{workdir} belongs to a run with other settings: {', '.join(differing)}. Use "
                "its settings to resume it, or another --workdir."
            )
    elif workdir.is_dir() and any(workdir.iterdir()):
        raise errors.ConfigError(
            f"{workdir} is not empty and holds no run; give an empty or new --workdir."
        )


def _completed(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Stored settings with those that there were not yet; what is none of a run stays as it is."""
    try:
        return config_lib.to_dict(config_lib.from_dict(TrainConfig, stored))
    except errors.ConfigError:
        return stored


def check_corpora(corpora: Mapping[str, list[dict[str, Any]]], workdir: Path) -> None:
    """Checks that a run goes on with the data it began with.

    Args:
      corpora: modality -> what its loader says of its corpora.
      workdir: of the run.

    Raises:
      ConfigError: naming the modalities whose data changed.
    """
    path = workdir / CORPORA
    theirs = checkpoint.read_json(path) if path.is_file() else dict(corpora)
    if not isinstance(theirs, dict) or not all(map(_tells_rows, theirs.values())):
        raise errors.CheckpointError(f"{path}: tells nothing of corpora; give another --workdir.")
    changed = [
        f"{name} ({_rows(theirs.get(name, []))} then, {_rows(found)} now)"
        for name, found in corpora.items()
        if found != theirs.get(name)
    ]
    if changed:
        raise errors.ConfigError(
            f"{workdir} was trained on other data: {', '.join(changed)}; rows or captions were "
            "changed since. Bring the data back, or train anew in another --workdir."
        )


def _tells_rows(corpora: Any) -> bool:
    return isinstance(corpora, list) and all(
        isinstance(one, dict) and "rows" in one for one in corpora
    )


def _rows(corpora: list[dict[str, Any]]) -> str:
    return " and ".join(counted(one["rows"], "row") for one in corpora)


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Keeps a second run out of the folder as long as the block runs, also after a kill.

    Raises:
      ConfigError: when another run is at work in it, or its file system has no locks.
    """
    if jax.process_index():
        yield  # the first process holds it for all
        return
    with (workdir / LOCK).open("a+") as file:

        def busy() -> str:
            file.seek(0)
            return (
                f"{workdir} is in use by another run ({file.read().strip()}); wait for it, stop "
                "it, or give another --workdir."
            )

        locks.take(file.fileno(), workdir, busy, "give a --workdir on another one")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


@contextlib.contextmanager
def kept(workdir: Path) -> Iterator[None]:
    """Tells a write that failed because the folder is gone from one that the disk did not take.

    Raises:
      CheckpointError: when somebody removed or emptied the folder.
    """
    try:
        yield
    except (errors.CheckpointError, OSError) as error:
        if (workdir / CONFIG).is_file():
            raise
        raise errors.CheckpointError(
            f"{workdir} was removed or emptied while the run was writing to it, and its states "
            "with it; train anew in another --workdir."
        ) from error


def require_kept(workdir: Path) -> None:
    """Checks before a save that the folder still is this run's; Orbax would make it anew."""
    if not (workdir / CONFIG).is_file():
        raise errors.CheckpointError(f"{workdir / CONFIG} is gone.")


def claim(cfg: TrainConfig, corpora: Mapping[str, Any], workdir: Path) -> None:
    """Makes the work directory this run's, after `check` and `check_corpora`.

    Raises:
      ConfigError: when it is another run's, or cannot be written.
    """
    check(cfg, workdir)
    if jax.process_index() == 0:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            for name, value in ((CONFIG, config_lib.to_dict(cfg)), (CORPORA, corpora)):
                if not (workdir / name).is_file():
                    checkpoint.write_json(workdir / name, value)
        except OSError as error:
            raise errors.ConfigError(
                f"{workdir} cannot be written ({error.strerror}); give another --workdir."
            ) from error
    multihost_utils.sync_global_devices("workdir")
