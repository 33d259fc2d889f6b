"""How a new modality's tower starts from an image tower.

As in LanguageBind (`model/process_clip.py`).

Class embedding, post norm and projection are copied; the position table is resized to the new grid;
temporal attention and its norm are copied from the spatial ones and the time embedding is drawn; a
2-D patch kernel becomes the first slice of a tube. LoRA starts as the identity.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lb_jax.core import paths
from lb_jax.models.vision import VisionConfig


def adapt_tower(
    source: Mapping[str, Any], fresh: Mapping[str, Any], source_cfg: VisionConfig, cfg: VisionConfig
) -> paths.Tree:
    """Builds the starting parameters of a tower of another modality.

    Args:
      source: whole parameters of the tower to start from.
      fresh: newly drawn parameters of the wanted tower; what the source cannot give (LoRA factors,
        time embedding) stays as drawn.
      source_cfg: shape of `source`.
      cfg: shape of `fresh`.

    Returns:
      A tree of the structure of `fresh`.
    """
    given, result = paths.flatten(source), {}
    for path, drawn in paths.flatten(fresh).items():
        origin = path.replace("temporal_attn", "attn").replace("temporal_norm", "norm1")
        if path in given:
            result[path] = fit(path, given[path], source_cfg, cfg)
        elif origin in given and not path.endswith(("lora_a", "lora_b")):
            result[path] = given[origin]
        elif path == "blocks/temporal_embed":
            result[path] = cfg.width**-0.5 * drawn  # small: the copied blocks have never seen time
        else:
            result[path] = drawn
    return paths.unflatten(result)


def fit(path: str, leaf: jax.Array, source_cfg: VisionConfig, cfg: VisionConfig) -> jax.Array:
    """Brings one leaf to the shape of the wanted tower."""
    if path == "position_embed" and source_cfg.grid != cfg.grid:
        return resize_positions(leaf, source_cfg.grid, cfg.grid)
    if path == "patch_embed/kernel" and cfg.tube_size and not source_cfg.tube_size:
        return jnp.zeros((cfg.tube_size, *leaf.shape), leaf.dtype).at[0].set(leaf)
    if path == "class_embed" and cfg.tube_size and not source_cfg.tube_size:
        return jnp.tile(leaf, (cfg.steps, 1))
    return leaf


def resize_positions(
    table: jax.Array, source: tuple[int, int], target: tuple[int, int], kernel: str = "bicubic"
) -> jax.Array:
    """Resizes the grid rows of a position table [1 + r s, d]; row 0 (class token) is kept.

    Args:
      table: to resize.
      source, target: rows and columns of the grid, before and after.
      kernel: of the interpolation, a row of `KERNELS`.
    """
    grid = np.asarray(table[1:], np.float64).reshape(*source, -1)
    weights = KERNELS[kernel]
    rows, columns = weights(source[0], target[0]), weights(source[1], target[1])
    grid = np.einsum("ri,sj,ijd->rsd", rows, columns, grid).reshape(-1, table.shape[-1])
    return jnp.concatenate([table[:1], jnp.asarray(grid, table.dtype)])


def resize_matrix(source: int, target: int) -> np.ndarray:
    """Weights [target, source] of one axis, rows summing to 1.

    Cubic kernel with a = -0.5, widened when shrinking.

    Equal to torch's `interpolate(mode="bicubic", antialias=True)` (spec section 4).
    """
    stretch = max(1.0, source / target)
    centre = (np.arange(target) + 0.5) * source / target
    column = np.arange(source)
    low = np.maximum((centre - 2 * stretch + 0.5).astype(int), 0)
    high = np.minimum((centre + 2 * stretch + 0.5).astype(int), source)
    inside = (column >= low[:, None]) & (column < high[:, None])
    weight = np.where(inside, cubic((column - centre[:, None] + 0.5) / stretch), 0.0)
    return weight / weight.sum(1, keepdims=True)


def linear_matrix(source: int, target: int) -> np.ndarray:
    """Weights [target, source] of one axis: the two nearest, not widened when shrinking.

    Equal to torch's `interpolate(mode="bilinear", align_corners=False)` (VALOR spec 1.2, 1.3).
    """
    place = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    return np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(source)))


def plain_cubic_matrix(source: int, target: int) -> np.ndarray:
    """Weights [target, source] of one axis: cubic with a = -0.75, not widened when shrinking.

    Four taps, the edge repeated; equal to torch's `interpolate(mode="bicubic")` (ImageBind spec
    1.4).
    """
    centre = (np.arange(target) + 0.5) * source / target - 0.5
    taps = np.floor(centre).astype(int)[:, None] + np.arange(-1, 3)
    weights = np.zeros((target, source))
    rows = np.broadcast_to(np.arange(target)[:, None], taps.shape)
    np.add.at(weights, (rows, taps.clip(0, source - 1)), cubic(centre[:, None] - taps, -0.75))
    return weights


# LanguageBind's; VALOR's; ImageBind's.
KERNELS = {
    "bicubic": resize_matrix,
    "bilinear": linear_matrix,
    "plain_bicubic": plain_cubic_matrix,
}


def cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
