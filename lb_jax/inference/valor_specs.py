"""The preprocessing of a VALOR model: what its weights state, and the presets for the rest."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from lb_jax.convert.valor_folder import ValorWeights
from lb_jax.core import errors
from lb_jax.core.modalities import TEXT
from lb_jax.media import specs
from lb_jax.models.swin import SwinConfig
from lb_jax.models.valor import ValorConfig
from lb_jax.models.vision import VisionConfig

PRESETS = {"default": "valor", "reference": "valor_reference"}
COUNTS = {"video": "frames", "audio": "clips"}  # role -> the field that tells how many
USUAL = {"video": 8, "audio": 2}  # those of most published tasks (VALOR spec 6.3)


class Found(NamedTuple):
    """How media are made ready.

    Attributes:
      specs: spec by modality, text among them.
      preset: that they come from, a key of `PRESETS`.
    """

    specs: dict[str, specs.Spec]
    preset: str


def of_weights(weights: ValorWeights, preset: str, counts: Mapping[str, int | None]) -> Found:
    """The specs of a model.

    Args:
      weights: state what training fixed.
      preset: a key of `PRESETS`.
      counts: role -> frames or clips that were asked for; None for none.

    Raises:
      ConfigError: for another preset, counts of what the model has not or has no embeddings for.
      CheckpointError: for fields that no spec has.
    """
    if preset not in PRESETS:
        raise errors.ConfigError(
            f"no preset {preset!r}; expected one of {', '.join(PRESETS)}."
            f"{errors.nearest(preset, PRESETS)}"
        )
    cfg = weights.config
    found: dict[str, specs.Spec] = {
        role: _spec(weights, role, preset, counts[role]) for role in cfg.towers
    }
    for role, count in counts.items():
        if count is not None and role not in cfg.towers:
            raise errors.ConfigError(f"{COUNTS[role]} is {count}, and the model has no {role}.")
    text = specs.of_text({TEXT: specs.preset(TEXT, PRESETS[preset])})
    stated = weights.preprocess.get(TEXT, {}).get("context", text.context)
    context = min(stated, cfg.text.context)
    return Found({**found, TEXT: dataclasses.replace(text, context=context)}, preset)


def _spec(weights: ValorWeights, role: str, preset: str, count: int | None) -> specs.Spec:
    cfg, stated = weights.config, dict(weights.preprocess.get(role, {}))
    is_crops = role == "audio" and _channels(cfg) > 1  # LanguageBind's own
    usual = specs.preset(role, preset if is_crops else PRESETS[preset])
    statistics = specs.STATISTICS[stated.pop("statistics", "clip")] if role == "video" else {}
    fixed = {} if is_crops else {COUNTS[role]: _count(cfg, role, stated, count)}
    if is_crops and count is not None:
        raise errors.ConfigError("clips of this model are three crops of each sound; leave it out.")
    try:
        return specs.from_dict(
            role, {**specs.to_dict(usual), **_sizes(cfg, role), **statistics, **stated, **fixed}
        )
    except errors.ConfigError as error:
        raise errors.CheckpointError(
            f"{weights.where}: {str(error).removesuffix('.')}; write the checkpoint again."
        ) from error


def _channels(cfg: ValorConfig) -> int:
    return 1 if cfg.audio is None else cfg.audio.kind.channels


def _count(cfg: ValorConfig, role: str, stated: Mapping[str, Any], asked: int | None) -> int:
    """How many frames or clips."""
    tower, most = cfg.towers[role], cfg.items[role]
    fixed = isinstance(tower, VisionConfig) and (tower.temporal or tower.tube_size)
    if role == "video" and fixed and isinstance(tower, VisionConfig):
        if asked not in (None, tower.frames):
            raise errors.ConfigError(
                f"frames is {asked}, and the video tower takes {tower.frames}; leave it out."
            )
        return tower.frames
    count = asked if asked is not None else stated.get(COUNTS[role], min(USUAL[role], most))
    if not 1 <= count <= most:
        raise errors.ConfigError(
            f"{COUNTS[role]} is {count}, and the model has embeddings for {most}; give 1 to {most}."
        )
    return count


def _sizes(cfg: ValorConfig, role: str) -> dict[str, int]:
    """What the tower itself tells."""
    tower = cfg.towers[role]
    if isinstance(tower, SwinConfig):
        return {}
    rows, columns = tower.image_size
    return {"size": rows} if role == "video" else {"mel_bins": rows, "target_frames": columns}
