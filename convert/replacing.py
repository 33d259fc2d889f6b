"""Where a whole model may be written: what writing there would delete is asked before."""

from collections.abc import Callable, Iterable
from pathlib import Path

from lb_jax.core import checkpoint, errors


def require(
    source: str | Path,
    folder: str | Path,
    to: str,
    formats: Iterable[str],
    what: str,
    is_one: Callable[[Path], bool],
) -> tuple[Path, Path]:
    """Refuses a format that has no place for a model, and a folder that holds something else.

    Args:
      source: the weights that are read; of a work directory, the checkpoint in it.
      folder: to write; a model of the same kind or an empty folder that is there is replaced.
      to: the format.
      formats: those that a model of this kind can be written in.
      what: the kind, such as "MMV".
      is_one: whether a folder holds one of this kind.

    Returns:
      Both paths, absolute.

    Raises:
      ConfigError: for another format.
      CheckpointError: for a folder whose content would be lost.
    """
    if to not in (formats := tuple(formats)):
        raise errors.ConfigError(
            f"{source}: weights of {what}, which --to={to} has no place for; choose "
            f"{' or '.join(formats)}."
        )
    source, folder = checkpoint.within(source).resolve(), Path(folder).resolve()
    if folder in (source, *source.parents):
        raise errors.CheckpointError(
            f"{folder}: the weights are read from it, which writing would delete; choose another "
            "folder."
        )
    if folder.is_dir() and any(folder.iterdir()) and not is_one(folder):
        raise errors.CheckpointError(
            f"{folder}: holds no {what} model but something else, which writing here would delete; "
            "choose a new or empty folder."
        )
    return source, folder
