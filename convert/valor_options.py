"""The options that a VALOR run saves beside its checkpoint, as the model they describe, and back.

Sizes come from the tensors themselves; the options say what those do not: the kind of towers, how
cross-attention goes, what is compared. Defaults are those of the original's command line (VALOR
spec 1 and 3.4).
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from lb_jax.convert import fields, swin
from lb_jax.core import config as config_lib
from lb_jax.core import errors
from lb_jax.core.words import counted
from lb_jax.models.ast import ast_config
from lb_jax.models.bert import CROSS, BertConfig
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import ValorConfig, valor_config
from lb_jax.models.vision import VisionConfig

OURS = "lb_jax"  # field of the options for a model of sizes that are not the published ones
HEAD_WIDTH = 64  # of BERT, AST and CLIP in all published sizes
SWIN = "video_encoder."

DEFAULTS = {
    "video_encoder_type": "clip_vit_base_16",
    "audio_encoder_type": "ast",
    "video_resolution": 224,
    "audio_melbins": 64,
    "audio_patch_size": 16,
    "audio_target_length": 512,
    "audio_mean": -4.2677393,
    "audio_std": 4.5689974,
    "cross_attn_type": "va_concate",
    "contra_type": "fine",
    "fineweight_type": "learned",
    "late_fusion": False,
    "share_txt_and_multimodal": True,
    "use_task_prompt": False,
    "txt_encoder_type": "bert_base_uncased",
}

_FLAG: fields.Check = (lambda value: type(value) is bool, "true or false")


def _one_of(*names: str) -> fields.Check:
    return lambda value: value in names, " or ".join(names)


def _begins(*names: str) -> fields.Check:
    return (
        lambda value: isinstance(value, str) and value.startswith(names),
        f"a name that begins with {' or '.join(names)}",
    )


_CHECKS: dict[str, fields.Check] = {
    **dict.fromkeys(("video_resolution", "audio_melbins", "audio_patch_size"), fields.whole()),
    "audio_target_length": fields.whole(),
    "cross_attn_type": _one_of(*CROSS),
    "contra_type": _one_of("fine", "coarse"),
    "video_encoder_type": _begins("clip", "videoswin"),
    "audio_encoder_type": _begins("ast"),
    "txt_encoder_type": _begins("bert"),
    "share_txt_and_multimodal": (lambda value: value is True, "true"),
    **dict.fromkeys(("late_fusion", "use_task_prompt"), _FLAG),
}

Shapes = Mapping[str, tuple[int, ...]]


def config(options: Mapping[str, Any], shapes: Shapes, where: object) -> ValorConfig:
    """The model that options and tensors describe.

    Args:
      options: as saved.
      shapes: name -> shape of all tensors.
      where: the options' file, for messages.

    Raises:
      CheckpointError: for options that are not to be followed, or contradict the tensors.
    """
    if OURS in options:
        with fields.told_of(where):
            return valor_config(fields.as_object(options[OURS], f"{where}: {OURS}"))
    values = {**DEFAULTS, **options}
    fields.require(fields.problems(values, _CHECKS, ""), where)
    try:
        with fields.told_of(where):
            return _config(values, shapes, where)
    except KeyError as error:
        raise errors.CheckpointError(
            f"{where}: the checkpoint has no {error}, which its options ask for; use the options "
            "that were saved with it."
        ) from error


def _config(values: Mapping[str, Any], shapes: Shapes, where: object) -> ValorConfig:
    is_swin = values["video_encoder_type"].startswith("videoswin")
    has_audio = "audio_embeddings.cls_token" in shapes
    is_coarse = values["contra_type"] == "coarse"
    learned = values["fineweight_type"] != "none" and "text_fine_weight.0.weight" in shapes
    return ValorConfig(
        text=_text(values, shapes),
        video=swin.config(shapes, where, theirs=SWIN) if is_swin else _clip(values, shapes, where),
        audio=_audio(values, shapes) if has_audio else None,
        embed_dim=shapes["contra_head_t.linear.weight"][0],
        frames=shapes["video_frame_embedding"][1],
        clips=shapes["audio_frame_embedding"][1] if has_audio else 32,
        temperature="temperature" if is_swin else "logit_scale",
        alignment="coarse" if is_coarse else "weighted" if learned else "uniform",
        fusion=is_coarse and not values["late_fusion"],
        task_prompts=values["use_task_prompt"],
    )


def _text(values: Mapping[str, Any], shapes: Shapes) -> BertConfig:
    prefix = "multimodal_encoder."
    vocab, width = shapes[f"{prefix}embeddings.word_embeddings.weight"]
    return BertConfig(
        width=width,
        depth=_layers(shapes, f"{prefix}encoder.layer."),
        heads=width // HEAD_WIDTH,
        mlp_dim=shapes[f"{prefix}encoder.layer.0.intermediate.dense.weight"][0],
        vocab=vocab,
        context=shapes[f"{prefix}embeddings.position_embeddings.weight"][0],
        cross=values["cross_attn_type"],
    )


def _clip(values: Mapping[str, Any], shapes: Shapes, where: object) -> VisionConfig:
    prefix = "clip_model.visual."
    width, _, patch, _ = shapes[f"{prefix}conv1.weight"]
    rows, side = shapes[f"{prefix}positional_embedding"][0], values["video_resolution"]
    grid = math.isqrt(rows - 1)
    if grid * grid != rows - 1 or side // patch != grid:
        raise errors.CheckpointError(
            f"{where}: video_resolution is {side}, {side // patch} patches of {patch} a side, and "
            f"the position table is of {counted(rows, 'row')}; "
            "use the options saved with the checkpoint."
        )
    layer = f"{prefix}transformer.resblocks."
    return VisionConfig(
        width=width,
        depth=_layers(shapes, layer),
        heads=width // HEAD_WIDTH,
        mlp_dim=shapes[f"{layer}0.mlp.c_fc.weight"][0],
        patch_size=patch,
        image_size=(side, side),
        embed_dim=0,
        activation="quick_gelu",
    )


def _audio(values: Mapping[str, Any], shapes: Shapes) -> VisionConfig:
    width, _, patch, _ = shapes["audio_embeddings.first_conv.weight"]
    return ast_config(
        width,
        _layers(shapes, "audio_encoder.layer."),
        width // HEAD_WIDTH,
        shapes["audio_encoder.layer.0.ff_layer.linear1.weight"][0],
        image_size=(values["audio_melbins"], values["audio_target_length"]),
        patch_size=patch,
    )


def _layers(shapes: Shapes, prefix: str) -> int:
    numbers = [int(n.removeprefix(prefix).split(".")[0]) for n in shapes if n.startswith(prefix)]
    if not numbers:
        raise KeyError(f"{prefix}0")
    return 1 + max(numbers)


def to_options(cfg: ValorConfig, shapes: Shapes) -> dict[str, Any]:
    """Options such that `config` gives this model again.

    Args:
      cfg: the model.
      shapes: of the tensors that are written beside them.

    Raises:
      ConfigError: for towers that VALOR's code does not have.
    """
    is_swin = isinstance(cfg.video, SwinConfig)
    options: dict[str, Any] = {
        **DEFAULTS,
        "video_encoder_type": "videoswin_base_k600_22k" if is_swin else "clip_vit_large_14_336px",
        "cross_attn_type": cfg.text.cross,
        "contra_dim": cfg.embed_dim,
        "contra_type": "coarse" if cfg.alignment == "coarse" else "fine",
        "fineweight_type": "none" if cfg.alignment == "uniform" else "learned",
        "late_fusion": cfg.alignment == "coarse" and not cfg.fusion,
        "use_task_prompt": cfg.task_prompts,
    }
    if isinstance(cfg.video, VisionConfig):
        options["video_resolution"] = cfg.video.image_size[0]
        if cfg.video.patch_size != 14:
            options["video_encoder_type"] = f"clip_vit_base_{cfg.video.patch_size}"
    if cfg.audio is not None:
        options["audio_melbins"], options["audio_target_length"] = cfg.audio.image_size
        options["audio_patch_size"] = cfg.audio.patch_size
    try:
        is_same = _same(config(options, shapes, "options"), cfg)
    except errors.CheckpointError:
        is_same = False
    return options if is_same else {**options, OURS: config_lib.to_dict(cfg)}


def _same(one: ValorConfig, other: ValorConfig) -> bool:
    return dataclasses.asdict(one) == dataclasses.asdict(other)


def preprocessing(options: Mapping[str, Any], cfg: ValorConfig) -> dict[str, dict[str, Any]]:
    """What the options fix of the preprocessing of each role.

    Frames are normalised by CLIP's statistics for CLIP's towers, by ImageNet's for others (VALOR
    spec 2.1); sounds as (x - mean) / (2 std) (2.2).
    """
    values = {**DEFAULTS, **options}
    found: dict[str, dict[str, Any]] = {}
    if isinstance(cfg.video, VisionConfig):
        found["video"] = {"size": cfg.video.image_size[0], "statistics": "clip"}
    elif cfg.video is not None:
        found["video"] = {"size": values["video_resolution"], "statistics": "imagenet"}
    if cfg.audio is not None:
        mel_bins, frames = cfg.audio.image_size
        found["audio"] = {
            "mel_bins": mel_bins,
            "target_frames": frames,
            "mean": values["audio_mean"],
            "std": values["audio_std"],
        }
    return found
