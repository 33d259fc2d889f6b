"""A folder that PEFT saved: factors only, over a base that `adapter_config.json` names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lb_jax.convert import fields
from lb_jax.convert.lazy import LazyTensor
from lb_jax.core import errors

CONFIG = "adapter_config.json"

# What does not change what the factors compute, and the values that switch an option off; anything
# else must be empty, false or 0.
_NEUTRAL = {
    *("peft_type", "task_type", "auto_mapping", "peft_version", "base_model_name_or_path"),
    *("revision", "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha"),
    *("lora_dropout", "layers_to_transform", "layers_pattern", "init_lora_weights"),
    *("megatron_core", "qalora_group_size", "eva_config", "runtime_config"),
}
_OFF = {"bias": "none"}
# Beginnings of those ways to draw the factors that also change the base's weights.
_CHANGE_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")

_CHECKS = {
    "r": fields.whole(),
    "lora_alpha": fields.number(),
    "lora_dropout": fields.number(0.0, 1.0),
}

# The factors of a wrapped CLIPModel, or of its vision encoder alone.
_FACTOR = re.compile(
    r"base_model\.model\.(?:vision_model\.encoder\.)?"
    r"(layers\.\d+\..+\.lora_[AB])(?:\.default)?\.weight"
)
_ENCODER = "vision_model.encoder."
_WRAPPED = "vision_model.encoder.base_model.model."


def require_plain(config: Mapping[str, Any], where: Path) -> None:
    """Checks that the adapter is LoRA as Hu et al. have it.

    Raises:
      CheckpointError: naming what it is besides.
    """
    if config.get("peft_type") != "LORA":
        raise errors.CheckpointError(
            f"{where}: peft_type is {config.get('peft_type')!r}; expected LORA."
        )
    fields.require(
        [f"has no {name}" for name in ("r", "lora_alpha") if name not in config]
        + fields.problems(config, _CHECKS, ""),
        where,
    )
    changed = [
        f"{name} is {value!r}"
        for name, value in config.items()
        if name not in _NEUTRAL and value and value != _OFF.get(name)
    ]
    start = config.get("init_lora_weights")
    if str(start).lower().startswith(_CHANGE_BASE):
        changed.append(f"init_lora_weights is {start!r}")
    if changed:
        raise errors.CheckpointError(
            f"{where}: {'; '.join(changed)}; the towers have plain LoRA. Merge the adapter with "
            "PEFT's merge_and_unload and convert the result."
        )


def wrapped(
    where: Path, base: Mapping[str, LazyTensor], factors: Mapping[str, LazyTensor]
) -> dict[str, LazyTensor]:
    """Base and factors under the names of one saved model whose vision encoder is wrapped.

    Raises:
      CheckpointError: for factors outside the vision encoder.
    """
    joined = {
        _WRAPPED + name.removeprefix(_ENCODER) if name.startswith(_ENCODER) else name: tensor
        for name, tensor in base.items()
    }
    for name, tensor in factors.items():
        hit = _FACTOR.fullmatch(name)
        if hit is None or "text_model" in name:
            raise errors.CheckpointError(
                f"{where}: {name}: factors are expected in the vision encoder only; merge the "
                "adapter with PEFT's merge_and_unload and convert the result."
            )
        joined[f"{_WRAPPED}{hit[1]}.default.weight"] = tensor
    return joined
