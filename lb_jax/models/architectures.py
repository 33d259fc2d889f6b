"""Known sizes of vision and text towers, one row each.

Sources: the OpenCLIP model configs of the same names (LanguageBind spec 1.1); ImageBind's only
released size (ImageBind spec 1.1).
"""

import dataclasses
from collections.abc import Mapping

from lb_jax.core import errors
from lb_jax.models import imagebind
from lb_jax.models.languagebind import ModelConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Vision towers and the text tower that goes with them.

    Attributes:
      vision: of stills; a modality without a tower of its own has one of this size.
      text: of texts.
      towers: by modality, of a family whose modalities have towers of their own.
      family: see `ModelConfig`.
    """

    vision: VisionConfig
    text: TextConfig
    towers: Mapping[str, VisionConfig] = dataclasses.field(default_factory=dict)
    family: str | None = None

    def tower(self, modality: str) -> VisionConfig:
        """The tower of a modality, which its preprocessing and its recipe may still change."""
        return self.towers.get(modality, self.vision)


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


def _of_model(cfg: ModelConfig) -> Architecture:
    """The sizes of a model whose towers are its modalities' own."""
    return Architecture(cfg.towers["image"], cfg.text, cfg.towers, cfg.family)


def _small_imagebind() -> ModelConfig:
    """ImageBind's form around the demo's image and text tower, from which it may start."""
    clip = ARCHITECTURES["tiny"]
    width, depth, heads, patch = 64, 3, 2, 8
    sizes = {
        **dict.fromkeys(("image", "video", "depth", "thermal"), (patch, clip.vision.image_size)),
        "audio": (patch, (32, 204)),
        "imu": (imagebind.BLOCK, (1, imagebind.SAMPLES)),
    }
    towers = {
        name: imagebind.tower(
            name,
            imagebind.Size(width, depth, heads, side, size, 6 if name == "audio" else None),
            clip.text.embed_dim,
        )
        for name, (side, size) in sizes.items()
    }
    for name in ("image", "video"):
        towers[name] = dataclasses.replace(towers[name], mlp_dim=clip.vision.mlp_dim)
    return imagebind.model(towers, dataclasses.replace(clip.text, epsilon=imagebind.EPSILON))


ARCHITECTURES = {
    "tiny": _row(
        (64, 3, 2, 128), (64, 2, 2, 128), 64, patch=8, image=48
    ),  # the demo's: trains on a laptop CPU
    "ViT-B/16": _row((768, 12, 12, 3072), (512, 12, 8, 2048), 512, patch=16, image=224),
    "ViT-L/14": _row((1024, 24, 16, 4096), (768, 12, 12, 3072), 768, patch=14, image=224),
    "ViT-H/14": _row((1280, 32, 16, 5120), (1024, 24, 16, 4096), 1024, patch=14, image=224),
}
ARCHITECTURES["imagebind_tiny"] = _of_model(_small_imagebind())
ARCHITECTURES["imagebind_huge"] = _of_model(imagebind.huge())


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
