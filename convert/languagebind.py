"""LanguageBind's `config.json`, the tower it describes, and back (spec 1.2, 2.3, 3.1)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lb_jax.convert import clip, fields
from lb_jax.convert.parts import Weights
from lb_jax.core import errors
from lb_jax.core.modalities import LANGUAGEBIND, MODALITIES
from lb_jax.models.lora import LoraConfig
from lb_jax.models.text import TextConfig
from lb_jax.models.vision import VisionConfig

MODEL_TYPES = {f"LanguageBind{name.capitalize()}": name for name in LANGUAGEBIND}
VERSION_1_5 = "vl_new"  # the `clip_type` of 3-D patches with a class embedding per tube

# What the LanguageBind configuration classes leave out of a config.json.
DEFAULTS = {
    "add_time_attn": False,
    "num_frames": 1,
    "tube_size": 1,
    "num_mel_bins": 0,
    "target_length": 0,
    "lora_r": 2,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
}
_CHECKS = {
    "add_time_attn": (lambda value: type(value) is bool, "true or false"),
    "num_frames": fields.whole(),
    "tube_size": fields.whole(),
    "num_mel_bins": fields.number(),
    "target_length": fields.number(),
    "lora_r": fields.none_or(fields.whole(0)),
    "lora_alpha": fields.none_or(fields.number()),
    "lora_dropout": fields.number(0.0, 1.0),
}
# A plain CLIP says nothing of these: a clip is the mean of its frames, LoRA is as the weights have
# it, and alpha must be given.
_PLAIN = {**DEFAULTS, "num_frames": 8, "lora_r": None, "lora_alpha": None}


def vision_config(
    config: Mapping[str, Any],
    modality: str,
    factors: Mapping[str, int],
    where: object,
) -> VisionConfig:
    """The tower of one modality.

    Args:
      config: the `config.json`, of LanguageBind or of a plain CLIP.
      modality: what the tower is used for.
      factors: layer -> rank of the LoRA factors in the weights (`clip.factors`).
      where: the file, for messages.

    Raises:
      CheckpointError: when the config contradicts the weights or itself.
    """
    tower, _ = clip.shapes_config(config, where)
    given = fields.section(config, "vision_config", where)
    values = {**(DEFAULTS if config.get("model_type") in MODEL_TYPES else _PLAIN), **given}
    fields.require(fields.problems(values, _CHECKS, "vision_config."), where)
    tower = dataclasses.replace(tower, lora=_lora(values, factors, where))
    if modality == "audio" and values["num_mel_bins"]:
        size = int(values["num_mel_bins"]), int(values["target_length"])
        return dataclasses.replace(tower, image_size=size)
    tubes = VERSION_1_5 in (values.get("clip_type"), config.get("clip_type"))
    if not MODALITIES[modality].has_frames:
        if values["add_time_attn"] or tubes:
            raise errors.CheckpointError(
                f"{where}: config.json says time attention or tubes, which {modality} has not; use "
                "the config.json that was written with the weights."
            )
        return tower
    return dataclasses.replace(
        tower,
        frames=values["num_frames"],
        temporal=values["add_time_attn"],
        tube_size=values["tube_size"] if tubes else 0,
    )


def to_config(modality: str, vision: VisionConfig, text: TextConfig) -> dict[str, Any]:
    """The `config.json` with which the original code loads the tower."""
    config = clip.to_config(vision, text)
    side = vision.patch_size * 16 if modality == "audio" else vision.image_size[0]
    mel_bins, target_length = vision.image_size if modality == "audio" else (0.0, 0.0)
    config["vision_config"] |= {
        "image_size": side,  # audio: of the image tower it came from; the grid follows the next two
        "num_mel_bins": mel_bins,
        "target_length": target_length,
        "add_time_attn": vision.temporal,
        "num_frames": vision.frames,
        "lora_r": vision.lora.rank if vision.lora else 0,
        "lora_alpha": vision.lora.alpha if vision.lora else 16,
        "lora_dropout": vision.lora.dropout if vision.lora else 0.0,
        "force_patch_dropout": 0.0,
    }
    if vision.tube_size:
        config["vision_config"] |= {"clip_type": VERSION_1_5, "tube_size": vision.tube_size}
    name = f"LanguageBind{modality.capitalize()}"
    return config | {"model_type": name, "architectures": [name]}


def folder_config(weights: Weights, modality: str) -> dict[str, Any]:
    """The `config.json` of one tower as a folder: the source's own, a CLIP's, or LanguageBind's."""
    vision, origin = weights.config.towers[modality], weights.origin.get(modality, {})
    if origin.get("kind") in ("CLIP", "LanguageBind"):
        config = origin["config"]
        is_merged = not vision.lora and config.get("vision_config", {}).get("lora_r")
        return without_lora(config) if is_merged else config
    if modality == "image" and origin.get("kind") == "OpenCLIP" and not vision.lora:
        return clip.to_config(vision, weights.config.text)
    return to_config(modality, vision, weights.config.text)


def without_lora(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config once the factors are merged into the weights."""
    vision = {**config["vision_config"], "lora_r": 0}
    return {**config, "vision_config": vision}


def preprocessing(config: Mapping[str, Any], modality: str, tower: VisionConfig) -> dict[str, Any]:
    """The fields of the modality's preprocessing spec that the config fixes."""
    given = config.get("vision_config") or {}
    if modality == "audio":
        named = {"audio_mean": "mean", "audio_std": "std", "audio_sample_rate": "sample_rate_hz"}
        mel_bins, target_frames = tower.image_size
        found = {ours: given[theirs] for theirs, ours in named.items() if theirs in given}
        return {"mel_bins": mel_bins, "target_frames": target_frames, **found}
    found: dict[str, Any] = {"size": tower.image_size[0]}
    if MODALITIES[modality].has_frames:
        found["frames"] = tower.frames
    if modality == "depth" and "max_depth" in given:
        found["max_depth_m"] = given["max_depth"] or None  # 0: the largest depth of the image
    return found


def _lora(
    values: Mapping[str, Any], factors: Mapping[str, int], where: object
) -> LoraConfig | None:
    rank, alpha = values["lora_r"], values["lora_alpha"]
    found = set(factors.values())
    if not factors and not rank:
        return None
    if rank is not None and found != {rank}:
        stored = f"factors of rank {sorted(found)}" if factors else "no LoRA factors"
        raise errors.CheckpointError(
            f"{where}: vision_config says lora_r={rank}, the weights have {stored}; use the "
            "config.json that was written with them (lora_r=0 for weights without factors)."
        )
    if len(found) > 1:
        raise errors.CheckpointError(
            f"{where}: the LoRA factors have ranks {sorted(found)}; the towers take one rank."
        )
    if alpha is None:
        raise errors.CheckpointError(
            f"{where}: the weights have LoRA factors, whose scale is alpha / rank; add "
            '"lora_alpha" to vision_config (PEFT and LanguageBind train with 8 or 16).'
        )
    return LoraConfig(
        rank=found.pop(),
        alpha=float(alpha),
        dropout=float(values["lora_dropout"]),
        targets=_targets(tuple(factors)),
    )


def _targets(layers: tuple[str, ...]) -> str:
    """The usual regex where it names exactly these layers, else one that lists them."""
    usual = {m.lora_targets for m in MODALITIES.values()}
    projections = ("q", "k", "v", "out")
    for rule in usual:
        block = rule.split("/")[1]
        if set(layers) == {f"blocks/{block}/{p}_proj" for p in projections}:
            return rule
    return "|".join(sorted(layers))
