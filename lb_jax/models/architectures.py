"""Known sizes of vision and text towers, one row each.

Sources: the OpenCLIP model configs of the same names (LanguageBind spec 1.1).
"""

import dataclasses

from lb_jax.core import errors
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A still-image vision tower and the text tower that goes with it."""

    vision: VisionConfig
    text: TextConfig


def _row(
    vision: tuple[int, ...], text: tuple[int, ...], embed_dim: int, *, patch: int, image: int
) -> Architecture:
    """One row of the table.

    (width, depth, heads, mlp_dim) of both towers, size of the shared space, patch and image side in
    pixels.
    """
    return Architecture(
        VisionConfig(*vision, patch_size=patch, image_size=(image, image), embed_dim=embed_dim),
        TextConfig(*text, embed_dim=embed_dim),
    )


ARCHITECTURES = {
    "tiny": _row(
        (64, 3, 2, 128), (64, 2, 2, 128), 64, patch=8, image=48
    ),  # the demo's: trains on a laptop CPU
    "ViT-B/16": _row((768, 12, 12, 3072), (512, 12, 8, 2048), 512, patch=16, image=224),
    "ViT-L/14": _row((1024, 24, 16, 4096), (768, 12, 12, 3072), 768, patch=14, image=224),
    "ViT-H/14": _row((1280, 32, 16, 5120), (1024, 24, 16, 4096), 1024, patch=14, image=224),
}


def architecture(name: str) -> Architecture:
    """Looks a size up by name.

    Raises:
      ConfigError: for an unknown name, with the nearest one.
    """
    if name not in ARCHITECTURES:
        raise errors.ConfigError(
            f"unknown architecture {name!r}; known: "
            f"{', '.join(ARCHITECTURES)}.{errors.nearest(name, ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]
