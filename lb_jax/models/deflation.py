"""Deflation: an image tower out of a video tower, by leaving time out (MMV spec 5).

The result is a tower of the same class with a config that sees one frame at a time. Away from the
ends of a clip it gives what the video tower gives for a still, as far as no gate averages over the
clip; `training.deflating` brings it closer where there are ends and gates.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lb_jax.core import paths
from lb_jax.models import s3d, tsm
from lb_jax.models.s3d import S3DConfig
from lb_jax.models.tsm import TSMConfig

Leaf = Callable[[jax.Array], jax.Array]
Changes = tuple[tuple[str, Leaf], ...]

# What a fit may change: scale and bias of every batch norm.
AFFINE = ((r"(.*/)?(\w+_)?norm\d*/(scale|bias)", True), (r".*", False))


def deflated(
    cfg: S3DConfig | TSMConfig, params: Mapping[str, Any]
) -> tuple[S3DConfig | TSMConfig, paths.Tree]:
    """The image tower of a video tower's leaves, naively: without a fit.

    Args:
      cfg: of the video tower.
      params: its leaves.

    Returns:
      The config and the leaves of the same tower without time; see `stills` for its input.
    """
    changed, changes = _WAYS[type(cfg)](cfg)
    leaves = {}
    for path, leaf in paths.flatten(params).items():
        change = next((change for rule, change in changes if re.fullmatch(rule, path)), None)
        leaves[path] = leaf if change is None else change(jnp.asarray(leaf))
    return changed, paths.unflatten(leaves)


def stills(cfg: S3DConfig | TSMConfig, images: jax.Array, frames: int | None = None) -> jax.Array:
    """Images [b, h, w, 3] or [b, 1, h, w, 3] as clips [b, t, h, w, 3] in which nothing moves.

    Args:
      cfg: of the tower that is to see them.
      images: as frames of a film are preprocessed.
      frames: t; None is as few as the tower takes, which is what a deflated one sees.
    """
    least = s3d.FOLD if isinstance(cfg, S3DConfig) and cfg.space_to_depth else 1
    shape = images.shape
    single = images if len(shape) == 5 and shape[1] == 1 else images[:, None]
    return jnp.repeat(single, frames or least, axis=1)


def _of_tsm(cfg: TSMConfig) -> tuple[TSMConfig, Changes]:
    """No shift; but its two groups swap places, so the channels that conv1 takes must too."""
    swapped = functools.partial(tsm.swap_ends, share=cfg.shift, axis=-2)
    return dataclasses.replace(cfg, shift=0.0), ((r"groups/\d+/\d+/conv1/kernel", swapped),)


def _of_s3d(cfg: S3DConfig) -> tuple[S3DConfig, Changes]:
    """Kernels summed over time: a still shows all of their frames the same."""

    def summed(kernel: jax.Array) -> jax.Array:
        return kernel.sum(0, keepdims=True)

    changed = dataclasses.replace(cfg, first_frames=1, temporal_from=None)
    return changed, ((r"conv_1a/conv/kernel|(.*/)?time_conv/kernel", summed),)


# By the class of the video tower's config.
_WAYS: dict[type, Callable[..., tuple[Any, Changes]]] = {TSMConfig: _of_tsm, S3DConfig: _of_s3d}
