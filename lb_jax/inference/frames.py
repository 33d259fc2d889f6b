"""Weights of a video tower for another number of frames than it was trained with.

What the tower knows about time are tables with one row per step, a frame or a tube of frames: the
time embedding of every block and, with tubes, the class embedding. Their first and last row stand
for the first and last frame of a clip, which are taken whatever their number; the rows between are
interpolated linearly. Nothing else depends on the number of frames.
"""

import dataclasses
import hashlib
import re

import numpy as np

from lb_jax.convert.parts import Changed, Reading, Weights
from lb_jax.core import errors, paths
from lb_jax.core.modalities import MODALITIES

TABLES = re.compile(r"blocks/temporal_embed")  # [l, steps, d]
TUBE_TABLES = re.compile(r"blocks/temporal_embed|class_embed")


class Interpolated(Changed):
    """Other weights whose clips have `frames` frames.

    Args:
      weights: as they are stored.
      frames: of a clip.

    Raises:
      ConfigError: for weights without a modality of clips, or frames that do not fit its tubes.
    """

    def __init__(self, weights: Weights, frames: int):
        towers = weights.config.towers
        clips = [name for name in towers if MODALITIES[name].has_frames]
        if not clips:
            raise errors.ConfigError(
                f"frames={frames} is for video; the model has {', '.join(sorted(towers))}."
            )
        if not isinstance(frames, int) or frames < 1:
            raise errors.ConfigError(f"frames is {frames!r}, expected a whole number above 0.")
        if fixed := [name for name in clips if towers[name].kind.stills]:
            raise errors.ConfigError(
                f"frames={frames}: a clip of {weights.where} has {towers[fixed[0]].frames} frames, "
                "as many as its patches; leave it out."
            )
        super().__init__(weights)
        self.frames = frames
        changed = {name: dataclasses.replace(towers[name], frames=frames) for name in clips}
        self.config = dataclasses.replace(weights.config, towers={**towers, **changed})
        self.preprocess = {
            name: {**fields, **({"frames": frames} if name in clips else {})}
            for name, fields in weights.preprocess.items()
        }

    @property
    def digest(self) -> str:
        """Of the stored weights and the number of frames."""
        return hashlib.sha256(f"frames {self.frames} {self.inner.digest}".encode()).hexdigest()

    def read(self, name: str, how: Reading) -> paths.Tree:
        """As `Weights.read`."""
        found = self.inner.part(name, *how)
        modality = name.removeprefix("towers/")
        if modality not in self.config.towers or not MODALITIES[modality].has_frames:
            return found
        tower = self.config.towers[modality]
        tables = TUBE_TABLES if tower.tube_size else TABLES
        return paths.unflatten(
            {
                path: interpolate(leaf, tower.steps) if tables.fullmatch(path) else leaf
                for path, leaf in paths.flatten(found).items()
            }
        )


def interpolate(table: np.ndarray, steps: int) -> np.ndarray:
    """Brings a table [..., s, d] to [..., steps, d]; equal steps leave it as it is."""
    given = table.shape[-2]
    if given == steps:
        return table
    place = np.linspace(0, given - 1, steps)
    below = np.minimum(place.astype(int), max(given - 2, 0))
    above, share = np.minimum(below + 1, given - 1), (place - below)[:, None]
    exact = table.astype(np.float64)
    mixed = exact[..., below, :] * (1 - share) + exact[..., above, :] * share
    return mixed.astype(table.dtype)


def trained(weights: Weights) -> int | None:
    """Frames of a clip in training; None without a modality of clips."""
    known = weights.inner if isinstance(weights, Interpolated) else weights
    found = [tower.frames for m, tower in known.config.towers.items() if MODALITIES[m].has_frames]
    return found[0] if found else None
