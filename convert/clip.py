"""Hugging Face CLIP, and LanguageBind, which is CLIP with time attention and LoRA (spec 2.1, 2.3).

One table of names serves both; PEFT's names for wrapped layers are rewritten before it.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lb_jax.convert import fields, rules
from lb_jax.convert.rules import CONVOLUTION, LEADING_ONE, TRANSPOSED, Rule
from lb_jax.core import errors
from lb_jax.models.layers import ACTIVATIONS, LAYER_NORM_EPSILON
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

# Buffers that some versions of transformers stored; they hold 0, 1, 2, …
IGNORED = (r"(text|vision)_model\.embeddings\.position_ids",)

_VISION, _TEXT = "vision_model.encoder.layers.{layer}.", "text_model.encoder.layers.{layer}."
_PEFT_ENCODER = "vision_model.encoder.base_model.model."


def _blocks(ours: str, theirs: str) -> tuple[Rule, ...]:
    """The rows of a block without time attention."""
    return (
        *rules.norm(rf"{ours}norm([12])", rf"{theirs}layer_norm\1"),
        *rules.linear(rf"{ours}attn/(\w+)", rf"{theirs}self_attn.\1"),
        *rules.linear(rf"{ours}mlp/(\w+)", rf"{theirs}mlp.\1"),
    )


RULES = (
    Rule("logit_scale", "logit_scale"),
    Rule("text/token_embed/embedding", "text_model.embeddings.token_embedding.weight"),
    Rule("text/position_embed", "text_model.embeddings.position_embedding.weight"),
    *_blocks("text/blocks/", _TEXT),
    *rules.norm("text/final_norm", "text_model.final_layer_norm"),
    Rule("text/proj/kernel", "text_projection.weight", TRANSPOSED),
    Rule("vision/class_embed", "vision_model.embeddings.class_embedding"),
    Rule(
        "vision/patch_embed/kernel", "vision_model.embeddings.patch_embedding.weight", CONVOLUTION
    ),
    Rule("vision/position_embed", "vision_model.embeddings.position_embedding.weight"),
    *rules.norm("vision/pre_norm", "vision_model.pre_layrnorm"),  # the original's spelling
    *_blocks("vision/blocks/", _VISION),
    Rule("vision/blocks/temporal_embed", rf"{_VISION}temporal_embedding", LEADING_ONE),
    *rules.norm("vision/blocks/temporal_norm", rf"{_VISION}temporal_layer_norm1"),
    *rules.linear(r"vision/blocks/temporal_attn/(\w+)", rf"{_VISION}temporal_attn.\1"),
    *rules.norm("vision/post_norm", "vision_model.post_layernorm"),
    Rule("vision/proj/kernel", "visual_projection.weight", TRANSPOSED),
)

# What transformers leaves out of a config.json, and LanguageBind with it.
_SIZE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_EMBED_DIM = 512
_DEFAULTS = {
    "vision_config": {
        **dict(zip(_SIZE, (768, 12, 12, 3072), strict=True)),
        "patch_size": 32,
        "image_size": 224,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
    "text_config": {
        **dict(zip(_SIZE, (512, 12, 8, 2048), strict=True)),
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    },
}

_END = 49407  # transformers' default, and the end token of CLIP's tokenizer

_CHECKS = {
    **dict.fromkeys((*_SIZE, "patch_size", "projection_dim"), fields.whole()),
    **dict.fromkeys(("vocab_size", "max_position_embeddings"), fields.whole()),
    "num_hidden_layers": fields.whole(1, fields.MOST_LAYERS),
    "image_size": fields.SIDES,
    "hidden_act": (lambda value: value in list(ACTIVATIONS), " or ".join(ACTIVATIONS)),
    "layer_norm_eps": (lambda value: value == LAYER_NORM_EPSILON, f"{LAYER_NORM_EPSILON}"),
}

# The attentions that may be wrapped, theirs and ours, and the names of the factors.
_OURS = {"self_attn": "attn", "temporal_attn": "temporal_attn"}
_FACTORS = {"lora_a": "lora_A.default.weight", "lora_b": "lora_B.default.weight"}
_FACTOR = re.compile(
    rf"{re.escape(_PEFT_ENCODER)}layers\.\d+\.(self_attn|temporal_attn)\.(\w+)"
    r"\.lora_([AB])\.default\.weight"
)


def peft_rules(targets: str, *, base_layer: bool) -> tuple[Rule, ...]:
    """The table for a vision encoder inside a `PeftModel`.

    Args:
      targets: regex of the module paths that carry factors (`LoraConfig.targets`).
      base_layer: PEFT >= 0.7, which calls a wrapped layer's own weights `base_layer`.
    """
    rows = []
    for theirs, ours in _OURS.items():
        here, there = rf"vision/blocks/{ours}/(\w+)", rf"{_VISION}{theirs}.\1"
        rows += [Rule(f"{here}/{a}", f"{there}.{b}", TRANSPOSED) for a, b in _FACTORS.items()]
        if base_layer:
            # the targets only; a group of theirs must not shift the number of ours
            only = re.sub(r"\((?!\?)", "(?:", targets)
            wrapped = rf"(?=vision/(?:{only})/(?:kernel|bias)$){here}"
            rows += rules.linear(wrapped, f"{there}.base_layer")
    rename = ("vision_model.encoder.", _PEFT_ENCODER, 1)
    return tuple(
        dataclasses.replace(row, theirs=row.theirs.replace(*rename)) for row in (*rows, *RULES)
    )


def factors(shapes: Mapping[str, Sequence[int]], where: object) -> dict[str, int]:
    """Our module path -> rank of every layer that carries factors; empty without LoRA.

    Args:
      shapes: tensor name -> shape.
      where: the file, for messages.

    Raises:
      CheckpointError: for factors on layers that carry none in our towers, or of no rank.
    """
    found = {}
    for name in sorted(shapes):
        if ".lora_" not in name:
            continue
        hit = _FACTOR.fullmatch(name)
        if hit is None:
            raise errors.CheckpointError(
                f"{where}: {name}: LoRA factors are expected on {_PEFT_ENCODER}layers.N.self_attn "
                "or temporal_attn; merge others into the weights first (PEFT merge_and_unload)."
            )
        if len(shapes[name]) != 2 or not min(shapes[name]):
            raise errors.CheckpointError(
                f"{where}: {name} is {list(shapes[name])}; a LoRA factor is a matrix: get the "
                "weights again."
            )
        rank = shapes[name][0 if hit[3] == "A" else -1]
        found.setdefault(f"blocks/{_OURS[hit[1]]}/{hit[2]}", rank)
    return found


def resolved(
    config: Mapping[str, Any], where: object, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The config as transformers understands it.

    `vision_config_dict` and `text_config_dict`, which configs of some years have, win over the
    sections of the same name; so do their defaults: a field that they leave out is back at what
    transformers has for it, whatever the section says.

    Args:
      config: a `config.json`.
      where: for messages.
      more: defaults of a vision section besides those of CLIP.

    Raises:
      CheckpointError: for a section that is no JSON object.
    """
    found = {name: value for name, value in config.items() if not name.endswith("_config_dict")}
    for name, usual in _DEFAULTS.items():
        if (winner := config.get(f"{name}_dict")) is not None:
            winner = fields.as_object(winner, f"{where}: {name}_dict")
            usual = {**usual, **(more or {} if name == "vision_config" else {})}
            stated = {**fields.section(config, name, where), **usual}
            stated.pop("eos_token_id", None)  # which has a default as well
            found[name] = stated | winner
    return found


