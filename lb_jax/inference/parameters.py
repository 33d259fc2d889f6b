"""The parameters of a model on its devices: read when first asked for, equal arrays kept once."""

import collections
from pathlib import Path
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lb_jax.core import paths


class Parted(Protocol):
    """Weights that are read part by part, such as `convert.parts.Weights`."""

    def part(self, name: str, dtype: Any) -> paths.Tree:
        """A part as a tree of numpy arrays of that type."""
        ...


class Weights(Parted, Protocol):
    """Where a model's parameters come from."""

    @property
    def where(self) -> str | Path:
        """What was opened, for messages."""
        ...

    @property
    def folder(self) -> Path | None:
        """The checkpoint of this package that they are, as it lies there; None for any other."""
        ...

    @property
    def digest(self) -> str:
        """Hash of weights and config."""
        ...


class Parameters:
    """The parts of a model that are on the devices so far.

    Attributes:
      parts: name, such as `base` or `towers/video` -> tree of arrays.
    """

    def __init__(self, weights: Parted, dtype: Any, mesh: Mesh):
        self.parts: dict[str, Any] = {}
        self._weights, self._dtype, self._mesh = weights, dtype, mesh
        self._kept: dict[Any, list[jax.Array]] = collections.defaultdict(list)

    def part(self, name: str) -> Any:
        """A part of the parameters (`base`, `towers/video`, …), read when first asked for."""
        if name not in self.parts:
            dtype = np.float32 if name == "logit_scale" else self._dtype
            flat = paths.flatten(self._weights.part(name, dtype))
            # one by one, so that each host copy goes before the next leaf comes
            self.parts[name] = paths.unflatten(
                {path: self._once(flat.pop(path)) for path in list(flat)}
            )
        return self.parts[name]

    def put(self, array: np.ndarray, spec: PartitionSpec) -> jax.Array:
        """Puts an array on the devices, whole on each or split along the first axis."""
        alone = self._mesh.size == 1
        place = self._mesh.devices.item() if alone else NamedSharding(self._mesh, spec)
        return jax.device_put(array, place)

    def _once(self, leaf: np.ndarray) -> jax.Array:
        """The leaf on the device, or the equal one that is there already.

        Other towers bring equal leaves, and so does the time attention of a video tower trained
        with LoRA: under its factors it is the spatial attention it was copied from.
        """
        array = self.put(leaf, PartitionSpec())  # on CPU not a copy: the weights come aligned
        alike = self._kept[leaf.shape, leaf.dtype, leaf.reshape(-1)[:64].tobytes()]
        for kept in alike:
            if bool(jnp.array_equal(kept, array)):
                return kept
        alike.append(array)
        return array
