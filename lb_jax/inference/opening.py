"""`lb_jax.load`: whatever the weights are of, the model that they are."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lb_jax.convert import hub, mmv_files, valor_folder, weights
from lb_jax.core import errors
from lb_jax.inference import api, mmv, valor
from lb_jax.inference.encoder import Encoder

WRITES = "valor"


class Kind(NamedTuple):
    """A system whose weights are opened.

    Attributes:
      module: whose `load` opens it.
      title: what messages call a model of it.
      find: where the model of a folder, a work directory or a file lies; None for another system's.
    """

    module: types.ModuleType
    title: str
    find: Callable[[Path], Path | None]


def find_valor(path: Path) -> Path | None:
    """Where the VALOR model of a folder, a work directory or a file lies; None for another."""
    if path.is_file():
        folder = path.parent
        folder = folder.parent if folder.name == valor_folder.CHECKPOINTS else folder
        return path if valor_folder.is_valor(folder) else None
    return next((one for one in (path, path / "checkpoint") if valor_folder.is_valor(one)), None)


def find_mmv(path: Path) -> Path | None:
    """Where the MMV model of a folder, a work directory or a file lies; None for another."""
    return next((one for one in (path, path / "checkpoint") if mmv_files.is_mmv(one)), None)


# In the order in which they are asked; what none of them knows is LanguageBind's or a CLIP.
KINDS: dict[str, Kind] = {
    WRITES: Kind(valor, "a VALOR model", find_valor),
    "mmv": Kind(mmv, "an MMV model", find_mmv),
}
LANGUAGEBIND = Kind(api, "an encoder with one space", lambda path: path)


@functools.wraps(api.load)
def load(source: str | Path | Mapping[str, str | Path], **options: Any):
    """Opens an encoder as `api.load`, an MMV model as `mmv.load`, a VALOR model as `valor.load`.

    An option that is None is one that was not given.

    Raises:
      ConfigError: for an option that the model does not have.
      CheckpointError, ConfigError: as those.
    """
    kind, where = _kind(source)
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(kind.module.load).parameters
    if strange := [name for name in given if name not in known]:
        raise errors.ConfigError(
            f"{source} is {kind.title}, which has no option {', '.join(strange)}; it has "
            f"{', '.join(name for name in known if name != 'source')}."
        )
    return kind.module.load(where, **given)


def load_encoder(source: str | Path | Mapping[str, str | Path], **options: Any) -> Encoder:
    """Opens a model that gives vectors; one that writes is refused.

    Raises:
      ConfigError: for a model that writes.
      CheckpointError, ConfigError: as `load`.
    """
    kind, _ = _kind(source)
    if kind is KINDS[WRITES]:
        raise errors.ConfigError(
            f"{source}: {kind.title}, which is not made of towers in one space; open it with "
            "lb_jax.load, or give an encoder, such as LanguageBind's."
        )
    return load(source, **options)


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


def _kind(source: str | Path | Mapping[str, str | Path]) -> tuple[Kind, Any]:
    """What a source is of, and what its `load` takes."""
    if isinstance(source, Mapping):
        return LANGUAGEBIND, source
    local = hub.local(source)
    found = ((kind, kind.find(local)) for kind in KINDS.values())
    return next(((kind, path) for kind, path in found if path), (LANGUAGEBIND, source))


def _is_encoder(path: Path) -> bool:
    if find_mmv(path) is not None:
        return True
    try:
        weights.open_weights(path)
    except errors.CheckpointError:  # whoever opens it as VALOR tells what it lacks
        return False
    return True