def end_token(config: Mapping[str, Any], vocab: int, where: object) -> int | None:
    """The token at whose first place texts are pooled; None where that is the largest of a text.

    Raises:
      CheckpointError: for one that the tokenizer here does not end texts with. 2 stood in old
        configs and means the largest id.
    """
    if config.get("model_type") != "clip":
        return None  # LanguageBind pools at the largest, whatever it states
    stated = fields.section(config, "text_config", where)
    end, last = stated.get("eos_token_id", _END), min(vocab - 1, _END)
    is_plain = vocab <= _END + 1
    if end == 2 or (is_plain and (end == last or "eos_token_id" not in stated)):
        return None
    if type(end) is not int or end != last:
        raise errors.CheckpointError(
            f"{where}: text_config.eos_token_id is {end!r}, expected {last}, with which the "
            "tokenizer here ends texts and at which they are pooled."
        )
    return end


def shapes_config(config: Mapping[str, Any], where: object) -> tuple[VisionConfig, TextConfig]:
    """The two plain towers of a `config.json`; absent fields are transformers' defaults.

    Raises:
      CheckpointError: naming every field that our towers cannot follow.
    """
    embed_dim = config.get("projection_dim", _EMBED_DIM)
    sections = {
        name: {**usual, **fields.section(config, name, where)} for name, usual in _DEFAULTS.items()
    }
    found = fields.problems({"projection_dim": embed_dim}, _CHECKS, "")
    for name, values in sections.items():
        found += fields.problems(values, _CHECKS, f"{name}.")
    fields.require(found, where)
    vision, text = sections.values()
    side = vision["image_size"]
    return (
        VisionConfig(
            *_size(vision),
            patch_size=vision["patch_size"],
            image_size=(side, side) if isinstance(side, int) else tuple(side),
            embed_dim=embed_dim,
            activation=vision["hidden_act"],
        ),
        TextConfig(
            *_size(text),
            embed_dim=embed_dim,
            vocab=text["vocab_size"],
            context=text["max_position_embeddings"],
            activation=text["hidden_act"],
            end=end_token(config, text["vocab_size"], where),
        ),
    )


def to_config(vision: VisionConfig, text: TextConfig) -> dict[str, Any]:
    """The `config.json` of a plain CLIP, such that `shapes_config` gives these towers again."""
    rows, columns = vision.image_size
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": vision.embed_dim,
        "vision_config": {
            **dict(zip(_SIZE, dataclasses.astuple(vision), strict=False)),
            "patch_size": vision.patch_size,
            "image_size": rows if rows == columns else [rows, columns],
            "hidden_act": vision.activation,
            "layer_norm_eps": LAYER_NORM_EPSILON,
            "num_channels": 3,
            "projection_dim": vision.embed_dim,
        },
        "text_config": {
            **dict(zip(_SIZE, dataclasses.astuple(text), strict=False)),
            "vocab_size": text.vocab,
            "bos_token_id": (text.end or text.vocab - 1) - 1,
            "eos_token_id": text.end or text.vocab - 1,  # where texts are pooled
            "max_position_embeddings": text.context,
            "hidden_act": text.activation,
            "layer_norm_eps": LAYER_NORM_EPSILON,
            "projection_dim": text.embed_dim,
        },
    }


def _size(values: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(values[name] for name in _SIZE)
