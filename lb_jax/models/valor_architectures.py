"""Known sizes of VALOR, one row each.

VALOR-B and VALOR-L are the released ones (VALOR spec 1.1). Image side, mel bins, number of frames
and vocabulary are those of a run; here stand the usual ones.
"""

import dataclasses

from lb_jax.core import errors
from lb_jax.models.architectures import ARCHITECTURES
from lb_jax.models.ast import FORM, ast_config
from lb_jax.models.bert import BertConfig
from lb_jax.models.swin import VARIANTS
from lb_jax.models.valor import ValorConfig
from lb_jax.models.vision import VisionConfig

_DEMO = ARCHITECTURES["tiny"].vision
_LANGUAGEBIND = dataclasses.replace(ARCHITECTURES["ViT-L/14"].vision, embed_dim=0)

VALOR_ARCHITECTURES = {
    "VALOR-tiny": ValorConfig(  # trains on a laptop CPU
        BertConfig(64, 2, 4, 128, context=128, cross="va_concate", dropout=0.0),
        VisionConfig(64, 2, 4, 128, patch_size=8, image_size=(48, 48), embed_dim=0),
        ast_config(64, 2, 4, 128, image_size=(64, 512)),
        embed_dim=32,
        frames=8,
        clips=8,
    ),
    # On the video tower of the demo's model, so that it learns to write in minutes.
    "VALOR-demo": ValorConfig(
        BertConfig(64, 2, 2, 128, context=32, cross="va_concate", dropout=0.0),
        dataclasses.replace(_DEMO, embed_dim=0, frames=2, temporal=True),
        ast_config(
            64, 3, 2, 128, image_size=(32, 208), form=dataclasses.replace(FORM, dropout=0.0)
        ),
        embed_dim=64,
        frames=2,
        clips=1,
    ),
    "VALOR-B": ValorConfig(BertConfig(cross="va_concate"), VARIANTS["Swin-B"], ast_config()),
    "VALOR-L": ValorConfig(
        BertConfig(cross="va_concate"),
        VisionConfig(
            *(1024, 24, 16, 4096),
            patch_size=14,
            image_size=(224, 224),
            embed_dim=0,
            activation="quick_gelu",
        ),
        ast_config(),
        temperature="logit_scale",
        task_prompts=True,
    ),
    # The alignment and the decoder of VALOR-L on the towers of LanguageBind, which are of one form:
    # frames attend to each other, and the three crops of a sound are its clips.
    "VALOR-LanguageBind": ValorConfig(
        BertConfig(cross="va_concate"),
        dataclasses.replace(_LANGUAGEBIND, frames=8, temporal=True),
        dataclasses.replace(_LANGUAGEBIND, image_size=(112, 1036)),
        task_prompts=True,
    ),
}


def valor_architecture(name: str) -> ValorConfig:
    """Looks a size up by name.

    Raises:
      ConfigError: for an unknown name, with the nearest one.
    """
    if name not in VALOR_ARCHITECTURES:
        raise errors.ConfigError(
            f"unknown architecture {name!r} of VALOR; known: {', '.join(VALOR_ARCHITECTURES)}."
            f"{errors.nearest(name, VALOR_ARCHITECTURES)}"
        )
    return VALOR_ARCHITECTURES[name]
