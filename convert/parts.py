"""The one face of all weights: parameters by part, read when a part is first asked for.

A part is in the structure of section 3 of the design: `base`, `towers/<modality>`, `text`,
`logit_scale`.
"""

import abc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lb_jax.core import paths
from lb_jax.core.modalities import TEXT
from lb_jax.models.languagebind import ModelConfig

Wanted = Callable[[str], bool]


def everything(path: str) -> bool:
    """Wants every path."""
    return True


class Reading(NamedTuple):
    """How a part is read.

    Attributes:
      dtype: of the result; None keeps what is stored.
      wanted: which paths inside the part.
      layer: the only one to read of stacked leaves; their leading axis is then 1.
    """

    dtype: Any = None
    wanted: Wanted = everything
    layer: int | None = None


class Weights(abc.ABC):
    """Parameters of a model, by part.

    Attributes:
      where: what was opened, for messages.
      config: the towers.
      preprocess: modality, or "text" -> fields of its preprocessing spec that the weights fix.
      ignored: names of stored tensors that are not read.
      origin: modality -> what writing the same foreign files back needs.
      files: what is read.
      folder: the checkpoint of this package that they are, as it lies there; None for any other.
    """

    where: str
    config: ModelConfig
    preprocess: dict[str, dict[str, Any]]
    origin: dict[str, dict[str, Any]]
    ignored: tuple[str, ...]
    files: tuple[Path, ...]
    folder: Path | None = None

    @property
    @abc.abstractmethod
    def digest(self) -> str:
        """Hash of weights and config; vectors of models that differ in it must not be mixed."""

    def part(
        self,
        name: str,
        dtype: Any = None,
        wanted: Wanted = everything,
        layer: int | None = None,
    ) -> paths.Tree:
        """Reads `base`, `towers/<modality>`, `text` or `logit_scale`.

        Args:
          name: of the part.
          dtype, wanted, layer: see `Reading`.

        Returns:
          A tree of numpy arrays.
        """
        return self.read(name, Reading(dtype, wanted, layer))

    @abc.abstractmethod
    def read(self, name: str, how: Reading) -> paths.Tree:
        """What `part` returns; it is what a kind of weights says of itself."""


class Changed(Weights):
    """Other weights with something about them changed; a subclass says what.

    Args:
      weights: as they are stored.

    Attributes:
      inner: the same.
    """

    def __init__(self, weights: Weights):
        self.inner = weights
        self.where, self.files, self.ignored = weights.where, weights.files, weights.ignored
        self.config, self.preprocess = weights.config, weights.preprocess
        self.origin = weights.origin


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two contiguous arrays are the same, type and sign of zero included."""
    return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(
        one.reshape(-1).view(np.uint8), other.reshape(-1).view(np.uint8)
    )


def layers(weights: Weights, name: str, path: str) -> Sequence[int | None]:
    """The layers of a stacked leaf, [None] for any other: what to ask `tower_leaf` for in turn."""
    if not is_stacked(path):
        return [None]
    tower = weights.config.text if name == TEXT else weights.config.towers[name]
    return range(tower.depth)


def is_stacked(path: str) -> bool:
    """Whether the leading axis of a tower's leaf counts its layers."""
    return path.startswith("blocks/")


def tower_leaf(
    weights: Weights, name: str, path: str, dtype: Any = None, layer: int | None = None
) -> np.ndarray:
    """One leaf of a tower, its own or the one in `base`; of the text tower; or a logit scale."""
    for part in (name,) if name in (TEXT, "logit_scale") else (f"towers/{name}", "base"):
        flat = paths.flatten(weights.part(part, dtype, lambda one: one == path, layer))
        if path in flat:
            return flat[path]
    raise KeyError(path)  # a checkpoint that was proven to fit has it
