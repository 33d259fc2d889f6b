"""Weights for pictures of another size: a grid of positions that is interpolated."""

import dataclasses
import hashlib

import jax.numpy as jnp
import numpy as np

from lb_jax.convert.parts import Changed, Reading, Weights
from lb_jax.core import errors, paths
from lb_jax.models import adapt

KERNEL = "plain_bicubic"  # ImageBind's own (spec 1.4)
POSITIONS = "position_embed"


class Resized(Changed):
    """Other weights whose stills and clips are squares of `size` pixels, as ImageBind's may be.

    Its other towers take inputs of one size.

    Args:
      weights: as they are stored.
      size: side of a picture, pixels.

    Raises:
      ConfigError: for weights of another family, those without stills and clips, and a side that is
        smaller than a patch.
    """

    def __init__(self, weights: Weights, size: int):
        super().__init__(weights)
        cfg = weights.config
        self._names = [name for name in cfg.kind.twins if name in cfg.towers]
        if not self._names:
            raise errors.ConfigError(
                f"{weights.where}: pictures of another size are for stills and clips of ImageBind; "
                f"this is {cfg.kind.name} with {', '.join(cfg.towers)}."
            )
        least = cfg.towers[self._names[0]].patch_size
        if type(size) is not int or size < least:
            raise errors.ConfigError(
                f"size is {size!r}, expected the side of a square picture, at least {least} pixels."
            )
        changed = {
            name: dataclasses.replace(cfg.towers[name], image_size=(size, size))
            for name in self._names
        }
        self.size = size
        self.config = dataclasses.replace(cfg, towers={**cfg.towers, **changed})
        self.preprocess = {
            name: {**fields, **({"size": size} if name in changed else {})}
            for name, fields in weights.preprocess.items()
        }

    @property
    def digest(self) -> str:
        """Of the stored weights and the size."""
        return hashlib.sha256(f"size {self.size} {self.inner.digest}".encode()).hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        found, modality = self.inner.part(name, *how), name.removeprefix("towers/")
        if name == "base":  # that of stills and clips
            modality = self._names[0]
        if modality in self._names and POSITIONS in found:
            before, after = (weights.config.towers[modality].grid for weights in (self.inner, self))
            if before != after:
                table = jnp.asarray(found[POSITIONS])
                found[POSITIONS] = np.asarray(adapt.resize_positions(table, before, after, KERNEL))
        return found
