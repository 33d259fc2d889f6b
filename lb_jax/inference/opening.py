"""`lb_jax.load`: whatever the weights are of, the model that they are."""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lb_jax.convert import hub, mmv_files, valor_folder, weights
from lb_jax.core import checkpoint, errors
from lb_jax.inference import api, mmv, valor
from lb_jax.inference.encoder import Encoder

WRITES = "valor"


class Kind(NamedTuple):
    """A system whose weights are opened.

    Attributes:
      module: whose `load` opens it.
      title: what messages call a model of it.
      is_one: whether a folder, a work directory or a file holds one.
    """

    module: types.ModuleType
    title: str
    is_one: Callable[[Path], bool]


def is_valor(path: Path) -> bool:
    """Whether a folder, a work directory or a file holds a VALOR model."""
    folder = checkpoint.within(path)
    if folder.is_file():
        folder = folder.parent
        folder = folder.parent if folder.name == valor_folder.CHECKPOINTS else folder
    return valor_folder.is_valor(folder)


def is_mmv(path: Path) -> bool:
    """Whether a folder, a work directory or a file holds an MMV model."""
    return mmv_files.is_mmv(checkpoint.within(path))


# In the order in which they are asked; what none of them knows is LanguageBind's or a CLIP.
KINDS: dict[str, Kind] = {
    WRITES: Kind(valor, "a VALOR model", is_valor),
    "mmv": Kind(mmv, "an MMV model", is_mmv),
}
LANGUAGEBIND = Kind(api, "an encoder with one space", lambda path: True)


@functools.wraps(api.load)
def load(source: str | Path | Mapping[str, str | Path], **options: Any):
    """Opens an encoder as `api.load`, an MMV model as `mmv.load`, a VALOR model as `valor.load`.

    An option that is None is one that was not given.

    Raises:
      ConfigError: for an option that the model does not have.
      CheckpointError, ConfigError: as those.
    """
    kind = _kind(source)
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(kind.module.load).parameters
    if strange := [name for name in given if name not in known]:
        raise errors.ConfigError(
            f"{source} is {kind.title}, which has no option {', '.join(strange)}; it has "
            f"{', '.join(name for name in known if name != 'source')}."
        )
    return kind.module.load(source, **given)


def load_encoder(source: str | Path | Mapping[str, str | Path], **options: Any) -> Encoder:
    """Opens a model that gives vectors; one that writes is refused.

    Raises:
      ConfigError: for a model that writes.
      CheckpointError, ConfigError: as `load`.
    """
    kind = _kind(source)
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
    if not is_valor(where) and options.get("config") is None and _is_encoder(where):
        raise errors.ConfigError(
            f"{source}: an encoder, which gives vectors and does not write; give a model with a "
            "decoder: a VALOR model."
        )
    return valor.load(source, **options)


def _kind(source: str | Path | Mapping[str, str | Path]) -> Kind:
    """What a source is of."""
    if isinstance(source, Mapping):
        return LANGUAGEBIND
    local = hub.local(source)
    return next((kind for kind in KINDS.values() if kind.is_one(local)), LANGUAGEBIND)


def _is_encoder(path: Path) -> bool:
    if is_mmv(path):
        return True
    try:
        weights.open_weights(path)
    except errors.CheckpointError:  # whoever opens it as VALOR tells what it lacks
        return False
    return True
