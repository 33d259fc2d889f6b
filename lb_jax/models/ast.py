"""AST, the audio spectrogram transformer, as a form of the vision tower (VALOR spec 1.3).

One channel of mel bins by frames, patches with a bias, no norm before the blocks, norms with a
small epsilon. Its distillation token is dropped, as in VALOR.
"""

import jax
import jax.numpy as jnp

from lb_jax.models import adapt
from lb_jax.models.vision import Form, VisionConfig

FORM = Form(channels=1, patch_bias=True, pre_norm=False, epsilon=1e-12, dropout=0.1)

# Patches of mel bins and of time in the published weights, which take them every 10 bins and frames
# of 128 x 1024.
PUBLISHED_GRID = (12, 101)


def ast_config(
    width: int = 768,
    depth: int = 12,
    heads: int = 12,
    mlp_dim: int = 3072,
    *,
    image_size: tuple[int, int] = (64, 512),
    patch_size: int = 16,
    form: Form = FORM,
) -> VisionConfig:
    """The tower's shape; the defaults are VALOR's. `image_size` is mel bins and frames."""
    size = (width, depth, heads, mlp_dim)
    return VisionConfig(*size, patch_size=patch_size, image_size=image_size, embed_dim=0, form=form)


def resize_published(
    table: jax.Array, target: tuple[int, int], source: tuple[int, int] = PUBLISHED_GRID
) -> jax.Array:
    """A position table [2 + r s, d] with class and distillation rows, brought to another grid.

    Returns:
      [1 + r' s', d], without the row of the distillation token.
    """
    plain = jnp.concatenate([table[:1], table[2:]])
    return adapt.resize_positions(plain, source, target, "bilinear")
