"""ImageBind's six towers as configurations of the towers here, and its released size.

Stills and clips share one tower, whose patches are tubes of two frames; a still is a tube of two
equal ones. The other four have one channel (motion sensors six), a norm of the embedded patches and
none before the blocks, and one more key and value in attention (ImageBind spec 1).
"""

import dataclasses
from collections.abc import Mapping

from lb_jax.models.families import IMAGEBIND
from lb_jax.models.languagebind import ModelConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import Form, VisionConfig

EPSILON = 1e-6  # of all norms but the stems'; OpenCLIP and LanguageBind have 1e-5
STEM_EPSILON = 1e-5
MLP_RATIO = 4
SIDE = 224  # of every picture, pixels
TUBE = 2  # frames of a clip
CHANNELS, SAMPLES, BLOCK = 6, 2000, 8  # of motion sensors: axes, steps, steps of a token
WORDS, CONTEXT = 49408, 77

VISION = Form(epsilon=EPSILON, stills=True)
_BESIDE = Form(channels=1, pre_norm=False, epsilon=EPSILON, stem_norm=STEM_EPSILON, bias_kv=True)
FORMS = {
    "image": VISION,
    "video": VISION,
    "audio": _BESIDE,
    "depth": _BESIDE,
    "thermal": _BESIDE,
    "imu": dataclasses.replace(_BESIDE, channels=CHANNELS, patch=(1, BLOCK)),
}


@dataclasses.dataclass(frozen=True)
class Size:
    """What ImageBind's towers of one modality differ in.

    Attributes:
      width, depth, heads: of the transformer.
      patch: side of a square patch, pixels; of motion sensors the steps of a token.
      image_size: rows and columns of the input; mel bins and frames of sound.
      stride: from one patch to the next where they overlap, as those of sound do.
    """

    width: int
    depth: int
    heads: int
    patch: int
    image_size: tuple[int, int] = (SIDE, SIDE)
    stride: int | None = None


def tower(modality: str, size: Size, embed_dim: int) -> VisionConfig:
    """The tower of one modality."""
    form = FORMS[modality]
    tube = TUBE if form.stills else 0
    return VisionConfig(
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        mlp_dim=MLP_RATIO * size.width,
        patch_size=size.patch,
        image_size=size.image_size,
        embed_dim=embed_dim,
        frames=tube or 1,
        tube_size=tube,
        form=dataclasses.replace(form, stride=size.stride),
    )


def text(
    width: int,
    depth: int,
    heads: int,
    embed_dim: int,
    *,
    vocab: int = WORDS,
    context: int = CONTEXT,
) -> TextConfig:
    """The text tower."""
    return TextConfig(
        width,
        depth,
        heads,
        MLP_RATIO * width,
        embed_dim,
        vocab=vocab,
        context=context,
        epsilon=EPSILON,
    )


def model(towers: Mapping[str, VisionConfig], words: TextConfig) -> ModelConfig:
    """A model of these towers."""
    return ModelConfig(dict(towers), words, family=IMAGEBIND.name)


_STILLS = Size(1280, 32, 16, 14)
# The only released weights (ImageBind spec 1.1).
SIZES = {
    "image": _STILLS,
    "video": _STILLS,
    "audio": Size(768, 12, 12, 16, image_size=(128, 204), stride=10),
    "depth": Size(384, 12, 8, 16),
    "thermal": Size(768, 12, 12, 16),
    "imu": Size(512, 6, 8, BLOCK, image_size=(1, SAMPLES)),
}
TEXT_SIZE = (1024, 24, 16)  # width, depth, heads
EMBED_DIM = 1024


def huge() -> ModelConfig:
    """The released model, `imagebind_huge`."""
    towers = {name: tower(name, size, EMBED_DIM) for name, size in SIZES.items()}
    return model(towers, text(*TEXT_SIZE, EMBED_DIM))
