"""OpenCLIP's native format: `visual.*` names, fused q, k, v, projections as [in, out]."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.convert import fields, rules
from lb_jax.convert.rules import CONVOLUTION, Rule
from lb_jax.core import errors
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

# OpenAI's archives carry three numbers, older OpenCLIP files the causal mask.
OPENAI = ("input_resolution", "context_length", "vocab_size")
IGNORED = (*OPENAI, "attn_mask")


def _blocks(ours: str, theirs: str) -> tuple[Rule, ...]:
    return (
        *rules.norm(rf"{ours}norm([12])", rf"{theirs}ln_\1"),
        *rules.fused(f"{ours}attn/", f"{theirs}attn."),
        *rules.linear(rf"{ours}attn/out_proj", rf"{theirs}attn.out_proj"),
        *rules.linear(rf"{ours}mlp/fc1", rf"{theirs}mlp.c_fc"),
        *rules.linear(rf"{ours}mlp/fc2", rf"{theirs}mlp.c_proj"),
    )


RULES = (
    Rule("logit_scale", "logit_scale"),
    Rule("text/token_embed/embedding", "token_embedding.weight"),
    Rule("text/position_embed", "positional_embedding"),
    *_blocks("text/blocks/", "transformer.resblocks.{layer}."),
    *rules.norm("text/final_norm", "ln_final"),
    Rule("text/proj/kernel", "text_projection"),  # [in, out], as ours
    Rule("vision/class_embed", "visual.class_embedding"),
    Rule("vision/patch_embed/kernel", "visual.conv1.weight", CONVOLUTION),
    Rule("vision/position_embed", "visual.positional_embedding"),
    *rules.norm("vision/pre_norm", "visual.ln_pre"),
    *_blocks("vision/blocks/", "visual.transformer.resblocks.{layer}."),
    *rules.norm("vision/post_norm", "visual.ln_post"),
    Rule("vision/proj/kernel", "visual.proj"),  # [in, out], as ours
)


def custom_text_rules() -> tuple[Rule, ...]:
    """The table of `CustomTextCLIP`, which keeps the text tower under `text.`."""
    return tuple(
        dataclasses.replace(row, theirs=f"text.{row.theirs}")
        if row.ours.startswith("text/")
        else row
        for row in RULES
    )


# Published sizes (`model_configs/*.json` of OpenCLIP): vision width, layers, head width, MLP ratio,
# patch, image side; text width, heads, layers; shared space. For files that come without a config.
MODELS = {
    "ViT-B-32": ((768, 12, 64, 4.0, 32, 224), (512, 8, 12), 512),
    "ViT-B-16": ((768, 12, 64, 4.0, 16, 224), (512, 8, 12), 512),
    "ViT-L-14": ((1024, 24, 64, 4.0, 14, 224), (768, 12, 12), 768),
    "ViT-L-14-336": ((1024, 24, 64, 4.0, 14, 336), (768, 12, 12), 768),
    "ViT-H-14": ((1280, 32, 80, 4.0, 14, 224), (1024, 16, 24), 1024),
    "ViT-g-14": ((1408, 40, 88, 4.3637, 14, 224), (1024, 16, 24), 1024),
    "ViT-bigG-14": ((1664, 48, 104, 4.9231, 14, 224), (1280, 20, 32), 1280),
}
QUICK = "-quickgelu"  # the ending of a model's name whose activation is quick_gelu

# Fields of a config that our towers follow, and those that do not change what they compute.
_VISION = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
_END = 49407  # of CLIP's tokenizer
_NEUTRAL = {"patch_dropout", "custom_text", "init_logit_scale", "output_tokens"}
_NEUTRAL |= {"hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode"}  # see `convert.texts`
# What OpenCLIP takes for fields that a config leaves out, where that is not nothing: switched off.
_OFF = {
    **{"pos_embed_type": ("learnable",), "block_type": ("default",), "proj_type": ("linear",)},
    **{"attn_pooler_queries": (256,), "attn_pooler_heads": (8,), "timm_pool": ("avg",)},
    **{"timm_proj": ("linear",), "hf_model_pretrained": (True,), "hf_proj_type": ("mlp",)},
    **{"hf_pooler_type": ("mean_pooler",), "pool_type": ("tok", "argmax"), "eos_id": (2,)},
}

_CHECKS = {
    **dict.fromkeys(("embed_dim", "width", "heads", "head_width", "patch_size"), fields.whole()),
    **dict.fromkeys(("context_length", "vocab_size"), fields.whole()),
    "layers": fields.whole(1, fields.MOST_LAYERS),
    "mlp_ratio": fields.number(0.01, 1000),
    "image_size": fields.SIDES,
    "quick_gelu": (lambda value: isinstance(value, bool), "true or false"),
}


def model_cfg(name: str) -> dict[str, Any]:
    """The `model_cfg` of a published model, such as `ViT-B-32` or `ViT-B-32-quickgelu`.

    Raises:
      ConfigError: for an unknown name, with the nearest one.
    """
    plain = name.removesuffix(QUICK)
    if plain not in MODELS:
        raise errors.ConfigError(
            f"unknown OpenCLIP model {name!r}; known: {', '.join(MODELS)}, each also with "
            f"{QUICK}.{errors.nearest(plain, MODELS)}"
        )
    (width, layers, head_width, ratio, patch, side), (text_width, heads, depth), dim = MODELS[plain]
    return {
        "embed_dim": dim,
        "quick_gelu": name.endswith(QUICK),
        "vision_cfg": {
            "image_size": side,
            "layers": layers,
            "width": width,
            "head_width": head_width,
            "mlp_ratio": ratio,
            "patch_size": patch,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": text_width,
            "heads": heads,
            "layers": depth,
        },
    }


def guess(shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """The names in `MODELS` whose vision tower has the shapes of these tensors."""
    layers = {int(hit[1]) for hit in map(_LAYER.match, shapes) if hit}
    kernel = shapes.get("visual.conv1.weight", ())
    positions = shapes.get("visual.positional_embedding") or (0,)  # a ResNet has none here
    return [
        name
        for name, ((width, depth, _, _, patch, side), _, _) in MODELS.items()
        if list(kernel) == [width, 3, patch, patch]
        and len(layers) == depth
        and positions[0] == 1 + (side // patch) ** 2
    ]


_LAYER = re.compile(r"visual\.transformer\.resblocks\.(\d+)\.")


def towers(config: Mapping[str, Any], where: object) -> tuple[VisionConfig, TextConfig]:
    """The two towers of a `model_cfg`.

    Raises:
      CheckpointError: for a field our towers cannot follow, naming it.
    """
    try:
        dim = config["embed_dim"]
        vision, text = (
            fields.as_object(config[name], f"{where}: {name}")
            for name in ("vision_cfg", "text_cfg")
        )
        _require_plain(vision, _VISION, f"{where}: vision_cfg")
        at_end = text.get("pool_type") == "eos" and text.get("eos_id") == _END
        followed = _TEXT | ({"pool_type", "eos_id"} if at_end else set())
        _require_plain(text, followed, f"{where}: text_cfg")
        _require_plain(config, {"vision_cfg", "text_cfg", "embed_dim", "quick_gelu"}, str(where))
        found = fields.problems(config, _CHECKS, "")
        found += fields.problems(vision, _CHECKS, "vision_cfg.")
        fields.require(found + fields.problems(text, _CHECKS, "text_cfg."), where)
        activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
        side = vision.get("image_size", 224)
        width, text_width = vision.get("width", 768), text.get("width", 512)
        return (
            VisionConfig(
                width=width,
                depth=vision.get("layers", 12),
                heads=width // vision.get("head_width", 64),
                mlp_dim=int(width * vision.get("mlp_ratio", 4.0)),
                patch_size=vision.get("patch_size", 16),
                image_size=(side, side) if isinstance(side, int) else tuple(side),
                embed_dim=dim,
                activation=activation,
            ),
            TextConfig(
                width=text_width,
                depth=text.get("layers", 12),
                heads=text.get("heads", 8),
                mlp_dim=int(text_width * text.get("mlp_ratio", 4.0)),
                embed_dim=dim,
                vocab=text.get("vocab_size", 49408),
                context=text.get("context_length", 77),
                activation=activation,
                end=_END if at_end and text.get("vocab_size", 49408) > _END + 1 else None,
            ),
        )
    except KeyError as error:
        raise errors.CheckpointError(
            f"{where}: model_cfg has no {error}; use the config that came with the weights."
        ) from error


def to_config(vision: VisionConfig, text: TextConfig) -> dict[str, Any]:
    """An `open_clip_config.json` such that `towers` gives these towers again.

    It has one activation for both, and nothing for LoRA, time attention and tubes.
    """
    rows, columns = vision.image_size
    return {
        "model_cfg": {
            "embed_dim": vision.embed_dim,
            "quick_gelu": vision.activation == "quick_gelu",
            "vision_cfg": {
                "image_size": rows if rows == columns else [rows, columns],
                "patch_size": vision.patch_size,
                "width": vision.width,
                "layers": vision.depth,
                "head_width": vision.width // vision.heads,
                "mlp_ratio": _ratio(vision.mlp_dim, vision.width),
            },
            "text_cfg": {
                "context_length": text.context,
                "vocab_size": text.vocab,
                "width": text.width,
                "heads": text.heads,
                "layers": text.depth,
                "mlp_ratio": _ratio(text.mlp_dim, text.width),
                **({"pool_type": "eos", "eos_id": text.end} if text.end else {}),
            },
        }
    }


def _ratio(mlp_dim: int, width: int) -> float:
    """A ratio whose product with the width, cut to a whole number, is the size again."""
    ratio = mlp_dim / width
    return ratio if int(width * ratio) == mlp_dim else math.nextafter(ratio, math.inf)


def _require_plain(values: Mapping[str, Any], followed: set[str], where: str) -> None:
    """Fields we do not know must be switched off."""
    for name, value in values.items():
        if name not in followed | _NEUTRAL and value and value not in _OFF.get(name, ()):
            raise errors.CheckpointError(
                f"{where}: {name} is {value!r}; the towers follow "
                f"{', '.join(sorted(followed))} of the ViT family."
            )
