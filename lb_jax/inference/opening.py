"""`lb_jax.load`: whatever the weights are of, the model that they are."""

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lb_jax.convert import hub, mmv_files, valor_folder, weights
from lb_jax.core import errors
from lb_jax.inference import api, valor


@functools.wraps(api.load)
def load(source: str | Path | Mapping[str, str | Path], **options: Any):
    """Opens an encoder as `api.load`, a VALOR model as `valor.load`."""
    if isinstance(source, Mapping):
        return api.load(source, **options)
    local = hub.local(source)
    if mmv_files.is_mmv(local):
        raise errors.ConfigError(
            f"{source}: an MMV model, whose networks are not opened here; take its weights by "
            "lb_jax.convert.mmv_files.open_mmv and compute with lb_jax.models.mmv.Mmv."
        )
    if (path := find_valor(local)) is None:
        return api.load(source, **options)
    known = inspect.signature(valor.load).parameters
    if strange := [name for name in options if name not in known]:
        raise errors.ConfigError(
            f"{source} is a VALOR model, which has no option {', '.join(strange)}; it has "
            f"{', '.join(name for name in known if name != 'source')}."
        )
    return valor.load(path, **options)


def load_writer(source: str | Path, **options: Any) -> valor.ValorModel:
    """Opens a model that writes; other models are refused.

    Args:
      source: as `load` takes it; "captioner" is that of the package.
      **options: of `valor.load`.

    Raises:
      ConfigError: for an encoder, which has no decoder.
      CheckpointError, ConfigError: as `valor.load`.
    """
    where = hub.local(source)
    path = find_valor(where)
    if path is None and options.get("config") is None and _is_encoder(where):
        raise errors.ConfigError(
            f"{source}: an encoder, which gives vectors and does not write; give a model with a "
            "decoder: a VALOR model."
        )
    return valor.load(where if path is None else path, **options)


def _is_encoder(path: Path) -> bool:
    try:
        weights.open_weights(path)
    except errors.CheckpointError:  # whoever opens it as VALOR tells what it lacks
        return False
    return True


def find_valor(path: Path) -> Path | None:
    """Where the VALOR model of a folder, a work directory or a file lies; None for another."""
    if path.is_file():
        folder = path.parent
        folder = folder.parent if folder.name == valor_folder.CHECKPOINTS else folder
        return path if valor_folder.is_valor(folder) else None
    return next((one for one in (path, path / "checkpoint") if valor_folder.is_valor(one)), None)
